//! Real Plan 9: every artifact comes up unattended and is what the plan says.

use crate::built::{Artifact, Lab, Node};
use crate::{have, medium};
use p9img::guest::{ConsoleError, Disk, Guest, Machine, NetworkCard, Output, Shell};
use p9img::lab::{Controller, Mac, Nic};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// From power on to the prompt: about 15 seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(300);
/// A command that reads little.
const SHORT: Duration = Duration::from_secs(120);

/// The default lab from 9legacy, built once for the tests that run together.
fn grid(test: &str) -> Option<Arc<Lab>> {
    static GRID: Mutex<Weak<Lab>> = Mutex::new(Weak::new());
    let media = ready(test)?;
    let mut grid = GRID.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(lab) = grid.upgrade() {
        return Some(lab);
    }
    let lab = Arc::new(Lab::build(Some(&media), &[], "qcow2,ova"));
    *grid = Arc::downgrade(&lab);
    Some(lab)
}

/// The medium, if it and what runs it are there.
fn ready(test: &str) -> Option<PathBuf> {
    have(test, &["qemu-system-x86_64", "qemu-img"]).then(|| medium(test, "9legacy"))?
}

fn machine(controller: Controller, disk: Disk, nic: Nic, mac: [u8; 6]) -> Machine {
    let mut machine = Machine::new(controller, disk);
    let subnet = "10.9.0.0/24".parse().unwrap();
    machine.network = Some(NetworkCard { model: nic, mac: Mac(mac), subnet });
    machine
}

fn plain(disk: Disk, node: &Node) -> Machine {
    machine(Controller::Ide, disk, Nic::E1000, node.mac)
}

/// Waits for the prompt with no key pressed.
fn shell<'a>(guest: &'a mut Guest, node: &str) -> Shell<'a> {
    Shell::new(&mut guest.console, &format!("\n{node}# "), BOOT).unwrap_or_else(|e| panic!("{e}"))
}

fn good(result: Result<Output, ConsoleError>) -> String {
    let output = result.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(output.status, "", "{}", output.text);
    output.text
}

/// The machine is the node of the plan: name, owner, address, files, kernel.
fn is_the_node(sh: &mut Shell, lab: &Lab, node: &Node, device: &str) {
    let name = &node.name;
    let mut run = |command: &str| good(sh.run(command, SHORT));
    assert_eq!(run("cat /dev/sysname; echo").trim_end(), name);
    assert_eq!(run("cat /dev/hostowner; echo").trim_end(), "bootes");
    assert_eq!(run("cat /dev/user; echo").trim_end(), "bootes");
    let addresses = run("cat /net/ipselftab");
    assert!(addresses.lines().any(|l| l.split_whitespace().next() == Some(&node.ip)), "{name}:\n{addresses}");
    assert_eq!(run("cat /lib/ndb/local"), lab.cat(name, "fossil:/lib/ndb/local"), "{name}: /lib/ndb/local");
    for other in &lab.nodes {
        let ip = run(&format!("ndb/query sys {} ip", other.name));
        assert_eq!(ip.trim_end(), other.ip, "{name}: ip of {}", other.name);
    }
    assert_eq!(run("cat '#ec/bootfile'; echo").trim_end(), format!("{device}!9fat!9pccpuf"));
    let boot = sh.console().transcript();
    for word in ["found 9pccpuf".to_owned(), format!("fossil(#S/{device}/fossil)")] {
        assert!(boot.contains(&word), "{name}: no {word:?} in\n{boot}");
    }
}

#[test]
fn every_artifact_comes_up_unattended_as_its_node() {
    let Some(lab) = grid("every_artifact_comes_up_unattended_as_its_node") else { return };
    assert_eq!(lab.nodes.len(), 4);
    for node in &lab.nodes {
        for artifact in [Artifact::Qcow2, Artifact::Ova] {
            let mut guest = plain(lab.disk(&node.name, artifact), node).start().unwrap();
            is_the_node(&mut shell(&mut guest, &node.name), &lab, node, "sdC0");
        }
    }
}
