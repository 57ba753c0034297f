//! A disk image as a medium: yesterday's node, or what Plan 9 installed.
//!
//! The tree is that of its root file system, as users see it, with the owners,
//! modes and times that it has there; without one, that of a FAT volume that
//! holds a system. Files are read from the image when they are asked for.
//!
//! The old node's own files must not get into a new lab: its nvram, its
//! plan9.ini and its snapshots are not part of that tree, and `own` leaves out
//! keys, mail, homes, logs, its configuration, and every file that not
//! everybody may read. p9img tells what it left out, and names it in the
//! manifest.

use super::distribution::Distribution;
use super::error::MediumError;
use super::listed::Listed;
use super::listing::{Attributes, Listing, MOST, MOST_BYTES, PathError};
use super::metadata::{self, Database};
use crate::disk::{self, OpenDiskError};
use crate::foreign::{self, Foreign};
use crate::fs::{self, FileSystem, Holds, Node, OpenError};
use crate::read_at::{ReadAt, check_range};
use crate::shown;
use crate::tree::Content;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

const SOURCE: &str = "the disk image itself";

/// Never taken from a node, whatever its modes and the release's records are.
const SECRET: [&str; 5] = ["adm/keys", "adm/keys.who", "adm/netkeys", "adm/secstore", "adm/whitelist"];
/// Folders with files of a node's own: a file below these is taken only if the
/// release's records name it. The folders themselves are taken.
const KEPT_BY_A_NODE: [&str; 9] =
    ["cfg", "cron", "env", "lib/ndb/local", "mail/box", "mail/queue", "sys/log", "tmp", "usr"];

/// Lists the files of the system in the image `bytes`, which is at `path`.
///
/// # Errors
/// Fails when it is no disk image, holds no system, or is damaged.
pub fn list(bytes: &Arc<dyn ReadAt>, path: &Path, looked_for: &str) -> Result<Listed, MediumError> {
    let read = |source: io::Error| MediumError::Read { path: path.into(), source };
    let fs = system(bytes, path, looked_for)?;
    let records = records(&*fs).map_err(read)?;
    let root = fs.root().map_err(read)?;
    // Knows owners, modes and times, and may be an old node's.
    let root_fs = fs::holds(fs.kind()) == Some(Holds::Root);
    let mut listing = Listing::default();
    if root_fs {
        listing.root(root.meta.clone());
    }
    let (mut count, mut bytes, mut left_out) = (0, 0, Vec::new());
    // A folder that was left out, with a slash at its end.
    let mut below: Option<Vec<u8>> = None;
    fs::walk::<Stop>(&*fs, &root, &mut |name, node| {
        if below.as_ref().is_some_and(|dir| name.starts_with(dir)) {
            return Ok(());
        }
        let wrong = |why| Stop::Path(path.join(OsStr::from_bytes(name)), why);
        if root_fs && own(name, node, records.as_ref()) {
            left_out.push(shown::name(name));
            below = node.meta.mode.is_dir().then(|| [name, b"/"].concat());
            return Ok(());
        }
        (count, bytes) = (count + 1, bytes + name.len());
        if count > MOST || bytes > MOST_BYTES {
            return Err(wrong(PathError::Many));
        }
        let attributes = match root_fs {
            true => Attributes::Plan9(node.meta.clone()),
            false => Attributes::Unix { executable: false },
        };
        if node.meta.mode.is_dir() {
            listing.dir(name, attributes).map_err(wrong)
        } else {
            let source = Arc::new(InImage { fs: fs.clone(), node: node.clone() });
            listing.file(name, attributes, Content::Part { source, offset: 0, len: node.len }).map_err(wrong)
        }
    })
    .map_err(|stop| match stop {
        Stop::Path(path, why) => MediumError::Path { path, why },
        Stop::Io(source) => read(source),
    })?;
    let mut notes = Vec::new();
    if !left_out.is_empty() {
        let some = left_out.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
        let more = if left_out.len() > 6 { ", …" } else { "" };
        notes.push(format!("left out {} files and folders of the old node alone: {some}{more}", left_out.len()));
    }
    let metadata = root_fs.then_some(SOURCE);
    Ok(Listed { listing, metadata, complete: root_fs, notes, left_out, ..Listed::default() })
}

/// Reason why a walk ends early.
enum Stop {
    Path(std::path::PathBuf, PathError),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// The file system in the image that holds a system.
fn system(bytes: &Arc<dyn ReadAt>, path: &Path, looked_for: &str) -> Result<Arc<dyn FileSystem>, MediumError> {
    let read = |source: io::Error| MediumError::Read { path: path.into(), source };
    let disk = crate::artifact::from(bytes.clone()).map_err(|e| match Foreign::of(&e) {
        Some(found) => MediumError::Foreign { path: path.into(), found: found.clone() },
        None => read(e),
    })?;
    let opened = disk::open_disk(disk.clone());
    let beside = |name: &str| opened.as_ref().ok().and_then(|d| d.beside(name));
    let parts = match &opened {
        Ok(opened) => {
            let names: Vec<_> = opened.partitions().iter().map(|p| (p.name.clone(), p.lba())).collect();
            names.into_iter().filter_map(|(name, lba)| Some((opened.beside(&name)?, Some(lba), name))).collect()
        }
        Err(OpenDiskError::NoPartitions) => vec![(disk.clone(), None, String::new())],
        Err(OpenDiskError::Foreign(found)) => {
            return Err(MediumError::Foreign { path: path.into(), found: found.clone() });
        }
        Err(e) => return Err(read(io::Error::new(io::ErrorKind::InvalidData, e.to_string()))),
    };
    let mut fat: Option<Arc<dyn FileSystem>> = None;
    // Error of the partition that should have been the root by its name.
    let mut damaged = None;
    // First partition with a file system that p9img does not read.
    let mut others = None;
    for (part, lba, name) in parts {
        match fs::open(part.clone(), lba, &beside) {
            Ok(fs) if fs::holds(fs.kind()) == Some(Holds::Root) => return Ok(fs.into()),
            Ok(fs) if fs::holds(fs.kind()) == Some(Holds::Boot) && fat.is_none() => {
                let has = |path: &str| fs.find(path.as_bytes()).is_ok();
                if Distribution::recognise_by(has).is_some() {
                    fat = Some(fs.into());
                }
            }
            // No medium is in an archive.
            Err(e @ OpenError::Damaged { kind, .. }) if fs::holds(kind) != Some(Holds::Archive) => {
                return Err(read(io::Error::new(io::ErrorKind::InvalidData, e)));
            }
            Err(e) if name != "9fat" && fs::names_a_file_system(&name) => {
                damaged.get_or_insert_with(|| format!("partition {name}: {e}"));
            }
            Err(OpenError::Unknown { .. }) if others.is_none() && !name.is_empty() => {
                others = foreign::name(&*part).map_err(read)?.map(|found| (name, found));
            }
            _ => {}
        }
    }
    match (fat, damaged, others) {
        (Some(fat), ..) => Ok(fat),
        (_, Some(why), _) => Err(read(io::Error::new(io::ErrorKind::InvalidData, why))),
        (.., Some((partition, found))) => Err(MediumError::Partition { path: path.into(), partition, found }),
        _ => Err(match foreign::name(&*disk).map_err(read)? {
            Some(found) => MediumError::Foreign { path: path.into(), found },
            None => MediumError::Unknown { path: path.into(), looked_for: looked_for.into() },
        }),
    }
}

/// The release's records, if they are in the image.
fn records(fs: &dyn FileSystem) -> io::Result<Option<Database>> {
    /// Bytes that are read: 9legacy's have 1.4 MB.
    const MOST: u64 = 64 << 20;
    let places = [metadata::PATH, metadata::INSTALLED];
    let Some(node) = places.iter().find_map(|place| fs.find(place.as_bytes()).ok()) else { return Ok(None) };
    if node.len > MOST {
        return Ok(None);
    }
    let mut text = vec![0; node.len as usize];
    fill(fs, &node, 0, &mut text)?;
    // Damaged records are not used: then more is left out.
    Ok(Database::parse(&text).ok())
}

/// Whether a file or folder is the node's own and not the release's.
fn own(path: &[u8], node: &Node, records: Option<&Database>) -> bool {
    let at = |place: &str| path == place.as_bytes();
    let in_it = |place: &str| path.strip_prefix(place.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    if SECRET.iter().any(|p| at(p) || in_it(p)) {
        return true;
    }
    if records.and_then(|r| r.get(path)).is_some_and(|m| m.mode == node.meta.mode) {
        return false;
    }
    let readable = if node.meta.mode.is_dir() { 0o005 } else { 0o004 };
    let private = node.meta.mode.perm() & readable != readable;
    let kept = KEPT_BY_A_NODE.iter().any(|p| in_it(p) || at(p) && !node.meta.mode.is_dir());
    private || kept
}

/// A file of an image.
struct InImage {
    fs: Arc<dyn FileSystem>,
    node: Node,
}

impl ReadAt for InImage {
    fn len(&self) -> u64 {
        self.node.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("file of the image", offset, buf.len(), self.node.len)?;
        fill(&*self.fs, &self.node, offset, buf)
    }
}

fn fill(fs: &dyn FileSystem, node: &Node, mut at: u64, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let n = fs.read(node, at, buf)?;
        if n == 0 {
            let name = shown::name(&node.name);
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} ends at byte {at} in the image")));
        }
        buf = &mut buf[n..];
        at += n as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Meta, Mode};

    fn node(mode: Mode) -> Node {
        Node { name: Vec::new(), meta: Meta::new(mode, "sys", "sys", 1), len: 0, qid: None, handle: [0; 4] }
    }

    #[test]
    fn what_is_a_nodes_own_stays_there() {
        let db = Database::parse(b"cfg/pxe/example - 664 sys sys 1 1\nadm/keys - 664 adm adm 1 1\n").unwrap();
        let file = |path: &str, perm, db: Option<&Database>| own(path.as_bytes(), &node(Mode::file(perm)), db);
        for secret in ["adm/keys", "adm/secstore/who/bob", "adm/netkeys"] {
            assert!(file(secret, 0o664, None) && file(secret, 0o664, Some(&db)), "{secret}");
        }
        assert!(file("cfg/pxe/example", 0o664, None) && !file("cfg/pxe/example", 0o664, Some(&db)));
        assert!(file("cfg/pxe/example", 0o666, Some(&db)), "its mode is no longer the release's");
        for private in ["lib/x", "sys/src/x"] {
            assert!(file(private, 0o660, None) && !file(private, 0o664, None), "{private}");
        }
        for kept in ["usr/bob/x", "mail/box/bob/mbox", "sys/log/auth", "lib/ndb/local", "cron/bob/cron", "tmp/x"] {
            assert!(file(kept, 0o666, None), "{kept}");
        }
        let dir = |path: &str, perm| own(path.as_bytes(), &node(Mode::dir(perm)), None);
        assert!(!dir("usr", 0o775) && !dir("sys/log", 0o775) && dir("usr/bob", 0o775) && dir("lib/x", 0o700));
        assert!(!file("lib/ndb/common", 0o664, None) && !file("users", 0o664, None));
    }
}
