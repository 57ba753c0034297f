//! Every file of the medium reads back the same in the guest, from a root on
//! each file system: a second copy of the node's disk, which nothing writes to,
//! is served and archived with `disk/mkfs -a`.
//!
//! The medium is that of `front`.

use crate::archive;
use crate::built::{Artifact, Lab};
use crate::front::ready;
use crate::legacy::{LONG, SHORT, plain, shell};
use crate::plan9::good;
use p9img::guest::{Disk, DiskFormat};
use p9img::lab::Arch;
use std::time::Instant;

/// Serves the root of the disk `sdC1` on `/n/idle`, and asks nobody who they are.
fn serve(fs: &str) -> &'static [&'static str] {
    match fs {
        "hjfs" => &["hjfs -n idle -m 64 -Sf /dev/sdC1/fs && sleep 2", "mount -c /srv/idle /n/idle"],
        // The users are in a snapshot of their own.
        "gefs" => &[
            "gefs -m 64 -n idle -SAf /dev/sdC1/fs && sleep 2",
            "mount -c /srv/idle /n/idle %main && mount -c /srv/idle /n/adm %adm && bind -a /n/adm /n/idle/adm",
        ],
        // Its configuration names the partitions of the disk that it starts from.
        _ => &[
            "{echo service idle; echo config /dev/sdC1/fscache; echo noauth\n\
             echo filsys main c'(/dev/sdC1/fscache)(/dev/sdC1/fsworm)'; echo end} >/tmp/fsconfig",
            "cwfs64x -n idle -f /dev/sdC1/fscache -C -c </tmp/fsconfig; sleep 3; echo allow >>/srv/idle.cmd; sleep 1",
            "mount -c /srv/idle /n/idle",
        ],
    }
}

fn every_file(test: &str, fs: &str) {
    let Some(media) = ready(test) else { return };
    let amd64 = format!("arch       = \"amd64\"\nfs         = \"{fs}\"");
    let lab = Lab::build(Some(&media), &[("arch       = \"386\"", &amd64)], "qcow2");
    let node = lab.node("plan9n1");
    let out = lab.path("listing.img");
    std::fs::File::create(&out).unwrap().set_len(1 << 30).unwrap();
    let mut machine = plain(lab.disk("plan9n1", Artifact::Qcow2), node);
    machine.disks.push(lab.disk("plan9n1", Artifact::Qcow2));
    machine.disks.push(Disk { keep_writes: true, ..Disk::new(&out, DiskFormat::Raw) });
    let begin = Instant::now();
    {
        let mut guest = machine.start().unwrap();
        let mut sh = shell(&mut guest, "plan9n1");
        for line in serve(fs) {
            good(sh.run(line, SHORT));
        }
        good(sh.run("echo + >/env/all; disk/mkfs -a -s /n/idle /env/all >/dev/sdD0/data", LONG));
    }
    eprintln!("{fs}: read in {:.0} s", begin.elapsed().as_secs_f64());
    archive::compare(&out, &media, Arch::Amd64, lab.epoch, node);
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn every_file_reads_back_from_cwfs64x() {
    every_file("every_file_reads_back_from_cwfs64x", "cwfs64x");
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn every_file_reads_back_from_gefs() {
    every_file("every_file_reads_back_from_gefs", "gefs");
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn every_file_reads_back_from_hjfs() {
    every_file("every_file_reads_back_from_hjfs", "hjfs");
}
