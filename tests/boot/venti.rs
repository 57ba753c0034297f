//! The venti that p9img writes, judged by Plan 9's: its checkers find nothing
//! in it, fresh, filled and after a restart, and its own formatters make the
//! same bytes but for their random magics.

use crate::built::{Artifact, Lab};
use crate::legacy::{LONG, SHORT, grid, plain, shell};
use crate::plan9::good;
use p9img::ReadAt;
use p9img::disk::open_disk;
use p9img::fs::FileSystem as _;
use p9img::fs::venti;
use p9img::guest::{Disk, DiskFormat, Shell};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const NODE: &str = "plan9n4";
const PARTS: [&str; 3] = ["arenas", "isect", "bloom"];

pub fn qemu_img(args: &[&str], paths: [&Path; 2]) {
    let status = Command::new("qemu-img").args(args).args(paths).status().unwrap();
    assert!(status.success(), "qemu-img {}: {status}", args.join(" "));
}

/// The checkers of the distribution over the venti of the disk in the guest;
/// scratch space is the swap partition of the other disk.
fn check(sh: &mut Shell, entries: &str) {
    assert_eq!(good(sh.run("venti/checkarenas /dev/sdC0/arenas", LONG)), "", "checkarenas");
    // With -a it reads every clump again, and says how it counts them.
    let said = good(sh.run("venti/checkarenas -a /dev/sdC0/arenas", LONG));
    let found: Vec<_> = said.lines().filter(|l| !l.starts_with("arena arenas0: fix=0 flush=0 ")).collect();
    assert!(found.is_empty(), "checkarenas -a:\n{said}");
    let said = good(sh.run(&format!("venti/checkindex /cfg/{NODE}/venti.conf /dev/sdC1/swap"), LONG));
    assert!(said.contains("bloom filter: correct\n"), "{said}");
    assert!(said.contains("checkindex: index is correct\n"), "{said}");
    assert!(said.contains(&format!("checkindex: checking {entries}")), "{said}");
}

/// A partition of a disk of the host.
fn partition(disk: &Path, name: &str) -> Arc<dyn ReadAt> {
    let disk = open_disk(p9img::artifact::open(disk).unwrap()).unwrap();
    Arc::new(disk.partition(name).unwrap())
}

/// Findings of p9img's own checker in the partitions.
fn fsck(disk: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in PARTS {
        venti::open(partition(disk, name)).unwrap().check(&mut |f| found.push(format!("{name}: {f}"))).unwrap();
    }
    found
}

/// A copy of the node's disk whose venti is all zeros.
fn blank(lab: &Lab, from: &Path) -> std::path::PathBuf {
    let out = lab.path("venti-blank.img");
    qemu_img(&["convert", "-O", "raw"], [from, &out]);
    let disk = open_disk(p9img::artifact::open(&out).unwrap()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&out).unwrap();
    for name in PARTS {
        let start = disk.find(name).unwrap().start;
        for e in partition(from, name).extents() {
            file.write_all_at(&vec![0; usize::try_from(e.len).unwrap()], start + e.offset).unwrap();
        }
        assert!(venti::open(partition(&out, name)).is_err(), "{name} is blank");
    }
    out
}

/// The bytes that differ, leaving out the magics that Plan 9 draws at random.
fn differences(ours: &Path, theirs: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in PARTS {
        let (a, b) = (partition(ours, name), partition(theirs, name));
        assert_eq!(a.len(), b.len());
        // Clump magic in head and tail of the one arena; bucket magic.
        let random = match name {
            "arenas" => vec![794_624 + 84, a.len() - 8192 + 88],
            "isect" => vec![262_144 + 156],
            _ => vec![],
        };
        let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        for at in (0..a.len()).step_by(1 << 20) {
            let n = (a.len() - at).min(1 << 20) as usize;
            a.read_at(at, &mut x[..n]).unwrap();
            b.read_at(at, &mut y[..n]).unwrap();
            if x[..n] == y[..n] {
                continue;
            }
            for i in (0..n).filter(|i| x[*i] != y[*i]) {
                let at = at + i as u64;
                if !random.iter().any(|r| (*r..r + 4).contains(&at)) {
                    found.push(format!("{name}: byte {at} is {:02x}, but Plan 9 wrote {:02x}", x[i], y[i]));
                }
            }
        }
        assert!(random.iter().all(|r| {
            let mut magic = [0; 4];
            b.read_at(*r, &mut magic).unwrap();
            magic != [0; 4]
        }));
    }
    found
}

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn venti_serves_what_p9img_formatted_and_its_checkers_find_nothing() {
    let Some(lab) = grid("venti_serves_what_p9img_formatted_and_its_checkers_find_nothing") else { return };
    let node = lab.node(NODE);
    let fresh = lab.disk(NODE, Artifact::Qcow2).path;
    let none: [String; 0] = [];
    assert_eq!(fsck(&fresh), none);
    let disk = lab.path("venti.qcow2");
    qemu_img(&["convert", "-O", "qcow2"], [&fresh, &disk]);
    let blank = blank(&lab, &fresh);

    let mut machine = plain(Disk { keep_writes: true, ..Disk::new(&disk, DiskFormat::Qcow2) }, node);
    machine.disks.push(Disk { keep_writes: true, ..Disk::new(&blank, DiskFormat::Raw) });
    let mut guest = machine.start().unwrap();
    let mut sh = shell(&mut guest, NODE);
    let log = good(sh.run("cat /sys/log/venti", SHORT));
    assert!(log.ends_with("serving.\n"), "{log}");
    check(&mut sh, "0 entries");
    // Plan 9's own formatters, on partitions of the same sizes.
    for command in [
        "venti/fmtarenas arenas /dev/sdC1/arenas",
        "venti/fmtisect isect /dev/sdC1/isect",
        "venti/fmtbloom /dev/sdC1/bloom",
        &format!("sed 's/sdC0/sdC1/' /cfg/{NODE}/venti.conf >/tmp/conf && venti/fmtindex /tmp/conf"),
    ] {
        good(sh.run(command, LONG));
    }
    let host = "venti='tcp!127.0.0.1!17034'";
    for command in [
        &*format!("{host} vac -f /tmp/tree.vac /rc /sys/include"),
        "cp /tmp/tree.vac /usr/bootes/tree.vac",
        &format!("{host} venti/sync"),
        &format!("{host} vacfs -m /n/vac /usr/bootes/tree.vac"),
        "diff -r /rc /n/vac/rc && diff -r /sys/include /n/vac/include",
        "hget http://127.0.0.1:8000/flushicache >/dev/null",
        "hget http://127.0.0.1:8000/flushdcache >/dev/null",
    ] {
        good(sh.run(command, LONG));
    }
    check(&mut sh, "");
    halt(&mut sh);
    guest.quit(SHORT).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(differences(&fresh, &blank), none);
    assert_eq!(fsck(&disk), none);

    let mut machine = plain(Disk { keep_writes: true, ..Disk::new(&disk, DiskFormat::Qcow2) }, node);
    machine.disks.push(Disk::new(&blank, DiskFormat::Raw));
    let mut guest = machine.start().unwrap();
    let mut sh = shell(&mut guest, NODE);
    let log = good(sh.run("cat /sys/log/venti", SHORT));
    assert!(log.ends_with("serving.\n"), "{log}");
    check(&mut sh, "");
    let again = format!("{host} vacfs -m /n/vac /usr/bootes/tree.vac");
    good(sh.run(&format!("{again} && diff -r /rc /n/vac/rc && diff -r /sys/include /n/vac/include"), LONG));
    halt(&mut sh);
    guest.quit(SHORT).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(fsck(&disk), none);
}

fn halt(sh: &mut Shell) {
    sh.send("fshalt").unwrap();
    sh.console().wait_for("done halting", LONG).unwrap_or_else(|e| panic!("{e}"));
}
