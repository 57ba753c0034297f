//! Power cuts on 9front: what its file servers said to be on the disk is there
//! when QEMU, and what serves the disk to it, were killed while files were being written.
//!
//! The medium is that of `front`.

use crate::front::{findings, lab, partition, ready};
use crate::legacy::{LONG, SHORT, plain, shell};
use crate::plan9::good;
use crate::running::only_thorough;
use crate::served::Served;
use p9img::fs::Finding;
use p9img::guest::Shell;
use std::time::Duration;

/// Rounds whose files are looked at after a cut.
const LOOK_BACK: usize = 4;

/// Has a server write everything, and waits until it says so.
fn sync(sh: &mut Shell, fs: &str) {
    let (commands, service, answer) = match fs {
        // It tells only the console.
        "hjfs" => {
            let mut said = good(sh.run("echo sync >>/srv/hjfs.cmd; sleep 2", SHORT));
            for _ in 0..60 {
                if said.contains("hjfs: sync") {
                    return;
                }
                said += &good(sh.run("sleep 2", SHORT));
            }
            panic!("no answer to sync: {said}");
        }
        // It says nothing of a sync, but answers the command after it.
        "cwfs64x" => ("{echo sync; echo cfs main}", "cwfs", "current"),
        // It says "synced" when it was asked; the process that does it answers what is asked after it.
        _ => ("{echo sync; echo snap -d none}", "gefs", "exist"),
    };
    good(sh.run(
        &format!(
            "@{{{commands} >[1=0]; while(! ~ $\"line *{answer}*) line=`{{read}}; status=''}} <>/srv/{service}.cmd"
        ),
        SHORT,
    ));
}

fn cut(test: &str, fs: &str, part: &str) {
    if only_thorough(test) {
        return;
    }
    let Some(media) = ready(test) else { return };
    let lab = lab(&media, fs);
    let node = lab.node("plan9n2");
    let mut disk = Served::new(&lab, "plan9n2");
    let mut synced: Vec<String> = Vec::new();
    // Any sequence will do that is the same in every run: 0 to 5 s.
    let mut seed = 12345_u64;
    let cuts = std::env::var("P9IMG_CUTS").map_or(50, |n| n.parse().unwrap());
    for cut in 0..cuts {
        let mut guest = plain(disk.start(), node).start().unwrap();
        let mut sh = shell(&mut guest, "plan9n2");
        for round in synced.iter().rev().take(LOOK_BACK) {
            // Each file says its round and number.
            let said = good(sh.run(&format!("cat /usr/bootes/cut/{round}.* | grep '^{round} ' | wc -l"), SHORT));
            assert_eq!(said.trim(), "200", "{fs}, cut {cut}: what was synced in round {round}");
        }
        let round = format!("r{cut}");
        good(sh.run("mkdir -p /usr/bootes/cut", SHORT));
        good(sh.run(&format!("for(i in `{{seq 200}}) echo {round} $i >/usr/bootes/cut/{round}.$i"), LONG));
        sync(&mut sh, fs);
        synced.push(round);
        // Writing goes on until the plug is pulled.
        sh.send(
            "for(i in `{seq 100000}) {cp /lib/ndb/common /usr/bootes/cut/x$i; rm -f /usr/bootes/cut/x^`{hoc -e $i-9}}",
        )
        .unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((seed >> 33) % 5000));
        // The one first, or the other.
        if cut % 2 == 0 {
            disk.kill();
        }
        drop(guest);
        disk.kill();
        disk.is_sound();
        let found = findings(&*partition(&disk.file(), part));
        println!(
            "{fs}, cut {cut}: {} of {} rounds looked at, p9img's checker: {found:?}",
            synced.len().min(LOOK_BACK),
            cut + 1
        );
        // gefs writes over nothing that it refers to but headers and super blocks, of
        // which it has two each and writes one after the other; the rest of them
        // may be in the middle of anything.
        let in_pairs = |f: &Finding| matches!(f.kind, "arena" | "super");
        assert!(fs != "gefs" || found.iter().all(in_pairs), "{found:?}");
    }
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn what_was_synced_on_hjfs_survives_a_power_cut() {
    cut("what_was_synced_on_hjfs_survives_a_power_cut", "hjfs", "fs");
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn what_was_synced_on_cwfs64x_survives_a_power_cut() {
    cut("what_was_synced_on_cwfs64x_survives_a_power_cut", "cwfs64x", "fscache");
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn what_was_synced_on_gefs_survives_a_power_cut() {
    cut("what_was_synced_on_gefs_survives_a_power_cut", "gefs", "fs");
}
