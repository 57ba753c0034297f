//! Where everything goes: first what the medium has ([`Base`]), then what one
//! node adds ([`Hjfs`]).
//!
//! Invariants: addresses and qids of the base depend on the medium's tree, on
//! the users' numbers and on where the base starts; a node uses a base block as
//! it is or leaves it free; no block is used twice.

use super::format::{
    BLOCK, COUNTS_AT, DENTRY, Dentry, FIRST_QID, Form, MAX_BLOCKS, PAYLOAD, ROOT_QID, SLOTS, Super, counts_end,
};
use super::limits::{LayoutError, MAX_NAME};
use super::users::{born, parse};
use crate::fs::shared::area::{Area, Sealed as _};
use crate::fs::shared::bad_name;
use crate::fs::shared::layers::{Blocks as _, Free, Layers};
use crate::fs::shared::place::{self, Place, ids};
use crate::fs::shared::shape::{Reach as _, Shape};
use crate::fs::shared::users::Users;
use crate::tree::{EntryId, Kind, Meta, Mode, Tree};
use std::sync::Arc;

/// A node's blocks start at a multiple of this many (64 KiB), so that the
/// base's last cluster of an image is the same for all nodes.
const ALIGN: u64 = 16;
/// The base never starts before this block, so that disks of up to 2.8 GB have
/// the same one.
const MIN_START: u64 = 512;

/// Where an entry of a tree was placed.
#[derive(Clone, Copy)]
struct Placed {
    first: u64,
    /// Without indirect ones.
    blocks: u64,
}

/// The part of a layout that depends on the medium alone; shared by all nodes
/// with disks of about a size and with the same users.
pub struct Base {
    pub(super) tree: Arc<Tree>,
    pub(super) area: Area<Form>,
    users: Users,
    placed: Vec<Placed>,
    number: u64,
}

/// What a volume is told beside its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the partition in bytes.
    pub len: u64,
    /// Time of the root of the dumps, in seconds since 1970-01-01 UTC.
    pub epoch: u32,
}

/// An hjfs volume: answers [`crate::ReadAt`] without holding any file's bytes.
pub struct Hjfs {
    pub(super) base: Arc<Base>,
    pub(super) tree: Arc<Tree>,
    pub(super) superblock: Super,
    pub(super) len: u64,
    pub(super) area: Area<Form>,
    pub(super) free: Free,
}

/// The block at which the base of a partition of `len` bytes starts.
pub fn base_start(len: u64) -> u64 {
    counts_end((len / BLOCK as u64).min(MAX_BLOCKS)).next_power_of_two().max(MIN_START)
}

/// Bytes from the start of a partition of `len` bytes to its base.
pub fn data_offset(len: u64) -> u64 {
    base_start(len) * BLOCK as u64
}

/// The numbers of the users of a tree: its `/adm/users`.
///
/// # Errors
/// When that file cannot be read.
pub fn users(tree: &Tree) -> Result<Users, LayoutError> {
    let text = crate::fs::shared::users::text(tree).map_err(|e| LayoutError::Users(e.to_string()))?;
    Ok(text.map_or_else(born, |t| parse(&t)))
}

impl Base {
    /// Gives every file and directory of a medium its place, from block
    /// `start` on ([`base_start`]).
    ///
    /// # Errors
    /// When hjfs cannot hold a name, an owner, a file or all of them.
    pub fn layout(tree: &Arc<Tree>, users: &Users, start: u64) -> Result<Self, LayoutError> {
        let mut b = Builder::new(tree, users, start);
        let placed = place::medium(&mut b, tree, base_qid)?;
        b.area.finish();
        if b.area.end() > MAX_BLOCKS {
            return Err(LayoutError::TooManyBlocks);
        }
        Ok(Self { tree: tree.clone(), area: b.area, users: users.clone(), placed, number: crate::fs::base_number() })
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Hjfs {
    /// Gives what `tree` adds to or changes in `base` its place. `tree` is
    /// the base's own tree, or an overlay of it.
    ///
    /// # Errors
    /// When hjfs cannot hold a name, an owner or a file, or the partition is
    /// too small or too large.
    pub fn layout(base: &Arc<Base>, tree: &Arc<Tree>, options: &Options) -> Result<Self, LayoutError> {
        let blocks = options.len / BLOCK as u64;
        if blocks > MAX_BLOCKS {
            return Err(LayoutError::PartitionTooBig { len: options.len, max: MAX_BLOCKS * BLOCK as u64 });
        }
        let (area, qid, root) = build_node(base, tree, options.epoch)?;
        let needed = area.end() * BLOCK as u64;
        if needed > options.len {
            return Err(LayoutError::TooSmall { needed, available: options.len });
        }
        let superblock = Super { blocks, fstart: COUNTS_AT, fend: counts_end(blocks), root, qid };
        let free = unused(base, tree);
        Ok(Self { base: base.clone(), tree: tree.clone(), superblock, len: options.len, area, free })
    }

    /// Blocks in use.
    pub fn blocks_used(&self) -> u64 {
        self.superblock.fend + self.layers().blocks()
    }

    /// The blocks behind the counts.
    pub(super) fn layers(&self) -> Layers<'_, Area<Form>> {
        Layers { base: (&self.base.area, &self.base.tree), free: &self.free, own: (&self.area, &self.tree) }
    }

    /// Blocks in the partition.
    pub fn blocks(&self) -> u64 {
        self.superblock.blocks
    }
}

fn base_qid(id: EntryId) -> u64 {
    match id {
        EntryId::ROOT => ROOT_QID,
        EntryId(n) => FIRST_QID - 1 + u64::from(n),
    }
}

/// The node's blocks, the next free qid and the address of the roots.
fn build_node(base: &Arc<Base>, tree: &Arc<Tree>, epoch: u32) -> Result<(Area<Form>, u64, u64), LayoutError> {
    if !place::is_over(tree, &base.tree) {
        return Err(LayoutError::OtherBase);
    }
    let mut b = Builder::new(tree, &base.users, base.area.end().next_multiple_of(ALIGN));
    let next_qid = place::node(&mut b, (&base.tree, &base.placed), tree, base_qid)?;
    let root = b.place_roots(epoch)?;
    b.area.finish();
    if b.area.end() > MAX_BLOCKS {
        return Err(LayoutError::TooManyBlocks);
    }
    Ok((b.area, next_qid, root))
}

/// Base addresses that a node does not use.
fn unused(base: &Base, tree: &Arc<Tree>) -> Free {
    let dirs = ids(&base.tree).filter(|id| base.tree.entry(*id).is_dir()).map(|id| {
        let p = base.placed[id.index()];
        (id, p.first, p.first + Shape::<Form>::new(p.blocks).total())
    });
    place::unused(&base.tree, tree, base.area.file_runs().chain(dirs))
}

/// Fills an area: all files first, then directories, children before parents.
struct Builder<'a> {
    tree: &'a Tree,
    users: &'a Users,
    area: Area<Form>,
    /// By entry of the tree; what is `None` is not placed yet.
    placed: Vec<Option<Placed>>,
}

impl<'a> Builder<'a> {
    fn new(tree: &'a Tree, users: &'a Users, start: u64) -> Self {
        Self { tree, users, area: Area::new(start), placed: vec![None; tree.len()] }
    }

    fn path(&self, id: EntryId) -> String {
        self.tree.paths().swap_remove(id.index())
    }

    /// The numbers of owner, last user and group.
    fn ids(&self, id: EntryId, meta: &Meta) -> Result<[i16; 3], LayoutError> {
        let known = |what, name: &str| {
            let unknown = || LayoutError::UnknownUser { path: self.path(id), what, name: name.into() };
            self.users.id(name).ok_or_else(unknown)
        };
        let uid = known("owner", &meta.uid)?;
        // Who changed a file last may be nobody here: a medium tells of others.
        Ok([uid, self.users.id(&meta.muid).unwrap_or(uid), known("group", &meta.gid)?])
    }

    /// The dentry of a placed entry.
    fn dentry(&self, id: EntryId, name: &[u8], qid: u64) -> Result<[u8; DENTRY], LayoutError> {
        let entry = self.tree.entry(id);
        let placed = self.placed[id.index()].expect("children are placed before their directory");
        let mut d = Dentry::new(name, qid, &entry.meta, self.ids(id, &entry.meta)?);
        d.size = if entry.is_dir() { placed.blocks } else { entry.len() };
        Shape::<Form>::new(placed.blocks).point(placed.first, &mut d.pointers.direct, &mut d.pointers.indirect);
        Ok(d.write())
    }

    /// The block with both roots; returns its address.
    fn place_roots(&mut self, epoch: u32) -> Result<u64, LayoutError> {
        let live = self.dentry(EntryId::ROOT, b"/", ROOT_QID)?;
        let dump = Dentry::new(b"/", ROOT_QID, &Meta::new(Mode::dir(0o775), "", "", epoch), [-1; 3]);
        Ok(self.area.add_dir(&[live, dump.write()], SLOTS, ()).0)
    }
}

impl Place for Builder<'_> {
    type Placed = Placed;
    type Error = LayoutError;

    fn placed(&mut self) -> &mut Vec<Option<Placed>> {
        &mut self.placed
    }

    fn file(&mut self, id: EntryId, _qid: u64) -> Result<(), LayoutError> {
        let Kind::File(content) = &self.tree.entry(id).kind else { return Ok(()) };
        let max = Form::MAX_DATA.saturating_mul(PAYLOAD as u64);
        if content.len() > max {
            return Err(LayoutError::FileTooBig { path: self.path(id), len: content.len(), max });
        }
        let first = self.area.add_file(id, content.len(), ());
        self.placed[id.index()] = Some(Placed { first, blocks: Form::shape(content.len()).data() });
        Ok(())
    }

    fn dir(&mut self, id: EntryId, qid: &dyn Fn(EntryId) -> u64) -> Result<(), LayoutError> {
        let tree = self.tree;
        let mut dentries = Vec::with_capacity(tree.entry(id).children().len());
        for child in tree.entry(id).children() {
            let name = &tree.entry(*child).name;
            if let Some(why) = bad_name(name) {
                return Err(LayoutError::BadName { path: self.path(*child), why });
            }
            if name.len() > MAX_NAME {
                return Err(LayoutError::NameTooLong { path: self.path(*child), len: name.len() });
            }
            dentries.push(self.dentry(*child, name, qid(*child))?);
        }
        let (first, blocks) = self.area.add_dir(&dentries, SLOTS, ());
        self.placed[id.index()] = Some(Placed { first, blocks });
        Ok(())
    }
}
