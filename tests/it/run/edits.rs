//! Changes of a lab folder while its nodes run: the nodes are shown and stopped all
//! the same.

use super::Lab;
use crate::run::prompt::{NODES, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Edits of the folder that are tried.
const ROUNDS: usize = 30;

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn node(&mut self) -> &'static str {
        NODES[self.below(NODES.len())]
    }
}

/// One thing that somebody, or a program, does to a lab folder.
type Edit = fn(&Lab, &mut Dice);

const EDITS: &[(&str, Edit)] = &[
    ("a node renamed", |lab, dice| {
        let name = dice.node();
        change(lab, |text| text.replacen(&format!("\"{name}\""), "\"renamed\"", 1));
    }),
    ("a node removed", |lab, dice| {
        let nth = 1 + dice.below(NODES.len());
        change(lab, |text| {
            let parts: Vec<&str> = text.split("[[node]]").collect();
            parts.iter().enumerate().filter(|(i, _)| *i != nth).map(|(_, p)| *p).collect::<Vec<_>>().join("[[node]]")
        });
    }),
    ("a node added", |lab, _| {
        change(lab, |text| format!("{text}\n[[node]]\nname = \"another\"\nroles = [\"cpu\"]\n"));
    }),
    ("a broken line", |lab, dice| {
        let line = dice.below(60);
        let broken = ["[[node", "what = {", "= 5", "\"\"\"", "\u{1}"][dice.below(5)];
        change(lab, |text| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.insert(line.min(lines.len()), broken);
            lines.join("\n")
        });
    }),
    ("an unknown key", |lab, _| change(lab, |text| text.replacen("[lab]", "[lab]\ncolour = \"red\"", 1))),
    ("another name of the lab", |lab, _| change(lab, |text| text.replacen("plan9grid", "other", 1))),
    ("another address", |lab, dice| {
        let n = 11 + dice.below(4);
        change(lab, |text| text.replacen(&format!("10.9.0.{n}"), "10.9.0.77", 1));
    }),
    ("another output folder", |lab, _| change(lab, |text| text.replacen("[lab]", "[lab]\nout = \"images\"", 1))),
    ("the output folder moved", |lab, _| {
        change(lab, |text| text.replacen("[lab]", "[lab]\nout = \"images\"", 1));
        let _ = fs::rename(lab.path("output"), lab.path("images"));
    }),
    ("lab.toml gone", |lab, _| drop(fs::remove_file(lab.path("lab.toml")))),
    ("lab.toml empty", |lab, _| change(lab, |_| String::new())),
    ("lab.toml a folder", |lab, _| {
        let _ = fs::remove_file(lab.path("lab.toml"));
        let _ = fs::create_dir(lab.path("lab.toml"));
    }),
    ("a role broken", |lab, _| {
        fs::create_dir_all(lab.path("roles/cpu")).unwrap();
        fs::write(lab.path("roles/cpu/role.toml"), "summary = \n").unwrap();
    }),
    ("a role of a folder without role.toml", |lab, _| fs::create_dir_all(lab.path("roles/fs/files")).unwrap()),
    ("secrets gone", |lab, _| drop(fs::remove_file(lab.path("secrets.toml")))),
    ("secrets damaged", |lab, _| drop(fs::write(lab.path("secrets.toml"), "seed = 5"))),
    ("manifest gone", |lab, _| gone(lab, "manifest.json")),
    ("manifest damaged", |lab, _| damaged(lab, "manifest.json", b"{\"schema\": 1}")),
    ("an image gone", |lab, dice| gone(lab, &format!("{}.qcow2", dice.node()))),
    ("an image damaged", |lab, dice| damaged(lab, &format!("{}.qcow2", dice.node()), b"QFI\xfb")),
    ("images of something else", |lab, _| {
        let _ = lab.run(&["build", "--all", "--media", "sample", "--format", "qcow2"]);
    }),
    ("process ids gone", |lab, _| NODES.iter().for_each(|n| gone(lab, &format!("run/{n}/pid")))),
    ("a process id that is another program's", |lab, dice| {
        let pid = std::process::id().to_string();
        damaged(lab, &format!("run/{}/pid", dice.node()), pid.as_bytes());
    }),
    ("a record gone", |lab, dice| gone(lab, &format!("run/{}/node.json", dice.node()))),
    ("a record damaged", |lab, dice| damaged(lab, &format!("run/{}/node.json", dice.node()), b"{")),
    ("what is known of the run gone", |lab, _| gone(lab, "run/lab.json")),
    ("what is known of the run damaged", |lab, _| damaged(lab, "run/lab.json", b"[]")),
    ("a control socket gone", |lab, dice| gone(lab, &format!("run/{}/control.sock", dice.node()))),
    ("a console gone", |lab, dice| gone(lab, &format!("run/{}/serial.sock", dice.node()))),
    ("the network's socket gone", |lab, _| gone(lab, "run/network.sock")),
    ("the lock gone", |lab, _| gone(lab, "run/.lock")),
    ("a node's folder gone", |lab, dice| drop(fs::remove_dir_all(lab.path(format!("output/run/{}", dice.node()))))),
    ("the run's folder gone", |lab, _| drop(fs::remove_dir_all(lab.path("output/run")))),
    ("the output folder gone", |lab, _| drop(fs::remove_dir_all(lab.path("output")))),
    ("a machine killed", |lab, dice| kill(lab, dice.node())),
    ("the gateway killed", |lab, _| kill(lab, ".gateway")),
    ("the switch killed", |lab, _| {
        for (pid, args) in lab.run_processes() {
            if args.iter().any(|a| a == "switch") {
                end(pid);
            }
        }
    }),
];

fn change(lab: &Lab, with: impl FnOnce(&str) -> String) {
    // Another edit may have removed it.
    if let Ok(text) = fs::read_to_string(lab.path("lab.toml")) {
        fs::write(lab.path("lab.toml"), with(&text)).unwrap();
    }
}

fn gone(lab: &Lab, file: &str) {
    let _ = fs::remove_file(lab.path("output").join(file));
}

fn damaged(lab: &Lab, file: &str, bytes: &[u8]) {
    let _ = fs::write(lab.path("output").join(file), bytes);
}

fn kill(lab: &Lab, machine: &str) {
    if let Some(pid) = lab.machines().get(machine) {
        end(*pid);
    }
}

/// Kills a machine of this test, and waits until it is gone.
fn end(pid: i32) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
    let gone = || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s.contains(") Z "));
    for _ in 0..500 {
        if gone() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{pid} does not end");
}

/// The files of a lab other than those of its runs.
fn inputs(lab: &Lab) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let names = ["lab.toml", "secrets.toml", "output/manifest.json"].map(str::to_owned);
    for name in names.into_iter().chain(NODES.map(|n| format!("output/{n}.qcow2"))) {
        out.insert(lab.path(&name), fs::read(lab.path(&name)).unwrap());
    }
    out
}

/// Puts a lab back as it was.
fn restore(lab: &Lab, inputs: &BTreeMap<PathBuf, Vec<u8>>) {
    if lab.path("images").exists() {
        let _ = fs::remove_dir_all(lab.path("output"));
        fs::rename(lab.path("images"), lab.path("output")).unwrap();
    }
    let _ = fs::remove_dir_all(lab.path("roles"));
    if lab.path("lab.toml").is_dir() {
        fs::remove_dir(lab.path("lab.toml")).unwrap();
    }
    fs::create_dir_all(lab.path("output")).unwrap();
    for (path, bytes) in inputs {
        fs::write(path, bytes).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let _ = fs::remove_file(lab.path("output/run/lab.json"));
    if !lab.has_disks() {
        lab.make_disks();
    }
}

#[test]
fn whatever_becomes_of_the_folder_what_runs_is_seen_and_stopped() {
    let Some(lab) = Lab::prompting("whatever_becomes_of_the_folder_what_runs_is_seen_and_stopped") else { return };
    let inputs = inputs(&lab);
    let seed = std::env::var("P9IMG_SEED").map_or(15, |s| s.parse().unwrap());
    let mut dice = Dice(seed);
    // Every edit once, in any order, among others.
    let mut left: Vec<usize> = (0..EDITS.len()).collect();
    let rounds = std::env::var("P9IMG_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
    for round in 0..rounds {
        restore(&lab, &inputs);
        lab.up(&[]);
        assert_eq!(lab.running(), NODES);
        let mut done = Vec::new();
        for i in 0..1 + dice.below(3) {
            let edit = match left.is_empty() || i > 1 {
                true => dice.below(EDITS.len()),
                false => left.swap_remove(dice.below(left.len())),
            };
            EDITS[edit].1(&lab, &mut dice);
            done.push(EDITS[edit].0);
        }
        let after = format!("round {round}, seed {seed}: {}", done.join(", "));
        eprintln!("{after}");
        let (running, status) = (lab.running(), lab.status(&[]));
        let nodes = status["nodes"].as_array().unwrap();
        let said: Vec<&str> =
            nodes.iter().filter(|n| n["state"] != "down").map(|n| n["name"].as_str().unwrap()).collect();
        let mut sorted = said.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, running, "{after}\n{status:#}");
        // One by its name, then all.
        let name = dice.node();
        if dice.below(2) == 0 && running.iter().any(|n| n == name) {
            let out = lab.run(&["down", name]);
            assert!(out.status.success(), "{after}: {}", text(&out));
            assert!(!lab.running().iter().any(|n| n == name), "{after}: {name}");
        }
        for _ in 0..2 {
            // The second finds nothing to do.
            let out = lab.run(&["down"]);
            assert!(out.status.success(), "{after}: {}", text(&out));
            lab.nothing_is_left(&after);
        }
    }
}
