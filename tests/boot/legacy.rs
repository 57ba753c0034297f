//! Real Plan 9: every artifact comes up unattended, is what the plan says, and
//! Plan 9's own checker finds nothing wrong with it.

use crate::archive;
use crate::built::{Artifact, Lab, Node};
use crate::plan9::{flchk, good};
use crate::running::{only_thorough, thorough};
use p9img::guest::{Disk, DiskFormat, NetworkCard, Shell};
use p9img::lab::{Arch, Controller, Mac, Nic};
use p9img_test::guest::{Guest, Machine};
use p9img_test::media::medium;
use p9img_test::tools::have;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// From power on to the prompt: about 15 seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(300);
/// A command that reads little.
pub const SHORT: Duration = Duration::from_secs(120);
/// A command that reads a whole file system: some minutes when idle.
pub const LONG: Duration = Duration::from_secs(40 * 60);

/// The default lab from 9legacy, built once for the tests that run together.
pub fn grid(test: &str) -> Option<Arc<Lab>> {
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
pub fn ready(test: &str) -> Option<PathBuf> {
    have(test, &["qemu-system-x86_64", "qemu-img"]).then(|| medium(test, "9legacy"))?
}

fn machine(controller: Controller, disk: Disk, nic: Nic, mac: [u8; 6]) -> Machine {
    let mut machine = Machine::new(controller, disk);
    machine.network = Some(NetworkCard { model: nic, mac: Mac(mac) });
    machine
}

pub fn plain(disk: Disk, node: &Node) -> Machine {
    machine(Controller::Ide, disk, Nic::E1000, node.mac)
}

/// Waits for the prompt with no key pressed.
pub fn shell<'a>(guest: &'a mut Guest, node: &str) -> Shell<'a> {
    Shell::new(&mut guest.console, &format!("{node}# "), BOOT).unwrap_or_else(|e| panic!("{e}"))
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

#[test]
fn other_hardware_does_not_change_the_node() {
    let test = "other_hardware_does_not_change_the_node";
    let Some(media) = ready(test) else { return };
    for (word, controller) in [("sata", Controller::Sata), ("virtio", Controller::Virtio)] {
        let edits = [("defaults.controller", word)];
        let lab = Lab::build(Some(&media), &edits, "qcow2");
        let node = lab.node("plan9n1");
        let disk = lab.disk("plan9n1", Artifact::Qcow2);
        // The virtio disk comes with the virtio card.
        let nic = if word == "virtio" { Nic::Virtio } else { Nic::E1000 };
        let mut guest = machine(controller, disk, nic, node.mac).start().unwrap();
        is_the_node(&mut shell(&mut guest, "plan9n1"), &lab, node, controller.device());
    }
    // A hypervisor gave the machine an address of its own choice.
    let Some(lab) = grid(test) else { return };
    for node in [lab.node("plan9n2"), lab.node("plan9n3")] {
        let nic = if node.name == "plan9n2" { Nic::E1000 } else { Nic::Virtio };
        let disk = lab.disk(&node.name, Artifact::Qcow2);
        let mut guest = machine(Controller::Ide, disk, nic, [8, 0, 0x27, 0xAB, 0xCD, 0xEF]).start().unwrap();
        is_the_node(&mut shell(&mut guest, &node.name), &lab, node, "sdC0");
    }
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn flchk_finds_nothing_on_the_other_nodes() {
    let Some(lab) = grid("flchk_finds_nothing_on_the_other_nodes") else { return };
    let node = lab.node("plan9n1");
    // The first node's is checked below, and the third's after it was written
    // to; the fourth has other partitions. The second is much like the first.
    let others: &[&str] = if thorough() { &["plan9n2", "plan9n3", "plan9n4"] } else { &["plan9n4"] };
    for other in others {
        let mut machine = plain(lab.disk("plan9n1", Artifact::Qcow2), node);
        machine.disks.push(lab.disk(other, Artifact::Qcow2));
        let mut guest = machine.start().unwrap();
        flchk(&mut shell(&mut guest, "plan9n1"), "sdC1");
    }
}

/// Serves a partition on /n/idle: no authentication, no permissions, nothing
/// is written, and no line of the configuration in the partition is obeyed.
pub fn serve(sh: &mut Shell, partition: &str) {
    good(sh.run(
        &format!(
            "fossil/fossil -c 'fsys main config {partition}' -c 'fsys main open -AWPVr' -c 'fsys main' \
             -c 'srv -AWP idle' && mount /srv/idle /n/idle"
        ),
        SHORT,
    ));
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn every_file_of_the_medium_reads_back_in_the_guest() {
    if only_thorough("every_file_of_the_medium_reads_back_in_the_guest") {
        return;
    }
    let test = "every_file_of_the_medium_reads_back_in_the_guest";
    let (Some(lab), Some(media)) = (grid(test), ready(test)) else { return };
    archive::reads_back(&lab, &media, Arch::I386, |sh| {
        flchk(sh, "sdC1");
        serve(sh, "/dev/sdC1/fossil");
    });
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn writing_and_halting_leave_fossil_sound() {
    let Some(lab) = grid("writing_and_halting_leave_fossil_sound") else { return };
    let node = lab.node("plan9n3");
    let overlay = lab.path("overlay.qcow2");
    let status = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(lab.disk("plan9n3", Artifact::Qcow2).path)
        .arg(&overlay)
        .status()
        .unwrap();
    assert!(status.success(), "qemu-img: {status}");
    let disk = Disk { keep_writes: true, ..Disk::new(&overlay, DiskFormat::Qcow2) };

    let mut sums = Vec::new();
    for round in ["one", "two"] {
        {
            let mut guest = plain(disk.clone(), node).start().unwrap();
            let mut sh = shell(&mut guest, "plan9n3");
            for (earlier, sum) in &sums {
                assert_eq!(&good(sh.run(&format!("cat /sys/log/{earlier}/* | sha1sum"), SHORT)), sum);
            }
            // Files of all depths, a directory of many, changes of names,
            // modes and lengths, and files that go away again.
            for command in [
                "mkdir /sys/log/ROUND /sys/log/ROUND.gone",
                "cp /386/9pccpuf /sys/log/ROUND/large",
                "for(i in `{seq 300}) echo $i >/sys/log/ROUND/small$i",
                "for(i in `{seq 200}) rm /sys/log/ROUND/small$i",
                "cp /lib/ndb/common /sys/log/ROUND.gone/a; cp /386/9pcf /sys/log/ROUND.gone/b",
                "rm -r /sys/log/ROUND.gone",
                "mv /sys/log/ROUND/small250 /sys/log/ROUND/renamed; chmod +lx /sys/log/ROUND/renamed",
                "for(i in 1 2 3 4 5) cat /lib/ndb/common >>/sys/log/ROUND/appended",
            ] {
                good(sh.run(&command.replace("ROUND", round), LONG));
            }
            let sum = good(sh.run(&format!("cat /sys/log/{round}/* | sha1sum"), SHORT));
            sums.push((round, sum));
            sh.send("fshalt").unwrap();
            let halting = sh.console().wait_for("done halting", LONG).unwrap_or_else(|e| panic!("{e}"));
            assert!(!halting.contains("not synced") && !halting.contains("not halted"), "{halting}");
            guest.quit(SHORT).unwrap_or_else(|e| panic!("{e}"));
        }
        if round == "two" || thorough() {
            let mut machine = plain(lab.disk("plan9n3", Artifact::Qcow2), node);
            machine.disks.push(Disk { keep_writes: false, ..disk.clone() });
            let mut guest = machine.start().unwrap();
            flchk(&mut shell(&mut guest, "plan9n3"), "sdC1");
        }
    }
}
