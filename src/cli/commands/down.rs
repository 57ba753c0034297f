//! `p9img down`: nodes are halted and turned off.

use crate::cli::commands::up::Teller;
use crate::cli::outcome::Outcome;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{interrupt, running, say};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes to stop, in the lab or not [default: all that run]
    pub nodes: Vec<String>,
    /// Turn off at once: do not halt first
    #[arg(long)]
    pub force: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let running = running::look(cli, args.out.as_ref())?;
    running.tell_notes(cli);
    running.names(&args.nodes)?;
    if !running.anything_runs() && !cli.quiet {
        say::note(&format!("nothing runs in {}", running.grid.dir().display()));
    }
    let complaints = running.grid.down(&running.known, &args.nodes, args.force, &Teller::new(cli, stop))?;
    let failed = !complaints.is_empty();
    for complaint in complaints {
        say::error(&complaint.into());
    }
    Ok(if failed { Outcome::Failed } else { Outcome::Good })
}
