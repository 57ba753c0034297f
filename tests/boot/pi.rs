//! A Raspberry Pi 2 in QEMU, started from its card as its firmware would.

use crate::have;
use crate::plan9::{good, medium};
use p9img::ReadAt;
use p9img::guest::pi::{self, Loaded};
use p9img::guest::{Console, Disk, DiskFormat, Guest, Machine, Shell};
use p9img::lab::Controller;
use p9img::read_at::HostFile;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// About 40 s on an idle machine.
const BOOT: Duration = Duration::from_secs(900);
const SHORT: Duration = Duration::from_secs(240);
/// A PC's checker reads the whole file system.
const CHECK: Duration = Duration::from_secs(40 * 60);

/// Two nodes: the card is that of the first, and the other checks it.
const LAB: &str = r#"
[lab]
name = "picards"
medium = "9legacy"
formats = ["raw"]

[media.9legacy]
path = "MEDIUM"

# What QEMU starts needs none, and so no real one.
[media.pi-firmware]
path = "firmware"

[[node]]
name = "pi"
board = "pi2"
roles = ["cpu"]

[[node]]
name = "pc"
roles = ["cpu"]
"#;

struct Board(Child);

impl Drop for Board {
    fn drop(&mut self) {
        // Both fail only when it has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn build(dir: &Path, medium: &Path) -> PathBuf {
    fs::create_dir(dir.join("firmware")).unwrap();
    for file in ["bootcode.bin", "start.elf", "fixup.dat", "LICENCE.broadcom"] {
        fs::write(dir.join("firmware").join(file), file).unwrap();
    }
    fs::write(dir.join("lab.toml"), LAB.replace("MEDIUM", medium.to_str().unwrap())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_p9img"))
        .args(["build", "--all"])
        .env("P9IMG_CACHE", dir.join("cache"))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("output")
}

fn start(dir: &Path, card: &Path) -> (Board, Console) {
    let opened: Arc<dyn ReadAt> = Arc::new(HostFile::new(File::open(card).unwrap()).unwrap());
    let loaded = Loaded::from_card(&opened, pi::CMDLINE).unwrap_or_else(|e| panic!("{e}"));
    fs::write(dir.join(pi::START), loaded.start).unwrap();
    fs::write(dir.join(pi::KERNEL), loaded.kernel).unwrap();
    // QEMU's cards are as large as a power of two.
    OpenOptions::new().write(true).open(card).unwrap().set_len(opened.len().next_power_of_two()).unwrap();
    let mut child = Command::new(pi::QEMU)
        .args(pi::arguments(card, pi::START.as_ref(), pi::KERNEL.as_ref()))
        .args(["-monitor", "none", "-serial", "stdio"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let complaints = child.stderr.take().unwrap();
    (Board(child), Console::new(input, vec![Box::new(output), Box::new(complaints)]))
}

#[test]
#[ignore = "minutes: two emulated machines one after the other"]
fn a_card_comes_up_unattended_with_its_root_on_it() {
    let test = "a_card_comes_up_unattended_with_its_root_on_it";
    if !have(test, &[pi::QEMU]) {
        return;
    }
    let Some(medium) = medium(test, "9legacy") else { return };
    let dir = tempfile::Builder::new().prefix("p9img-pi-").tempdir().unwrap();
    let out = build(dir.path(), &medium);
    let card = out.join("pi.img");
    let (board, mut console) = start(dir.path(), &card);
    let mut sh = Shell::new(&mut console, "pi# ", BOOT).unwrap_or_else(|e| panic!("{e}"));
    let boot = sh.console().transcript();
    assert!(boot.contains("fossil(#S/sdM0/fossil)") && boot.contains("Cortex-A7"), "{boot}");
    let mut run = |command: &str| good(sh.run(command, SHORT));
    assert_eq!(run("cat /dev/sysname; echo").trim_end(), "pi");
    assert_eq!(run("cat /dev/hostowner; echo").trim_end(), "bootes");
    assert_eq!(run("echo $cputype $service").trim_end(), "arm cpu");
    assert_eq!(run("cat '#ec/roles'; echo").trim_end(), "cpu");
    assert!(run("ls -d /dev/sdM0/^(dos plan9 nvram fossil swap)").contains("/dev/sdM0/swap"));
    // What is written is on the card's fossil, and stays there.
    run("echo written by the Pi >/usr/bootes/pi");
    assert_eq!(run("cat /usr/bootes/pi").trim_end(), "written by the Pi");
    sh.send("fshalt").unwrap();
    sh.console().wait_for("done halting", SHORT).unwrap_or_else(|e| panic!("{e}"));
    drop(board);
    // The same fossil in a PC: Plan 9's checker, and the file.
    let disk = Disk { path: out.join("pc.img"), format: DiskFormat::Raw, keep_writes: false };
    let mut machine = Machine::new(Controller::Ide, disk);
    machine.disks.push(Disk { path: card, format: DiskFormat::Raw, keep_writes: false });
    let mut guest: Guest = machine.start().unwrap_or_else(|e| panic!("{e}"));
    let mut sh = Shell::new(&mut guest.console, "pc# ", BOOT).unwrap_or_else(|e| panic!("{e}"));
    let mut run = |command: &str, limit| good(sh.run(command, limit));
    run("disk/fdisk -p /dev/sdC1/data >/dev/sdC1/ctl", SHORT);
    run("disk/prep -p /dev/sdC1/plan9 >/dev/sdC1/ctl", SHORT);
    let report = run("fossil/flchk -f -h 'tcp!127.0.0.1!9' /dev/sdC1/fossil", CHECK);
    let progress = ["checking epoch ", "check: visited ", "fsys blocks: "];
    let found: Vec<&str> =
        report.lines().filter(|l| !l.is_empty() && !progress.iter().any(|p| l.starts_with(p))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
