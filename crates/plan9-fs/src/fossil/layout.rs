//! Layout of a volume: first the medium's files ([`Base`]), then those that one
//! node adds ([`Fossil`]).
//!
//! Invariants: addresses, tags and qids of the base depend on the medium's
//! tree alone; a node uses a base block as it is or leaves it free; no block
//! is used twice (fossil forbids sharing).

use super::area::Area;
use super::entry::{ENTRIES, Entry, dir_size};
use super::format::{BLOCK, ENTRY_LEN, Header, MAX_DATA_BLOCKS, MAX_FILE_BLOCKS, ROOT_TAG, Super};
use super::limits::{LayoutError, MAX_NAME, Options, bad_name, bad_user, check_options};
use super::meta::{DirEntry, MAX_ENTRY, meta_blocks};
use crate::read_at::Origin;
use crate::shared::layers::{Free, Layers};
use crate::shared::place::{self, Placer};
use crate::tree::{EntryId, Kind, Meta, Mode, Tree};
use std::sync::Arc;

/// Tag of the first source.
const FIRST_TAG: u32 = 33;
/// qid of `active`, which is the tree's root.
const ACTIVE_QID: u64 = 2;
/// qid of entry 1 of the medium's tree.
const FIRST_QID: u64 = 5;
/// A node's blocks start at a multiple of this many (64 KiB), so that the
/// base's last cluster of an image is the same for all nodes.
const ALIGN: u32 = 8;

/// The sources of one entry of a tree; `meta` is for directories only.
#[derive(Clone, Copy)]
struct Sources {
    source: Entry,
    meta: Entry,
    /// Addresses of a directory's blocks.
    blocks: (u32, u32),
}

/// The part of a layout that depends on the medium alone; shared by all nodes.
pub struct Base {
    pub(super) tree: Arc<Tree>,
    pub(super) area: Area,
    sources: Vec<Sources>,
    next_tag: u32,
    number: u64,
}

/// A fossil volume: answers [`crate::ReadAt`] without holding any file's bytes.
pub struct Fossil {
    pub(super) base: Arc<Base>,
    pub(super) tree: Arc<Tree>,
    pub(super) header: Header,
    pub(super) superblock: Super,
    pub(super) config: Vec<u8>,
    pub(super) len: u64,
    pub(super) area: Area,
    pub(super) free: Free,
}

impl Base {
    /// Gives every file and directory of a medium its place.
    ///
    /// # Errors
    /// Fails when fossil cannot hold a name, a file or all of them.
    pub fn layout(tree: &Arc<Tree>) -> Result<Self, LayoutError> {
        let mut b = Builder::new(tree, 0, FIRST_TAG);
        let sources = place::medium(&mut b, tree, base_qid)?;
        b.area.finish();
        let next_tag = b.area.tag(b.made);
        let number = Origin::unique().base;
        Ok(Self { tree: tree.clone(), area: b.area, sources, next_tag, number })
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Data blocks of the base area.
    pub fn blocks(&self) -> u32 {
        self.area.end()
    }

    /// First of a node's own blocks.
    fn node_start(&self) -> Option<u32> {
        self.area.end().checked_next_multiple_of(ALIGN)
    }
}

impl Fossil {
    /// Gives what `tree` adds to or changes in `base` its place. `tree` is
    /// the base's own tree, or an overlay of it.
    ///
    /// # Errors
    /// Fails when fossil cannot hold a name or a file, or the partition is too
    /// small or too large, or an option does not fit.
    pub fn layout(base: &Arc<Base>, tree: &Arc<Tree>, options: &Options) -> Result<Self, LayoutError> {
        check_options(options)?;
        let (area, qid, active) = build_node(base, tree, options.epoch)?;
        let needed = Header::partition_for(u64::from(area.end()));
        if needed > options.len {
            return Err(LayoutError::TooSmall { needed, available: options.len });
        }
        let header = Header::for_partition(options.len)
            .ok_or(LayoutError::PartitionTooBig { len: options.len, max: Header::partition_for(MAX_DATA_BLOCKS) })?;
        let superblock = Super {
            epoch_low: 1,
            epoch_high: 1,
            qid,
            active,
            next: super::format::NIL,
            current: super::format::NIL,
            last: super::format::Score::ZERO,
            name: options.name.clone().into_bytes(),
        };
        let free = unused(base, tree);
        let config = options.config.clone().into_bytes();
        Ok(Self { base: base.clone(), tree: tree.clone(), header, superblock, config, len: options.len, area, free })
    }

    /// Data blocks in use.
    pub fn blocks_used(&self) -> u64 {
        self.layers().blocks()
    }

    pub(super) fn layers(&self) -> Layers<'_, Area> {
        Layers { base: (&self.base.area, &self.base.tree), free: &self.free, own: (&self.area, &self.tree) }
    }

    /// Data blocks in the partition.
    pub fn blocks(&self) -> u64 {
        u64::from(self.header.data_blocks())
    }
}

/// The smallest partition, in bytes, that holds `tree`. It leaves no block
/// free: a server that is to write needs more.
///
/// # Errors
/// As [`Fossil::layout`], but for what concerns the partition and options.
pub fn needed_len(base: &Arc<Base>, tree: &Arc<Tree>) -> Result<u64, LayoutError> {
    let (area, ..) = build_node(base, tree, 0)?;
    Ok(Header::partition_for(u64::from(area.end())))
}

/// Bytes from the start of a partition of `len` bytes to its first data
/// block; `None` when fossil cannot divide such a partition.
pub fn data_offset(len: u64) -> Option<u64> {
    Header::for_partition(len).map(|h| h.byte(h.data))
}

fn base_qid(id: EntryId) -> u64 {
    match id {
        EntryId::ROOT => ACTIVE_QID,
        EntryId(n) => FIRST_QID - 1 + u64::from(n),
    }
}

/// The node's blocks, the next free qid and the address of the root block.
fn build_node(base: &Arc<Base>, tree: &Arc<Tree>, epoch: u32) -> Result<(Area, u64, u32), LayoutError> {
    if !place::is_over(tree, &base.tree) {
        return Err(LayoutError::OtherBase);
    }
    let full = LayoutError::TooManyBlocks { max: MAX_DATA_BLOCKS };
    let start = base.node_start().ok_or(full)?;
    let mut b = Builder::new(tree, start, base.next_tag);
    let next_qid = place::node(&mut b, (&base.tree, &base.sources), tree, base_qid)?;
    let active = b.place_root(epoch)?;
    b.area.finish();
    if u64::from(b.area.end()) > MAX_DATA_BLOCKS {
        return Err(LayoutError::TooManyBlocks { max: MAX_DATA_BLOCKS });
    }
    Ok((b.area, next_qid, active))
}

/// Base addresses that a node does not use.
fn unused(base: &Base, tree: &Arc<Tree>) -> Free {
    let dirs = place::ids(&base.tree).zip(&base.sources);
    let dirs = dirs.map(|(id, s)| (id, s.blocks.0.into(), s.blocks.1.into()));
    place::unused(&base.tree, tree, base.area.file_runs().chain(dirs))
}

/// Fills an area: all files first, then directories, children before parents.
struct Builder<'a> {
    tree: &'a Tree,
    area: Area,
    /// Sources by entry of the tree; `None` until the entry is placed.
    sources: Vec<Option<Sources>>,
    /// Made sources so far.
    made: u32,
}

impl<'a> Builder<'a> {
    fn new(tree: &'a Tree, start: u32, tag: u32) -> Self {
        Self { tree, area: Area::new(start, tag), sources: vec![None; tree.len()], made: 0 }
    }

    fn path(&self, id: EntryId) -> String {
        self.tree.paths().swap_remove(id.index())
    }

    fn place_made(&mut self, is_dir: bool, size: u64, data: &[u8]) -> Result<Entry, LayoutError> {
        let tag = self.area.tag(self.made);
        let entry = self.area.add_made(is_dir, size, data, tag).ok_or(too_many())?;
        self.made += u32::from(size > 0);
        Ok(entry)
    }

    fn place(&mut self, dir: Directory) -> Result<Sources, LayoutError> {
        let names = meta_blocks(&dir.names);
        let source = self.place_made(true, dir_size(dir.count), &dir.blocks)?;
        let meta = self.place_made(false, names.len() as u64, &names)?;
        Ok(Sources { source, meta, blocks: (0, 0) })
    }

    /// The blocks above the tree; returns the address of the root block.
    fn place_root(&mut self, epoch: u32) -> Result<u32, LayoutError> {
        let adm = Meta::new(Mode::dir(0o555), "adm", "adm", epoch);
        let root = &self.tree.entry(EntryId::ROOT).meta;
        let active = self.sources[0].expect("the root was placed");
        let empty = Sources { source: Entry::empty(true), meta: Entry::empty(false), blocks: (0, 0) };
        let mut top = Directory::default();
        let len = top.add(b"active", &active, ACTIVE_QID, root);
        if len > MAX_ENTRY {
            return Err(LayoutError::EntryTooBig { path: String::new(), len });
        }
        top.add(b"archive", &empty, 3, &adm);
        top.add(b"snapshot", &empty, 4, &adm);
        let top = self.place(top)?;
        let own_name = meta_blocks(&[DirEntry::new(b"root", 0, 1, &adm).write()]);
        let own_name = self.place_made(false, own_name.len() as u64, &own_name)?;

        let mut three = Directory::default();
        for e in [top.source, top.meta, own_name] {
            three.push(&e);
        }
        let three = self.place_made(true, dir_size(3), &three.blocks)?;
        let mut root = Directory::default();
        root.push(&three);
        let at = self.area.end();
        self.area.add_made(true, dir_size(1), &root.blocks, ROOT_TAG).ok_or(too_many())?;
        Ok(at)
    }
}

impl Placer for Builder<'_> {
    type Placed = Sources;
    type Error = LayoutError;

    fn placed(&mut self) -> &mut Vec<Option<Sources>> {
        &mut self.sources
    }

    fn file(&mut self, id: EntryId, _qid: u64) -> Result<(), LayoutError> {
        let entry = self.tree.entry(id);
        if let Some((what, why)) = bad_user(&entry.meta) {
            return Err(LayoutError::BadUser { path: self.path(id), what, why });
        }
        let Kind::File(content) = &entry.kind else { return Ok(()) };
        let max = MAX_FILE_BLOCKS * BLOCK as u64;
        if content.len() > max {
            return Err(LayoutError::FileTooBig { path: self.path(id), len: content.len(), max });
        }
        let mut source = self.area.add_file(id, content).ok_or(too_many())?;
        mark_temporary(&mut source, &entry.meta);
        self.sources[id.index()] = Some(Sources { source, meta: Entry::empty(false), blocks: (0, 0) });
        Ok(())
    }

    fn dir(&mut self, id: EntryId, qid: &dyn Fn(EntryId) -> u64) -> Result<(), LayoutError> {
        let tree = self.tree;
        let mut dir = Directory::default();
        for child in tree.entry(id).children() {
            let entry = tree.entry(*child);
            if let Some(why) = bad_name(&entry.name) {
                return Err(LayoutError::BadName { path: self.path(*child), why });
            }
            if entry.name.len() > MAX_NAME {
                return Err(LayoutError::NameTooLong { path: self.path(*child), len: entry.name.len() });
            }
            let sources = self.sources[child.index()].expect("children are placed before their directory");
            let len = dir.add(&entry.name, &sources, qid(*child), &entry.meta);
            if len > MAX_ENTRY {
                return Err(LayoutError::EntryTooBig { path: self.path(*child), len });
            }
        }
        let start = self.area.end();
        let mut sources = self.place(dir)?;
        sources.blocks = (start, self.area.end());
        mark_temporary(&mut sources.source, &tree.entry(id).meta);
        mark_temporary(&mut sources.meta, &tree.entry(id).meta);
        self.sources[id.index()] = Some(sources);
        Ok(())
    }
}

/// A directory being filled: blocks of entries, and packed names.
#[derive(Default)]
struct Directory {
    blocks: Vec<u8>,
    count: usize,
    names: Vec<Vec<u8>>,
}

impl Directory {
    fn push(&mut self, e: &Entry) {
        let at = self.count / ENTRIES * BLOCK + self.count % ENTRIES * ENTRY_LEN;
        if self.count.is_multiple_of(ENTRIES) {
            self.blocks.resize(self.blocks.len() + BLOCK, 0);
        }
        self.blocks[at..at + ENTRY_LEN].copy_from_slice(&e.write());
        self.count += 1;
    }
    /// Adds a child; returns the length of its directory entry in bytes.
    fn add(&mut self, name: &[u8], sources: &Sources, qid: u64, meta: &Meta) -> usize {
        let entry = DirEntry::new(name, self.count as u32, qid, meta).write();
        self.push(&sources.source);
        if meta.mode.is_dir() {
            self.push(&sources.meta);
        }
        let len = entry.len();
        self.names.push(entry);
        len
    }
}

fn too_many() -> LayoutError {
    LayoutError::TooManyBlocks { max: MAX_DATA_BLOCKS }
}

/// Leaves temporary files out of archives, by a flag of their entries.
fn mark_temporary(entry: &mut Entry, meta: &Meta) {
    if meta.mode.is_temporary() {
        entry.flags |= Entry::NO_ARCHIVE;
    }
}
