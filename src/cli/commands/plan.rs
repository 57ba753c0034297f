//! `p9img plan`: the plan of a build.

use crate::assemble::{NodePlan, Plan};
use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::say;
use crate::cli::shared_args::{GlobalArgs, Overrides};
use crate::count;
use crate::ops;
use crate::size;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes to show [default: all]
    pub nodes: Vec<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Print the whole plan as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let plan = ops::plan(&args.overrides.request(cli), &args.nodes, &Printer::new(cli))?;
    if args.json {
        say::json(&plan)?;
    } else {
        show(cli, &plan)?;
    }
    Ok(Outcome::Good)
}

fn show(cli: &GlobalArgs, plan: &Plan) -> anyhow::Result<()> {
    let lab = &plan.lab;
    say::line(format_args!("lab       {} (authentication domain {})", lab.name, lab.authdom))?;
    for medium in plan.media() {
        say::line(format_args!(
            "medium    {} ({}, {} files and folders)",
            medium.name, medium.distribution, medium.entries
        ))?;
        say::line(format_args!("metadata  {}", medium.metadata))?;
    }
    say::line(format_args!("network   {} {}", lab.network.name, lab.network.subnet))?;
    for node in &plan.nodes {
        show_node(cli, node)?;
    }
    Ok(())
}

fn show_node(cli: &GlobalArgs, n: &NodePlan) -> anyhow::Result<()> {
    let from = n.medium.as_ref().map_or(String::new(), |name| format!("  from {name}"));
    say::line(format_args!("\n{}  {}  {} {}  disk {}{from}", n.name, n.roles.join(" + "), n.ip, n.mac, n.device))?;
    if let Some(p) = &n.layout.fat {
        say::line(format_args!(
            "  {:<8} {:>10}..{:<10} {:>10}  of the disk",
            p.name,
            p.start,
            p.end,
            size::even(p.len())
        ))?;
    }
    for p in &n.layout.parts {
        let note = if p.name == n.root {
            format!("  {} in use, {} files and folders", size::even(n.used), n.entries)
        } else {
            String::new()
        };
        say::line(format_args!("  {:<8} {:>10}..{:<10} {:>10}{note}", p.name, p.start, p.end, size::even(p.len())))?;
    }
    if cli.verbose == 0 {
        say::line(format_args!("  {} of its roles (-v lists them)", count::of(n.files.len(), "file")))?;
        return Ok(());
    }
    for f in &n.files {
        let digest = f.sha256.as_deref().map_or("-", |d| &d[..12]);
        let mode = f.mode.as_deref().unwrap_or("-");
        say::line(format_args!(
            "  {digest:<12} {mode:>4} {:<8} {:<8} /{} ({}; {})",
            f.uid, f.gid, f.path, f.what, f.from
        ))?;
    }
    Ok(())
}
