use super::super::Medium;
use super::*;
use crate::skip::skipped;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const FILES: [&str; 6] = ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc", "sys/big", "lib/other"];

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    /// A bare repository with the files by which 9legacy is known; none if
    /// there is no git.
    fn new(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { store: Store::at(dir.path().join("store")), dir };
        if Command::new("git").arg("--version").output().is_err() {
            let required = std::env::var_os("P9IMG_REQUIRE_TOOLS").is_some_and(|v| v == "1");
            assert!(!required, "git is required but not installed");
            skipped(format_args!("{test}: no git"));
            return None;
        }
        let work = place.dir.path().join("work");
        for path in FILES {
            fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
            fs::write(work.join(path), path.repeat(1000)).unwrap();
        }
        std::os::unix::fs::symlink("mbr", work.join("386/soft")).unwrap();
        std::os::unix::fs::symlink("rc/bin", work.join("bin")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(work.join("rc/bin/cpurc"), executable).unwrap();
        place.git(&["init", "-q", "work"]);
        place.git(&["-C", "work", "add", "."]);
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        place.git(&[&["-C", "work"], &who[..], &["commit", "-q", "-m", "one"]].concat());
        place.git(&["clone", "-q", "--bare", "work", "bare"]);
        // As files of their own, so that a test can take some away.
        let pack = fs::read_dir(place.bare().join("objects/pack")).unwrap().map(|e| e.unwrap().path());
        let packs: Vec<_> = pack.filter(|p| p.extension().is_some_and(|e| e == "pack")).collect();
        for pack in packs {
            let moved = place.dir.path().join("moved.pack");
            fs::rename(pack, &moved).unwrap();
            let unpack = Command::new("git")
                .args(["--git-dir=bare", "unpack-objects", "-q"])
                .stdin(fs::File::open(moved).unwrap())
                .current_dir(place.dir.path())
                .status();
            assert!(unpack.unwrap().success());
        }
        Some(place)
    }

    fn git(&self, args: &[&str]) -> String {
        let out = Command::new("git").args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn bare(&self) -> PathBuf {
        self.dir.path().join("bare")
    }

    fn open(&self) -> Result<Medium, MediumError> {
        Medium::open("test", &self.bare(), 99, Some(&self.store))
    }

    /// Where the blob of a path is kept.
    fn blob(&self, path: &str) -> PathBuf {
        let id = self.git(&["--git-dir=bare", "rev-parse", &format!("HEAD:{path}")]);
        self.bare().join("objects").join(&id[..2]).join(&id[2..])
    }
}

#[test]
fn a_bare_repository_is_the_folder_that_it_checks_out() {
    let Some(place) = Place::new("a_bare_repository_is_the_folder_that_it_checks_out") else { return };
    let bare = place.open().unwrap();
    let folder = Medium::open("test", &place.dir.path().join("work"), 99, None).unwrap();
    assert_eq!(bare.tree.paths(), folder.tree.paths());
    for (a, b) in bare.tree.entries().iter().zip(folder.tree.entries()) {
        assert_eq!((&a.name, &a.meta), (&b.name, &b.meta));
        let bytes = |e: &crate::tree::Entry| e.content().map(|c| c.read_all().unwrap());
        assert_eq!(bytes(a), bytes(b), "{}", String::from_utf8_lossy(&a.name));
    }
    assert_eq!((bare.metadata_source, bare.notes), (folder.metadata_source, folder.notes));
    // What was read once is not asked for again.
    fs::remove_file(place.blob("sys/big")).unwrap();
    let again = place.open().unwrap();
    assert!(again.tree.find(b"sys/big").is_some() && again.notes.is_empty());
}

#[test]
fn missing_blobs_are_left_out_and_named_unless_nodes_start_with_them() {
    let Some(place) = Place::new("missing_blobs_are_left_out_and_named_unless_nodes_start_with_them") else { return };
    let (blob, kept) = (place.blob("sys/big"), place.dir.path().join("kept"));
    fs::rename(&blob, &kept).unwrap();
    let medium = place.open().unwrap();
    assert!(medium.tree.find(b"sys/big").is_none() && medium.tree.find(b"lib/other").is_some());
    assert!(medium.notes.len() == 1 && medium.notes[0].contains("sys/big"), "{:?}", medium.notes);
    // It comes, and with it the file.
    fs::rename(&kept, &blob).unwrap();
    let medium = place.open().unwrap();
    assert!(medium.tree.find(b"sys/big").is_some() && medium.notes.is_empty());

    fs::remove_dir_all(place.store.root()).unwrap();
    fs::remove_file(place.blob("386/mbr")).unwrap();
    let e = place.open().unwrap_err();
    assert!(matches!(&e, MediumError::Git { source: GitError::NoBootFile { path }, .. } if path == "386/mbr"), "{e}");
}

#[test]
fn damage_and_what_is_no_repository_are_refused() {
    let Some(place) = Place::new("damage_and_what_is_no_repository_are_refused") else { return };
    // Another blob's bytes under this one's id.
    let (blob, other) = (place.blob("sys/big"), place.blob("lib/other"));
    fs::remove_file(&blob).unwrap();
    fs::copy(&other, &blob).unwrap();
    let e = place.open().unwrap_err();
    assert!(matches!(e, MediumError::Git { .. }), "{e}");
    assert!(place.store.entries().unwrap().is_empty());

    fs::write(place.bare().join("HEAD"), "ref: refs/heads/none\n").unwrap();
    let e = place.open().unwrap_err();
    assert!(matches!(e, MediumError::Git { source: GitError::Says { .. }, .. }), "{e}");
    assert!(matches!(Medium::open("test", &place.bare(), 99, None), Err(MediumError::NoCache { .. })));
}
