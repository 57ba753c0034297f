//! `p9img build --rebuild`: nothing differs from a build of the same inputs,
//! and everything that does is named. It writes nothing where artifacts are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn built() -> Self {
        let lab = Self(p9img_test::Lab::default_lab());
        assert!(lab.run(&["build", "plan9n1", "plan9n2"]).status.success());
        lab
    }
    /// Everything below the lab's folder with its bytes.
    fn all(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut out = BTreeMap::new();
        for dir in [self.path("."), self.path("output")] {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
                out.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
        out
    }
    fn kept(&self) -> Vec<PathBuf> {
        let rebuilt = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with(".p9img-rebuild-");
        fs::read_dir(self.dir()).unwrap().map(Result::unwrap).filter(rebuilt).map(|e| e.path()).collect()
    }
    /// Rebuilds, expects exit code 3, and returns the one line that differs
    /// with what was said on stderr.
    fn differs(&self, nodes: &[&str]) -> (Vec<String>, String) {
        let out = self.run(&[&["build", "--rebuild", "--quiet"], nodes].concat());
        let err = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(3), "{err}");
        let lines: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
        assert!(lines.iter().all(|l| l.starts_with("differs  ")), "{lines:?}");
        for kept in self.kept() {
            fs::remove_dir_all(kept).unwrap();
        }
        (lines, err)
    }
}

fn change(path: &Path, with: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let old = fs::read(path).unwrap();
    let mut new = old.clone();
    with(&mut new);
    fs::write(path, new).unwrap();
    old
}

#[test]
fn a_rebuild_names_what_differs_and_writes_nothing() {
    let lab = Lab::built();
    let before = lab.all();
    let out = lab.run(&["build", "--rebuild", "plan9n1", "plan9n2", "--json"]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["plan9n1.qcow2", "plan9n1.ova", "plan9n2.qcow2", "plan9n2.ova", "manifest.json"]);
    assert!(json.as_array().unwrap().iter().all(|c| c["same"] == true && c["rebuilt"].is_null()));
    assert!(lab.all() == before && lab.kept().is_empty(), "a rebuild leaves no trace");

    // One byte, in the middle.
    let image = lab.path("output/plan9n1.qcow2");
    let old = change(&image, |b| b[1000] ^= 0x5a);
    let out = lab.run(&["build", "--rebuild", "plan9n1", "plan9n2"]);
    assert_eq!(out.status.code(), Some(3));
    let (text, err) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    let line = text.lines().find(|l| l.starts_with("differs")).unwrap();
    assert!(line.contains("plan9n1.qcow2: byte 1000 is ") && !line.contains("SHA256SUMS"), "{line}");
    assert_eq!(text.lines().filter(|l| l.starts_with("same")).count(), 4);
    let kept = lab.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(kept[0].join("plan9n1.qcow2")).unwrap(), old);
    assert!(!kept[0].join("plan9n1.ova").exists(), "what is equal is not kept");
    assert!(err.contains("p9img diff output/plan9n1.qcow2"), "{err}");
    fs::remove_dir_all(&kept[0]).unwrap();
    assert_eq!(change(&image, |b| *b = old.clone())[1000] ^ 0x5a, old[1000], "the rebuild left it as it was");

    // Bytes too many, bytes too few, no file at all.
    change(&image, |b| b.push(0));
    let (lines, _) = lab.differs(&["plan9n1"]);
    assert!(lines.len() == 1 && lines[0].contains("1 more than the rebuilt one"), "{lines:?}");
    change(&image, |b| b.truncate(old.len() - 7));
    let (lines, _) = lab.differs(&["plan9n1"]);
    assert!(lines.len() == 1 && lines[0].contains("7 fewer than the rebuilt one"), "{lines:?}");
    fs::remove_file(&image).unwrap();
    let (lines, err) = lab.differs(&["plan9n1"]);
    assert!(lines[0].contains("plan9n1.qcow2: it is missing"), "{lines:?}");
    assert!(!err.contains("p9img diff output/plan9n1.qcow2"), "there is nothing to compare: {err}");
    fs::write(&image, &old).unwrap();

    // The records.
    let sums = lab.path("output/SHA256SUMS");
    let good = change(&sums, |b| b[0] = if b[0] == b'0' { b'1' } else { b'0' });
    let (lines, _) = lab.differs(&["plan9n1"]);
    assert!(lines.len() == 1 && lines[0].contains("plan9n1.ova: SHA256SUMS says "), "{lines:?}");
    fs::write(&sums, good).unwrap();
    let manifest = lab.path("output/manifest.json");
    let good = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, good.replacen("\"probe\": \"", "\"probe\": \"1", 1)).unwrap();
    let (lines, _) = lab.differs(&["plan9n1"]);
    assert!(lines.len() == 1 && lines[0].contains("manifest.json: line "), "{lines:?}");
    assert!(lines[0].contains("probe"), "{lines:?}");
    fs::write(&manifest, good).unwrap();

    // Other inputs, other bytes: the medium's epoch reaches every disk.
    let toml = fs::read_to_string(lab.path("lab.toml")).unwrap();
    fs::write(lab.path("lab.toml"), toml.replacen("512 MiB", "256 MiB", 1)).unwrap();
    let (lines, _) = lab.differs(&["plan9n1"]);
    assert!(lines.iter().any(|l| l.contains("plan9n1.ova: byte ")), "{lines:?}");
    assert!(!lines.iter().any(|l| l.contains("plan9n1.qcow2")), "memory is the OVA's alone: {lines:?}");
}

#[test]
fn without_the_passwords_there_is_nothing_to_compare() {
    let lab = Lab::built();
    fs::remove_file(lab.path("secrets.toml")).unwrap();
    let before = lab.all();
    let out = lab.run(&["build", "--rebuild"]);
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{err}");
    assert!(err.contains("lacks passwords of the lab"), "{err}");
    assert!(lab.all() == before, "no new passwords are drawn");
}

/// A medium that is not the sample, though it is a copy of it.
fn medium(lab: &Lab) -> String {
    let path = lab.path("real");
    p9img_test::folder::copy_tree(&p9img_test::repository("media/sample"), &path);
    path.to_str().unwrap().to_owned()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn manifest(lab: &Lab) -> serde_json::Value {
    serde_json::from_slice(&fs::read(lab.path("output/manifest.json")).unwrap()).unwrap()
}

#[test]
fn a_build_makes_again_what_the_command_line_chose_last_time() {
    let lab = Lab(p9img_test::Lab::default_lab());
    let medium = medium(&lab);
    let build = ["build", "plan9n1"];
    let chosen = lab.run(&[&build[..], &["--media", "./real", "--format", "raw"]].concat());
    assert!(chosen.status.success(), "{}", said(&chosen));
    assert_eq!(manifest(&lab)["inputs"]["lab"]["medium"], "real");

    // A rebuild compares what there is, and leaves nothing.
    let again = lab.run(&["build", "--rebuild"]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let compared = String::from_utf8_lossy(&again.stdout);
    assert_eq!(compared.lines().count(), 2, "the image and the manifest: {compared}");
    assert!(lab.kept().is_empty());

    // Neither a build nor a plan goes back to the sample, from wherever it is run.
    let before = fs::read(lab.path("output/plan9n1.img")).unwrap();
    let plain = lab.run(&build);
    assert!(plain.status.success() && said(&plain).contains(&format!("the medium is {medium}")), "{}", said(&plain));
    assert!(
        said(&plain).contains("--media sample") && said(&plain).contains("the formats are raw"),
        "{}",
        said(&plain)
    );
    assert!(fs::read(lab.path("output/plan9n1.img")).unwrap() == before);
    assert!(!lab.path("output/plan9n1.qcow2").exists());
    let plan = lab.run(&["plan", "plan9n1"]);
    assert!(String::from_utf8_lossy(&plan.stdout).contains("medium    real"), "{}", said(&plan));
    let file = lab.path("lab.toml");
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_p9img"))
        .args(["--lab", file.to_str().unwrap(), "build", "plan9n1"])
        .current_dir("/")
        .output()
        .unwrap();
    assert!(elsewhere.status.success(), "{}", said(&elsewhere));
    assert_eq!(manifest(&lab)["inputs"]["lab"]["medium"], "real");

    // A later change of lab.toml takes precedence over earlier options.
    lab.set("lab.formats", vec!["qcow2"]);
    let edited = lab.run(&build);
    assert!(edited.status.success() && said(&edited).contains("the last `--format raw` is forgotten"), "{edited:?}");
    assert!(said(&edited).contains("plan9n1.img: left by an earlier build"), "{}", said(&edited));
    assert_eq!(manifest(&lab)["artifacts"]["plan9n1.img"]["stale"], true);
    assert!(manifest(&lab)["artifacts"]["plan9n1.qcow2"]["stale"].is_null());

    // Without the memory, nobody chose the sample.
    fs::remove_file(lab.path("output/.p9img.choices")).unwrap();
    let image = fs::read(lab.path("output/plan9n1.qcow2")).unwrap();
    let refused = lab.run(&build);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    for words in ["plan9n1", "medium real", "--media PATH", "--media sample"] {
        assert!(said(&refused).contains(words), "{words}: {}", said(&refused));
    }
    assert!(fs::read(lab.path("output/plan9n1.qcow2")).unwrap() == image);
    assert!(lab.run(&[&build[..], &["--media", "sample"]].concat()).status.success());
    assert!(lab.run(&build).status.success(), "chosen once, it needs no more to be said");
    assert_eq!(manifest(&lab)["inputs"]["lab"]["medium"], "sample");
}

#[test]
fn a_failed_build_forgets_its_choices() {
    let lab = Lab(p9img_test::Lab::default_lab());
    assert!(lab.run(&["build", "plan9n1", "--format", "raw"]).status.success());
    let before = fs::read(lab.path("output/.p9img.choices")).unwrap();
    // The image cannot get its name: a folder has it.
    fs::create_dir_all(lab.path("output/plan9n1.qcow2/x")).unwrap();
    let failed = lab.run(&["build", "plan9n1", "--format", "qcow2"]);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert!(fs::read(lab.path("output/.p9img.choices")).unwrap() == before);
}

#[test]
fn images_of_nodes_that_are_gone_are_named_and_pruned() {
    let lab = Lab(p9img_test::Lab::default_lab());
    assert!(lab.run(&["build", "plan9n1", "plan9n2", "plan9n3", "--format", "raw"]).status.success());
    let toml = fs::read_to_string(lab.path("lab.toml")).unwrap();
    for (from, to) in [("\"plan9n2\"", "\"other2\""), ("\"plan9n3\"", "\"other3\"")] {
        assert!(toml.contains(from));
        p9img_test::folder::edit(&lab.path("lab.toml"), from, to);
    }
    let built = lab.run(&["build", "plan9n1"]);
    assert!(said(&built).contains("plan9n2.img, plan9n3.img: left by an earlier build"), "{}", said(&built));
    assert!(lab.path("output/plan9n2.img").exists());
    // A second build, which has nothing to do, says it as well.
    assert!(said(&lab.run(&["build", "plan9n1"])).contains("plan9n2.img, plan9n3.img: left"));

    // Files that p9img did not make, or that were changed since, stay.
    fs::write(lab.path("output/plan9n2.qcow2"), "mine").unwrap();
    change(&lab.path("output/plan9n3.img"), |b| b[0] ^= 1);
    let pruned = lab.run(&["build", "plan9n1", "--prune"]);
    assert!(pruned.status.success() && said(&pruned).contains("removed output/plan9n2.img"), "{}", said(&pruned));
    assert!(said(&pruned).contains("plan9n3.img stays: it was changed after"), "{}", said(&pruned));
    assert!(!lab.path("output/plan9n2.img").exists());
    for there in ["plan9n1.img", "plan9n2.qcow2", "plan9n3.img"] {
        assert!(lab.path("output").join(there).exists(), "{there}");
    }
    let sums = fs::read_to_string(lab.path("output/SHA256SUMS")).unwrap();
    assert!(!sums.contains("plan9n2") && sums.contains("plan9n1.img"), "{sums}");
    assert!(manifest(&lab)["artifacts"]["plan9n2.img"].is_null());
    assert_eq!(lab.run(&["build", "--rebuild"]).status.code(), Some(0), "leftovers are not compared");
}

#[test]
fn an_epoch_of_the_environment_is_named_recorded_and_rebuilt() {
    let lab = Lab(p9img_test::Lab::default_lab());
    let build = |args: &[&str], epoch: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
        command.args(args).current_dir(lab.dir()).env_remove("SOURCE_DATE_EPOCH");
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        command.output().unwrap()
    };
    let set = build(&["build", "plan9n2"], Some("315532800"));
    let words = "SOURCE_DATE_EPOCH is 315532800 (1980-01-01 00:00:00): it replaces the lab's epoch, 1767225600";
    assert!(set.status.success() && said(&set).contains(words), "{}", said(&set));
    assert_eq!(manifest(&lab)["epoch_from"], "SOURCE_DATE_EPOCH");
    // A rebuild outside of that shell takes the epoch that the images have.
    let again = build(&["build", "--rebuild"], None);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(said(&again).contains("the epoch is 315532800"), "{}", said(&again));
    // A build does not, and says so.
    let back = build(&["build", "plan9n2"], None);
    assert!(back.status.success() && said(&back).contains("which is not set now"), "{}", said(&back));
    assert!(manifest(&lab)["epoch_from"].is_null());
    // One that changes nothing is not worth a word.
    let equal = build(&["build", "plan9n2"], Some("1767225600"));
    assert!(equal.status.success() && !said(&equal).contains("SOURCE_DATE_EPOCH"), "{}", said(&equal));
    assert!(manifest(&lab)["epoch_from"].is_null());
}

#[test]
fn images_with_keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab(p9img_test::Lab::default_lab());
    let shell = |umask: &str| {
        let script = format!("umask {umask}; exec \"$0\" build plan9n1");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_p9img")]).current_dir(lab.dir()).output().unwrap()
    };
    let mode = |name: &str| fs::metadata(lab.path(name)).unwrap().permissions().mode() & 0o777;
    let first = shell("000");
    assert!(
        first.status.success() && said(&first).contains("keys of the lab are in plan9n1.qcow2, plan9n1.ova: only you"),
        "{}",
        said(&first)
    );
    assert_eq!([mode("output"), mode("output/plan9n1.qcow2"), mode("output/plan9n1.ova")], [0o700, 0o600, 0o600]);
    assert_eq!(mode("output/SHA256SUMS"), 0o666, "no secret is in it");
    assert!(!said(&shell("000")).contains("keys of the lab"), "said once");
    fs::set_permissions(lab.path("output/plan9n1.ova"), fs::Permissions::from_mode(0o644)).unwrap();
    let given = shell("022");
    assert!(said(&given).contains("keys of the lab are in plan9n1.ova, which others"), "{}", said(&given));
    assert_eq!(mode("output/plan9n1.ova"), 0o644, "what the user chose stays");
}

#[test]
fn a_file_size_limit_is_named_and_leaves_nothing() {
    let lab = Lab(p9img_test::Lab::default_lab());
    let script = "ulimit -f 2000; exec \"$0\" build plan9n1 --format raw";
    let out =
        Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_p9img")]).current_dir(lab.dir()).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(said(&out).contains("`ulimit -f`"), "{}", said(&out));
    assert!(lab.all().keys().all(|path| !path.to_string_lossy().contains("plan9n1")), "{:?}", lab.all().keys());
}
