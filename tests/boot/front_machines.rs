//! 9front on other machines than the 64-bit PC of `front`: the grid on QEMU's
//! ARM machine with a PC next to it, and on PCs of 32 bits.
//!
//! The medium is the folder `9front`, in which kernels and programs for the
//! machine must be: no tree of its sources has them, `mk install` makes them.

use crate::built::Lab;
use crate::front::{KERNEL, findings, partition, ready_with};
use crate::running::{NODES, Running, only_thorough};
use p9img::guest::runner::qemu::uboot;
use p9img_test::skip::skipped;

/// Everything comes up, every check passes, and what the nodes wrote is sound.
fn does_its_work(running: &Running, roots: [&[&str]; 4]) {
    running.up(&[]);
    running.test();
    running.must(&["down"]);
    for (node, partitions) in NODES.iter().zip(roots) {
        for part in partitions {
            let disk = running.lab.path(&format!("output/run/{node}/disk.qcow2"));
            assert_eq!(findings(&*partition(&disk, part)), [], "{node}: {part}");
        }
    }
}

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn the_grid_does_its_work_on_arm() {
    if only_thorough("the_grid_does_its_work_on_arm") {
        return;
    }
    let test = "the_grid_does_its_work_on_arm";
    let tools = ["qemu-system-aarch64", "qemu-system-x86_64", "qemu-img"];
    let Some(media) = ready_with(test, &tools, &["arm64/9qemu.u", "arm64/init", KERNEL]) else { return };
    if uboot::find().is_none() {
        assert!(!p9img_test::tools::required(), "no U-Boot for QEMU's ARM machine (Debian: u-boot-qemu)");
        return skipped(format_args!("{test}: no U-Boot for QEMU's ARM machine (Debian: u-boot-qemu)"));
    }
    // One on each file system, and a PC among them.
    let edits = [
        ("defaults.arch", "amd64"),
        ("plan9n1.board", "virt"),
        ("plan9n1.fs", "cwfs64x"),
        ("plan9n2.board", "virt"),
        ("plan9n2.fs", "gefs"),
        ("plan9n3.board", "virt"),
        ("plan9n3.fs", "hjfs"),
    ];
    let running = Running::of(|| Lab::build(Some(&media), &edits, "qcow2"));
    let whole: &[&str] = &["fscache", "fsworm", "other"];
    does_its_work(&running, [whole, &["fs"], &["fs"], whole]);
}

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn the_grid_does_its_work_on_32_bits() {
    if only_thorough("the_grid_does_its_work_on_32_bits") {
        return;
    }
    let test = "the_grid_does_its_work_on_32_bits";
    let Some(media) = ready_with(test, &["qemu-system-x86_64", "qemu-img"], &["386/9pc"]) else { return };
    let running = Running::of(|| Lab::build(Some(&media), &[("plan9n2.fs", "gefs")], "qcow2"));
    let whole: &[&str] = &["fscache", "fsworm", "other"];
    does_its_work(&running, [whole, &["fs"], whole, whole]);
}
