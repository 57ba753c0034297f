//! Reading a fossil volume as a file system.
//!
//! The root is what users see: `/active`. [`FossilReader::with_snapshots`]
//! shows the directory above it, with `archive` and `snapshot`.
//!
//! No image leads a caller in circles: a block of a directory belongs to one
//! place in one directory (snapshots count apart, and hold no further ones),
//! an entry to one name, and directories nest at most [`MAX_NESTING`] deep.

use super::entry::Entry;
use super::format::{Header, Label, Super};
use super::meta::{DirEntry, MetaBlock};
use super::volume::{EntryAt, OpenError, Volume};
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shared::users::{MAX_FILE, lines_text};
use crate::shown;
use crate::{FileSystem, Finding, Node};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Deepest directory that the reader opens.
pub const MAX_NESTING: u64 = 1000;

/// Handle of a file whose entry is gone, and of what has no meta source.
const NONE: u64 = u64::MAX;
/// Space of what is not in a snapshot.
const ACTIVE: u64 = 0;

/// Opens a fossil partition; reads its header and super block only.
///
/// # Errors
/// Fails when the bytes are no fossil partition or cannot be read.
pub fn open(dev: Arc<dyn ReadAt>) -> Result<FossilReader, OpenError> {
    Ok(FossilReader { volume: Arc::new(Volume::open(dev)?), whole: false, claims: Mutex::default() })
}

/// A fossil volume opened for reading.
pub struct FossilReader {
    pub(super) volume: Arc<Volume>,
    /// Show the directory above `active`.
    whole: bool,
    /// Source of each directory block and its number in the source, by space
    /// (the snapshot) and address. Grows with the directory blocks that were
    /// read.
    claims: Mutex<HashMap<(u64, u32), (u64, u64)>>,
}

impl FossilReader {
    /// The configuration text; `None` when the partition has none.
    ///
    /// # Errors
    /// Fails when the image cannot be read.
    pub fn config(&self) -> io::Result<Option<Vec<u8>>> {
        self.volume.config()
    }

    /// Name of the volume.
    pub fn volume_name(&self) -> &[u8] {
        &self.volume.superblock.name
    }

    /// The same volume, with `active`, `archive` and `snapshot` in its root.
    pub fn with_snapshots(&self) -> Self {
        Self { volume: self.volume.clone(), whole: true, claims: Mutex::default() }
    }

    /// The text of `/adm/users`; what makes it unreadable a check finds elsewhere.
    fn users_text(&self) -> Option<Vec<u8>> {
        let path: &[u8] = if self.whole { b"active/adm/users" } else { b"adm/users" };
        let file = FileSystem::find(self, path).ok().filter(|n| !n.meta.mode.is_dir() && n.len <= MAX_FILE)?;
        let mut text = vec![0; file.len as usize];
        let read = self.read(&file, 0, &mut text).ok()?;
        text.truncate(read);
        Some(text)
    }

    /// Header: the regions of the partition.
    pub fn header(&self) -> &Header {
        &self.volume.header
    }

    /// The super block of the current epoch.
    pub fn superblock(&self) -> &Super {
        &self.volume.superblock
    }

    /// The label of the data block at an address.
    ///
    /// # Errors
    /// `InvalidData` past the last block.
    pub fn label(&self, address: u32) -> io::Result<Label> {
        let mut out = [Label { state: 0, kind: 0, epoch: 0, close: 0, tag: 0 }];
        self.volume.labels(address, &mut out)?;
        Ok(out[0])
    }

    /// The tags of the sources of a node: that of a file, or those of a
    /// directory's entries and names. `None` for what has no block here.
    pub fn tags(&self, node: &Node) -> [Option<u32>; 2] {
        [node.handle[0], node.handle[1]].map(|at| {
            let entry = (at != NONE).then(|| self.volume.entry(EntryAt::unpack(at)))?.ok()?;
            entry.is_local().then_some(entry.tag)
        })
    }

    /// The directory that holds `active`.
    fn top(&self) -> io::Result<Node> {
        let top = self.volume.top()?;
        let Some(block) = self.volume.leaves(&top, 0, 1)?[0] else {
            return Err(damaged("The root block points to nothing"));
        };
        self.volume.block(block, Label::DIR, top.tag)?;
        let at = |index| EntryAt { block, index }.pack();
        let own = EntryAt { block, index: 2 };
        let e = self.volume.source(own, false)?;
        let bytes = self.meta_block(&e, own, ACTIVE, 0)?;
        let m = MetaBlock::parse(&bytes).map_err(|why| damaged(format!("Meta block that names the root: {why}")))?;
        if m.count == 0 {
            return Err(damaged("Meta block that names the root: it is empty"));
        }
        let de = m.entry(0).map_err(|why| damaged(format!("Directory entry of the root: {why}")))?;
        Ok(Node { name: Vec::new(), meta: de.meta(), len: 0, qid: Some(de.qid), handle: [at(0), at(1), ACTIVE, 0] })
    }

    /// Notes that a directory block belongs to one place; refuses a second.
    fn claim(&self, space: u64, address: u32, owner: EntryAt, bn: u64) -> io::Result<()> {
        let place = (owner.pack(), bn);
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        match *claims.entry((space, address)).or_insert(place) {
            p if p == place => Ok(()),
            _ => Err(damaged(format!("Block {address} belongs to two directories, or twice to one"))),
        }
    }

    /// Data block `bn` of a directory's or meta source.
    fn claimed(&self, e: &Entry, at: EntryAt, space: u64, bn: u64) -> io::Result<(u32, Vec<u8>)> {
        let Some(address) = self.volume.leaves(e, bn, 1)?[0] else {
            return Err(damaged(format!("Entry {} in block {}: its data block {bn} is a hole", at.index, at.block)));
        };
        self.claim(space, address, at, bn)?;
        let kind = if e.is_dir() { Label::DIR } else { 0 };
        let mut block = self.volume.block(address, kind, e.tag)?;
        block.truncate(usize::from(e.dsize));
        Ok((address, block))
    }

    fn meta_block(&self, e: &Entry, at: EntryAt, space: u64, bn: u64) -> io::Result<Vec<u8>> {
        self.claimed(e, at, space, bn).map(|(_, block)| block)
    }

    fn list(&self, dir: &Node) -> io::Result<Vec<Node>> {
        let [source_at, meta_at, space, depth] = dir.handle;
        if depth >= MAX_NESTING {
            return Err(damaged(format!("Directories are nested more than {MAX_NESTING} deep")));
        }
        if source_at == NONE || meta_at == NONE {
            return Err(damaged(format!("Directory {:?} has no source", String::from_utf8_lossy(&dir.name))));
        }
        let (source_at, meta_at) = (EntryAt::unpack(source_at), EntryAt::unpack(meta_at));
        let source = self.volume.source(source_at, true)?;
        let meta = self.volume.source(meta_at, false)?;
        let mut space = space;
        if source.snap != 0 {
            if space != ACTIVE {
                return Err(damaged("A snapshot contains another one"));
            }
            space = source_at.pack() + 1;
        }
        let mut names: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut out = Vec::new();
        let mut entries = EntryBlock { reader: self, source: &source, at: source_at, space, bn: NONE, address: 0 };
        for bn in 0..meta.blocks() {
            let bytes = self.meta_block(&meta, meta_at, space, bn)?;
            let place =
                |why: String| damaged(format!("Meta block {bn} of {:?}: {why}", String::from_utf8_lossy(&dir.name)));
            let m = MetaBlock::parse(&bytes).map_err(place)?;
            for i in 0..m.count {
                let de = m.entry(i).map_err(|why| place(format!("entry {i}: {why}")))?;
                let uses = if de.is_dir() { vec![de.entry, de.mentry] } else { vec![de.entry] };
                // A crash of the server may leave a name twice (`/sys/src/cmd/fossil/file.c`).
                if names.get(&de.entry) == Some(&de.name) {
                    continue;
                }
                for index in uses {
                    if let Some(other) = names.insert(index, de.name.clone()) {
                        return Err(place(format!(
                            "{:?} and {:?} are one file (entry {index})",
                            String::from_utf8_lossy(&other),
                            String::from_utf8_lossy(&de.name)
                        )));
                    }
                }
                out.push(entries.node(de, depth + 1)?);
            }
        }
        out.sort_by(|a: &Node, b: &Node| a.name.cmp(&b.name));
        Ok(out)
    }
}

/// The block of a directory's source that holds the entry looked up last.
struct EntryBlock<'a> {
    reader: &'a FossilReader,
    source: &'a Entry,
    at: EntryAt,
    space: u64,
    bn: u64,
    address: u32,
}

impl EntryBlock<'_> {
    /// Position of the entry with this index; `None` after the end.
    fn find(&mut self, index: u32) -> io::Result<Option<EntryAt>> {
        let index = u64::from(index);
        if index >= self.source.entry_count() {
            return Ok(None);
        }
        let per = self.source.entries();
        if index / per != self.bn {
            self.address = self.reader.claimed(self.source, self.at, self.space, index / per)?.0;
            self.bn = index / per;
        }
        Ok(Some(EntryAt { block: self.address, index: (index % per) as u16 }))
    }

    /// The packed place of a live entry with this generation and its length;
    /// [`NONE`] when it is gone.
    fn live(&mut self, index: u32, generation: u32) -> io::Result<(u64, u64)> {
        let Some(at) = self.find(index)? else { return Ok((NONE, 0)) };
        let e = self.reader.volume.entry(at)?;
        Ok(if e.is_active() && e.generation == generation { (at.pack(), e.size) } else { (NONE, 0) })
    }

    fn node(&mut self, de: DirEntry, depth: u64) -> io::Result<Node> {
        let (source, size) = self.live(de.entry, de.generation)?;
        let (meta, len) = match de.is_dir() {
            true => (self.live(de.mentry, de.mgeneration)?.0, 0),
            false => (NONE, size),
        };
        Ok(Node { meta: de.meta(), qid: Some(de.qid), name: de.name, len, handle: [source, meta, self.space, depth] })
    }
}

/// Users that a fossil has whatever its file says, and those that it has
/// without one (`usersDefault` in `/sys/src/cmd/fossil/9user.c`).
const BORN: [&str; 5] = ["adm", "none", "noworld", "sys", "glenda"];

/// Names that owners may have, by `/adm/users`: what files name is a line's
/// first field, but some lists have numbers there.
fn users(text: Option<&[u8]>) -> BTreeSet<Vec<u8>> {
    let lines = text.unwrap_or_default().split(|b| *b == b'\n').filter(|l| !l.starts_with(b"#"));
    let named = lines.flat_map(|l| l.split(|b| *b == b':').take(2)).filter(|n| !n.is_empty()).map(<[u8]>::to_vec);
    BORN.iter().map(|name| name.as_bytes().to_vec()).chain(named).collect()
}

impl FileSystem for FossilReader {
    fn kind(&self) -> &'static str {
        "fossil"
    }

    fn root(&self) -> io::Result<Node> {
        let top = self.top()?;
        if self.whole {
            return Ok(top);
        }
        let active = self.list(&top)?.into_iter().find(|n| n.name == b"active");
        let Some(active) = active else { return Err(damaged("The root directory has no /active")) };
        if !active.meta.mode.is_dir() {
            return Err(damaged("/active is not a directory"));
        }
        Ok(Node { name: Vec::new(), ..active })
    }

    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        dir.need_dir()?;
        self.list(dir)
    }

    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        file.need_file()?;
        if file.handle[0] == NONE {
            return Err(damaged(format!("{} has no source", shown::name(&file.name))));
        }
        let e = self.volume.source(EntryAt::unpack(file.handle[0]), false)?;
        if offset >= e.size {
            return Ok(0);
        }
        let n = (e.size - offset).min(buf.len() as u64) as usize;
        self.volume.read(&e, offset, &mut buf[..n])?;
        Ok(n)
    }

    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        let text = self.users_text();
        text.iter().for_each(|text| lines_text(text, report));
        super::check::check(&self.volume, &users(text.as_deref()), report)
    }

    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        super::dump::dump(&self.volume, out)
    }
}
