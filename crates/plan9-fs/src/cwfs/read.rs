//! Reading a cwfs64x as a file system. The root is what users see;
//! [`CwfsReader::dumps`] shows the root of the dumps.
//!
//! No image leads a caller in circles without being noticed: a directory's
//! node is its place, so [`crate::walk`] sees one that turns up again;
//! within a directory every block may be there once.

use super::format::{Dentry, Kind, POINTERS, ROOT_PATH, SLOTS, Tag};
use super::users;
use super::volume::{OpenError, Part, Side, Volume};
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shared::users::{MAX_FILE, Users, lines_text};
use crate::tree::Meta;
use crate::{Beside, FileSystem, Finding, Node};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, OnceLock};

/// The partition that has the user table.
const MAIN: &str = "fscache";

/// Opens a partition of a cwfs64x: its cache, its worm, or its plain device.
/// `beside` finds the other partitions of the disk by name; a cache needs its
/// worm, a plain device looks in the cache's file system for users' names.
///
/// # Errors
/// Fails when the bytes are no such partition, another partition is missing, or
/// they cannot be read.
pub fn open(dev: Arc<dyn ReadAt>, beside: &Beside<'_>) -> Result<CwfsReader, OpenError> {
    let volume = Arc::new(Volume::open(dev, beside)?);
    let main = || beside(MAIN).and_then(|dev| Volume::open(dev, beside).ok()).filter(|v| v.part == Part::Main);
    let main = if volume.part == Part::Other { main().map(Arc::new) } else { None };
    Ok(CwfsReader { volume, main, users: OnceLock::new(), side: Side::Live })
}

/// A cwfs64x opened for reading.
pub struct CwfsReader {
    pub(super) volume: Arc<Volume>,
    /// The file system with our user table, if it is not this one.
    main: Option<Arc<Volume>>,
    users: OnceLock<Users>,
    side: Side,
}

impl CwfsReader {
    /// The same volume, with the dumps in its root; a plain device has none.
    pub fn dumps(&self) -> Option<Self> {
        self.volume.dump_root?;
        Some(Self { volume: self.volume.clone(), main: self.main.clone(), users: OnceLock::new(), side: Side::Dumps })
    }

    /// The entry of a node, and its directory's path.
    fn entry(&self, node: &Node) -> io::Result<Dentry> {
        let [at, path, ..] = node.handle;
        let (address, slot) = (at >> 6, (at & 63) as usize);
        let block = self.volume.block(self.side, address, Tag { kind: Kind::DIR, path })?;
        let d = Dentry::at(&block, slot % SLOTS);
        match d.is_allocated() {
            true => Ok(d),
            false => Err(damaged(format!("Slot {slot} of block {address} is free"))),
        }
    }

    fn users(&self) -> &Users {
        self.users.get_or_init(|| {
            let volume = self.main.as_ref().unwrap_or(&self.volume);
            users_text(volume).map_or_else(|_| users::FILE.born(), |text| users::FILE.parse(&text))
        })
    }

    fn node(&self, found: Found, dir: u64) -> Node {
        let Found { block, slot, dentry: d } = found;
        let users = self.users();
        let meta = Meta {
            mode: d.full_mode(),
            uid: users.name(d.uid).into(),
            gid: users.name(d.gid).into(),
            muid: users.name(d.muid).into(),
            mtime: d.mtime,
        };
        let len = if d.is_dir() { 0 } else { d.size };
        let qid = Some(d.path());
        Node { name: d.name, meta, len, qid, handle: [block << 6 | slot as u64, dir, 0, 0] }
    }
}

/// An entry in use, and where it is.
pub(super) struct Found {
    pub block: u64,
    pub slot: usize,
    pub dentry: Dentry,
}

/// Every entry in use of a directory.
fn list(volume: &Volume, side: Side, dir: &Dentry) -> io::Result<Vec<Found>> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    let mut bn = 0;
    loop {
        for address in volume.addresses(side, dir, bn, POINTERS)? {
            // A directory ends at its first block that is not there.
            if address == 0 {
                return Ok(out);
            }
            if !seen.insert(address) {
                return Err(damaged(format!("Block {address} appears twice in one directory")));
            }
            let block = volume.block(side, address, Tag { kind: Kind::DIR, path: dir.path() })?;
            let slots = (0..SLOTS).map(|slot| Found { block: address, slot, dentry: Dentry::at(&block, slot) });
            out.extend(slots.filter(|f| f.dentry.is_allocated()));
            bn += 1;
        }
    }
}

fn root(volume: &Volume, side: Side) -> io::Result<Found> {
    let at = if side == Side::Live { volume.root } else { volume.dump_root.unwrap_or(volume.root) };
    let block = volume.block(side, at, Tag { kind: Kind::DIR, path: ROOT_PATH })?;
    Ok(Found { block: at, slot: 0, dentry: Dentry::at(&block, 0) })
}

fn users_text(volume: &Volume) -> io::Result<Vec<u8>> {
    let mut d = root(volume, Side::Live)?.dentry;
    for name in [&b"adm"[..], b"users"] {
        let all = list(volume, Side::Live, &d)?.into_iter().map(|f| f.dentry);
        d = all.into_iter().find(|d| d.name == name).ok_or(io::ErrorKind::NotFound)?;
    }
    let mut text = vec![0; d.size.min(MAX_FILE) as usize];
    volume.read(Side::Live, &d, 0, &mut text)?;
    Ok(text)
}

impl FileSystem for CwfsReader {
    fn kind(&self) -> &'static str {
        match self.volume.part {
            Part::Main => "cwfs64x",
            Part::Worm => "cwfs64x-worm",
            Part::Other => "cwfs64x-other",
        }
    }

    fn root(&self) -> io::Result<Node> {
        let found = root(&self.volume, self.side)?;
        if !found.dentry.is_allocated() || !found.dentry.is_dir() {
            return Err(damaged(format!("Slot 0 of block {}, the root, is not a directory", found.block)));
        }
        Ok(Node { name: Vec::new(), ..self.node(found, ROOT_PATH) })
    }

    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        dir.need_dir()?;
        let d = self.entry(dir)?;
        let all = list(&self.volume, self.side, &d)?;
        // Temporary files are in no dump, whatever their entries say.
        let there = all.into_iter().filter(|f| self.side == Side::Live || !f.dentry.is_temporary());
        let mut out: Vec<_> = there.map(|f| self.node(f, d.path())).collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        file.need_file()?;
        let d = self.entry(file)?;
        if offset >= d.size {
            return Ok(0);
        }
        let n = (d.size - offset).min(buf.len() as u64).min(1 << 20) as usize;
        self.volume.read(self.side, &d, offset, &mut buf[..n])?;
        Ok(n)
    }

    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        // Damage that makes the file unreadable is found by the check below.
        if self.main.is_none() {
            users_text(&self.volume).into_iter().for_each(|text| lines_text(&text, report));
        }
        super::check::check(&self.volume, self.users(), report)
    }

    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        super::dump::dump(&self.volume, out)
    }
}
