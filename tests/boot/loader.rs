//! The sample's boot sectors and loader on small disks, right and wrong ones.

use crate::{SAMPLE_LIMIT, expect_sample_line};
use p9img::disk::{Disk, Mbr, Partition};
use p9img::fs::fat::{Fat, FatFile, Options};
use p9img::guest::DiskFormat;
use p9img::lab::Controller;
use p9img::tree::{Content, Tree};
use p9img::{ReadAt, media};
use p9img_test::guest::Machine;
use p9img_test::media::medium;
use p9img_test::tools::have;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const START: u32 = 63;
/// 16 MiB: FAT16 with clusters of up to four sectors.
const LARGE: u32 = 16 << 11;
/// 4 MiB: FAT12 with clusters of two sectors or more.
const SMALL: u32 = 4 << 11;
const INI: &str = "# sysname=wrong\r\nbootfile=sdC0!9fat!9pccpuf\r\nxsysname=wrong\nsysname=plan9n1 \r\n\
                   roles=cpu fs auth\r\nsysname=late\nconsole=0 b115200\n";
const LINE: &str = "plan9n1 roles: cpu fs auth";

fn file(tree: &Tree, path: &str) -> Content {
    tree.entry(tree.find(path.as_bytes()).unwrap()).content().unwrap().clone()
}

/// A disk with a Plan 9 partition that holds a 9fat and nothing else.
fn disk(ini: &[u8], sectors: u32, sectors_per_cluster: u8) -> Vec<u8> {
    let tree = media::sample::tree();
    let options = Options {
        sectors_per_cluster,
        boot_code: Some(file(&tree, "386/pbslba").read_all().unwrap()),
        ..Options::hard_disk(sectors, START, 0)
    };
    let files = [
        FatFile::new("9load", file(&tree, "386/9load"), 0),
        FatFile::new("9pccpuf", file(&tree, "386/9pccpuf"), 0),
        FatFile::new("plan9.ini", Content::bytes(ini), 0),
    ];
    let fat = Fat::layout(&files, &options).unwrap();
    let mbr = Mbr::plan9(file(&tree, "386/mbr").read_all().unwrap(), START, sectors);
    let nine = Partition {
        name: "9fat".into(),
        start_lba: START.into(),
        sectors: sectors.into(),
        volume: Some(Arc::new(fat)),
    };
    let disk = Disk::new(u64::from(START + sectors) * 512, &mbr, vec![nine]).unwrap();
    let mut bytes = vec![0; disk.len() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

fn machine(folder: &Path, bytes: &[u8], controller: Controller) -> Machine {
    let path = folder.join("disk.img");
    std::fs::write(&path, bytes).unwrap();
    Machine::new(controller, p9img::guest::Disk::new(path, DiskFormat::Raw))
}

fn boots_to(bytes: &[u8], controller: Controller, line: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = machine(folder.path(), bytes, controller).start().unwrap();
    expect_sample_line(&mut guest, line);
}

#[test]
fn the_loader_finds_name_and_roles_on_any_disk() {
    if !have("the_loader_finds_name_and_roles_on_any_disk", &["qemu-system-x86_64"]) {
        return;
    }
    for controller in [Controller::Ide, Controller::Sata, Controller::Virtio] {
        boots_to(&disk(INI.as_bytes(), LARGE, 4), controller, LINE);
    }
    // FAT12; the longest plan9.ini, which ends without a newline.
    let end = "key=value\n".repeat(400) + "sysname=n\nroles=r s  ";
    let long = "#".repeat(4096 - 1 - end.len()) + "\n" + &end;
    assert_eq!(long.len(), 4096);
    boots_to(&disk(long.as_bytes(), SMALL, 4), Controller::Ide, "n roles: r s");
}

#[test]
fn the_loader_follows_a_chain_that_crosses_sectors_of_the_fat() {
    if !have("the_loader_follows_a_chain_that_crosses_sectors_of_the_fat", &["qemu-system-x86_64"]) {
        return;
    }
    let mut ini = "key=value\n".repeat(380).into_bytes();
    ini.extend_from_slice(INI.as_bytes());
    for (sectors, sectors_per_cluster, ends) in [(LARGE, 1, 0xFFFF_u16), (SMALL, 2, 0xFFF)] {
        let mut bytes = disk(&ini, sectors, sectors_per_cluster);
        let boot = START as usize * 512;
        let u16_at = |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let fat = boot + 2 * 512;
        let root = fat + 2 * 512 * u16_at(&bytes, boot + 22);
        let data = root + 32 * u16_at(&bytes, boot + 17);
        let cluster = usize::from(sectors_per_cluster) * 512;
        let entry = (root..data).step_by(32).find(|at| bytes[*at..].starts_with(b"PLAN9   INI")).unwrap();
        let first = u16_at(&bytes, entry + 26);
        // Clusters far apart; on FAT12 the entry of the first lies across two
        // sectors of the table.
        let places = [341, 1000, 342, 700, 701, 500, 501, 502];
        let used = ini.len().div_ceil(cluster);
        let old = bytes[data + (first - 2) * cluster..][..used * cluster].to_vec();
        for (i, place) in places[..used].iter().enumerate() {
            bytes[data + (place - 2) * cluster..][..cluster].copy_from_slice(&old[i * cluster..][..cluster]);
            let next = if i + 1 < used { places[i + 1] as u16 } else { ends };
            if ends == 0xFFFF {
                bytes[fat + place * 2..][..2].copy_from_slice(&next.to_le_bytes());
            } else {
                let at = fat + place * 3 / 2;
                let (keep, value) = if place % 2 == 1 { (0x000F, next << 4) } else { (0xF000, next) };
                let word = u16_at(&bytes, at) as u16 & keep | value;
                bytes[at..][..2].copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes[data + (first - 2) * cluster..][..cluster].fill(b'!');
        bytes[entry + 26..][..2].copy_from_slice(&341_u16.to_le_bytes());
        boots_to(&bytes, Controller::Ide, LINE);
    }
}

/// The sample's loader takes the place of the real one.
#[test]
fn the_boot_sectors_of_9legacy_start_the_loader() {
    let test = "the_boot_sectors_of_9legacy_start_the_loader";
    let Some(media) = have(test, &["qemu-system-x86_64"]).then(|| medium(test, "9legacy")).flatten() else { return };
    let mut bytes = disk(INI.as_bytes(), LARGE, 4);
    let mbr = std::fs::read(media.join("386/mbr")).unwrap();
    let pbs = std::fs::read(media.join("386/pbslba")).unwrap();
    bytes[..446].fill(0);
    bytes[..mbr.len()].copy_from_slice(&mbr);
    let boot = START as usize * 512;
    bytes[boot + 62..boot + 510].fill(0);
    bytes[boot + 62..boot + pbs.len()].copy_from_slice(&pbs[62..]);
    boots_to(&bytes, Controller::Ide, LINE);
}

#[test]
fn what_is_wrong_with_a_disk_is_said_in_one_line() {
    if !have("what_is_wrong_with_a_disk_is_said_in_one_line", &["qemu-system-x86_64"]) {
        return;
    }
    let good = disk(INI.as_bytes(), LARGE, 4);
    let boot = START as usize * 512;
    let root = (boot..).step_by(512).skip(1).find(|at| good[*at..].starts_with(b"9LOAD      ")).unwrap();
    let ini = (root..).step_by(32).find(|at| good[*at..].starts_with(b"PLAN9   INI")).unwrap();
    let cases: &[(usize, &[u8], &str)] = &[
        (446, &[0], "no active partition"),
        (446, &[1], "an active flag is neither 0 nor 80"),
        (446 + 16, &[0x80], "two active partitions"),
        (446 + 8, &[0xFF, 0xFF, 0xFF, 0x7F], "cannot read the partition"),
        (boot + 510, &[0], "no boot sector"),
        (root, b"8", "no 9LOAD in 9fat"),
        (root + 28, &[0, 0, 0, 0], "no 9LOAD in 9fat"),
        (root + 28, &[1, 0, 8, 0], "9LOAD is too long"),
        (446 + 4, &[0x0C], "error: the active partition of the disk is not a Plan 9 partition (type 39)"),
        (boot + 512, b"part fossil 2", "error: the Plan 9 partition's table does not begin with 9fat"),
        (boot + 11, &[0, 4], "error: 9fat is not a FAT with sectors of 512 bytes"),
        (ini, b"X", "error: no plan9.ini in the root directory of 9fat"),
        (ini + 28, &[1, 0x10], "error: plan9.ini is longer than 4096 bytes"),
        (ini + 26, &[1, 0], "error: the clusters of plan9.ini end early"),
        (ini + 26, &[0xF0, 0xFF], "error: the clusters of plan9.ini end early"),
    ];
    for (at, patch, line) in cases {
        let mut bytes = good.clone();
        assert_ne!(&bytes[*at..at + patch.len()], *patch);
        bytes[*at..at + patch.len()].copy_from_slice(patch);
        boots_to(&bytes, Controller::Ide, line);
    }
    boots_to(&disk(b"roles=cpu\n", LARGE, 4), Controller::Ide, "error: no sysname= in plan9.ini");
    boots_to(&disk(b"sysname=n\nroles= \n", LARGE, 4), Controller::Ide, "error: no roles= in plan9.ini");
}

/// QEMU's monitor for people, at its socket.
struct Monitor(UnixStream);

impl Monitor {
    fn of(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(SAMPLE_LIMIT)).unwrap();
        let mut monitor = Self(stream);
        monitor.answer();
        monitor
    }

    /// What is said up to the next prompt.
    fn answer(&mut self) -> String {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while !said.ends_with(b"(qemu) ") {
            let n = self.0.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "the monitor closed: {}", String::from_utf8_lossy(&said));
            said.extend(&buffer[..n]);
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\n").as_bytes()).unwrap();
        self.answer()
    }
}

#[test]
fn the_line_is_on_the_screen_too() {
    if !have("the_line_is_on_the_screen_too", &["qemu-system-x86_64"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("monitor");
    let mut machine = machine(folder.path(), &disk(INI.as_bytes(), LARGE, 4), Controller::Ide);
    machine.monitor = Some(socket.clone());
    machine.stay_after_power_off = true;
    let mut guest = machine.start().unwrap();
    guest.console.wait_for(LINE, SAMPLE_LIMIT).unwrap_or_else(|e| panic!("{e}"));

    let mut monitor = Monitor::of(&socket);
    // The loader writes each character to the serial port first. All are on the
    // screen when it has switched the machine off.
    let begin = Instant::now();
    while !monitor.ask("info status").contains("paused (shutdown)") {
        assert!(begin.elapsed() < SAMPLE_LIMIT, "the machine is not off");
        thread::sleep(Duration::from_millis(50));
    }
    let cells = 80;
    // Each cell of the screen is a character and its colour.
    let answer = monitor.ask(&format!("xp /{}xb 0xb8000", 2 * cells));
    let bytes: Vec<u8> = answer
        .lines()
        .filter_map(|l| l.strip_prefix("00000000000b8"))
        .flat_map(|l| l.split_whitespace().skip(1))
        .map(|hex| u8::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap())
        .collect();
    let text: String = bytes.iter().step_by(2).map(|b| char::from(*b)).collect();
    assert_eq!(text.trim_end(), format!("p9img sample (not Plan 9): {LINE}"), "{answer}");
}
