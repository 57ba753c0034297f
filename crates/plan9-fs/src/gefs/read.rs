//! Reading a gefs volume as a file system. The root is that of the snapshot
//! main; [`GefsReader::snapshot`] shows another.

use super::format::{
    BLOCK, BLOCK64, Dir, K_ENTRY, K_LABEL, K_SNAP, Label, NOWHERE, Pointer, Snap, data_key, entry_key, number_key,
    parse_data_key, parse_entry_key, text_key,
};
use super::tree::{Range, Values};
use super::users::{MAX_FILE, Users};
use super::volume::{OpenError, Volume};
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shown;
use crate::tree::{Meta, Mode};
use crate::{FileSystem, Finding, Node};
use std::io;
use std::sync::{Arc, OnceLock};

/// Blocks of a file read at once.
const MANY: u64 = 64;
/// Snapshot that is mounted if no name is given.
const MAIN: &str = "main";

/// Opens a gefs partition; reads its super block only.
///
/// # Errors
/// Fails when the bytes are no gefs partition or cannot be read.
pub fn open(dev: Arc<dyn ReadAt>) -> Result<GefsReader, OpenError> {
    let shared = Shared { volume: Volume::open(dev)?, users: OnceLock::new() };
    Ok(GefsReader { shared: Arc::new(shared), label: MAIN.into(), snap: OnceLock::new() })
}

/// State that all snapshots have in common.
struct Shared {
    volume: Volume,
    users: OnceLock<Users>,
}

/// A snapshot of a gefs volume, opened for reading.
pub struct GefsReader {
    shared: Arc<Shared>,
    label: String,
    snap: OnceLock<Snap>,
}

impl GefsReader {
    /// The same volume, with the snapshot of another label.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn snapshot(&self, label: &str) -> io::Result<Self> {
        let other = Self { shared: self.shared.clone(), label: label.into(), snap: OnceLock::new() };
        other.snap().map(|_| other)
    }

    /// The labels of all snapshots, in their order.
    ///
    /// # Errors
    /// `InvalidData` for a damaged image.
    pub fn labels(&self) -> io::Result<Vec<String>> {
        let labels = self.volume().snaps(&[K_LABEL])?;
        Ok(labels.into_keys().map(|k| String::from_utf8_lossy(&k[1..]).into_owned()).collect())
    }

    fn volume(&self) -> &Volume {
        &self.shared.volume
    }

    fn snap(&self) -> io::Result<Snap> {
        if let Some(snap) = self.snap.get() {
            return Ok(*snap);
        }
        let snap = self.volume().labelled(self.label.as_bytes())?;
        Ok(*self.snap.get_or_init(|| snap))
    }

    fn users(&self) -> &Users {
        // Numbers are better than nothing.
        self.shared.users.get_or_init(|| self.volume().users().ok().and_then(|u| u.ok()).unwrap_or_default())
    }

    fn node(&self, name: &[u8], d: &Dir) -> Node {
        let users = self.users();
        let meta = Meta {
            mode: Mode(d.mode),
            uid: users.name(d.uid).into(),
            gid: users.name(d.gid).into(),
            muid: users.name(d.muid).into(),
            mtime: d.seconds(),
        };
        let len = if d.is_dir() { 0 } else { d.len };
        Node { name: name.to_vec(), meta, len, qid: Some(d.qid), handle: [d.qid, 0, 0, 0] }
    }
}

impl Volume {
    /// Values of the snapshot tree.
    pub(super) fn snaps(&self, prefix: &[u8]) -> io::Result<Values> {
        let s = &self.superblock;
        let root = Pointer { address: s.root.0, hash: s.root.1, generation: u64::MAX };
        self.scan(&root, s.height, prefix)
    }

    /// The snapshot that a label means.
    pub(super) fn labelled(&self, label: &[u8]) -> io::Result<Snap> {
        let shown = shown::name(label);
        let mut labels = self.snaps(&text_key(K_LABEL, label))?;
        let value = labels
            .remove(&text_key(K_LABEL, label))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("No snapshot has the label {shown}")))?;
        let label = Label::parse(&value).ok_or_else(|| damaged(format!("The label {shown} names no snapshot")))?;
        let key = number_key(K_SNAP, label.snap);
        let snap = self.snaps(&key)?.remove(&key).and_then(|v| Snap::parse(&v));
        snap.ok_or_else(|| {
            damaged(format!("The label {shown} is of the snapshot {}, which does not exist", label.snap))
        })
    }

    /// A file of a snapshot by its directory's qid path and its name.
    pub(super) fn entry(&self, snap: &Snap, dir: u64, name: &[u8]) -> io::Result<Option<Dir>> {
        let value = self.lookup(&snap.root, snap.height, &entry_key(dir, name))?;
        let parse = |v: Vec<u8>| {
            Dir::parse(&v).ok_or_else(|| {
                damaged(format!(
                    "{:?} has {}, not {}",
                    String::from_utf8_lossy(name),
                    count::of(v.len(), "byte"),
                    Dir::LEN
                ))
            })
        };
        value.map(parse).transpose()
    }

    /// Fills `buf` with the bytes at `offset` of a file.
    pub(super) fn read(&self, snap: &Snap, qid: u64, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let first = offset / BLOCK64 * BLOCK64;
        let mut from = first;
        let end = offset.saturating_add(buf.len() as u64);
        while from < end {
            let to = from.saturating_add(MANY * BLOCK64).min(end);
            let (low, high) = (data_key(qid, from), data_key(qid, to));
            let values = self.range(&snap.root, snap.height, Range { from: &low, to: Some(&high) })?;
            let mut blocks = vec![0; (to - from).div_ceil(BLOCK64) as usize * BLOCK];
            let mut run: Vec<Pointer> = Vec::new();
            let mut start = 0;
            for (key, value) in values {
                // Servers do not read pieces that are not at a multiple of a
                // block.
                let Some((_, at)) = parse_data_key(&key).filter(|(_, at)| at.is_multiple_of(BLOCK64)) else { continue };
                if value.len() != Pointer::LEN {
                    return Err(damaged(format!("The piece at {at} of the file {qid:x} is not a pointer")));
                }
                let pointer = Pointer::parse(&value);
                let place = (at - from) as usize;
                let joins = run.last().is_some_and(|p| p.address.checked_add(BLOCK64) == Some(pointer.address))
                    && place == start + run.len() * BLOCK;
                if !joins {
                    self.data(&run, &mut blocks[start..start + run.len() * BLOCK])?;
                    run.clear();
                    start = place;
                }
                run.push(pointer);
            }
            self.data(&run, &mut blocks[start..start + run.len() * BLOCK])?;
            let skip = offset.saturating_sub(from) as usize;
            let done = from.saturating_sub(offset) as usize;
            let n = (blocks.len() - skip).min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&blocks[skip..skip + n]);
            from = from.saturating_add(MANY * BLOCK64);
        }
        Ok(())
    }

    /// The users; `Ok(Err)` when gefs would not start with them.
    pub(super) fn users(&self) -> io::Result<Result<Users, String>> {
        let snap = self.labelled(b"adm")?;
        let missing = |what: &str| damaged(format!("The snapshot adm has no {what}"));
        let root = self.entry(&snap, NOWHERE, b"")?.ok_or_else(|| missing("root"))?;
        let file = self.entry(&snap, root.qid, b"users")?.ok_or_else(|| missing("file users"))?;
        if file.is_dir() || file.len > MAX_FILE {
            return Ok(Err(format!(
                "it is a directory, or has {}; gefs reads {MAX_FILE}",
                count::of(file.len, "byte")
            )));
        }
        let mut text = vec![0; file.len as usize];
        self.read(&snap, file.qid, 0, &mut text)?;
        Ok(Users::parse(&text))
    }
}

impl FileSystem for GefsReader {
    fn kind(&self) -> &'static str {
        "gefs"
    }

    fn root(&self) -> io::Result<Node> {
        let snap = self.snap()?;
        let root = self.volume().entry(&snap, NOWHERE, b"")?.filter(Dir::is_dir);
        let root = root.ok_or_else(|| damaged(format!("The snapshot {} has no root directory", self.label)))?;
        Ok(self.node(b"", &root))
    }

    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        dir.need_dir()?;
        let [qid, ..] = dir.handle;
        let snap = self.snap()?;
        let values = self.volume().scan(&snap.root, snap.height, &number_key(K_ENTRY, qid))?;
        let mut out = Vec::with_capacity(values.len());
        for (key, value) in values {
            match (parse_entry_key(&key), Dir::parse(&value)) {
                (Some((_, name)), Some(d)) => out.push(self.node(name, &d)),
                _ => return Err(damaged(format!("The directory {qid:x} has an entry that is not a file"))),
            }
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        file.need_file()?;
        if offset >= file.len {
            return Ok(0);
        }
        let n = (file.len - offset).min(buf.len() as u64).min(MANY * BLOCK64) as usize;
        self.volume().read(&self.snap()?, file.handle[0], offset, &mut buf[..n])?;
        Ok(n)
    }

    fn verifies_contents(&self) -> bool {
        true
    }

    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        super::check::check(self.volume(), report)
    }

    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        super::dump::dump(self.volume(), out)
    }
}
