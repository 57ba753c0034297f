//! Requests of a user to a lab that runs are done or refused, and the folder of
//! its run is nobody else's.

use super::Lab;
use crate::run::prompt::{compute, text};
use p9img::guest::node_disk;
use p9img::guest::runner::qemu;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Port of this machine that leads to a service of a node.
fn port(status: &serde_json::Value, node: &str, service: &str) -> u16 {
    let nodes = status["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|n| n["name"] == node).unwrap();
    node["ports"][service].as_u64().unwrap_or_else(|| panic!("no {service}: {node:#}")) as u16
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn what_is_asked_of_a_lab_that_runs_is_done_or_refused() {
    let Some(lab) = Lab::prompting("what_is_asked_of_a_lab_that_runs_is_done_or_refused") else { return };
    let said = lab.up(&["plan9n1"]);
    let words: Vec<&str> = said.lines().skip_while(|l| !l.starts_with("glenda")).take(2).collect();
    assert!(words.len() == 2 && words[0] == "glenda's password: p9img secrets show glenda", "{said}");
    assert!(words[1].contains("grey window") && words[1].contains("right") && words[1].contains("New"), "{said}");
    assert!(!lab.must(&["up", "--quiet", "--no-wait", "plan9n1"]).contains("password"));
    let disk = lab.path("output/run/plan9n1/disk.qcow2");
    let before = fs::metadata(&disk).unwrap().modified().unwrap();
    let refuses = |args: &[&str], words: &[&str]| {
        let out = lab.run(args);
        let said = text(&out);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        assert!(words.iter().all(|w| said.contains(w)) && said.matches("error:").count() == 1, "{args:?}: {said}");
        assert_eq!(lab.running(), ["plan9n1"], "{args:?}");
    };
    refuses(&["up", "--fresh", "plan9n1"], &["plan9n1 runs", "`p9img down plan9n1` first"]);
    refuses(&["up", "--fresh"], &["plan9n1 runs"]);
    refuses(&["up", "--ports", "28900"], &["while the lab runs", "`p9img down` first"]);
    refuses(&["up", "--accel", "kvm", "plan9n1"], &["--accel kvm", "plan9n1 runs"]);
    assert_eq!(fs::metadata(&disk).unwrap().modified().unwrap(), before);

    // A node with twelve services more is added while another runs.
    let roles = lab.path("roles/many");
    fs::create_dir_all(&roles).unwrap();
    let ports: String = (0..12).map(|i| format!("[[port]]\nname = \"s{i}\"\ntcp = {}\n", 4000 + i)).collect();
    fs::write(roles.join("role.toml"), format!("description = \"Many services\"\n{ports}")).unwrap();
    let toml = fs::read_to_string(lab.path("lab.toml")).unwrap();
    let node = "\n[[node]]\nname = \"late\"\nroles = [\"cpu\", \"many\"]\n";
    fs::write(lab.path("lab.toml"), format!("{toml}{node}")).unwrap();
    lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2"]);
    let gateway = lab.machines()[".gateway"];
    // It powers itself off at once, as it has the medium's own program.
    lab.up(&["--no-wait", "late"]);
    assert_eq!(lab.machines()[".gateway"], gateway, "logins through it go on");
    let status = lab.status(&[]);
    for service in (0..12).map(|i| format!("s{i}")).chain(["cpu".into()]) {
        assert!(listens(port(&status, "late", &service)), "{service}: {status:#}");
    }
    let first = port(&status, "plan9n1", "cpu");
    assert!(listens(first));
    // Of the nodes that have an old password, those that run are named.
    let said = lab.must(&["secrets", "rotate", "glenda"]);
    assert!(said.contains("plan9n1 runs and keeps the old") && said.contains("`p9img up --fresh plan9n1`"), "{said}");

    // It has powered itself off, however busy this machine is.
    for _ in 0..3000 {
        if lab.running() == ["plan9n1"] {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Renamed while it runs: it keeps its port, nobody takes its address, and it is stopped by its name.
    fs::write(lab.path("lab.toml"), toml.replacen("\"plan9n1\"", "\"renamed\"", 1)).unwrap();
    lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2"]);
    refuses(&["up", "--accel", "tcg", "renamed"], &["plan9n1 has", "`p9img down plan9n1` first"]);
    let said = lab.must(&["status"]);
    assert!(said.contains("plan9n1 runs, but is not in the lab any more"), "{said}");
    let out = lab.run(&["down", "nobody"]);
    assert!(out.status.code() == Some(2) && text(&out).contains("plan9n1"), "{}", text(&out));
    lab.must(&["down", "plan9n1"]);
    lab.nothing_is_left("down plan9n1");

    // The ports stay the lab's own.
    fs::write(lab.path("lab.toml"), &toml).unwrap();
    lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2"]);
    lab.up(&["--no-wait", "plan9n4"]);
    assert_eq!(port(&lab.status(&[]), "plan9n1", "cpu"), first);
    lab.must(&["down", "--force"]);
}

#[test]
fn a_node_that_is_paused_is_seen_and_goes_on() {
    let Some(lab) = Lab::prompting("a_node_that_is_paused_is_seen_and_goes_on") else { return };
    lab.up(&["plan9n1"]);
    let process = p9img::guest::grid::Grid::new(&lab.path("output")).node("plan9n1");
    let pause = || qemu::control(&process.folder, "stop", serde_json::Value::Null).unwrap();
    let state = || lab.status(&[])["nodes"][0]["state"].clone();
    assert_eq!(state(), "up");
    pause();
    let status = lab.status(&[]);
    assert_eq!(status["nodes"][0]["state"], "paused");
    assert!(status["notes"].to_string().contains("plan9n1 is paused, because QEMU was told to pause it"), "{status:#}");
    assert!(lab.must(&["status"]).contains("plan9n1  paused"));
    let out = lab.run(&["test", "plan9n1"]);
    let said = text(&out);
    assert!(out.status.code() == Some(1) && said.contains("plan9n1 is paused, because"), "{said}");
    assert!(said.contains("`p9img up plan9n1` lets it go on"), "{said}");
    // It goes on where it was.
    let pid = lab.machines()["plan9n1"];
    assert!(lab.up(&["plan9n1"]).contains("plan9n1 was paused and goes on"));
    assert_eq!(state(), "up");
    assert_eq!(lab.machines()["plan9n1"], pid);
    // And for its halt, or is turned off.
    pause();
    lab.must(&["down", "plan9n1"]);
    lab.nothing_is_left("down of a paused node");
    lab.up(&["plan9n1"]);
    pause();
    lab.must(&["down", "--force"]);
    lab.nothing_is_left("down --force of a paused node");
}

#[test]
fn two_labs_run_at_once_and_a_lab_can_say_where_its_ports_are() {
    let test = "two_labs_run_at_once_and_a_lab_can_say_where_its_ports_are";
    let (Some(one), Some(two)) = (Lab::prompting(test), Lab::prompting(test)) else { return };
    one.up(&["plan9n1"]);
    two.up(&["plan9n1"]);
    let base = |lab: &Lab| lab.status(&[])["ports"].as_u64().unwrap();
    let (first, second) = (base(&one), base(&two));
    assert_ne!(first, second);
    // The one that has left finds its own again.
    two.must(&["down"]);
    two.up(&["plan9n2"]);
    assert_eq!(base(&two), second);
    two.must(&["down"]);
    one.must(&["down"]);
    let asked = 28_000 + std::process::id() % 40 * 100;
    let toml = fs::read_to_string(two.path("lab.toml")).unwrap();
    fs::write(two.path("lab.toml"), format!("{toml}\n[run]\nports = {asked}\n")).unwrap();
    two.up(&["plan9n1"]);
    assert_eq!(base(&two), u64::from(asked));
    assert!(listens(port(&two.status(&[]), "plan9n1", "cpu")));
    two.must(&["down"]);
    two.nothing_is_left("two labs");
}

#[test]
fn long_paths_and_temporary_folders_do_not_matter() {
    let test = "long_paths_and_temporary_folders_do_not_matter";
    let Some(lab) = Lab::prompting(test) else { return };
    let long = "a-folder-whose-name-is-long/".repeat(6);
    let out = lab.path(&long);
    fs::create_dir_all(&out).unwrap();
    fs::rename(lab.path("output"), out.join("output")).unwrap();
    let out = out.join("output");
    let out = out.to_str().unwrap();
    // A temporary folder with a long name, too, and then one that is not there.
    fs::remove_dir(lab.path("tmp")).unwrap();
    symlink(lab.path(&long), lab.path("tmp")).unwrap();
    lab.up(&["--out", out, "plan9n1"]);
    fs::remove_file(lab.path("tmp")).unwrap();
    assert_eq!(lab.status(&["--out", out])["nodes"][0]["state"], "up");
    lab.must(&["screenshot", "plan9n1", "a.png", "--out", out]);
    assert!(fs::read(lab.path("a.png")).unwrap().starts_with(b"\x89PNG"));
    lab.must(&["down", "--out", out]);
    fs::create_dir(lab.path("tmp")).unwrap();
    lab.nothing_is_left(test);
}

#[test]
fn nodes_run_on_images_over_a_base() {
    let test = "nodes_run_on_images_over_a_base";
    let lab = Lab::new();
    if lab.real_qemu(test).is_none() {
        return;
    }
    lab.set("defaults.memory", "64 MiB");
    fs::write(lab.path("medium/lib/words"), p9img_test::disks::noise(1, 1 << 20)).unwrap();
    fs::create_dir(lab.path("tmp")).unwrap();
    lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2", "--layout", "overlay"]);
    let folder = lab.path("output/run/plan9n1");
    // Where the base has what is in no other file.
    let image = p9img::artifact::open(&lab.path("output/plan9n1.qcow2")).unwrap();
    let at = image.extents().into_iter().max_by_key(|e| e.len).unwrap();
    let read = |disk: &dyn p9img::ReadAt| {
        let mut bytes = vec![0; at.len as usize];
        disk.read_at(at.offset, &mut bytes).unwrap();
        bytes
    };
    let expected = read(&*image);
    assert!(at.len > 1 << 20);
    let words = |lab: &Lab| read(&*node_disk::open(&lab.path("output/run/plan9n1"), compute).unwrap()) == expected;
    lab.make_disks();
    assert!(words(&lab));
    lab.up(&["plan9n1", "plan9n2"]);
    lab.must(&["down", "--force"]);
    assert!(words(&lab) && lab.has_disks());
    // Somebody writes to the base, which is the artifact's own by another name.
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let all: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let base = all.iter().find(|path| name(path).starts_with("base-")).unwrap();
    let good = fs::read(base).unwrap();
    let bad: Vec<u8> = good.iter().map(|b| b ^ 1).collect();
    fs::write(base, bad).unwrap();
    let out = lab.run(&["up", "--accel", "tcg", "--no-wait", "plan9n1"]);
    let said = text(&out);
    assert!(out.status.code() == Some(1) && said.contains(&name(base)) && said.contains("build"), "{said}");
    fs::remove_file(lab.path("output").join(name(base))).unwrap();
    lab.must(&["build", "--all"]);
    // It is one file under all nodes.
    let said = lab.must(&["up", "--accel", "tcg", "--no-wait"]);
    for node in crate::run::prompt::NODES.iter().filter(|node| **node != "plan9n4") {
        assert!(said.contains(&format!("under the disk of {node} had changed")), "{node}: {said}");
    }
    assert!(fs::read(base).unwrap() == good);
    lab.must(&["down", "--force"]);
    assert!(words(&lab) && lab.has_disks());
    // Without its artifacts a node keeps its disk.
    lab.must(&["build", "--all", "--layout", "whole", "--prune"]);
    assert!(words(&lab));
    lab.nothing_is_left(test);
}

#[test]
fn nothing_leads_out_of_the_folder_of_a_run_or_into_a_node() {
    let test = "nothing_leads_out_of_the_folder_of_a_run_or_into_a_node";
    let Some(lab) = Lab::prompting(test) else { return };
    let (run, theirs) = (lab.path("output/run"), lab.path("theirs"));
    let refused = |word: &str| {
        let out = lab.run(&["up", "--accel", "tcg", "--no-wait"]);
        let said = text(&out);
        assert!(out.status.code() == Some(1) && said.contains(word), "{word}: {said}");
        assert_eq!(lab.running(), Vec::<String>::new(), "{word}");
        assert!(!theirs.exists(), "{word}");
    };
    for name in ["disk.partial", "disk.qcow2", "base.qcow2", "serial.log", "node.json", "console.lock", "pid"] {
        let path = run.join("plan9n2").join(name);
        let _ = fs::remove_file(&path);
        symlink(&theirs, &path).unwrap();
        refused(&format!("{name} is a symbolic link"));
        fs::remove_file(&path).unwrap();
    }
    for name in ["lab.json", "lab.partial"] {
        let _ = fs::remove_file(run.join(name));
        symlink(&theirs, run.join(name)).unwrap();
        refused(&format!("{name} is a symbolic link"));
        fs::remove_file(run.join(name)).unwrap();
    }
    fs::remove_dir_all(&run).unwrap();
    fs::create_dir(&theirs).unwrap();
    symlink(&theirs, &run).unwrap();
    let out = lab.run(&["up", "--accel", "tcg", "--no-wait"]);
    assert!(text(&out).contains("run is a symbolic link"), "{}", text(&out));
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
    fs::remove_file(&run).unwrap();

    // An image that is a link, with the digest that the manifest has.
    let image = lab.path("output/plan9n2.qcow2");
    fs::rename(&image, lab.path("elsewhere")).unwrap();
    symlink(lab.path("elsewhere"), &image).unwrap();
    let out = lab.run(&["up", "--accel", "tcg", "plan9n2"]);
    assert!(text(&out).contains("it is a symbolic link"), "{}", text(&out));
    fs::remove_file(&image).unwrap();
    fs::rename(lab.path("elsewhere"), &image).unwrap();
    let manifest = lab.path("output/manifest.json");
    let json = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, json.replace("\"plan9n2.qcow2\"", "\"../plan9n2.qcow2\"")).unwrap();
    let out = lab.run(&["up", "--accel", "tcg", "plan9n2"]);
    assert!(text(&out).contains("is not the name of a file in the folder"), "{}", text(&out));
    fs::write(&manifest, json).unwrap();

    // Whatever the umask is, all of it is the user's alone.
    let wide = format!("umask 0; exec '{}' up --accel tcg --no-wait", env!("CARGO_BIN_EXE_p9img"));
    let sh = std::process::Command::new("/bin/sh")
        .args(["-c", &wide])
        .current_dir(lab.dir())
        .env("PATH", lab.path("bin"))
        .output()
        .unwrap();
    assert!(sh.status.success(), "{}", text(&sh));
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&run), 0o700);
    for node in crate::run::prompt::NODES {
        let folder = run.join(node);
        assert_eq!(mode(&folder), 0o700, "{node}");
        for file in ["disk.qcow2", "base.qcow2", "serial.log", "node.json"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{node}/{file}");
        }
    }
    lab.must(&["down", "--force"]);
    lab.nothing_is_left(test);
}

#[test]
fn nodes_run_without_images() {
    let test = "nodes_run_without_images";
    let lab = Lab::new();
    if lab.real_qemu(test).is_none() {
        return;
    }
    lab.set("defaults.memory", "64 MiB");
    fs::write(lab.path("medium/lib/words"), p9img_test::disks::noise(1, 1 << 16)).unwrap();
    fs::create_dir(lab.path("tmp")).unwrap();
    lab.up(&["--live", "--media", "medium", "--no-wait"]);
    lab.must(&["down", "--force"]);
    let there: Vec<_> = fs::read_dir(lab.path("output")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(there, ["run"], "no image, and no record of one");
    // The bytes are those of an image.
    lab.must(&["build", "--all", "--media", "medium", "--format", "raw", "--out", "images"]);
    let disk = |name: &str| node_disk::open(&lab.path(format!("output/run/{name}")), compute);
    for name in crate::run::prompt::NODES {
        let image = p9img::artifact::open(&lab.path(format!("images/{name}.img"))).unwrap();
        assert!(same(&*disk(name).unwrap(), &*image), "{name}");
    }
    let n1 = "output/run/plan9n1/disk.qcow2";
    assert!(lab.must(&["ls", &format!("{n1}:fossil:/lib")]).contains("words"));
    // What a node wrote stays, and `--live` is remembered with the medium.
    lab.write_programs();
    lab.up(&["plan9n1", "plan9n2"]);
    assert_eq!(lab.status(&[])["nodes"][0]["state"], "up");
    assert!(lab.status(&[])["notes"].as_array().unwrap().is_empty());
    lab.must(&["down"]);
    lab.up(&["--live"]);
    lab.must(&["down"]);
    assert!(lab.has_disks());
    // The same files with other stamps.
    let words = lab.path("medium/lib/words");
    let good = fs::read(&words).unwrap();
    fs::write(lab.path("new"), &good).unwrap();
    let modified = fs::metadata(&words).unwrap().modified().unwrap();
    fs::rename(lab.path("new"), &words).unwrap();
    let as_then = || fs::File::options().write(true).open(&words).unwrap().set_modified(modified).unwrap();
    as_then();
    lab.up(&["plan9n1"]);
    lab.must(&["down", "--force"]);
    // Other bytes, with the same length and time.
    let refused = |args: &[&str], why: &str| {
        let out = lab.run(args);
        let said = text(&out);
        assert!(out.status.code() == Some(1) && said.contains(why), "{args:?}: {said}");
    };
    let bad: Vec<u8> = good.iter().map(|b| b ^ 1).collect();
    fs::write(&words, bad).unwrap();
    as_then();
    let up = ["up", "--live", "--accel", "tcg", "--no-wait", "plan9n1"];
    refused(&up, "has changed since the node last ran");
    refused(&["ls", n1], "have changed since the node last ran");
    refused(&["fsck", n1], "have changed since the node last ran");
    fs::write(&words, good).unwrap();
    as_then();
    // A change of the lab.
    lab.set("lab.authdom", "other.lab");
    refused(&up, "put it back as it was, or start over with --fresh");
    lab.set("lab.authdom", "plan9.lab");
    lab.up(&["plan9n1"]);
    lab.must(&["down", "--force"]);
    assert!(lab.has_disks());
    // From now on from images, and not the other way round.
    lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2"]);
    lab.up(&["--fresh"]);
    lab.must(&["down", "--force"]);
    refused(&up, "go on without --live, or start over with --fresh");
    lab.up(&["--no-wait"]);
    lab.must(&["down", "--force"]);
    lab.nothing_is_left(test);
}

/// Whether two disks have the same bytes.
fn same(a: &dyn p9img::ReadAt, b: &dyn p9img::ReadAt) -> bool {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    for at in a.extents().iter().chain(&b.extents()) {
        pieces.extend((at.offset..at.offset + at.len).step_by(1 << 20).map(|from| (from, at.offset + at.len)));
    }
    let read = |disk: &dyn p9img::ReadAt, from: u64, end: u64| {
        let mut bytes = vec![0; (end - from).min(1 << 20) as usize];
        disk.read_at(from, &mut bytes).unwrap();
        bytes
    };
    a.len() == b.len() && pieces.into_iter().all(|(from, end)| read(a, from, end) == read(b, from, end))
}
