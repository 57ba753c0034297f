//! `p9img screenshot`: a node's screen as PNG.

use crate::cli::outcome::Outcome;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{running, say};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node
    pub node: String,
    /// File to write [default: NODE.png]
    pub file: Option<PathBuf>,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let running = running::look(cli, args.out.as_ref())?.lab_or_running()?;
    let node = running.node(&args.node)?;
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.png", node.name)));
    running.grid.screenshot(&node.name, &file)?;
    if !cli.quiet {
        say::line(format_args!("{}", file.display()))?;
    }
    Ok(Outcome::Good)
}
