//! A folder of the host as a medium.
//!
//! What the host says about owners, modes and times is not Plan 9's, and
//! differs from copy to copy; only names, bytes and the execute bit are taken
//! from it. The rest comes from the release's own metadata, or is the same for
//! every file.

use super::metadata::{self, Database, MetadataError};
use super::{Distribution, Medium};
use crate::tree::{Content, EntryId, Kind, Meta, Mode, Tree};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// Longest name of one file in bytes; Plan 9's kernel sends names in a 9P
/// message with a 16-bit length, fossil and host file systems hold 255.
const MAX_NAME: usize = 255;

/// Why a folder cannot be a medium.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    #[error("There is no medium at {path}: give the folder that holds {marks}")]
    Missing { path: PathBuf, marks: String },
    #[error("The medium {path} is not a folder: this version reads media from a folder of plain files")]
    NotADirectory { path: PathBuf },
    #[error("{path} holds no Plan 9 system: looked for {marks}")]
    NotPlan9 { path: PathBuf, marks: String },
    #[error("Cannot read {path} of the medium")]
    Read { path: PathBuf, source: io::Error },
    #[error("The symbolic link {path} of the medium leads back to {ancestor}: remove the loop")]
    LinkLoop { path: PathBuf, ancestor: PathBuf },
    #[error("The symbolic link {path} of the medium leads to {target}, outside of it: replace it with a copy")]
    LinkLeaves { path: PathBuf, target: PathBuf },
    #[error("{path} of the medium is a {kind}: Plan 9 trees hold files and directories only")]
    Special { path: PathBuf, kind: &'static str },
    #[error("Plan 9 cannot hold the name {name:?} in {dir}: {why}")]
    Name { name: String, dir: PathBuf, why: &'static str },
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// Reads the medium in the folder `root`; see [`Medium::open`].
///
/// # Errors
/// As [`Medium::open`].
pub fn open(name: &str, root: &Path, epoch: u32) -> Result<Medium, MediumError> {
    let missing = || MediumError::Missing { path: root.into(), marks: Distribution::marks() };
    let real = root.canonicalize().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => MediumError::Read { path: root.into(), source: e },
    })?;
    if !real.is_dir() {
        return Err(MediumError::NotADirectory { path: root.into() });
    }
    let database = read_database(&real)?;
    let found = walk(&real)?;
    let tree = build(&found, database.as_ref(), epoch);
    let distribution = Distribution::recognise(&tree)
        .ok_or_else(|| MediumError::NotPlan9 { path: root.into(), marks: Distribution::marks() })?;
    let metadata_source = match &database {
        Some(db) => format!("{} ({} records)", metadata::PATH, db.len()),
        None => "none: owner and group sys, modes by the execute bit, times the lab's epoch".into(),
    };
    Ok(Medium { name: name.into(), distribution, tree: Arc::new(tree), metadata_source })
}

fn read_database(root: &Path) -> Result<Option<Database>, MediumError> {
    let path = root.join(metadata::PATH);
    match std::fs::read(&path) {
        Ok(text) => Ok(Some(Database::parse(&text)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MediumError::Read { path, source }),
    }
}

/// One thing found on the host: depth below the root, name, and bytes if it is a file.
struct Found {
    depth: usize,
    name: Vec<u8>,
    file: Option<(Content, bool)>,
}

/// Walks parents before children, names ascending.
fn walk(root: &Path) -> Result<Vec<Found>, MediumError> {
    let mut found = Vec::new();
    for item in WalkDir::new(root).min_depth(1).follow_links(true).sort_by_file_name() {
        let item = item.map_err(|e| walk_error(root, e))?;
        let path = item.path();
        check_name(item.file_name(), path)?;
        if item.path_is_symlink() {
            check_link(root, path)?;
        }
        let kind = item.file_type();
        let file = if kind.is_dir() {
            None
        } else if kind.is_file() {
            let meta = item.metadata().map_err(|e| walk_error(root, e))?;
            let executable = meta.permissions().mode() & 0o100 != 0;
            Some((Content::Host { path: path.into(), len: meta.len() }, executable))
        } else {
            return Err(MediumError::Special { path: path.into(), kind: special(kind) });
        };
        found.push(Found { depth: item.depth(), name: item.file_name().as_bytes().into(), file });
    }
    Ok(found)
}

fn walk_error(root: &Path, e: walkdir::Error) -> MediumError {
    let path = e.path().unwrap_or(root).to_path_buf();
    if let Some(ancestor) = e.loop_ancestor() {
        return MediumError::LinkLoop { path, ancestor: ancestor.into() };
    }
    let source = e.into_io_error().unwrap_or_else(|| io::Error::other("the walk failed"));
    // Two links that name each other never resolve; the host says so in its own words.
    if source.raw_os_error() == Some(libc::ELOOP) {
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

fn special(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match () {
        () if kind.is_fifo() => "named pipe",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() || kind.is_block_device() => "device",
        () => "special file",
    }
}

/// The kernel refuses control characters in names (`/sys/src/9/port/chan.c`),
/// and Plan 9's names are UTF-8.
fn check_name(name: &OsStr, path: &Path) -> Result<(), MediumError> {
    let bytes = name.as_bytes();
    let why = if bytes.len() > MAX_NAME {
        "it is longer than 255 bytes"
    } else if bytes.iter().any(|b| *b < 0x20 || *b == 0x7f) {
        "it has a control character"
    } else if std::str::from_utf8(bytes).is_err() {
        "it is not UTF-8"
    } else {
        return Ok(());
    };
    let dir = path.parent().unwrap_or(path).into();
    Err(MediumError::Name { name: String::from_utf8_lossy(bytes).into_owned(), dir, why })
}

/// What is found on the host and what the database adds, by name.
#[derive(Default)]
struct Dir {
    children: std::collections::BTreeMap<Vec<u8>, Slot>,
}

enum Slot {
    Dir(Dir),
    File(Content, bool),
}

fn build(found: &[Found], database: Option<&Database>, epoch: u32) -> Tree {
    let mut top = Dir::default();
    let mut path: Vec<&[u8]> = Vec::new();
    for f in found {
        path.truncate(f.depth - 1);
        let dir = path.iter().fold(&mut top, |d, name| match d.children.get_mut(*name) {
            Some(Slot::Dir(d)) => d,
            _ => unreachable!("walkdir yields a directory before what is in it"),
        });
        let slot = match &f.file {
            Some((content, x)) => Slot::File(content.clone(), *x),
            None => Slot::Dir(Dir::default()),
        };
        dir.children.insert(f.name.clone(), slot);
        path.push(&f.name);
    }
    // Copies and version control lose empty directories; the database has not.
    for (path, meta) in database.iter().flat_map(|db| db.iter()) {
        if meta.mode.is_dir() {
            add_dir(&mut top, path);
        }
    }
    let root = Meta::new(Mode::dir(0o775), "sys", "sys", epoch);
    let mut tree = Tree::new(root);
    emit(top, database, epoch, &mut tree, EntryId::ROOT, &mut Vec::new());
    tree
}

fn add_dir(top: &mut Dir, path: &[u8]) {
    let mut dir = top;
    for name in path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b"." && *n != b"..") {
        match dir.children.entry(name.to_vec()).or_insert_with(|| Slot::Dir(Dir::default())) {
            Slot::Dir(d) => dir = d,
            Slot::File(..) => return,
        }
    }
}

fn emit(dir: Dir, database: Option<&Database>, epoch: u32, tree: &mut Tree, at: EntryId, path: &mut Vec<u8>) {
    for (name, slot) in dir.children {
        let keep = path.len();
        if keep > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let known = database.and_then(|db| db.get(path)).filter(|m| m.mode.is_dir() == matches!(slot, Slot::Dir(_)));
        let meta = known.cloned().unwrap_or_else(|| {
            let mode = match slot {
                Slot::Dir(_) => Mode::dir(0o775),
                Slot::File(_, executable) => Mode::file(if executable { 0o775 } else { 0o664 }),
            };
            Meta::new(mode, "sys", "sys", epoch)
        });
        match slot {
            Slot::File(content, _) => {
                tree.push(at, &name, meta, Some(content));
            }
            Slot::Dir(d) => {
                let id = tree.push(at, &name, meta, None);
                emit(d, database, epoch, tree, id, path);
            }
        }
        path.truncate(keep);
    }
    debug_assert!(matches!(tree.entry(at).kind, Kind::Dir(_)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn plan9(dir: &Path) {
        for (path, text) in [("386/9load", "l"), ("386/pbslba", "p"), ("386/mbr", "m"), ("rc/bin/cpurc", "c")] {
            let file = dir.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    fn opened(dir: &Path) -> Result<Medium, MediumError> {
        Medium::open("test", dir, 99)
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
        assert!(matches!(opened(&file).unwrap_err(), MediumError::NotADirectory { .. }));
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
            assert!(matches!(e, MediumError::Name { .. }), "{e}");
            fs::remove_file(path).unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(t.path().join("s")).unwrap();
        assert!(matches!(opened(t.path()).unwrap_err(), MediumError::Special { kind: "socket", .. }));
    }
}
