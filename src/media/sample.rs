//! The embedded sample medium: `media/sample`, compiled into the program.
//!
//! It is not Plan 9. It is a few files and a boot program of our own, so that
//! the whole way from a lab to a disk that starts works on a fresh machine
//! with no download. Its boot files lie where 9legacy has them (`386/mbr`,
//! `386/pbslba`, `386/9load`, the kernels), so nothing else needs to know
//! which medium it works with.
//!
//! The table below is the whole medium. Tests compare it with the folder, and
//! the boot files with their sources in `media/sample/src`.

use crate::tree::{Content, EntryId, Meta, Mode, Tree};
use std::collections::BTreeMap;

/// Time of every file and directory: 2026-01-01T00:00:00Z.
const MTIME: u32 = 1_767_225_600;

/// One file: path, permissions, bytes.
type File = (&'static str, u32, &'static [u8]);

macro_rules! file {
    ($path:literal, $perm:literal) => {
        ($path, $perm, include_bytes!(concat!("../../media/sample/", $path)))
    };
}

const FILES: &[File] = &[
    file!("386/9load", 0o664),
    file!("386/9pccpuf", 0o775),
    file!("386/9pcf", 0o775),
    file!("386/bin/README", 0o664),
    file!("386/mbr", 0o664),
    file!("386/pbslba", 0o664),
    file!("README", 0o664),
    file!("adm/timezone/GMT", 0o664),
    file!("amd64/9k10cpuf", 0o775),
    file!("amd64/9k10f", 0o775),
    file!("lib/ndb/common", 0o664),
    file!("rc/bin/hello", 0o775),
    file!("sys/README.sample", 0o664),
    file!("sys/doc/sample", 0o664),
    file!("usr/glenda/lib/profile", 0o664),
];

/// Folders with nothing in them: mount points and a place to write. git
/// keeps no empty folders, so they are named here only.
const EMPTY: &[&str] = &["fd", "lp", "mnt", "n", "tmp", "usr/glenda/tmp"];

/// The sample's tree: everything belongs to `sys`.
pub fn tree() -> Tree {
    let mut top = Folder::default();
    for path in EMPTY {
        top.folder(path.split('/'));
    }
    for (path, perm, bytes) in FILES {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = top.folder(folder.split('/').filter(|e| !e.is_empty()));
        folder.0.insert(name, Item::File(*perm, bytes));
    }
    let mut tree = Tree::new(meta(Mode::dir(0o775)));
    top.push_into(&mut tree, EntryId::ROOT);
    tree
}

fn meta(mode: Mode) -> Meta {
    Meta::new(mode, "sys", "sys", MTIME)
}

#[derive(Default)]
struct Folder(BTreeMap<&'static str, Item>);

enum Item {
    Folder(Folder),
    File(u32, &'static [u8]),
}

impl Folder {
    /// The folder below this one at `path`, made where it is missing.
    fn folder(&mut self, path: impl Iterator<Item = &'static str>) -> &mut Self {
        path.fold(self, |at, name| match at.0.entry(name).or_insert_with(|| Item::Folder(Self::default())) {
            Item::Folder(below) => below,
            Item::File(..) => unreachable!("the table has no file with something below it"),
        })
    }

    fn push_into(self, tree: &mut Tree, parent: EntryId) {
        for (name, item) in self.0 {
            match item {
                Item::File(perm, bytes) => {
                    tree.push(parent, name.as_bytes(), meta(Mode::file(perm)), Some(Content::bytes(bytes)));
                }
                Item::Folder(below) => {
                    let id = tree.push(parent, name.as_bytes(), meta(Mode::dir(0o775)), None);
                    below.push_into(tree, id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Distribution;
    use p9img_test::skip::skipped;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("media/sample")
    }

    #[test]
    fn the_table_lists_the_folder() {
        let mut on_disk: Vec<String> = walkdir::WalkDir::new(folder())
            .into_iter()
            .map(|e| e.unwrap())
            .filter(|e| e.file_type().is_file())
            .map(|e| e.path().strip_prefix(folder()).unwrap().to_str().unwrap().to_owned())
            .filter(|path| !path.starts_with("src/"))
            .collect();
        on_disk.sort();
        let listed: Vec<&str> = FILES.iter().map(|(path, ..)| *path).collect();
        assert_eq!(listed, on_disk);
    }

    #[test]
    fn the_tree_is_the_table() {
        let tree = tree();
        assert_eq!(Distribution::recognise(&tree), Some(Distribution::Sample));
        let mut files = 0;
        tree.walk(|path, _, entry| {
            assert_eq!((&*entry.meta.uid, &*entry.meta.gid, entry.meta.mtime), ("sys", "sys", MTIME));
            let Some(content) = entry.content() else {
                return assert_eq!(entry.meta.mode, Mode::dir(0o775));
            };
            files += 1;
            assert_eq!(
                content.read_all().unwrap(),
                std::fs::read(folder().join(str::from_utf8(path).unwrap())).unwrap()
            );
        });
        assert_eq!(files, FILES.len());
        for path in EMPTY {
            let entry = tree.entry(tree.find(path.as_bytes()).unwrap());
            assert!(entry.is_dir() && entry.children().is_empty(), "{path}");
        }
    }

    #[test]
    fn every_text_says_that_this_is_not_plan9() {
        let silent = ["386/mbr", "386/pbslba", "386/9load", "adm/timezone/GMT"];
        for (path, _, bytes) in FILES.iter().filter(|(path, ..)| !silent.contains(path)) {
            let text = str::from_utf8(bytes).unwrap().replace("\n# ", " ").replace('\n', " ").to_lowercase();
            assert!(text.contains("not plan 9"), "{path}");
        }
        for path in &silent[..3] {
            let (_, _, bytes) = FILES.iter().find(|(p, ..)| p == path).unwrap();
            assert!(bytes.windows(12).any(|w| w == b"(not Plan 9)"), "{path}");
        }
    }

    #[test]
    fn boot_code_fits_where_it_goes() {
        let len = |path| FILES.iter().find(|(p, ..)| *p == path).unwrap().2.len();
        assert!(len("386/mbr") <= 446);
        assert!((0x3F..=510).contains(&len("386/pbslba")));
        assert!(len("386/9load") <= 0x2000);
    }

    #[test]
    fn boot_code_is_what_its_source_assembles_to() {
        if Command::new("nasm").arg("-v").output().is_err() {
            let required = std::env::var_os("P9IMG_REQUIRE_TOOLS").is_some_and(|v| v == "1");
            assert!(!required, "nasm is required but not installed");
            skipped("boot_code_is_what_its_source_assembles_to: no nasm");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        for name in ["mbr", "pbslba", "9load"] {
            let (source, out) = (folder().join("src"), scratch.path().join(name));
            let nasm = Command::new("nasm")
                .args(["-f", "bin", "-Werror", "-o"])
                .arg(&out)
                .arg(format!("{name}.asm"))
                .current_dir(source)
                .output()
                .unwrap();
            assert!(nasm.status.success(), "{}", String::from_utf8_lossy(&nasm.stderr));
            let committed = std::fs::read(folder().join("386").join(name)).unwrap();
            assert!(std::fs::read(&out).unwrap() == committed, "386/{name} is not what src/{name}.asm assembles to");
        }
    }
}
