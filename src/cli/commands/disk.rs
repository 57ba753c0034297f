//! `p9img disk`: the disk of a node that runs, started by `up`.

use crate::cli::outcome::Outcome;
use crate::guest::grid::serve_disk_on_stdin;
use crate::ops;
use anyhow::Context as _;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the node in the run
    pub folder: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    serve_disk_on_stdin(&args.folder, ops::compute).context(
        "The disk cannot be served; `p9img up` starts this command itself, with a socket as its standard input",
    )?;
    Ok(Outcome::Good)
}
