//! `p9img screenshot`: a node's screen as PNG.

use super::args::{Cli, Screenshot};
use super::{Outcome, grid, say};
use std::path::PathBuf;

pub fn run(cli: &Cli, args: &Screenshot) -> anyhow::Result<Outcome> {
    let lab = grid::load(cli, args.out.as_ref())?;
    let node = lab.node(&args.node)?;
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.png", node.name)));
    lab.grid.screenshot(&node.name, &file)?;
    if !cli.quiet {
        say::line(format_args!("{}", file.display()))?;
    }
    Ok(Outcome::Good)
}
