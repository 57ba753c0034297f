//! `p9img up`: the lab runs.

use super::args::{Cli, Up};
use super::grid::{self, Runnable};
use super::{Outcome, interrupt, say};
use crate::guest::Accel;
use crate::guest::grid::{NodeState, State, UpSettings, Watch};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub fn run(cli: &Cli, args: &Up) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let lab = grid::load(cli, args.out.as_ref())?;
    let names = lab.names(&args.nodes)?;
    lab.verify(&names)?;
    let state = lab.grid.up(&lab.spec, &names, &settings(args), &Teller::new(cli, stop))?;
    if args.json {
        say::line(format_args!("{}", serde_json::to_string_pretty(&report(&lab, &state))?))?;
    } else if !cli.quiet {
        tell(&lab, &state)?;
    }
    Ok(Outcome::Good)
}

fn settings(args: &Up) -> UpSettings {
    UpSettings {
        fresh: args.fresh,
        ports: args.ports,
        accel: args.accel.map(|a| match a {
            super::args::Accel::Kvm => Accel::Kvm,
            super::args::Accel::Tcg => Accel::Tcg,
        }),
        wait: !args.no_wait,
        force: args.force,
    }
}

/// Says on stderr what nodes come to.
pub struct Teller {
    quiet: bool,
    stop: Arc<AtomicBool>,
}

impl Teller {
    pub fn new(cli: &Cli, stop: Arc<AtomicBool>) -> Self {
        Self { quiet: cli.quiet, stop }
    }
}

impl Watch for Teller {
    fn node(&self, name: &str, state: NodeState, elapsed: Duration) {
        if !self.quiet {
            let word = match state {
                NodeState::Up => "up",
                NodeState::Down => "down",
                NodeState::Starting => "starting",
            };
            say::progress(&format!("{name} is {word} after {:.1} s", elapsed.as_secs_f64()));
        }
    }

    fn fell_back(&self, name: &str) {
        say::progress(&format!(
            "{name} says nothing under KVM, as happens inside other virtual machines: starting again in software"
        ));
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// For programs: each node, what it does, and its ports on this host.
pub fn report(lab: &Runnable, state: &State) -> serde_json::Value {
    let nodes: Vec<_> = lab
        .spec
        .nodes
        .iter()
        .zip(&lab.lab.nodes)
        .map(|(spec, node)| {
            json!({
                "name": spec.name,
                "state": lab.grid.node_state(spec),
                "roles": node.roles,
                "ip": spec.ip,
                "ports": state.ports.get(&spec.name),
                "log": lab.grid.node(&spec.name).log(),
                "drawterm": drawterm(lab, state, &spec.name),
            })
        })
        .collect();
    json!({ "lab": lab.lab.name, "accel": state.accel, "nodes": nodes })
}

/// The command that logs in to a node from this host.
fn drawterm(lab: &Runnable, state: &State, node: &str) -> Option<String> {
    let ports = state.ports.get(node)?;
    // 9front's drawterm names the machine with -h; -c is a command there.
    let (flag, cpu) = match (ports.get("cpu"), ports.get("rcpu")) {
        (Some(cpu), _) => ("-c", cpu),
        (None, rcpu) => ("-h", rcpu?),
    };
    let server = state.ports.values().find(|p| p.contains_key("auth"))?;
    let address = |port: &u16| format!("'tcp!127.0.0.1!{port}'");
    // Without -s it takes the authentication server for the secstore, and waits for ever.
    let secstore = server.get("secstore").map(|port| format!(" -s {}", address(port))).unwrap_or_default();
    let user = lab.lab.users.first().map_or(&lab.lab.hostowner, |u| &u.name);
    Some(format!("drawterm -a {}{secstore} {flag} {} -u {user}", address(&server["auth"]), address(cpu)))
}

/// For people: the same.
pub fn tell(lab: &Runnable, state: &State) -> anyhow::Result<()> {
    let width = lab.spec.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    for spec in &lab.spec.nodes {
        let word = match lab.grid.node_state(spec) {
            NodeState::Up => "up",
            NodeState::Starting => "starting",
            NodeState::Down => "down",
        };
        let ports = state.ports.get(&spec.name).into_iter().flatten().filter(|_| word != "down");
        let ports: Vec<_> = ports.map(|(name, port)| format!("  {name} 127.0.0.1:{port}")).collect();
        let address = spec.ip.to_string();
        say::line(format_args!("{:width$}  {word:8}  {address:15}{}", spec.name, ports.concat()))?;
    }
    let running = lab.spec.nodes.iter().filter(|n| lab.grid.node_state(n) != NodeState::Down);
    let commands: Vec<_> = running.filter_map(|n| drawterm(lab, state, &n.name)).collect();
    if !commands.is_empty() {
        say::line(format_args!(""))?;
    }
    for command in commands {
        say::line(format_args!("{command}"))?;
    }
    Ok(())
}
