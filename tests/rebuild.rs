//! `p9img build --rebuild`: nothing differs from a build of the same inputs,
//! and everything that does is named. It writes nothing where artifacts are.

#[expect(dead_code, reason = "shared with other tests")]
mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Lab(tempfile::TempDir);

impl Lab {
    fn built() -> Self {
        let lab = Self(folder::default_lab());
        assert!(lab.run(&["build", "plan9n1", "plan9n2"]).status.success());
        lab
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_p9img")).args(args).current_dir(self.0.path()).output().unwrap()
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
        fs::read_dir(self.0.path()).unwrap().map(Result::unwrap).filter(rebuilt).map(|e| e.path()).collect()
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
    fs::write(&manifest, good.replacen("\"zlib_level\": ", "\"zlib_level\": 1", 1)).unwrap();
    let (lines, _) = lab.differs(&["plan9n1"]);
    assert!(lines.len() == 1 && lines[0].contains("manifest.json: line "), "{lines:?}");
    assert!(lines[0].contains("zlib_level"), "{lines:?}");
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
    assert!(err.contains("passwords are missing"), "{err}");
    assert!(lab.all() == before, "no new passwords are drawn");
}
