use super::super::Medium;
use super::*;
use p9img_test::skip::skipped;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 6] = ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc", "sys/big", "lib/other"];

struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
}

impl Scratch {
    /// A bare repository with the files that mark 9legacy; none if
    /// there is no git.
    fn new(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Self { store: Store::at(dir.path().join("store")), dir };
        if Command::new("git").arg("--version").output().is_err() {
            let required = p9img_test::tools::required();
            assert!(!required, "git is required but not installed");
            skipped(format_args!("{test}: no git"));
            return None;
        }
        let work = scratch.dir.path().join("work");
        for path in FILES {
            fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
            fs::write(work.join(path), path.repeat(1000)).unwrap();
        }
        std::os::unix::fs::symlink("mbr", work.join("386/soft")).unwrap();
        std::os::unix::fs::symlink("rc/bin", work.join("bin")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(work.join("rc/bin/cpurc"), executable).unwrap();
        scratch.git(&["init", "-q", "work"]);
        scratch.git(&["-C", "work", "add", "."]);
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        scratch.git(&[&["-C", "work"], &who[..], &["commit", "-q", "-m", "one"]].concat());
        scratch.git(&["clone", "-q", "--bare", "work", "bare"]);
        // As files of their own, so that a test can take some away.
        let pack = fs::read_dir(scratch.bare().join("objects/pack")).unwrap().map(|e| e.unwrap().path());
        let packs: Vec<_> = pack.filter(|p| p.extension().is_some_and(|e| e == "pack")).collect();
        for pack in packs {
            let moved = scratch.dir.path().join("moved.pack");
            fs::rename(pack, &moved).unwrap();
            let unpack = Command::new("git")
                .args(["--git-dir=bare", "unpack-objects", "-q"])
                .stdin(fs::File::open(moved).unwrap())
                .current_dir(scratch.dir.path())
                .status();
            assert!(unpack.unwrap().success());
        }
        Some(scratch)
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

    fn id(&self, name: &str) -> String {
        self.git(&["--git-dir=bare", "rev-parse", name])
    }

    /// Path of an object.
    fn object(&self, name: &str) -> PathBuf {
        let id = self.id(name);
        self.bare().join("objects").join(&id[..2]).join(&id[2..])
    }

    /// Path of a file's blob.
    fn blob(&self, path: &str) -> PathBuf {
        self.object(&format!("HEAD:{path}"))
    }

    /// Reason why the git directory is refused.
    fn refused(&self) -> GitError {
        match self.open() {
            Err(MediumError::Git { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bare_repository_is_the_folder_that_it_checks_out() {
    let Some(scratch) = Scratch::new("a_bare_repository_is_the_folder_that_it_checks_out") else { return };
    let bare = scratch.open().unwrap();
    let folder = Medium::open("test", &scratch.dir.path().join("work"), 99, None).unwrap();
    assert_eq!(bare.tree.paths(), folder.tree.paths());
    for (a, b) in bare.tree.entries().iter().zip(folder.tree.entries()) {
        assert_eq!((&a.name, &a.meta), (&b.name, &b.meta));
        let bytes = |e: &crate::tree::Entry| e.content().map(|c| c.read_all().unwrap());
        assert_eq!(bytes(a), bytes(b), "{}", String::from_utf8_lossy(&a.name));
    }
    assert_eq!((bare.metadata_source, bare.notes), (folder.metadata_source, folder.notes));
    // What was read once is not asked for again.
    fs::remove_file(scratch.blob("sys/big")).unwrap();
    let again = scratch.open().unwrap();
    assert!(again.tree.find(b"sys/big").is_some() && again.notes.is_empty());
}

#[test]
fn missing_blobs_are_left_out_and_named_unless_nodes_start_with_them() {
    let Some(scratch) = Scratch::new("missing_blobs_are_left_out_and_named_unless_nodes_start_with_them") else {
        return;
    };
    let (blob, kept) = (scratch.blob("sys/big"), scratch.dir.path().join("kept"));
    fs::rename(&blob, &kept).unwrap();
    let medium = scratch.open().unwrap();
    assert!(medium.tree.find(b"sys/big").is_none() && medium.tree.find(b"lib/other").is_some());
    assert!(medium.notes.len() == 1 && medium.notes[0].contains("sys/big"), "{:?}", medium.notes);
    // It comes, and with it the file.
    fs::rename(&kept, &blob).unwrap();
    let medium = scratch.open().unwrap();
    assert!(medium.tree.find(b"sys/big").is_some() && medium.notes.is_empty());

    fs::remove_dir_all(scratch.store.root()).unwrap();
    fs::remove_file(scratch.blob("386/mbr")).unwrap();
    let e = scratch.open().unwrap_err();
    assert!(matches!(&e, MediumError::Git { source: GitError::NoBootFile { path }, .. } if path == "386/mbr"), "{e}");
}

#[test]
fn damage_and_what_is_no_repository_are_refused() {
    let Some(scratch) = Scratch::new("damage_and_what_is_no_repository_are_refused") else { return };
    // Another blob's bytes under this one's id.
    let (blob, other) = (scratch.blob("sys/big"), scratch.blob("lib/other"));
    fs::remove_file(&blob).unwrap();
    fs::copy(&other, &blob).unwrap();
    let e = scratch.open().unwrap_err();
    assert!(matches!(e, MediumError::Git { .. }), "{e}");
    assert!(scratch.store.entries().unwrap().is_empty());

    fs::write(scratch.bare().join("HEAD"), "ref: refs/heads/none\n").unwrap();
    let e = scratch.open().unwrap_err();
    assert!(matches!(e, MediumError::Git { source: GitError::NoCommit { .. }, .. }), "{e}");
    assert!(matches!(Medium::open("test", &scratch.bare(), 99, None), Err(MediumError::NoCache { .. })));
}

/// Writes an object under a name, which need not be its own.
fn write_object(at: &Path, kind: &str, bytes: &[u8]) {
    let _ = fs::remove_file(at);
    let mut file = flate2::write::ZlibEncoder::new(fs::File::create_new(at).unwrap(), flate2::Compression::fast());
    write!(file, "{kind} {}\0", bytes.len()).unwrap();
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

#[test]
fn an_object_under_the_name_of_another_is_refused_and_nothing_of_it_is_kept() {
    let Some(scratch) = Scratch::new("an_object_under_the_name_of_another_is_refused_and_nothing_of_it_is_kept") else {
        return;
    };
    let forged = |name: &str, kind: &'static str, bytes: &[u8]| {
        let (at, kept, id) = (scratch.object(name), scratch.dir.path().join("kept"), scratch.id(name));
        fs::rename(&at, &kept).unwrap();
        write_object(&at, kind, bytes);
        let e = scratch.refused();
        assert!(matches!(&e, GitError::Damaged { kind: of, id: found } if *of == kind && *found == id), "{name}: {e}");
        assert!(scratch.store.entries().unwrap().is_empty(), "{name}");
        fs::rename(&kept, &at).unwrap();
    };
    // A folder of the tree with another program in it; commit and top untouched.
    let other = hex_bytes(&scratch.id("HEAD:lib/other"));
    forged("HEAD:rc/bin", "tree", &[&b"100755 cpurc\0"[..], &other].concat());
    forged("HEAD^{tree}", "tree", &[&b"40000 rc\0"[..], &hex_bytes(&scratch.id("HEAD:rc"))].concat());
    forged("HEAD", "commit", format!("tree {}\n\n", scratch.id("HEAD:rc")).as_bytes());
    forged("HEAD:rc/bin/cpurc", "blob", b"evil");
    // The genuine one is read as it is.
    let medium = scratch.open().unwrap();
    let cpurc = medium.tree.entry(medium.tree.find(b"rc/bin/cpurc").unwrap());
    assert_eq!(cpurc.content().unwrap().read_all().unwrap(), "rc/bin/cpurc".repeat(1000).as_bytes());
}

fn hex_bytes(id: &str) -> Vec<u8> {
    (0..id.len() / 2).map(|i| u8::from_str_radix(&id[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn a_tree_without_end_is_refused() {
    let Some(scratch) = Scratch::new("a_tree_without_end_is_refused") else { return };
    // Each folder holds the one before it many times: two to the power of sixty.
    let mut below = vec![];
    for level in 0..12 {
        let text: Vec<u8> = match level {
            0 => Vec::new(),
            _ => (0..32).flat_map(|i| [format!("40000 {i:02}\0").as_bytes(), &below].concat()).collect(),
        };
        let mut sum = id::Sum::new(&"0".repeat(40), "tree", text.len() as u64);
        sum.add(&text);
        let id = sum.finish().unwrap();
        let folder = scratch.bare().join("objects").join(&id[..2]);
        fs::create_dir_all(&folder).unwrap();
        write_object(&folder.join(&id[2..]), "tree", &text);
        below = hex_bytes(&id);
    }
    let tree: String = below.iter().map(|b| format!("{b:02x}")).collect();
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "--git-dir=bare"];
    let commit = scratch.git(&[&who[..], &["commit-tree", "-m", "x", &tree]].concat());
    fs::write(scratch.bare().join("HEAD"), commit).unwrap();
    let e = scratch.refused();
    assert!(matches!(e, GitError::Large { .. }), "{e}");
}

#[test]
fn packs_and_packed_refs_and_sha256_are_read() {
    let Some(scratch) = Scratch::new("packs_and_packed_refs_and_sha256_are_read") else { return };
    let expected = scratch.open().unwrap().tree.paths();
    let packed = |dir: &str| {
        let git = format!("--git-dir={dir}");
        scratch.git(&[&git, "repack", "-a", "-d", "-q"]);
        scratch.git(&[&git, "pack-refs", "--all"]);
        scratch.git(&[&git, "commit-graph", "write"]);
        scratch.git(&[&git, "multi-pack-index", "write"]);
        let path = scratch.dir.path().join(dir);
        assert!(path.join("packed-refs").is_file() && fs::read_dir(path.join("objects/pack")).unwrap().count() > 2);
        Medium::open("test", &path, 99, Some(&Store::at(scratch.dir.path().join(format!("store-{dir}"))))).unwrap()
    };
    assert_eq!(packed("bare").tree.paths(), expected);
    fs::remove_dir_all(scratch.dir.path().join("work/.git")).unwrap();
    scratch.git(&["init", "-q", "--object-format=sha256", "work"]);
    scratch.git(&["-C", "work", "add", "."]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    scratch.git(&[&["-C", "work"], &who[..], &["commit", "-q", "-m", "one"]].concat());
    scratch.git(&["clone", "-q", "--bare", "work", "long"]);
    assert_eq!(packed("long").tree.paths(), expected);
}

#[test]
fn what_names_another_repository_is_refused() {
    let Some(scratch) = Scratch::new("what_names_another_repository_is_refused") else { return };
    let elsewhere = scratch.dir.path().join("work/.git");
    let objects = elsewhere.join("objects").display().to_string();
    for (file, text) in [
        ("commondir", elsewhere.display().to_string()),
        ("objects/info/alternates", objects.clone()),
        ("objects/info/http-alternates", objects),
    ] {
        let at = scratch.bare().join(file);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, format!("{text}\n")).unwrap();
        let e = scratch.refused();
        assert!(matches!(&e, GitError::Elsewhere { file: of, names } if *of == file && *names == text), "{e}");
        fs::remove_file(at).unwrap();
    }
    // What git makes for a worktree has nothing but names of others.
    scratch.git(&["-C", "work", "worktree", "add", "-q", "../second"]);
    let part = scratch.dir.path().join("work/.git/worktrees/second");
    let e = Medium::open("test", &part, 99, Some(&scratch.store)).unwrap_err();
    assert!(matches!(&e, MediumError::Git { source: GitError::Elsewhere { file: "commondir", .. }, .. }), "{e}");
    // The checkout is a folder like others: its `.git` is not followed.
    assert!(Medium::open("test", &scratch.dir.path().join("second"), 99, None).is_ok());

    fs::create_dir(scratch.bare().join("reftable")).unwrap();
    assert!(matches!(scratch.refused(), GitError::Reftable));
    fs::remove_dir(scratch.bare().join("reftable")).unwrap();

    for folder in ["objects", "refs", "objects/pack", "objects/info/../00"] {
        let (at, kept) = (scratch.bare().join(folder), scratch.dir.path().join("kept"));
        let there = fs::rename(&at, &kept).is_ok();
        std::os::unix::fs::symlink(&elsewhere, &at).unwrap();
        let e = scratch.refused();
        assert!(matches!(&e, GitError::Special { kind: "symbolic link", .. }), "{folder}: {e}");
        fs::remove_file(&at).unwrap();
        if there {
            fs::rename(&kept, &at).unwrap();
        }
    }
    // Objects of others' making, and refs to them, are not asked for.
    let other = scratch.id("HEAD:lib/other");
    scratch.git(&["--git-dir=bare", "replace", "-f", &scratch.id("HEAD:rc/bin/cpurc"), &other]);
    fs::create_dir_all(scratch.bare().join("info")).unwrap();
    fs::write(scratch.bare().join("info/grafts"), format!("{}\n", scratch.id("HEAD"))).unwrap();
    fs::write(scratch.bare().join("shallow"), "nonsense\n").unwrap();
    let medium = scratch.open().unwrap();
    let cpurc = medium.tree.entry(medium.tree.find(b"rc/bin/cpurc").unwrap());
    assert_eq!(cpurc.content().unwrap().read_all().unwrap(), "rc/bin/cpurc".repeat(1000).as_bytes());
}

#[test]
fn pipes_and_sockets_in_it_are_refused_without_waiting() {
    let Some(scratch) = Scratch::new("pipes_and_sockets_in_it_are_refused_without_waiting") else { return };
    let head = scratch.git(&["--git-dir=bare", "symbolic-ref", "HEAD"]);
    let object = scratch.blob("sys/big").strip_prefix(scratch.bare()).unwrap().display().to_string();
    let pack = "objects/pack/pack-1.idx";
    for file in ["HEAD", &head, "packed-refs", "commondir", "objects/info/alternates", &object, pack] {
        for socket in [false, true] {
            let (at, kept) = (scratch.bare().join(file), scratch.dir.path().join("kept"));
            let there = fs::rename(&at, &kept).is_ok();
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            // Refs that are packed are asked for only when the file is not there.
            let branch = scratch.bare().join(&head);
            let hidden = file == "packed-refs" && fs::rename(&branch, scratch.dir.path().join("branch")).is_ok();
            let listener = if socket {
                Some(std::os::unix::net::UnixListener::bind(&at).unwrap())
            } else {
                assert!(Command::new("mkfifo").arg(&at).status().unwrap().success());
                None
            };
            let e = scratch.refused();
            let kind = if socket { "socket" } else { "named pipe" };
            assert!(
                matches!(&e, GitError::Special { kind: found, path } if *found == kind && path.ends_with(file)),
                "{file}: {e}"
            );
            drop(listener);
            fs::remove_file(&at).unwrap();
            if there {
                fs::rename(&kept, &at).unwrap();
            }
            if hidden {
                fs::rename(scratch.dir.path().join("branch"), branch).unwrap();
            }
        }
    }
    // Nobody reads its config.
    let config = scratch.bare().join("config");
    fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    assert!(scratch.open().is_ok());
}
