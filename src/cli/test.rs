//! `p9img test`: every role of the running lab does its job.

use super::args::{Cli, Test};
use super::up::Teller;
use super::{Outcome, grid, interrupt, say};
use crate::guest::check::{self, Result as Checked, Runner};
use crate::guest::grid::{NodeState, State, UpSettings};
use crate::lab::Secrets;
use crate::render::{Check, Place};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub fn run(cli: &Cli, args: &Test) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let lab = grid::load(cli, args.out.as_ref())?;
    let wanted = lab.names(&args.nodes)?;
    let Some(secrets) = Secrets::load(&lab.lab.dir, &lab.lab.hostowner)? else {
        bail!("There are no secrets beside the lab, though images are built: bring back secrets.toml");
    };
    let emulated = lab.spec.nodes.iter().filter(|n| n.board.is_emulated());
    let states: Vec<_> = emulated.map(|n| (n, lab.grid.node_state(n))).collect();
    let started = states.iter().all(|(_, s)| *s == NodeState::Down);
    let teller = Teller::new(cli, stop.clone());
    let all = lab.names(&[])?;
    let state = if started {
        lab.verify(&all)?;
        let settings = UpSettings { fresh: args.fresh, ports: args.ports, accel: None, wait: true, force: false };
        lab.grid.up(&lab.spec, &all, &settings, &teller)?
    } else {
        if let Some((down, state)) = states.iter().find(|(_, s)| *s != NodeState::Up) {
            let name = &down.name;
            match state {
                NodeState::Down => {
                    bail!("{name} is down: start it with `p9img up {name}`, or stop all for a fresh start")
                }
                _ => bail!("{name} is still starting: wait for it with `p9img up`"),
            }
        }
        lab.grid.state()?.context("The lab runs, but nothing says on which ports: `p9img down` and start again")?
    };
    let result = run_all(cli, args, &lab, &wanted, &secrets, &state, &stop);
    if started {
        for complaint in lab.grid.down(&lab.spec, &all, false, &teller)? {
            say::error(&complaint.into());
        }
    }
    result
}

fn run_all(
    cli: &Cli,
    args: &Test,
    lab: &grid::Runnable,
    wanted: &[String],
    secrets: &Secrets,
    state: &State,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Outcome> {
    let mut checks = lab.catalog.checks(&lab.lab, &lab.systems, secrets, &state.ports)?;
    checks.retain(|c| wanted.contains(&c.node) && can_be_tried(lab, c));
    let passwords = secrets.names().filter_map(|name| Some(secrets.password(name)?.to_owned())).collect();
    let mut runner = Runner::new(&lab.grid, &lab.spec, passwords);
    let mut results = Vec::new();
    let mut broken = None;
    for check in &checks {
        if stop.load(Ordering::Relaxed) {
            broken = Some(anyhow::anyhow!("Interrupted"));
            break;
        }
        let result = match why_not(lab, check) {
            Some(why) => Ok(Checked::skipped(check, why)),
            None => runner.run(check),
        };
        match result {
            Ok(result) => {
                if !args.json && !cli.quiet {
                    show(&result, check)?;
                }
                results.push(result);
            }
            Err(error) => {
                broken = Some(error.into());
                break;
            }
        }
    }
    let files = runner.keep(&lab.grid.dir().join("test"))?;
    if let Some(path) = &args.junit {
        std::fs::write(path, check::junit(&lab.lab.name, &results))
            .with_context(|| format!("Cannot write {}", path.display()))?;
    }
    if let Some(error) = broken {
        return Err(error);
    }
    summary(cli, args, &lab.lab.name, &results, &files)
}

/// A terminal has its person's shell on the screen, not on the console.
fn can_be_tried(lab: &grid::Runnable, check: &Check) -> bool {
    match &check.place {
        Place::Host => true,
        Place::Node(name) => lab.spec.nodes.iter().any(|n| n.name == *name && n.shell),
    }
}

/// What keeps a check from being tried, in QEMU or at all.
fn why_not(lab: &grid::Runnable, check: &Check) -> Option<String> {
    if check.left_out.is_some() {
        return check.left_out.clone();
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

fn show(result: &Checked, check: &Check) -> anyhow::Result<()> {
    let at = if result.at == result.node { String::new() } else { format!(" (on {})", result.at) };
    let line = format!("{} {}: {}{at}", result.node, result.role, result.name);
    say::check(&result.outcome, &line, result.seconds)?;
    if let check::Outcome::Failed { why, typed, came, expected } = &result.outcome {
        say::line(format_args!("        {why}"))?;
        for (title, text) in [("typed", typed), ("came", came), ("expected", expected)] {
            say::line(format_args!("        {title}:"))?;
            for line in text.lines() {
                say::line(format_args!("            {line}"))?;
            }
        }
        for (question, _) in &check.answers {
            say::line(format_args!("        (with an answer to {question:?})"))?;
        }
    }
    Ok(())
}

fn summary(
    cli: &Cli,
    args: &Test,
    lab: &str,
    results: &[Checked],
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
        say::line(format_args!("{}", serde_json::to_string_pretty(&report)?))?;
    } else if !cli.quiet {
        let (all, left_out) = (results.len(), skipped);
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        say::line(format_args!("{} of {all} checks passed{skipped}, {seconds:.0} s", all - failed - left_out))?;
        if failed > 0 {
            say::line(format_args!("what the consoles said: {}", files.join(" ")))?;
        }
    }
    Ok(if failed > 0 { Outcome::Differs } else { Outcome::Good })
}
