//! `p9img switch`: the network of a running lab, started by `up`.

use crate::cli::outcome::Outcome;
use crate::guest::grid::serve_stdin;
use anyhow::Context as _;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run
    pub run: Option<PathBuf>,
    /// File of the lab, by which others find this process
    pub file: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    serve_stdin(args.run.as_deref())
        .context("Standard input is not a socket of p9img: `p9img up` starts this command itself")?;
    Ok(Outcome::Good)
}
