//! A Raspberry Pi 2 in QEMU, started from its card as its firmware would.

use crate::plan9::{flchk, good};
use crate::running::thorough;
use p9img::ReadAt;
use p9img::guest::runner::qemu::pi::{self, Loaded};
use p9img::guest::{Disk, DiskFormat, Shell};
use p9img::lab::Controller;
use p9img::read_at::HostFile;
use p9img_test::guest::{Guest, Machine};
use p9img_test::media::firmware as real_firmware;
use p9img_test::media::medium;
use p9img_test::skip::skipped;
use p9img_test::tools::have;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// About 40 s on an idle machine.
const BOOT: Duration = Duration::from_secs(900);
const SHORT: Duration = Duration::from_secs(240);

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
fn build(dir: &Path, medium: &Path) -> PathBuf {
    fs::create_dir(dir.join("firmware")).unwrap();
    for file in ["bootcode.bin", "start.elf", "fixup.dat", "LICENCE.broadcom"] {
        fs::write(dir.join("firmware").join(file), file).unwrap();
    }
    fs::write(dir.join("lab.toml"), LAB.replace("MEDIUM", medium.to_str().unwrap())).unwrap();
    p9img(dir, &["build", "--all"]);
    dir.join("output")
}

fn start(dir: &Path, card: &Path) -> Guest {
    let opened: Arc<dyn ReadAt> = Arc::new(HostFile::new(File::open(card).unwrap()).unwrap());
    let loaded = Loaded::from_card(&opened, pi::CMDLINE).unwrap_or_else(|e| panic!("{e}"));
    fs::write(dir.join(pi::START), loaded.start).unwrap();
    fs::write(dir.join(pi::KERNEL), loaded.kernel).unwrap();
    pi::grow(card).unwrap();
    let mut command = Command::new(pi::QEMU);
    command
        .args(pi::arguments(&Disk::new(card, DiskFormat::Raw), pi::START.as_ref(), pi::KERNEL.as_ref()))
        .args(["-monitor", "none", "-serial", "stdio"])
        .current_dir(dir);
    Guest::of(command).unwrap()
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
    let mut board = start(dir.path(), &card);
    let mut sh = Shell::new(&mut board.console, "pi# ", BOOT).unwrap_or_else(|e| panic!("{e}"));
    let boot = sh.console().transcript();
    assert!(boot.contains("fossil(#S/sdM0/fossil)") && boot.contains("Cortex-A7"), "{boot}");
    let mut run = |command: &str| good(sh.run(command, SHORT));
    assert_eq!(run("cat /dev/sysname; echo").trim_end(), "pi");
    assert_eq!(run("cat /dev/hostowner; echo").trim_end(), "bootes");
    assert_eq!(run("echo $cputype $service").trim_end(), "arm cpu");
    assert_eq!(run("cat '#ec/roles'; echo").trim_end(), "cpu");
    assert!(run("ls -d /dev/sdM0/^(dos plan9 nvram fossil swap)").contains("/dev/sdM0/swap"));
    // A file that is written is on the card's fossil, and stays there.
    run("echo written by the Pi >/usr/bootes/pi");
    assert_eq!(run("cat /usr/bootes/pi").trim_end(), "written by the Pi");
    sh.send("fshalt").unwrap();
    sh.console().wait_for("done halting", SHORT).unwrap_or_else(|e| panic!("{e}"));
    drop(board);
    // The same fossil in a PC: Plan 9's checker, and the file.
    let disk = Disk { path: out.join("pc.img"), format: DiskFormat::Raw, keep_writes: false };
    let mut machine = Machine::new(Controller::Ide, disk);
    machine.disks.push(Disk::new(card, DiskFormat::Raw));
    let mut guest: Guest = machine.start().unwrap_or_else(|e| panic!("{e}"));
    let mut sh = Shell::new(&mut guest.console, "pc# ", BOOT).unwrap_or_else(|e| panic!("{e}"));
    good(sh.run("disk/fdisk -p /dev/sdC1/data >/dev/sdC1/ctl", SHORT));
    good(sh.run("disk/prep -p /dev/sdC1/plan9 >/dev/sdC1/ctl", SHORT));
    flchk(&mut sh, "sdC1");
}

/// A board, the roles of the grid and a terminal's, each on a card of its own;
/// and a PC that checks them.
const ROLES: [(&str, &str); 5] = [
    ("first", "\"cpu\", \"fs\", \"auth\""),
    ("second", "\"cpu\""),
    ("third", "\"cpu\", \"replica\""),
    ("fourth", "\"cpu\", \"venti\""),
    ("fifth", "\"terminal\""),
];
const CARDS: &str = r#"
[lab]
name = "picards"
medium = "9legacy"
formats = ["qcow2"]

[media.9legacy]
path = "MEDIUM"

[media.pi-firmware]
path = "FIRMWARE"

[defaults]
card = "2 GB"
controller = "sata"

[[node]]
name = "pc"
roles = ["cpu"]
"#;

/// Debian's firmware where it is there; else files that only have the names.
fn firmware(test: &str, dir: &Path) -> PathBuf {
    if let Some(real) = real_firmware() {
        return real;
    }
    skipped(format_args!("{test}: real firmware (P9IMG_TEST_FIRMWARE, or pi-firmware beside the media)"));
    let folder = dir.join("firmware");
    fs::create_dir(&folder).unwrap();
    for file in ["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "LICENCE.broadcom"] {
        fs::write(folder.join(file), file).unwrap();
    }
    folder
}

fn cards(dir: &Path, board: &str, medium: &Path, firmware: &Path) {
    let text = CARDS.replace("MEDIUM", medium.to_str().unwrap()).replace("FIRMWARE", firmware.to_str().unwrap());
    let node = |(name, roles)| format!("\n[[node]]\nname = \"{name}\"\nboard = \"{board}\"\nroles = [{roles}]\n");
    fs::write(dir.join("lab.toml"), text + &ROLES.map(node).concat()).unwrap();
    p9img(dir, &["build", "--all"]);
}

fn p9img(dir: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
    let output = command.args(args).env("P9IMG_CACHE", dir.join("cache")).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The judges of the first partition: dosfstools and mtools.
fn judge_fat(card: &Path, board: &str, scratch: &Path) {
    let image = p9img::artifact::open(card).unwrap();
    let mut fat = vec![0; 65_536 * 512];
    image.read_at(2048 * 512, &mut fat).unwrap();
    fs::write(scratch, fat).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let run = |tool: &str, args: &[&OsStr]| {
        let output = Command::new(tool).args(args).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{tool} of {}: {output:?}", card.display());
        String::from_utf8_lossy(&output.stdout).to_lowercase()
    };
    run("fsck.fat", &["-n".as_ref(), scratch.as_os_str()]);
    let list = run("mdir", &["-b".as_ref(), "-i".as_ref(), scratch.as_os_str(), "::".as_ref()]);
    let start = if board == "pi4" { "start4.elf" } else { "start.elf" };
    for file in [start, "config.txt", "cmdline.txt", "licence.txt"] {
        assert!(list.contains(&format!("::/{file}\n")), "{file}: {list}");
    }
}

#[test]
#[ignore = "minutes for each board"]
fn every_card_of_every_board_is_sound() {
    let test = "every_card_of_every_board_is_sound";
    if !have(test, &["qemu-system-x86_64", "mdir"]) {
        return;
    }
    let Some(medium) = medium(test, "9legacy") else { return };
    let boards: &[&str] = if thorough() { &["pi1", "pi2", "pi3", "pi4"] } else { &["pi4"] };
    for board in boards {
        let dir = tempfile::Builder::new().prefix("p9img-cards-").tempdir().unwrap();
        let firmware = firmware(test, dir.path());
        cards(dir.path(), board, &medium, &firmware);
        // Elsewhere, with the same secrets, the same bytes.
        let again = dir.path().join("elsewhere");
        fs::create_dir(&again).unwrap();
        fs::copy(dir.path().join("secrets.toml"), again.join("secrets.toml")).unwrap();
        cards(&again, board, &medium, &firmware);
        let sums = |dir: &Path| fs::read_to_string(dir.join("output/SHA256SUMS")).unwrap();
        assert_eq!(sums(dir.path()), sums(&again));
        fs::remove_dir_all(&again).unwrap();
        assert_eq!(sums(dir.path()).lines().filter(|l| l.ends_with(".qcow2")).count(), 1 + ROLES.len());
        let image = |name: &str| dir.path().join(format!("output/{name}.qcow2"));
        let mut machine = Machine::new(Controller::Sata, Disk::new(image("pc"), DiskFormat::Qcow2));
        for (name, _) in ROLES {
            p9img(dir.path(), &["fsck", &format!("output/{name}.qcow2")]);
            judge_fat(&image(name), board, &dir.path().join("fat"));
            machine.disks.push(Disk::new(image(name), DiskFormat::Qcow2));
        }
        let mut guest: Guest = machine.start().unwrap_or_else(|e| panic!("{e}"));
        let mut sh = Shell::new(&mut guest.console, "pc# ", BOOT).unwrap_or_else(|e| panic!("{e}"));
        // Plan 9's checker takes a minute for each.
        let checked = if thorough() { ROLES.len() } else { 1 };
        for (n, (name, _)) in (1..).zip(ROLES).take(checked) {
            for part in ["fdisk -p /dev/DISK/data", "prep -p /dev/DISK/plan9"] {
                good(sh.run(&format!("disk/{part} >/dev/DISK/ctl").replace("DISK", &format!("sdE{n}")), SHORT));
            }
            flchk(&mut sh, &format!("sdE{n}"));
            println!("{board}, {name}: nothing found by fsck.fat, mdir, flchk; the same bytes elsewhere");
        }
    }
}
