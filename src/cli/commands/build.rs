//! `p9img build`: the artifacts.

use crate::cli::outcome::{Outcome, Usage};
use crate::cli::printer::Printer;
use crate::cli::say;
use crate::cli::shared_args::{GlobalArgs, Overrides};
use crate::count;
use crate::ops::{self, BuildOutcome, BuildRequest, Compared, Reporter as _};
use crate::size;
use std::num::NonZeroUsize;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes to build
    pub nodes: Vec<String>,
    /// Build every node of the lab
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Build again in another folder and compare with the existing images: exit code 3 if anything differs
    #[arg(long)]
    pub rebuild: bool,
    /// Remove images of earlier builds: of removed nodes, and in other formats
    #[arg(long, conflicts_with = "rebuild")]
    pub prune: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Print the artifacts as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    if args.nodes.is_empty() && !args.all && !args.rebuild {
        return Err(Usage("No nodes given: name some, or build all of them with --all".into()).into());
    }
    let request = BuildRequest {
        lab: args.overrides.request(cli),
        nodes: args.nodes.clone(),
        prune: args.prune,
        jobs: args.jobs.and_then(|n| NonZeroUsize::new(n.into())),
    };
    let printer = Printer::new(cli);
    if args.rebuild {
        let compared = ops::rebuild(&request, &printer)?;
        show(cli, args, &compared)?;
        return Ok(if compared.iter().all(|c| c.same) { Outcome::Good } else { Outcome::Differs });
    }
    let outcome = ops::build(&request, &printer)?;
    report(cli, args, &outcome)?;
    outcome.notes.iter().for_each(|note| printer.note(note));
    Ok(Outcome::Good)
}

/// Prints the artifacts.
fn report(cli: &GlobalArgs, args: &Args, outcome: &BuildOutcome) -> anyhow::Result<()> {
    let reports = &outcome.artifacts;
    if args.json {
        say::json(reports)?;
        return Ok(());
    }
    if cli.quiet {
        return Ok(());
    }
    let mut kept = 0;
    for r in reports {
        say::line(format_args!("{}  {:>10}  {}", r.sha256, size::even(r.len), r.path.display()))?;
        if r.kept {
            kept += 1;
            if cli.verbose > 0 {
                say::line(format_args!(
                    "  {} of 64 KiB, unchanged: not written again",
                    count::of(r.clusters, "cluster")
                ))?;
            }
        } else if cli.verbose > 0 {
            let percent = 100.0 * r.shared_clusters as f64 / r.clusters.max(1) as f64;
            say::line(format_args!(
                "  {} of 64 KiB, {} ({percent:.1}%) reused from an earlier node, {} stored",
                count::of(r.clusters, "cluster"),
                r.shared_clusters,
                size::even(r.stored_bytes)
            ))?;
        }
        if let Some(note) = &r.note {
            say::note(note);
        }
    }
    if kept > 0 {
        let n = reports.len();
        say::note(&format!("{kept} of {n} unchanged and complete: not written again", n = count::of(n, "artifact")));
    }
    if outcome.from_sample {
        say::note("built from the embedded sample, which is not Plan 9: --media PATH builds from a real medium");
    }
    Ok(())
}

/// Prints the comparison of the rebuilt artifacts with those that are there.
fn show(cli: &GlobalArgs, args: &Args, compared: &[Compared]) -> anyhow::Result<()> {
    if args.json {
        return Ok(say::json(compared)?);
    }
    for c in compared {
        match &c.differences[..] {
            [] if cli.quiet => {}
            [] => say::line(format_args!("same     {}", c.path.display()))?,
            all => say::line(format_args!("differs  {}: {}", c.path.display(), all.join("; ")))?,
        }
    }
    let differing = compared.iter().filter_map(|c| Some((c, c.rebuilt.as_ref()?)));
    for (c, rebuilt) in differing.filter(|(c, _)| c.path.exists()) {
        say::note(&format!("how it differs: p9img diff {} {}", c.path.display(), rebuilt.display()));
    }
    if let Some(kept) = compared.iter().find_map(|c| c.rebuilt.as_ref()?.parent()) {
        say::note(&format!(
            "the rebuilt files that differ are in {}: remove the folder when you do not need it any more",
            kept.display()
        ));
    }
    Ok(())
}
