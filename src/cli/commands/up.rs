//! `p9img up`: starts the lab.

use super::status;
use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::shared_args::{self, GlobalArgs};
use crate::cli::{interrupt, running, say};
use crate::guest::drawterm::Login;
use crate::guest::grid::{NodeState, UpSettings, Watch};
use crate::guest::{Accel, Firmware};
use crate::lab::Secrets;
use crate::ops::images::{self, Disks, Runnable};
use crate::ops::{LabRequest, Reporter as _};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes to start, in this order [default: all]
    pub nodes: Vec<String>,
    /// Start over from the images: discard the files that the nodes wrote
    #[arg(long)]
    pub fresh: bool,
    /// Start from disks that are computed from the lab: no image is needed, and none is written
    #[arg(long)]
    pub live: bool,
    /// With --live: medium to compute from: a medium of the lab, a path, or a release of `media list`
    #[arg(long, value_name = "NAME|PATH", requires = "live")]
    pub media: Option<String>,
    /// Base of the local ports: the first node's begin at BASE + 10, the second's at BASE + 20
    /// [default: the last base, or else a range of free ports]
    #[arg(long, value_name = "BASE", value_parser = clap::value_parser!(u16).range(1024..))]
    pub ports: Option<u16>,
    /// Acceleration to use [default: the best that works]
    #[arg(long, value_enum, value_name = "HOW")]
    pub accel: Option<shared_args::Accel>,
    /// Firmware that starts nodes with `firmware = "both"` [default: bios]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub firmware: Option<shared_args::Firmware>,
    /// Do not wait until the nodes are up
    #[arg(long)]
    pub no_wait: bool,
    /// Start more nodes than this machine has memory or cores for
    #[arg(long)]
    pub force: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print how to reach the nodes as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let printer = Printer::new(cli);
    let request = LabRequest { medium: args.media.clone(), ..cli.request(args.out.as_ref()) };
    let program = std::env::current_exe().context("Cannot find this program's own file")?;
    let mut lab = images::load(&request, disks(args.live, args.fresh), program, &printer)?;
    let names = lab.names(&args.nodes, &printer)?;
    lab.prepare(&names)?;
    // A lab whose secrets are lost still runs.
    if let Ok(Some(secrets)) = Secrets::load(&lab.lab.dir, &lab.lab.hostowner) {
        lab.stale(&secrets).iter().for_each(|note| printer.note(note));
    }
    let firmware = firmware(args.firmware);
    started_by(&lab, &names, firmware)?;
    let teller = Teller::of(cli, stop, &lab, &names);
    lab.grid.up(&lab.spec, &names, &settings(args), &teller)?;
    let running = running::after_up(&lab);
    if args.json {
        say::json(&status::report(&running))?;
    } else if !cli.quiet {
        running.tell_notes(cli);
        status::tell(&running)?;
        let logins = status::logins(&running);
        if !logins.is_empty() {
            let steps = first_steps(&cli.lab, &lab.spec.user, &logins);
            say::line(format_args!(""))?;
            steps.iter().try_for_each(|step| say::line(format_args!("{step}")))?;
        }
    }
    Ok(if teller.deaf.load(Ordering::Relaxed) { Outcome::Failed } else { Outcome::Good })
}

/// Disks that a command wants nodes to be started from.
pub const fn disks(live: bool, fresh: bool) -> Disks {
    match (live, fresh) {
        (true, _) => Disks::Computed,
        (false, true) => Disks::Images,
        (false, false) => Disks::AsBefore,
    }
}

/// Advice for a user who logs in for the first time.
fn first_steps(lab: &Path, user: &str, logins: &[Login]) -> [String; 2] {
    let is_front = |login: &Login| matches!(login, Login::Rcpu(_));
    // The profile of 9front's users leaves them at a prompt.
    let begin = match (logins.iter().any(is_front), logins.iter().all(is_front)) {
        (false, _) => "then, in the empty grey window",
        (_, true) => "then type rio at the prompt cpu%, and in the grey window",
        (true, false) => "then type rio where there is a prompt cpu%, and in the grey window",
    };
    let lab = match lab.to_str() {
        Some("lab.toml") => String::new(),
        _ => format!(" --lab {}", word(&lab.display().to_string())),
    };
    [
        format!("{user}'s password: p9img{lab} secrets show {user}"),
        format!("{begin}: hold the right mouse button, choose New, and sweep out a window with the right button"),
    ]
}

/// Text as one word of a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

pub fn firmware(word: Option<shared_args::Firmware>) -> Option<Firmware> {
    word.map(|f| match f {
        shared_args::Firmware::Bios => Firmware::Bios,
        shared_args::Firmware::Uefi => Firmware::Uefi,
    })
}

/// Prints which of the nodes are not started by the firmware that the user wants,
/// because their disks do not support it.
///
/// # Errors
/// Fails when none of the nodes is started by it.
pub fn started_by(lab: &Runnable, names: &[String], wanted: Option<Firmware>) -> anyhow::Result<()> {
    let Some(firmware) = wanted else { return Ok(()) };
    let named = lab.spec.nodes.iter().filter(|n| names.contains(&n.name));
    let (can, cannot): (Vec<_>, Vec<_>) = named.partition(|n| n.is_pc() && n.starts_by(wanted) == firmware);
    let word = match firmware {
        Firmware::Bios => "the BIOS",
        Firmware::Uefi => "UEFI",
    };
    let others = cannot.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    match (can.is_empty(), cannot.is_empty()) {
        (true, false) => bail!(
            "{word} cannot start the disk of {others}: write `firmware = \"both\"` in lab.toml if the system supports it, and build again"
        ),
        (false, false) => say::note(&format!("not started by {word}, which their disks do not support: {others}")),
        _ => {}
    }
    Ok(())
}

fn settings(args: &Args) -> UpSettings {
    UpSettings {
        fresh: args.fresh,
        ports: args.ports,
        accel: args.accel.map(|a| match a {
            shared_args::Accel::Kvm => Accel::Kvm,
            shared_args::Accel::Tcg => Accel::Tcg,
        }),
        firmware: firmware(args.firmware),
        wait: !args.no_wait,
        force: args.force,
    }
}

/// Prints the events of nodes on stderr.
pub struct Teller<'a> {
    quiet: bool,
    stop: Arc<AtomicBool>,
    /// Whether some service did not answer.
    deaf: AtomicBool,
    /// The lab, and the nodes that are started.
    started: Option<(&'a Runnable, &'a [String])>,
}

impl<'a> Teller<'a> {
    pub fn new(cli: &GlobalArgs, stop: Arc<AtomicBool>) -> Self {
        Self { quiet: cli.quiet, stop, deaf: AtomicBool::new(false), started: None }
    }

    /// Of nodes that are started.
    pub fn of(cli: &GlobalArgs, stop: Arc<AtomicBool>, lab: &'a Runnable, names: &'a [String]) -> Self {
        Self { started: Some((lab, names)), ..Self::new(cli, stop) }
    }
}

impl Watch for Teller<'_> {
    fn disks_are_ready(&self) {
        if let Some((lab, names)) = self.started {
            lab.remember_started(names);
        }
    }

    fn node(&self, name: &str, state: NodeState, elapsed: Duration) {
        if !self.quiet {
            let word = match state {
                NodeState::Up => "up",
                NodeState::Down => "down",
                NodeState::Starting => "starting",
                NodeState::Paused => "paused",
            };
            say::progress(&format!("{name} is {word} after {:.1} s", elapsed.as_secs_f64()));
        }
    }

    fn starts(&self, nodes: usize, accel: Accel) {
        if !self.quiet && nodes > 0 {
            let how = match accel {
                Accel::Kvm => "under KVM",
                Accel::Tcg => "in software emulation (half a minute to two minutes)",
            };
            say::progress(&format!("starting {} {how}", crate::count::of(nodes, "node")));
        }
    }

    fn fell_back(&self, name: &str, what: &str) {
        say::progress(&format!(
            "{name} {what} under KVM, as happens inside other virtual machines: starting again in software"
        ));
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            say::note(text);
        }
    }

    fn ports_stay(&self, base: u16, own: u16) {
        self.note(&format!(
            "ports begin at {base} until the next `p9img down`; after that, at {own}, which lab.toml gives"
        ));
    }

    fn deaf(&self, name: &str, service: &str, port: u16) {
        self.deaf.store(true, Ordering::Relaxed);
        say::note(&format!(
            "{service} of {name} does not answer on 127.0.0.1:{port}, so it cannot be used yet; `p9img console {name}` shows why, and `p9img test {name}` tests the node"
        ));
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_name_the_lab_where_it_is_another() {
        let said = |lab: &str| first_steps(Path::new(lab), "ken", &[])[0].clone();
        assert_eq!(said("lab.toml"), "ken's password: p9img secrets show ken");
        assert_eq!(said("../pi/lab-pi.toml"), "ken's password: p9img --lab ../pi/lab-pi.toml secrets show ken");
        let (cpu, rcpu) = (Login::Cpu(1), Login::Rcpu(2));
        let then = |logins: &[Login]| first_steps(Path::new("lab.toml"), "ken", logins)[1].clone();
        assert!(then(&[cpu]).starts_with("then, in the empty grey window: hold"));
        assert!(then(&[rcpu, rcpu]).starts_with("then type rio at the prompt cpu%, and in"));
        assert!(then(&[rcpu, cpu]).starts_with("then type rio where there is a prompt cpu%, and in"));
        assert_eq!(said("my lab's.toml"), "ken's password: p9img --lab 'my lab'\\''s.toml' secrets show ken");
    }
}
