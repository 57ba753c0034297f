//! `p9img up` and `test` with something missing or in the way: one clear
//! error, and nothing is left running.

use super::Lab;
use p9img_test::process::has_read;
use p9img_test::skip::skipped;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

#[test]
fn images_that_are_missing_damaged_or_anothers() {
    let lab = Lab::new();
    lab.qemu("10.0.2");
    lab.refuses(&["up"], &["No images in", "p9img build --all"]);
    lab.refuses(&["test"], &["No images in"]);
    lab.must(&["build", "--all"]);
    lab.refuses(&["up"], &["embedded sample, which is not Plan 9", "--media PATH"]);

    lab.build();
    let image = lab.path("output/plan9n3.qcow2");
    let bytes = fs::read(&image).unwrap();
    fs::remove_file(&image).unwrap();
    lab.refuses(&["up"], &["Cannot read the image of plan9n3", "p9img build plan9n3"]);
    let mut other = bytes.clone();
    other[1000] ^= 1;
    fs::write(&image, &other).unwrap();
    lab.refuses(&["up"], &["plan9n3.qcow2 has SHA-256", "build plan9n3 again"]);
    fs::write(&image, &bytes).unwrap();

    lab.edit("10.9.0.13", "10.9.0.33");
    lab.refuses(&["up"], &["nodes in lab.toml changed since", "p9img build --all"]);
    lab.edit("10.9.0.33", "10.9.0.13");
    lab.edit("plan9grid", "another");
    lab.refuses(&["up"], &["of the lab \"plan9grid\", not of \"another\""]);
    lab.edit("another", "plan9grid");
    assert_eq!(lab.told(), "", "QEMU was told nothing");
    // With nothing wrong, only this QEMU stands in the way.
    lab.refuses(&["up", "--accel", "tcg", "--ports", "28300"], &["QEMU does not start", "this QEMU starts nothing"]);
}

#[test]
fn a_host_that_lacks_something() {
    let lab = Lab::new();
    lab.build();
    lab.refuses(&["up"], &["qemu-system-x86_64 was not found: install QEMU 7.2 or later (Debian: qemu-system-x86)"]);
    lab.qemu("5.2.0");
    lab.refuses(&["up"], &["is version 5.2.0", "needs 7.2 or later"]);
    lab.qemu("10.0.2");
    lab.program("qemu-system-x86_64", "echo what");
    lab.refuses(&["up"], &["prints \"what\", which is not a version"]);
    lab.qemu("10.0.2");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    // The first node's ports begin ten after the base.
    let base = (port - 10).to_string();
    lab.refuses(&["up", "--accel", "tcg", "--ports", &base], &["is in use", &port.to_string(), "--ports BASE"]);
    lab.refuses(&["up", "--ports", "65530"], &["not enough ports after 65530", "smaller --ports"]);
}

#[test]
fn a_qemu_without_what_is_needed_is_found_out_before_a_disk_is_copied() {
    let lab = Lab::new();
    lab.build();
    lab.qemu("10.0.2");
    let machines = |machines: &str, devices: &str| {
        lab.program(
            "qemu-system-x86_64",
            &format!(
                "case \"$1\" in\n--version) echo QEMU emulator version 10.0.2;;\n-machine) echo '{machines} x';;\n\
                 -device) printf 'name \"%s\", bus PCI\\n' {devices};;\n*) exit 1;;\nesac"
            ),
        );
    };
    machines("q35", "ide-hd e1000 VGA");
    lab.refuses(
        &["up", "--accel", "tcg", "--ports", "28310"],
        &["qemu-system-x86_64 has no machine \"pc\"", "plan9n1"],
    );
    machines("pc", "ide-hd VGA e1000e");
    lab.refuses(&["up", "--accel", "tcg", "--ports", "28310"], &["has no device \"e1000\"", "qemu-system-x86"]);
    assert_eq!(lab.told(), "", "no disk is made");
    assert!(!lab.path("output/run/plan9n1/disk.qcow2").exists());
    // The disks of this lab start by the BIOS alone.
    lab.refuses(
        &["up", "--firmware", "uefi"],
        &["UEFI cannot start the disk of plan9n1, plan9n2", "firmware = \"both\""],
    );
    lab.refuses(&["test", "--firmware", "uefi"], &["UEFI cannot start the disk of plan9n1"]);
}

/// Bytes of memory that this machine has left.
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn more_nodes_than_the_machine_has_memory_for() {
    const EACH: u64 = 3 << 30;
    let nodes = available() / EACH + 4;
    if nodes > 100 {
        return skipped("more_nodes_than_the_machine_has_memory_for: it has memory for 100");
    }
    let lab = Lab::new();
    lab.qemu("10.0.2");
    lab.set("defaults.memory", "3 GiB");
    let mut text = fs::read_to_string(lab.path("lab.toml")).unwrap();
    for n in 5..=nodes {
        let (ip, mac) = (format!("10.9.0.{}", 14 + n), format!("52:54:00:09:01:{n:02x}"));
        write!(text, "\n[[node]]\nname = \"plan9n{n}\"\nroles = [\"cpu\"]\nmac = \"{mac}\"\nip = \"{ip}\"\n").unwrap();
    }
    fs::write(lab.path("lab.toml"), text).unwrap();
    lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2"]);
    let needs = format!("{nodes} nodes need ");
    let words = [&*needs, " MiB of memory, but this machine has ", "name the nodes to start"];
    lab.refuses(&["up", "--accel", "tcg", "--ports", "28300"], &words);
    assert!(!lab.path("output/run/plan9n1/disk.qcow2").exists(), "nothing was begun");
}

#[test]
fn an_interrupt_ends_the_digest_of_a_large_image() {
    let lab = Lab::new();
    lab.qemu("10.0.2");
    lab.build();
    let image = lab.path("output/plan9n1.qcow2");
    // Hours of zeros.
    fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(4 << 40).unwrap();
    for (command, signal) in [("up", "INT"), ("up", "TERM"), ("test", "HUP")] {
        let mut child = lab.command(&[command]).stderr(Stdio::piped()).spawn().unwrap();
        has_read(&mut child, 64 << 20);
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!((out.status.code(), said.trim()), (Some(1), "error: Interrupted; nothing was started"), "{command}");
    }
    // Commands that change nothing are ended by the system.
    fs::OpenOptions::new().write(true).create_new(true).open(lab.path("big.iso")).unwrap().set_len(4 << 40).unwrap();
    lab.set("media.big.path", "big.iso");
    lab.set("media.big.sha256", "0".repeat(64));
    let mut child = lab.command(&["media", "verify", "big"]).stdout(Stdio::piped()).spawn().unwrap();
    has_read(&mut child, 64 << 20);
    assert!(Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.signal(), out.stdout.as_slice()), (Some(15), &b""[..]));
}
