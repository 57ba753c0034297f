//! `p9img status`: the nodes that run, and how to reach them. `p9img up` prints the
//! same when the nodes are up.

use crate::cli::outcome::Outcome;
use crate::cli::running::Running;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{running, say};
use crate::guest::drawterm::{Installed, Login, Server};
use crate::guest::grid::NodeState;
use crate::render::HostPorts;
use serde_json::json;
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
        say::json(&report(&running))?;
    } else {
        running.tell_notes(cli);
        tell(&running)?;
    }
    Ok(Outcome::Good)
}

/// Report for programs: each node, its state, and its ports on this host.
pub fn report(running: &Running) -> serde_json::Value {
    let installed = Installed::find();
    let ports = ports(running);
    let nodes = running.nodes.iter().map(|n| {
        json!({
            "name": n.name,
            "state": n.state,
            "in_lab": n.in_lab,
            "roles": n.roles,
            "ip": n.ip,
            "ports": (!n.ports.is_empty()).then_some(&n.ports),
            "log": running.grid.node(&n.name).log(),
            "drawterm": drawterm(&installed, &ports, &user(running), &n.name),
        })
    });
    let nodes: Vec<_> = nodes.collect();
    let lab = match (&running.lab, &running.state) {
        (Ok(lab), _) => Some(&lab.name),
        (Err(_), state) => state.as_ref().map(|s| &s.lab),
    };
    json!({
        "lab": lab,
        "accel": running.state.as_ref().map(|s| s.accel),
        "ports": running.state.as_ref().map(|s| s.base).filter(|base| *base != 0),
        "notes": running.notes,
        "nodes": nodes,
    })
}

/// Prints the same for people.
///
/// # Errors
/// Fails when stdout cannot be written.
pub fn tell(running: &Running) -> anyhow::Result<()> {
    let width = running.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    for node in &running.nodes {
        let word = match node.state {
            NodeState::Up => "up",
            NodeState::Starting => "starting",
            NodeState::Paused => "paused",
            NodeState::Down => "down",
        };
        let ports = node.ports.iter().filter(|_| word != "down");
        let ports: Vec<_> = ports.map(|(name, port)| format!("  {name} 127.0.0.1:{port}")).collect();
        let address = node.ip.map_or_else(String::new, |ip| ip.to_string());
        let line = format!("{:width$}  {word:8}  {address:15}{}", node.name, ports.concat());
        say::line(format_args!("{}", line.trim_end()))?;
    }
    let up: Vec<_> = running.nodes.iter().filter(|n| n.state != NodeState::Down).collect();
    let (installed, ports, user) = (Installed::find(), ports(running), user(running));
    let commands: Vec<_> =
        up.iter().filter_map(|n| Some((&n.name, drawterm(&installed, &ports, &user, &n.name)?))).collect();
    if !commands.is_empty() {
        say::line(format_args!(""))?;
    }
    for (name, command) in commands {
        say::line(format_args!("# {name}"))?;
        say::line(format_args!("{command}"))?;
    }
    if let Some(lack) = installed.lacks(&logins(running)) {
        say::note(&lack);
    }
    Ok(())
}

/// Ways to log in to the nodes that run, from this machine.
pub fn logins(running: &Running) -> Vec<Login> {
    let ports = ports(running);
    let up = running.nodes.iter().filter(|n| n.state != NodeState::Down);
    up.filter_map(|n| Some(login(&ports, &n.name)?.0)).collect()
}

fn ports(running: &Running) -> HostPorts {
    running.nodes.iter().map(|n| (n.name.clone(), n.ports.clone())).collect()
}

/// The user to log in as.
fn user(running: &Running) -> String {
    match (&running.lab, &running.state) {
        (Ok(lab), _) => lab.users.first().map_or(&lab.hostowner, |u| &u.name).clone(),
        (Err(_), Some(state)) if !state.user.is_empty() => state.user.clone(),
        _ => crate::lab::HOSTOWNER.to_owned(),
    }
}

/// Way to log in to a node from this host, and the authentication server.
fn login(ports: &HostPorts, node: &str) -> Option<(Login, Server)> {
    let own = ports.get(node)?;
    let login = match own.get("cpu") {
        Some(cpu) => Login::Cpu(*cpu),
        None => Login::Rcpu(*own.get("rcpu")?),
    };
    let server = ports.values().find(|p| p.contains_key("auth"))?;
    Some((login, Server { auth: *server.get("auth")?, secstore: server.get("secstore").copied() }))
}

/// The command that logs `user` in to a node from this host, whose ports lead
/// to the nodes.
fn drawterm(installed: &Installed, all: &HostPorts, user: &str, node: &str) -> Option<String> {
    let (login, server) = login(all, node)?;
    Some(installed.command(login, server, user))
}
