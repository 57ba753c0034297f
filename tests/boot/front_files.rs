//! Every file of the medium reads back the same in the guest, from a root on
//! each file system: a second copy of the node's disk, which nothing writes to,
//! is served and archived with `disk/mkfs -a`.
//!
//! The medium is that of `front`.

use crate::archive;
use crate::front::{lab, ready};
use crate::legacy::SHORT;
use crate::plan9::good;
use crate::running::only_thorough;
use p9img::lab::Arch;

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
    if only_thorough(test) {
        return;
    }
    let Some(media) = ready(test) else { return };
    let lab = lab(&media, fs);
    archive::reads_back(&lab, &media, Arch::Amd64, |sh| {
        for line in serve(fs) {
            good(sh.run(line, SHORT));
        }
    });
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
