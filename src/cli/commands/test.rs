//! `p9img test`: checks that every role of the running lab does its job.

use crate::cli::commands::up::{self, Teller};
use crate::cli::outcome::{Outcome, Usage};
use crate::cli::printer::Printer;
use crate::cli::shared_args::{self, GlobalArgs};
use crate::cli::{interrupt, say};
use crate::count;
use crate::guest::check::{self, CheckResult, Checker};
use crate::guest::grid::{NodeState, State, UpSettings};
use crate::lab::Secrets;
use crate::ops::Reporter as _;
use crate::ops::images::{self, Runnable};
use crate::render::{Check, CheckSite};
use crate::visible::visible;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes whose roles to check [default: all]
    pub nodes: Vec<String>,
    /// When the lab has to be started: discard the files that the nodes wrote
    #[arg(long)]
    pub fresh: bool,
    /// When the lab has to be started: compute the disks from the lab, without images
    #[arg(long)]
    pub live: bool,
    /// When the lab has to be started: base of the local ports
    #[arg(long, value_name = "BASE", value_parser = clap::value_parser!(u16).range(1024..))]
    pub ports: Option<u16>,
    /// When the lab has to be started: firmware that starts nodes with `firmware = "both"` [default: bios]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub firmware: Option<shared_args::Firmware>,
    /// Write the results for CI systems to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let printer = Printer::new(cli);
    let request = cli.request(args.out.as_ref());
    let program = std::env::current_exe().context("Cannot find this program's own file")?;
    let mut lab = images::load(&request, up::disks(args.live, args.fresh), program, &printer)?;
    let wanted = lab.names(&args.nodes, &printer)?;
    let Some(secrets) = Secrets::load(&lab.lab.dir, &lab.lab.hostowner)? else {
        bail!("secrets.toml is missing, but the images were built with one; restore it");
    };
    lab.stale(&secrets).iter().for_each(|note| printer.note(note));
    let emulated = lab.spec.nodes.iter().filter(|n| n.board.is_emulated());
    let states: Vec<_> = emulated.map(|n| (n.name.clone(), lab.grid.node_state(n))).collect();
    let started = states.iter().all(|(_, s)| *s == NodeState::Down);
    let all = lab.names(&[], &printer)?;
    let wishes = [
        ("--fresh", args.fresh),
        ("--live", args.live),
        ("--ports", args.ports.is_some()),
        ("--firmware", args.firmware.is_some()),
    ];
    if let Some((wish, _)) = wishes.into_iter().find(|(_, asked)| *asked && !started) {
        return Err(Usage(format!("{wish} is for a lab that is down, but this one runs: `p9img down` first")).into());
    }
    if started {
        lab.prepare(&all)?;
    }
    let teller = Teller::of(cli, stop.clone(), &lab, &all);
    let state = if started {
        let firmware = up::firmware(args.firmware);
        up::started_by(&lab, &all, firmware)?;
        let settings =
            UpSettings { fresh: args.fresh, ports: args.ports, accel: None, firmware, wait: true, force: false };
        lab.grid.up(&lab.spec, &all, &settings, &teller)?
    } else {
        if let Some((name, state)) = states.iter().find(|(_, s)| *s != NodeState::Up) {
            match state {
                NodeState::Down => {
                    bail!("{name} is down: start it with `p9img up {name}`, or stop all for a fresh start")
                }
                NodeState::Paused => match lab.grid.node(name).paused() {
                    Some(paused) => return Err(paused.into()),
                    None => bail!("{name} was paused a moment ago: try again"),
                },
                _ => bail!("{name} is still starting: wait for it with `p9img up`"),
            }
        }
        lab.grid.state()?.context("The lab runs, but nothing says on which ports: `p9img down` and start again")?
    };
    let result = run_all(cli, args, &lab, &wanted, &secrets, &state, &stop);
    if started {
        for complaint in lab.grid.down(&lab.spec.nodes, &all, false, &teller)? {
            say::error(&complaint.into());
        }
    }
    result
}

fn run_all(
    cli: &GlobalArgs,
    args: &Args,
    lab: &Runnable,
    wanted: &[String],
    secrets: &Secrets,
    state: &State,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Outcome> {
    let mut checks = lab.catalog.checks(&lab.lab, &lab.systems, secrets, &state.ports)?;
    checks.retain(|c| wanted.contains(&c.node));
    let passwords = secrets.names().filter_map(|name| Some(secrets.password(name)?.to_owned())).collect();
    let mut checker = Checker::new(&lab.grid, &lab.spec, passwords);
    let mut results = Vec::new();
    let mut broken = None;
    for check in &checks {
        if stop.load(Ordering::Relaxed) {
            broken = Some(anyhow::anyhow!(crate::stop::INTERRUPTED));
            break;
        }
        let result = match (&check.broken, why_not(lab, check)) {
            (Some(why), _) => Ok(CheckResult::broken(check, why.clone())),
            (None, Some(why)) => Ok(CheckResult::skipped(check, why)),
            (None, None) => checker.run(check),
        };
        match result {
            Ok(result) => {
                if !args.json && !cli.quiet {
                    show(&result, check)?;
                }
                let failed = matches!(result.outcome, check::Outcome::Failed { .. });
                results.push(result);
                // A node that is paused would fail in every further check.
                let nodes = lab.spec.nodes.iter().filter(|_| failed);
                if let Some(paused) = nodes.filter_map(|n| lab.grid.node(&n.name).paused()).next() {
                    broken = Some(paused.into());
                    break;
                }
            }
            Err(error) => {
                broken = Some(error.into());
                break;
            }
        }
    }
    let files = checker.keep(&lab.grid.dir().join("test"))?;
    if let Some(path) = &args.junit {
        std::fs::write(path, check::junit(&lab.lab.name, &results))
            .with_context(|| format!("Cannot write {}", path.display()))?;
    }
    if let Some(error) = broken {
        return Err(error);
    }
    summary(cli, args, &lab.lab.name, &results, &files)
}

/// The node that a check would be typed on, if the console has no shell there: the
/// shell of a terminal is on its screen.
fn without_shell<'a>(lab: &Runnable, check: &'a Check) -> Option<&'a str> {
    let CheckSite::Node(name) = &check.site else { return None };
    let typed = lab.spec.nodes.iter().any(|n| n.name == *name && n.shell);
    (!typed).then_some(name)
}

/// Reason why a check cannot be tried, in QEMU or at all.
fn why_not(lab: &Runnable, check: &Check) -> Option<String> {
    if check.left_out.is_some() {
        return check.left_out.clone();
    }
    if let Some(name) = without_shell(lab, check) {
        return Some(format!("{name} is a terminal: its shell is on its screen, not on the console"));
    }
    let node = |name: &str| lab.spec.nodes.iter().find(|n| n.name == name);
    let ends: Vec<_> = [node(check.at()), node(&check.node)].into_iter().flatten().collect();
    if let Some(n) = ends.iter().find(|n| !n.board.is_emulated()) {
        return Some(format!("QEMU does not run the {} that is {}", n.board.name(), n.name));
    }
    let among = if check.network { lab.spec.nodes.iter().collect() } else { ends };
    let network = check.network || check.at() != check.node;
    let pi = among.into_iter().find(|n| network && n.board.is_pi())?;
    Some(format!("{} is a {}, and QEMU's has no network that Plan 9 drives", pi.name, pi.board.name()))
}

fn show(result: &CheckResult, check: &Check) -> anyhow::Result<()> {
    let at = if result.at == result.node { String::new() } else { format!(" (on {})", result.at) };
    let line = format!("{} {}: {}{at}", result.node, result.role, result.name);
    say::check(&result.outcome, &line, result.seconds)?;
    if let check::Outcome::Failed { why, typed, came, expected } = &result.outcome {
        say::line(format_args!("        {}", visible(why)))?;
        for (title, text) in [("typed", typed), ("came", came), ("expected", expected)] {
            say::line(format_args!("        {title}:"))?;
            for line in text.lines() {
                say::line(format_args!("            {}", visible(line)))?;
            }
        }
        for (question, _) in &check.answers {
            say::line(format_args!("        (with an answer to {question:?})"))?;
        }
    }
    Ok(())
}

fn summary(
    cli: &GlobalArgs,
    args: &Args,
    lab: &str,
    results: &[CheckResult],
    files: &[impl AsRef<Path>],
) -> anyhow::Result<Outcome> {
    let failed = results.iter().filter(|r| r.failed()).count();
    let skipped = results.iter().filter(|r| matches!(r.outcome, check::Outcome::Skipped { .. })).count();
    let seconds: f64 = results.iter().map(|r| r.seconds).sum();
    let files: Vec<_> = files.iter().map(|f| f.as_ref().display().to_string()).collect();
    if args.json {
        let report = json!({
            "lab": lab, "passed": results.len() - failed - skipped, "failed": failed, "skipped": skipped,
            "seconds": seconds, "checks": results, "transcripts": files,
        });
        say::json(&report)?;
    } else if !cli.quiet {
        let tried = results.len() - skipped;
        let skipped = if skipped > 0 { format!(", {skipped} left out") } else { String::new() };
        let all = count::of(tried, "check");
        say::line(format_args!("{} of {all} passed{skipped}, {seconds:.0} s", tried - failed))?;
        if failed > 0 {
            say::line(format_args!("what the consoles said: {}", files.join(" ")))?;
        }
    }
    Ok(if failed > 0 { Outcome::Differs } else { Outcome::Good })
}
