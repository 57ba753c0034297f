//! A build writes what has changed and nothing else; and never calls a file
//! right that is not. `p9img secrets` and what it makes to be built again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        Self(p9img_test::Lab::default_lab())
    }
    /// A lab with a medium that is a folder.
    fn with_medium() -> Self {
        let lab = Self::new();
        p9img_test::folder::copy_tree(&p9img_test::repository("media/sample"), &lab.path("medium"));
        fs::write(lab.path("medium/lib/words"), "one two three\n".repeat(20_000)).unwrap();
        lab.set("media.own.path", "medium");
        lab.set("lab.medium", "own");
        later();
        lab
    }
    /// Writes a file and gives it the modification time that it had.
    fn write_hidden(&self, file: &str, bytes: &[u8]) {
        let path = self.path(file);
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    }
    /// Whether a build finds that there is nothing to do, without looking further.
    fn does_nothing(&self) -> bool {
        let before = self.inodes();
        self.good(&["build", "--all"]);
        self.inodes() == before
    }
    fn edit(&self, file: &str, from: &str, to: &str) {
        p9img_test::folder::edit(&self.path(file), from, to);
    }
    /// Builds all and returns the names of what was written. Compares the whole
    /// folder with one that is built from nothing.
    fn written(&self) -> Vec<String> {
        let inodes = self.inodes();
        let json: serde_json::Value = self.json(&["build", "--all", "--json"]);
        let now = self.inodes();
        let mut written = Vec::new();
        for report in json.as_array().unwrap() {
            let name = Path::new(report["path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
            let kept = report["kept"].as_bool().unwrap();
            assert_eq!(kept, inodes.get(&name) == now.get(&name), "{name}");
            if !kept {
                written.push(name);
            }
        }
        let fresh = self.path("fresh");
        let _ = fs::remove_dir_all(&fresh);
        self.good(&["build", "--all", "--quiet", "--out", "fresh"]);
        assert!(fresh.join("index.html").exists());
        for name in self.inodes().keys() {
            assert!(fs::read(fresh.join(name)).unwrap() == fs::read(self.path("output").join(name)).unwrap(), "{name}");
        }
        written
    }
    fn inodes(&self) -> BTreeMap<String, u64> {
        let Ok(dir) = fs::read_dir(self.path("output")) else { return BTreeMap::new() };
        let all = dir.map(|e| e.unwrap()).map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().ino()));
        all.filter(|(name, _)| !name.starts_with('.')).collect()
    }
}

/// So long that what was written before can be told from what comes after.
fn later() {
    std::thread::sleep(std::time::Duration::from_millis(60));
}

fn images(nodes: &[u8]) -> Vec<String> {
    nodes.iter().flat_map(|n| [format!("plan9n{n}.qcow2"), format!("plan9n{n}.ova")]).collect()
}

#[test]
fn only_what_changed_is_written() {
    let lab = Lab::new();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    assert!(lab.written().is_empty());
    let out = lab.run(&["build", "--all"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("8 of 8 artifacts unchanged and complete"));

    // Memory is a matter of the machine's description, which only an OVA has.
    lab.edit("lab.toml", "512 MiB", "256 MiB");
    assert_eq!(lab.written(), [1, 2, 3, 4].map(|n| format!("plan9n{n}.ova")));

    // One of one node's files.
    lab.edit("lab.toml", "10.9.0.13", "10.9.0.33");
    assert!(lab.written().contains(&"plan9n3.qcow2".to_owned()));
}

#[test]
fn a_file_that_was_touched_is_written_again() {
    let lab = Lab::new();
    lab.written();
    // A byte is other, at the same length and with the time of before.
    let file = lab.path("output/plan9n2.qcow2");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();
    assert_eq!(lab.written(), ["plan9n2.qcow2"]);
    // Shorter; gone; a link to the same bytes elsewhere.
    fs::File::options().write(true).open(&file).unwrap().set_len(100).unwrap();
    fs::remove_file(lab.path("output/plan9n3.ova")).unwrap();
    fs::rename(lab.path("output/plan9n4.ova"), lab.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(lab.path("elsewhere"), lab.path("output/plan9n4.ova")).unwrap();
    assert_eq!(lab.written(), ["plan9n2.qcow2", "plan9n3.ova", "plan9n4.ova"]);
    assert!(lab.path("elsewhere").exists());
    // The lists and the page are made again for artifacts that stay.
    fs::remove_file(lab.path("output/SHA256SUMS")).unwrap();
    fs::remove_file(lab.path("output/index.html")).unwrap();
    assert!(lab.written().is_empty());
    // A manifest that says nothing of the disk, or lies about it, keeps nothing.
    let manifest = lab.path("output/manifest.json");
    fs::write(&manifest, "{}").unwrap();
    assert_eq!(lab.written().len(), 8);
    let text = fs::read_to_string(&manifest).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mark = |name: &str| json["artifacts"][name]["mark"].as_str().unwrap().to_owned();
    fs::write(&manifest, text.replacen(&mark("plan9n1.ova"), &mark("plan9n2.ova"), 1)).unwrap();
    assert_eq!(lab.written(), ["plan9n1.ova"]);
}

/// Whatever is planted, and however it is hidden, the next build is right.
#[test]
fn no_change_of_an_unchanged_looking_medium_is_missed() {
    let lab = Lab::with_medium();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    assert!(lab.does_nothing() && lab.written().is_empty());
    // A byte of a file, at the same length and with the time of before.
    let words = fs::read_to_string(lab.path("medium/lib/words")).unwrap();
    lab.write_hidden("medium/lib/words", words.replacen("two", "TWO", 1).as_bytes());
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    later();
    // Built while the file was too young to be believed: read once more.
    assert!(lab.written().is_empty() && lab.does_nothing());
    // Another file in its place, older, with its length and time.
    let path = lab.path("medium/lib/words");
    fs::copy(&path, lab.path("copy")).unwrap();
    lab.write_hidden("medium/lib/words", words.as_bytes());
    later();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::rename(lab.path("copy"), &path).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    // The clock was set back: the file is of the future.
    later();
    assert!(lab.written().is_empty() && lab.does_nothing());
    let future = std::time::SystemTime::now() + std::time::Duration::from_secs(5000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(future).unwrap();
    assert!(!lab.does_nothing() && !lab.does_nothing());
    assert!(lab.written().is_empty());
    // Written and built again at once, many times: within a tick, too.
    for i in 0..4 {
        fs::write(&path, words.replacen("one", &format!("{i:03}"), 1)).unwrap();
        assert_eq!(lab.written(), images(&[1, 2, 3, 4]), "{i}");
    }
    // A file that is new, and one that is gone.
    fs::write(lab.path("medium/lib/new"), "x").unwrap();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    fs::remove_file(lab.path("medium/lib/new")).unwrap();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
}

#[test]
fn what_was_remembered_may_be_damaged_or_gone() {
    let lab = Lab::with_medium();
    lab.written();
    assert!(lab.does_nothing());
    let memory = lab.path("output/.p9img.memory");
    let good = fs::read(&memory).unwrap();
    for part in 0..6 {
        let mut bad = good.clone();
        let at = part * (good.len() - 1) / 5;
        bad[at] ^= 1 << (part % 8);
        fs::write(&memory, bad).unwrap();
        assert!(!lab.does_nothing(), "byte {at} of {}", good.len());
        assert!(lab.does_nothing());
    }
    fs::write(&memory, &good[..good.len() / 2]).unwrap();
    assert!(lab.written().is_empty());
    // An old memory, with newer artifacts.
    lab.edit("lab.toml", "10.9.0.13", "10.9.0.33");
    lab.written();
    fs::write(&memory, &good).unwrap();
    assert!(lab.written().is_empty());
    lab.edit("lab.toml", "10.9.0.33", "10.9.0.13");
    fs::write(&memory, &good).unwrap();
    assert!(!lab.written().is_empty());
    // Without it, everything is looked at, and nothing written.
    fs::remove_file(&memory).unwrap();
    assert!(lab.written().is_empty());
    // Each list is made again, whatever changed it.
    for list in ["SHA256SUMS", "manifest.json", "index.html"] {
        let text = fs::read_to_string(lab.path("output").join(list)).unwrap();
        lab.write_hidden(&format!("output/{list}"), text.replacen('a', "b", 1).as_bytes());
        lab.run(&["build", "--all"]);
        lab.good(&["build", "--all"]);
        assert!(fs::read_to_string(lab.path("output").join(list)).unwrap() == text, "{list}");
    }
    // A bit of an artifact, at every hidden time.
    let image = lab.path("output/plan9n3.ova");
    for part in 1..4 {
        assert!(lab.does_nothing());
        let mut bytes = fs::read(&image).unwrap();
        let at = part * bytes.len() / 4;
        bytes[at] ^= 1;
        lab.write_hidden("output/plan9n3.ova", &bytes);
        assert_eq!(lab.written(), ["plan9n3.ova"]);
    }
}

/// A file of a medium: only the nodes that are built from it are written.
#[test]
fn a_changed_medium_makes_only_its_nodes_to_be_built() {
    let lab = Lab::with_medium();
    p9img_test::folder::copy_tree(&lab.path("medium"), &lab.path("second"));
    lab.set("media.second.path", "second");
    lab.set("plan9n2.medium", "second");
    later();
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    assert!(lab.does_nothing());
    let words = "two three one\n".repeat(20_000);
    lab.write_hidden("second/lib/words", words.as_bytes());
    assert_eq!(lab.written(), images(&[2]));
    later();
    assert!(lab.written().is_empty() && lab.does_nothing());
    lab.write_hidden("medium/lib/words", words.as_bytes());
    assert_eq!(lab.written(), images(&[1, 3, 4]));
    later();
    assert!(lab.written().is_empty() && lab.does_nothing());
    // Both are equal now: it makes no difference which one a node is built from.
    lab.unset("plan9n2.medium");
    assert!(!lab.does_nothing());
    assert!(lab.written().iter().all(|file| file.starts_with("plan9n2")));
}

/// A role's file: only the nodes that have the role are written.
#[test]
fn a_changed_role_file_makes_only_its_nodes_to_be_built() {
    let lab = Lab::with_medium();
    p9img_test::folder::copy_tree(&p9img_test::repository("roles/venti"), &lab.path("roles/venti"));
    let toml = lab.path("roles/venti/role.toml");
    let mut text = fs::read_to_string(&toml).unwrap();
    text += "\n[[file]]\npath = \"lib/note\"\nsource = \"note\"\n";
    fs::write(&toml, text).unwrap();
    fs::write(lab.path("roles/venti/note"), "first\n").unwrap();
    lab.written();
    assert!(lab.does_nothing());
    lab.write_hidden("roles/venti/note", b"other\n");
    assert_eq!(lab.written(), images(&[4]));
    assert!(lab.does_nothing());
}

#[test]
fn rotation_makes_only_the_nodes_concerned_to_be_built() {
    let lab = Lab::new();
    lab.good(&["secrets", "create"]);
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    let glenda = lab.good(&["secrets", "show", "glenda"]);
    let out = lab.run(&["secrets", "rotate", "glenda"]);
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("to be built again: plan9n1 ("), "{out:?}");
    assert_ne!(lab.good(&["secrets", "show", "glenda"]), glenda);
    assert_eq!(lab.written(), images(&[1]));
    let owner = lab.good(&["secrets", "show", "bootes"]);
    let out = lab.run(&["secrets", "rotate", "bootes"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("plan9n1 plan9n2 plan9n3 plan9n4 ("), "{said}");
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    lab.good(&["secrets", "rotate", "--all"]);
    assert_eq!(lab.written(), images(&[1, 2, 3, 4]));
    // No old or new password was said or is in a list.
    let manifest =
        ["manifest.json", "index.html"].map(|f| fs::read_to_string(lab.path("output").join(f)).unwrap()).concat();
    for name in ["bootes", "glenda"] {
        let password = lab.good(&["secrets", "show", name]);
        assert!(!said.contains(password.trim()) && !manifest.contains(password.trim()));
    }
    assert!(!said.contains(owner.trim()));
}

/// A node without nvram or key file does not depend on any password.
#[test]
fn a_node_without_secrets_stays_when_all_are_rotated() {
    let lab = Lab::new();
    lab.set("plan9n2.roles", vec!["terminal"]);
    lab.written();
    let out = lab.run(&["secrets", "rotate", "--all"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("built again: plan9n1 plan9n3 plan9n4 ("), "{out:?}");
    assert_eq!(lab.written(), images(&[1, 3, 4]));
}

#[test]
fn secrets_are_created_listed_and_shown() {
    let lab = Lab::new();
    lab.refuses(&["secrets", "show", "bootes"], 1, &["no secrets yet", "p9img secrets create", "secrets.toml"]);
    lab.refuses(&["secrets", "list"], 1, &["no secrets yet"]);
    lab.refuses(&["secrets", "rotate", "--all"], 1, &["no secrets yet"]);
    lab.refuses(&["secrets", "rotate"], 2, &["NAMES"]);
    assert!(!lab.path("secrets.toml").exists());
    assert!(lab.good(&["secrets", "create"]).contains("made passwords for bootes, glenda in"));
    assert_eq!(fs::metadata(lab.path("secrets.toml")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(lab.good(&["secrets", "create"]).contains("has all passwords that the lab needs"));
    assert_eq!(lab.good(&["secrets", "list"]), "bootes\nglenda\n");
    let text = fs::read_to_string(lab.path("secrets.toml")).unwrap();
    let shown = lab.good(&["secrets", "show", "glenda"]);
    assert!(text.contains(&format!("\"glenda\" = \"{}\"\n", shown.strip_suffix('\n').unwrap())));
    lab.refuses(&["secrets", "show", "glendda"], 2, &["glendda", "bootes, glenda"]);
    lab.refuses(&["secrets", "rotate", "glenda", "glendda"], 2, &["glendda", "bootes, glenda"]);
    assert_eq!(fs::read_to_string(lab.path("secrets.toml")).unwrap(), text);
    // A user who is new to the lab.
    lab.edit("lab.toml", "[network]", "[[user]]\nname = \"ken\"\n\n[network]");
    lab.refuses(&["secrets", "show", "ken"], 2, &["ken has no password yet", "secrets create"]);
    let out = lab.run(&["secrets", "list"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "bootes\nglenda\n");
    assert!(String::from_utf8_lossy(&out.stderr).contains("no password yet for ken"));
    assert!(lab.good(&["secrets", "create"]).contains("added ken to"));
    assert_eq!(lab.good(&["secrets", "show", "glenda"]), shown);
}

#[test]
fn secrets_that_cannot_be_used_are_refused() {
    let lab = Lab::new();
    lab.good(&["secrets", "create"]);
    let file = lab.path("secrets.toml");
    let password = lab.good(&["secrets", "show", "bootes"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let all: [&[&str]; 5] = [
        &["secrets", "show", "bootes"],
        &["secrets", "list"],
        &["secrets", "create"],
        &["secrets", "rotate", "--all"],
        &["build", "--all"],
    ];
    for args in all {
        lab.refuses(args, 1, &["0644", "chmod 600"]);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    lab.edit("secrets.toml", "hostowner = \"", "hostowner = ");
    for args in all {
        lab.refuses(args, 1, &["secrets.toml:5: This is not TOML"]);
        let err = String::from_utf8(lab.run(args).stderr).unwrap();
        assert!(!err.contains(password.trim()), "{err}");
    }
}

/// A build that fails makes no passwords, and a plan never does.
#[test]
fn secrets_are_made_when_nothing_else_is_wrong() {
    let lab = Lab::new();
    lab.set("defaults.disk", "64 MiB");
    for args in [&["build", "--all"][..], &["build", "plan9n9"], &["build", "--all", "--media", "nowhere"]] {
        assert!(!lab.run(args).status.success());
        assert!(!lab.path("secrets.toml").exists(), "{args:?}");
    }
    lab.set("defaults.disk", "2 GiB");
    lab.good(&["plan"]);
    fs::write(lab.path("file"), "").unwrap();
    assert!(!lab.run(&["build", "--all", "--out", "file/sub"]).status.success());
    assert!(!lab.path("secrets.toml").exists());
    lab.good(&["build", "plan9n2"]);
    assert!(lab.path("secrets.toml").exists());
}
