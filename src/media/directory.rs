//! A folder of the host as a medium.
//!
//! The host's owners, modes and times are not Plan 9's, and differ from copy to
//! copy; only names, bytes and the execute bit are taken from it. The rest
//! comes from the release's own metadata, or is the same for every file.

use super::error::MediumError;
use super::listing::{Attributes, Listing};
use crate::leftovers::Leftovers;
use crate::tree::Content;
use std::cell::RefCell;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use walkdir::WalkDir;

/// Words for files that are neither plain nor directories.
pub const PIPE: &str = "named pipe";
pub const DEVICE: &str = "device";

/// Lists the folder `root`.
///
/// # Errors
/// Fails when it cannot be read or holds what Plan 9 cannot.
pub fn list(root: &Path) -> Result<Listing, MediumError> {
    walk(&root.canonicalize().map_err(|source| MediumError::Read { path: root.into(), source })?)
}

fn walk(root: &Path) -> Result<Listing, MediumError> {
    let mut listing = Listing::default();
    let leftovers = RefCell::new(Leftovers::default());
    let ours = |item: &walkdir::DirEntry| {
        let below = item.path().strip_prefix(root).unwrap_or(item.path()).as_os_str().as_bytes();
        // A checkout's history, or the file that names its folder, is no part
        // of the tree.
        let history = item.depth() == 1 && item.file_name() == ".git";
        // Nobody but their owner may look into some of these folders, and an
        // editor's link leads nowhere.
        let mut leftovers = leftovers.borrow_mut();
        let left = leftovers.takes(below) || item.path_is_symlink() && leftovers.takes_link(below);
        !(history || left)
    };
    for item in WalkDir::new(root).min_depth(1).follow_links(true).sort_by_file_name().into_iter().filter_entry(ours) {
        let item = item.map_err(|e| walk_error(root, e))?;
        let path = item.path();
        let below = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes();
        let wrong = |why| MediumError::Path { path: path.into(), why };
        if item.path_is_symlink() {
            check_link(root, path)?;
        }
        let kind = item.file_type();
        if kind.is_dir() {
            listing.dir(below, Attributes::Unix { executable: true }).map_err(wrong)?;
        } else if kind.is_file() {
            let meta = item.metadata().map_err(|e| walk_error(root, e))?;
            let executable = meta.permissions().mode() & 0o100 != 0;
            let content = Content::Host { path: path.into(), len: meta.len() };
            listing.file(below, Attributes::Unix { executable }, content).map_err(wrong)?;
        } else {
            return Err(MediumError::Special { path: path.into(), kind: special(kind) });
        }
    }
    listing.leave_out(leftovers.take());
    Ok(listing)
}

fn walk_error(root: &Path, e: walkdir::Error) -> MediumError {
    let path = e.path().unwrap_or(root).to_path_buf();
    if let Some(ancestor) = e.loop_ancestor() {
        return MediumError::LinkLoop { path, ancestor: ancestor.into() };
    }
    let source = e.into_io_error().unwrap_or_else(|| io::Error::other("the walk failed"));
    // Two links that name each other never resolve; the host says so in its own words.
    if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return MediumError::LinkLoop { ancestor: path.clone(), path };
    }
    if source.kind() == io::ErrorKind::NotFound && path.is_symlink() {
        let target = std::fs::read_link(&path).unwrap_or_default();
        return MediumError::LinkLeaves { path, target };
    }
    MediumError::Read { path, source }
}

fn check_link(root: &Path, path: &Path) -> Result<(), MediumError> {
    let target = path.canonicalize().map_err(|source| MediumError::Read { path: path.into(), source })?;
    if target.starts_with(root) { Ok(()) } else { Err(MediumError::LinkLeaves { path: path.into(), target }) }
}

/// Word for a file that is neither plain nor a directory.
pub fn special(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match () {
        () if kind.is_fifo() => PIPE,
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() || kind.is_block_device() => DEVICE,
        () => "special file",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Distribution, Medium, metadata};
    use super::*;
    use crate::tree::{Meta, Mode};
    use std::ffi::OsStr;
    use std::fs;

    fn plan9(dir: &Path) {
        for (path, text) in [("386/9load", "l"), ("386/pbslba", "p"), ("386/mbr", "m"), ("rc/bin/cpurc", "c")] {
            let file = dir.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    fn opened(dir: &Path) -> Result<Medium, MediumError> {
        Medium::open("test", dir, 99, None)
    }

    #[test]
    fn the_database_gives_metadata_and_empty_directories() {
        let t = tempfile::tempdir().unwrap();
        plan9(t.path());
        fs::create_dir_all(t.path().join("dist/replica")).unwrap();
        fs::write(
            t.path().join(metadata::PATH),
            "386/9load - 444 upas mail 5 1\nmnt/term - 20000000755 glenda sys 6 0\nmips/bin - 664 sys sys 1 9\n",
        )
        .unwrap();
        let m = opened(t.path()).unwrap();
        assert_eq!(m.distribution, Distribution::Legacy);
        let entry = |p: &str| m.tree.find(p.as_bytes()).map(|id| m.tree.entry(id).clone());
        let load = entry("386/9load").unwrap().meta;
        assert_eq!((load.mode, &*load.uid, &*load.gid, load.mtime), (Mode::file(0o444), "upas", "mail", 5));
        let term = entry("mnt/term").unwrap();
        assert!(term.is_dir() && &*term.meta.uid == "glenda");
        assert_eq!(entry("rc/bin/cpurc").unwrap().meta, Meta::new(Mode::file(0o664), "sys", "sys", 99));
        assert!(entry("mips").is_none(), "a file that the medium lacks is not invented");
    }

    #[test]
    fn what_is_not_a_medium_is_refused_with_the_reason() {
        let t = tempfile::tempdir().unwrap();
        let e = opened(&t.path().join("none")).unwrap_err();
        assert!(matches!(e, MediumError::Missing { .. }), "{e}");
        assert!(matches!(opened(t.path()).unwrap_err(), MediumError::NotPlan9 { .. }));
        let file = t.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(opened(&file).unwrap_err(), MediumError::Unknown { .. }));
    }

    #[test]
    fn a_checkout_is_its_files_without_the_history() {
        let t = tempfile::tempdir().unwrap();
        plan9(t.path());
        fs::create_dir_all(t.path().join(".git/refs")).unwrap();
        fs::create_dir_all(t.path().join("lib/.git")).unwrap();
        let m = opened(t.path()).unwrap();
        assert!(m.tree.find(b".git").is_none());
        assert!(m.tree.find(b"lib/.git").is_some(), "only the checkout's own");
    }

    #[test]
    fn links_stay_inside_and_do_not_loop() {
        use std::os::unix::fs::symlink;
        let t = tempfile::tempdir().unwrap();
        plan9(t.path());
        symlink("9load", t.path().join("386/same")).unwrap();
        assert_eq!(opened(t.path()).unwrap().tree.find(b"386/same").map(|_| ()), Some(()));
        type Right = fn(&MediumError) -> bool;
        let tries: [(&str, Right); 4] = [
            ("..", |e| matches!(e, MediumError::LinkLoop { .. })),
            ("/etc/hostname", |e| matches!(e, MediumError::LinkLeaves { .. })),
            ("nowhere", |e| matches!(e, MediumError::LinkLeaves { .. })),
            ("bad", |e| matches!(e, MediumError::LinkLoop { .. })),
        ];
        for (target, right) in tries {
            let link = t.path().join("386/bad");
            symlink(target, &link).unwrap();
            let e = opened(t.path()).unwrap_err();
            assert!(right(&e), "{target}: {e}");
            fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn names_and_kinds_that_plan9_lacks_are_refused() {
        let t = tempfile::tempdir().unwrap();
        plan9(t.path());
        for bad in [&b"a\nb"[..], b"del\x7f", b"\xff\xfe"] {
            let path = t.path().join(OsStr::from_bytes(bad));
            fs::write(&path, "").unwrap();
            let e = opened(t.path()).unwrap_err();
            assert!(matches!(e, MediumError::Path { .. }), "{e}");
            fs::remove_file(path).unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(t.path().join("s")).unwrap();
        assert!(matches!(opened(t.path()).unwrap_err(), MediumError::Special { kind: "socket", .. }));
    }
}
