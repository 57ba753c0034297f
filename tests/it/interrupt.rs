//! Whatever stops a build, every artifact that is there is complete, and the
//! next build works: killed, interrupted, two at once, disk full, no right to
//! write.

use p9img::digest::Digest;
use p9img::ops::{self, BuildRequest, Silent};
use p9img::stop;
use p9img_test::process::has_read;
use p9img_test::skip::skipped;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Files = BTreeMap<String, Vec<u8>>;

/// A lab whose build takes long enough to be stopped in the middle: the
/// sample medium and a few megabytes that do not compress.
struct Bench {
    dir: TempDir,
}

const MEGABYTES: usize = 12;

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Self { dir };
        p9img_test::folder::copy_tree(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("media/sample"),
            &bench.path("medium"),
        );
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let bulk: Vec<u8> = (0..MEGABYTES << 17).flat_map(|_| random.next().to_le_bytes()).collect();
        fs::write(bench.path("medium/lib/bulk"), bulk).unwrap();
        let lab = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab.toml")).unwrap();
        assert!(lab.contains("2026-01-01"));
        fs::write(bench.path("new.toml"), &lab).unwrap();
        fs::write(bench.path("old.toml"), lab.replace("2026-01-01", "2025-01-01")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `p9img build --all` of `lab` into `out`, both below the bench's folder.
    fn build(&self, lab: &str, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
        command
            .current_dir(self.dir.path())
            .args(["build", "--all", "--quiet", "--media", "medium", "--lab", lab, "--out", out])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The artifacts of an undisturbed build.
    fn reference(&self, lab: &str, out: &str) -> Files {
        good(&self.build(lab, out).output().unwrap());
        let files = self.visible(out);
        assert_eq!(files.keys().filter(|n| n.ends_with(".qcow2") || n.ends_with(".ova")).count(), 8);
        files
    }

    /// Every file in `out` whose name is not hidden. Of the manifest, which
    /// also says where `out` is, only the artifacts' digests.
    fn visible(&self, out: &str) -> Files {
        let Ok(entries) = fs::read_dir(self.path(out)) else { return Files::new() };
        let entries = entries.map(|e| e.unwrap()).filter(|e| !e.file_name().to_string_lossy().starts_with('.'));
        entries
            .map(|e| {
                let name = e.file_name().into_string().unwrap();
                let mut bytes = fs::read(e.path()).unwrap();
                if name == "manifest.json" {
                    let manifest: serde_json::Value = serde_json::from_slice(&bytes).expect("a complete manifest");
                    bytes = manifest["artifacts"].to_string().into_bytes();
                }
                (name, bytes)
            })
            .collect()
    }

    /// Names of unfinished files in `out`.
    fn unfinished(&self, out: &str) -> Vec<String> {
        fs::read_dir(self.path(out))
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.ends_with(".p9img-partial"))
            .collect()
    }
}

/// Numbers from a seed: the moments are many, and the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn good(output: &Output) {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Each file that is there has the bytes of one of the references, and the
/// sums, which lose a line before its file changes, say nothing wrong.
fn assert_complete(found: &Files, references: &[&Files], when: &str) {
    for (name, bytes) in found {
        if name == "SHA256SUMS" {
            for line in std::str::from_utf8(bytes).unwrap().lines() {
                let (sum, of) = line.split_once("  ").unwrap();
                let digest = Digest::of(&found[of]).to_string();
                assert_eq!(sum, digest, "the sum of {of} {when}");
            }
            continue;
        }
        assert!(
            references.iter().any(|r| r.get(name) == Some(bytes)),
            "{name} is not complete ({} bytes) {when}",
            bytes.len()
        );
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(status.success());
}

/// Number of moments that are tried: 50, or as many as `P9IMG_MOMENTS` says.
fn moments() -> u32 {
    std::env::var("P9IMG_MOMENTS").map_or(50, |n| n.parse().expect("P9IMG_MOMENTS is a number"))
}

#[test]
fn killed_at_many_moments() {
    let bench = Bench::new();
    // Makes the secrets, too, so that all later builds have the same.
    let old = bench.reference("old.toml", "old");
    let begin = Instant::now();
    let new = bench.reference("new.toml", "new");
    let mut whole = begin.elapsed();
    assert_ne!(old["plan9n1.qcow2"], new["plan9n1.qcow2"]);

    let mut random = Random(1);
    let moments = moments();
    let (mut early, mut in_time) = (0, 0);
    for round in 0..moments {
        // Every other round begins with the artifacts of an older lab.
        let out = format!("out{round}");
        let empty = round % 2 == 0;
        fs::create_dir(bench.path(&out)).unwrap();
        if !empty {
            fs::remove_dir(bench.path(&out)).unwrap();
            p9img_test::folder::copy_tree(&bench.path("old"), &bench.path(&out));
        }
        let mut child = bench.build("new.toml", &out).spawn().unwrap();
        let moment = whole.mul_f64((random.next() % 1100) as f64 / 1000.0);
        std::thread::sleep(moment);
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if ended {
            early += 1;
            // The first build was slow: other work on the machine.
            whole = whole.mul_f64(0.9);
        } else {
            in_time += 1;
        }

        let when = format!("after a kill at {moment:?} of {whole:?} (round {round})");
        let found = bench.visible(&out);
        let references: &[&Files] = if empty { &[&new] } else { &[&old, &new] };
        assert_complete(&found, references, &when);
        assert!(empty || found.len() >= old.len(), "an old artifact is gone {when}");
        if round % 10 < 2 {
            good(&bench.build("new.toml", &out).output().unwrap());
            assert_eq!(bench.visible(&out), new, "rerun {when}");
            assert_eq!(bench.unfinished(&out), [""; 0], "rerun {when}");
        }
        fs::remove_dir_all(bench.path(&out)).unwrap();
    }
    eprintln!("{in_time} builds killed, {early} had ended; a build takes {whole:?}");
    assert!(in_time >= moments / 2, "only {in_time} of {moments} builds were killed while they ran");
}

#[test]
fn interrupts_leave_nothing_unfinished() {
    let bench = Bench::new();
    let new = bench.reference("new.toml", "new");
    for name in ["INT", "TERM", "HUP"] {
        let out = format!("out-{name}");
        let mut child = bench.build("new.toml", &out).spawn().unwrap();
        // In the middle: when the first unfinished file is there.
        let begin = Instant::now();
        while bench.unfinished(&out).is_empty() && child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(120), "no artifact was begun");
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            eprintln!("SIG{name} came too late to interrupt");
        } else {
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            assert!(said(&output).contains("Interrupted"), "{}", said(&output));
        }
        assert_complete(&bench.visible(&out), &[&new], &format!("after SIG{name}"));
        assert_eq!(bench.unfinished(&out), [""; 0], "after SIG{name}");
        good(&bench.build("new.toml", &out).output().unwrap());
        assert_eq!(bench.visible(&out), new);
    }
}

/// Variable that makes the next test the program that it starts: one that uses the
/// library, for the lab file of this name, until its standard input ends.
const PROGRAM: &str = "P9IMG_TEST_PROGRAM_LAB";

#[test]
fn a_program_that_listens_ends_the_digest_of_a_large_medium() {
    let test = "interrupt::a_program_that_listens_ends_the_digest_of_a_large_medium";
    if let Some(lab) = std::env::var_os(PROGRAM) {
        let flag = Arc::new(AtomicBool::new(false));
        stop::listen(&flag);
        std::thread::spawn(move || {
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            flag.store(true, Ordering::Relaxed);
        });
        let error = ops::build(&BuildRequest::new(PathBuf::from(lab)), &Silent).unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        assert_eq!(causes.last().unwrap().to_string(), stop::INTERRUPTED, "{error}");
        return;
    }
    let lab = p9img_test::Lab::default_lab();
    // Hours of zeros, which p9img reads because it expects a digest of them.
    lab.put("big.iso", "");
    fs::OpenOptions::new().write(true).open(lab.path("big.iso")).unwrap().set_len(4 << 40).unwrap();
    lab.set("media.big.path", "big.iso");
    lab.set("media.big.sha256", "0".repeat(64));
    lab.set("lab.medium", "big");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PROGRAM, lab.path("lab.toml"))
        .env("P9IMG_CACHE", lab.path("cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    has_read(&mut child, 64 << 20);
    drop(child.stdin.take());
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("it reads on after the interrupt");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("1 passed"), "{out}{}", said(&output));
    assert!(!lab.path("output").exists());
}

#[test]
fn two_builds_in_one_folder() {
    let bench = Bench::new();
    let old = bench.reference("old.toml", "old");
    let new = bench.reference("new.toml", "new");
    for round in 0..4 {
        let out = format!("out{round}");
        let first = bench.build("old.toml", &out).spawn().unwrap();
        let second = bench.build("new.toml", &out).spawn().unwrap();
        let outputs = [first, second].map(|c| c.wait_with_output().unwrap());
        let found = bench.visible(&out);
        // Whichever build was last, the folder holds one build and not a
        // mixture.
        assert!(found == old || found == new, "a mixture of two builds");
        assert!(outputs.iter().any(|o| o.status.success()));
        for output in outputs.iter().filter(|o| !o.status.success()) {
            assert!(said(output).contains(&out), "does not say which folder is busy: {}", said(output));
        }
        assert_eq!(bench.unfinished(&out), [""; 0]);
    }
}

/// Runs `script` where it may mount a small memory file system; None where
/// that is not allowed.
fn in_mount_namespace(script: &str, arguments: &[&Path]) -> Option<Output> {
    for options in [&["-m"][..], &["-r", "-m"]] {
        let probe = Command::new("unshare")
            .args(options)
            .args(["sh", "-c", "mount -t tmpfs -o size=64k none /mnt"])
            .stderr(Stdio::null())
            .status();
        if probe.is_ok_and(|s| s.success()) {
            return Some(
                Command::new("unshare")
                    .args(options)
                    .args(["sh", "-c", script, "sh"])
                    .args(arguments)
                    .output()
                    .unwrap(),
            );
        }
    }
    None
}

#[test]
fn full_disk() {
    let bench = Bench::new();
    let new = bench.reference("new.toml", "new");
    let size: usize = new.values().map(Vec::len).sum();
    fs::create_dir(bench.path("full")).unwrap();
    // The disk is full at twenty points, and grows after each.
    let points = 20;
    let script = format!(
        "set -e
         cd \"$1\"
         for point in $(seq {points}); do
           mount -t tmpfs -o size=$(({size} * point / ({points} + 1))) none full
           if \"$2\" build --all --quiet --media medium --lab new.toml --out full; then exit 40; else echo code $?; fi
           cp -R full/. after/$point/
           mount -o remount,size={} full
           \"$2\" build --all --quiet --media medium --lab new.toml --out full
           (cd full && sha256sum *) >sums/$point
           umount full
         done",
        size * 2
    );
    for point in 1..=points {
        fs::create_dir_all(bench.path(&format!("after/{point}"))).unwrap();
    }
    fs::create_dir(bench.path("sums")).unwrap();
    let Some(output) = in_mount_namespace(&script, &[bench.dir.path(), Path::new(env!("CARGO_BIN_EXE_p9img"))]) else {
        skipped("full_disk: mounting a memory file system is not allowed here");
        return;
    };
    good(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "code 1\n".repeat(points));
    let full = said(&output).lines().filter(|l| l.contains("full")).count();
    assert!(full >= points, "{}", said(&output));
    for point in 1..=points {
        let when = format!("after a disk full at {point}/{}", points + 1);
        let after = format!("after/{point}");
        assert_complete(&bench.visible(&after), &[&new], &when);
        assert_eq!(bench.unfinished(&after), [""; 0], "unfinished files keep the disk full {when}");
        let sums = fs::read_to_string(bench.path(&format!("sums/{point}"))).unwrap();
        let mut found: Vec<&str> = sums.lines().filter(|l| !l.ends_with("manifest.json")).collect();
        found.sort_unstable();
        let of = |(name, bytes): (&String, &Vec<u8>)| format!("{}  {name}", Digest::of(bytes));
        let mut expected: Vec<String> = new.iter().filter(|(n, _)| *n != "manifest.json").map(of).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "the next run {when}");
    }
}

#[test]
fn output_that_cannot_be_written() {
    let bench = Bench::new();
    let new = bench.reference("new.toml", "new");
    // A file where the folder should be; a place where nobody can make one;
    // a folder where the artifact should be.
    fs::write(bench.path("file"), b"mine").unwrap();
    fs::create_dir_all(bench.path("taken/plan9n2.qcow2")).unwrap();
    for out in ["file", "/proc/p9img-output", "taken"] {
        let output = bench.build("new.toml", out).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(out), "does not name {out}: {}", said(&output));
        assert!(!said(&output).contains("panicked"), "{}", said(&output));
    }
    assert_eq!(fs::read(bench.path("file")).unwrap(), b"mine");
    assert_eq!(bench.unfinished("taken"), [""; 0]);
    fs::remove_dir_all(bench.path("taken")).unwrap();
    good(&bench.build("new.toml", "taken").output().unwrap());
    assert_eq!(bench.visible("taken"), new);
}

#[test]
fn folder_without_the_right_to_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    fs::create_dir(bench.path("locked")).unwrap();
    fs::set_permissions(bench.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(bench.path("locked/probe"), b"").is_ok() {
        skipped("folder_without_the_right_to_write: this user may write everywhere");
        return;
    }
    let output = bench.build("new.toml", "locked").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("locked"), "{}", said(&output));
    assert!(bench.visible("locked").is_empty());
}
