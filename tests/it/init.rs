//! `p9img init`: what a new lab is built from, and what is refused before
//! anything is made.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Files by which a tree is 9front and can start PCs of 64 bits.
const FRONT: [&str; 8] = [
    "sys/lib/sysconfig/proto/distproto",
    "rc/bin/cpurc",
    "386/mbr",
    "386/pbs",
    "386/9bootfat",
    "amd64/9pc64",
    "amd64/init",
    "amd64/bin/ls",
];

fn p9img(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
    command.current_dir(dir).env("P9IMG_CACHE", dir.join("cache")).args(args).output().unwrap()
}

fn good(dir: &Path, args: &[&str]) -> String {
    let output = p9img(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

fn refused(dir: &Path, args: &[&str], code: i32) -> String {
    let output = p9img(dir, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

fn lab(dir: &Path) -> toml::Table {
    fs::read_to_string(dir.join("lab.toml")).unwrap().parse().unwrap()
}

fn front(dir: &Path, without: &str) {
    for file in FRONT.iter().filter(|f| **f != without) {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "sys\td775\n").unwrap();
    }
}

#[test]
fn a_lab_of_a_medium_names_it_from_its_own_folder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    front(&dir.join("tree"), "");
    let said = good(dir, &["init", "labs/mine", "--medium", "tree"]);
    assert!(said.contains("next: `cd labs/mine`, `p9img build --all`, then `p9img up`"), "{said}");
    let made = lab(&dir.join("labs/mine"));
    assert_eq!(made["lab"]["medium"].as_str(), Some("9front"));
    assert_eq!(made["media"]["9front"]["path"].as_str(), Some("../../tree"));
    assert_eq!(made["defaults"]["arch"].as_str(), Some("amd64"));
    good(dir, &["--lab", "labs/mine/lab.toml", "check"]);

    // An absolute path stays one; a link is named as it was typed.
    let whole = dir.join("tree").canonicalize().unwrap();
    good(dir, &["init", "absolute", "--medium", whole.to_str().unwrap()]);
    assert_eq!(lab(&dir.join("absolute"))["media"]["9front"]["path"].as_str(), whole.to_str());
    fs::create_dir(dir.join("here")).unwrap();
    std::os::unix::fs::symlink(&whole, dir.join("here/link")).unwrap();
    good(dir, &["init", "linked", "--medium", "here/link"]);
    assert_eq!(lab(&dir.join("linked"))["media"]["9front"]["path"].as_str(), Some("../here/link"));
}

#[test]
fn a_lab_of_a_release_needs_no_place() {
    let dir = tempfile::tempdir().unwrap();
    for (name, arch) in [("9legacy", "386"), ("9front-11554", "amd64"), ("9front-11554-386", "386")] {
        good(dir.path(), &["init", name, "--medium", name]);
        let made = lab(&dir.path().join(name));
        assert_eq!((made["lab"]["medium"].as_str(), made.get("media")), (Some(name), None));
        assert_eq!(made["defaults"]["arch"].as_str(), Some(arch));
        good(dir.path(), &["--lab", &format!("{name}/lab.toml"), "check"]);
    }
}

#[test]
fn a_lab_of_the_sample_says_what_that_is() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["init", "a"][..], &["init", "b", "--medium", "sample"]] {
        let said = good(dir.path(), args);
        assert!(said.contains("is not Plan 9; `p9img init DIR --medium PATH` makes a lab of Plan 9"), "{said}");
    }
}

#[test]
fn what_cannot_be_built_from_is_refused_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    front(&dir.join("kernelless"), "amd64/9pc64");
    fs::create_dir(dir.join("empty")).unwrap();
    let said = refused(dir, &["init", "new", "--medium", "kernelless"], 1);
    assert!(said.contains("No PC can be built from kernelless, which is 9front: "), "{said}");
    assert!(said.contains("It has no amd64/9pc64, the kernel of "), "{said}");
    let said = refused(dir, &["init", "new", "--medium", "empty"], 1);
    assert!(said.contains("empty"), "{said}");
    let said = refused(dir, &["init", "new", "--medium", "9legcy"], 2);
    assert!(
        said.contains("There is no file or folder 9legcy, and no release of that name; known releases are 9legacy,")
    );
    let said = refused(dir, &["init", "new", "--medium", "https://example.org/a.iso"], 2);
    assert!(said.contains("`p9img media add NAME https://example.org/a.iso`"), "{said}");
    let said = refused(dir, &["init", "new", "--medium", "9front-11554-arm64-qcow2"], 2);
    assert!(
        said.contains("is for QEMU's ARM machine, but a new lab has PCs") && said.contains("`board = \"virt\"`"),
        "{said}"
    );
    assert!(!dir.join("new").exists());

    good(dir, &["init", "old"]);
    let before = fs::read(dir.join("old/lab.toml")).unwrap();
    let said = refused(dir, &["init", "old", "--medium", "9legacy"], 1);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(fs::read(dir.join("old/lab.toml")).unwrap(), before);
}
