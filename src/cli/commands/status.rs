//! `p9img status`: the nodes that run.

use crate::cli::shared_args::GlobalArgs;
use crate::cli::{Outcome, running, say};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let running = running::look(cli, args.out.as_ref())?.lab_or_running()?;
    if args.json {
        say::json(&running.report())?;
    } else {
        running.tell_notes(cli);
        running.tell()?;
    }
    Ok(Outcome::Good)
}
