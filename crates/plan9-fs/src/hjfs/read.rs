//! Reading an hjfs volume as a file system. The root is what users see;
//! [`HjfsReader::dumps`] shows the root of the dumps.
//!
//! No image leads a caller in circles without being noticed: a directory's
//! node is its place, so [`crate::walk`] sees one that turns up again;
//! within a directory every block may be there once.

use super::format::{BLOCK, DENTRIES, Dentry, SLOTS};
use super::users;
use super::volume::{OpenError, Volume};
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shared::users::{MAX_FILE, Users, lines_text};
use crate::tree::Meta;
use crate::{FileSystem, Finding, Node};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, OnceLock};

/// Addresses asked for at once.
const MANY: usize = 341;

/// Opens an hjfs partition; reads its super block only.
///
/// # Errors
/// Fails when the bytes are no hjfs partition or cannot be read.
pub fn open(dev: Arc<dyn ReadAt>) -> Result<HjfsReader, OpenError> {
    Ok(HjfsReader { volume: Arc::new(Volume::open(dev)?), users: OnceLock::new(), slot: 0 })
}

/// An hjfs volume opened for reading.
pub struct HjfsReader {
    pub(super) volume: Arc<Volume>,
    users: OnceLock<Users>,
    /// Number of the root: 0 for the live one, 1 for that of the dumps.
    slot: u64,
}

impl HjfsReader {
    /// The same volume, with the dumps in its root.
    pub fn dumps(&self) -> Self {
        Self { volume: self.volume.clone(), users: OnceLock::new(), slot: 1 }
    }

    fn dentry(&self, node: &Node) -> io::Result<Dentry> {
        let [at, ..] = node.handle;
        let d = self.volume.dentry(at >> 4, (at & 15) as usize % SLOTS)?;
        match d.is_allocated() {
            true => Ok(d),
            false => Err(damaged(format!("Slot {} of block {} is free", at & 15, at >> 4))),
        }
    }

    /// Every allocated dentry of a directory, and where it is.
    fn list(&self, dir: &Dentry) -> io::Result<Vec<(u64, usize, Dentry)>> {
        if dir.size > self.volume.superblock.blocks {
            return Err(damaged(format!(
                "A directory of {} is larger than the volume, which has {}",
                count::of(dir.size, "block"),
                self.volume.superblock.blocks
            )));
        }
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        let mut bn = 0;
        while bn < dir.size {
            let left = usize::try_from(dir.size - bn).unwrap_or(MANY).min(MANY);
            for address in self.volume.addresses(dir, bn, left)? {
                bn += 1;
                if address == 0 {
                    continue;
                }
                if !seen.insert(address) {
                    return Err(damaged(format!("Block {address} appears twice in one directory")));
                }
                let block = self.volume.block(address, DENTRIES)?;
                let slots = (0..SLOTS).map(|i| (address, i, Dentry::at(&block, i)));
                out.extend(slots.filter(|(.., d)| d.is_allocated()));
            }
        }
        Ok(out)
    }

    fn users(&self) -> &Users {
        self.users.get_or_init(|| self.users_text().map_or_else(|_| users::FILE.born(), |t| users::FILE.parse(&t)))
    }

    fn users_text(&self) -> io::Result<Vec<u8>> {
        let mut d = self.volume.dentry(self.volume.superblock.root, 0)?;
        for name in [&b"adm"[..], b"users"] {
            let all = self.list(&d)?;
            d = all.into_iter().map(|(.., d)| d).find(|d| d.name == name).ok_or(io::ErrorKind::NotFound)?;
        }
        let mut text = vec![0; d.size.min(MAX_FILE) as usize];
        self.volume.read(&d, 0, &mut text)?;
        Ok(text)
    }

    fn node(&self, block: u64, slot: usize, d: Dentry) -> Node {
        let users = self.users();
        let meta = Meta {
            mode: d.full_mode(),
            uid: users.name(d.uid).into(),
            gid: users.name(d.gid).into(),
            muid: users.name(d.muid).into(),
            mtime: d.mtime.clamp(0, u32::MAX.into()) as u32,
        };
        let len = if d.is_dir() { 0 } else { d.size };
        Node { name: d.name, meta, len, qid: Some(d.qid), handle: [block << 4 | slot as u64, 0, 0, 0] }
    }
}

impl FileSystem for HjfsReader {
    fn kind(&self) -> &'static str {
        "hjfs"
    }

    fn root(&self) -> io::Result<Node> {
        let at = self.volume.superblock.root;
        let d = self.volume.dentry(at, self.slot as usize)?;
        if !d.is_allocated() || !d.is_dir() {
            return Err(damaged(format!("Slot {} of block {at}, the root, is not a directory", self.slot)));
        }
        Ok(Node { name: Vec::new(), ..self.node(at, self.slot as usize, d) })
    }

    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        dir.need_dir()?;
        let all = self.list(&self.dentry(dir)?)?;
        // Temporary files are in no dump, whatever their dentries say.
        let there = all.into_iter().filter(|(.., d)| self.slot == 0 || !d.is_temporary());
        let mut out: Vec<_> = there.map(|(block, slot, d)| self.node(block, slot, d)).collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        file.need_file()?;
        let d = self.dentry(file)?;
        if offset >= d.size {
            return Ok(0);
        }
        let n = (d.size - offset).min(buf.len() as u64).min(MANY as u64 * BLOCK as u64) as usize;
        self.volume.read(&d, offset, &mut buf[..n])?;
        Ok(n)
    }

    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        // Damage that makes the file unreadable is found by the check below.
        self.users_text().into_iter().for_each(|text| lines_text(&text, report));
        super::check::check(&self.volume, self.users(), report)
    }

    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        super::dump::dump(&self.volume, out)
    }
}
