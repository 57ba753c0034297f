//! Layout of a volume: first the medium's files ([`Base`]), then those that one
//! node adds ([`Hjfs`]).
//!
//! Invariants: addresses and qids of the base depend on the medium's tree, on
//! the users' numbers and on where the base starts; a node uses a base block as
//! it is or leaves it free; no block is used twice.

use super::format::{
    BLOCK, COUNTS_AT, DENTRY, Dentry, FIRST_QID, Form, MAX_BLOCKS, PAYLOAD, ROOT_QID, SLOTS, Super, counts_end,
};
use super::limits::{LayoutError, MAX_NAME};
use super::users::FILE;
use crate::shared::area::Area;
use crate::shared::entries::{self, Described, Entries, Overlaid};
use crate::shared::layers::Blocks as _;
use crate::shared::place;
use crate::shared::shape::Reach as _;
use crate::shared::users::Users;
use crate::tree::{Meta, Mode, Tree};
use std::sync::Arc;

/// A node's blocks start at a multiple of this many (64 KiB), so that the
/// base's last cluster of an image is the same for all nodes.
const ALIGN: u64 = 16;
/// The base never starts before this block, so that disks of up to 2.8 GB have
/// the same one.
const MIN_START: u64 = 512;

impl Entries for Form {
    const NAME: &'static str = "hjfs";
    const SLOTS: usize = SLOTS;
    const MAX_NAME: usize = MAX_NAME;
    const MAX_FILE: u64 = Self::MAX_DATA.saturating_mul(PAYLOAD as u64);
    const ROOT_QID: u64 = ROOT_QID;
    const FIRST_QID: u64 = FIRST_QID;
    type Dentry = [u8; DENTRY];

    fn mark(_qid: u64) {}

    fn dentry(of: &Described<'_>) -> [u8; DENTRY] {
        let mut d = Dentry::new(of.name, of.qid, &of.entry.meta, of.ids);
        d.size = if of.entry.is_dir() { of.placed.blocks } else { of.entry.len() };
        d.pointers = of.placed.pointers::<Self, _>();
        d.write()
    }
}

/// The part of a layout that depends on the medium alone; shared by all nodes
/// with disks of about a size and with the same users.
pub struct Base(Arc<entries::Base<Form>>);

/// Options of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the partition in bytes.
    pub len: u64,
    /// Time of the root of the dumps, in seconds since 1970-01-01 UTC.
    pub epoch: u32,
}

/// An hjfs volume: answers [`crate::ReadAt`] without holding any file's bytes.
pub struct Hjfs {
    pub(super) blocks: Overlaid<Form>,
    pub(super) superblock: Super,
    pub(super) len: u64,
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
/// Fails when that file cannot be read.
pub fn users(tree: &Tree) -> Result<Users, LayoutError> {
    FILE.of(tree).map_err(|e| LayoutError::Users(e.to_string()))
}

impl Base {
    /// Gives every file and directory of a medium its place, from block
    /// `start` on ([`base_start`]).
    ///
    /// # Errors
    /// Fails when hjfs cannot hold a name, an owner, a file or all of them.
    pub fn layout(tree: &Arc<Tree>, users: &Users, start: u64) -> Result<Self, LayoutError> {
        let base = entries::Base::layout(tree, users, start)?;
        if base.area.end() > MAX_BLOCKS {
            return Err(LayoutError::TooManyBlocks);
        }
        Ok(Self(Arc::new(base)))
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub fn number(&self) -> u64 {
        self.0.number()
    }
}

impl Hjfs {
    /// Gives what `tree` adds to or changes in `base` its place. `tree` is
    /// the base's own tree, or an overlay of it.
    ///
    /// # Errors
    /// Fails when hjfs cannot hold a name, an owner or a file, or the partition
    /// is too small or too large.
    pub fn layout(base: &Arc<Base>, tree: &Arc<Tree>, options: &Options) -> Result<Self, LayoutError> {
        let blocks = options.len / BLOCK as u64;
        if blocks > MAX_BLOCKS {
            return Err(LayoutError::PartitionTooBig { len: options.len, max: MAX_BLOCKS * BLOCK as u64 });
        }
        let (area, qid, root) = build_node(&base.0, tree, options.epoch)?;
        let needed = area.end() * BLOCK as u64;
        if needed > options.len {
            return Err(LayoutError::TooSmall { needed, available: options.len });
        }
        let superblock = Super { blocks, fstart: COUNTS_AT, fend: counts_end(blocks), root, qid };
        Ok(Self { blocks: Overlaid::new(&base.0, tree, area), superblock, len: options.len })
    }

    /// Blocks in use.
    pub fn blocks_used(&self) -> u64 {
        self.superblock.fend + self.blocks.layers().blocks()
    }

    /// Blocks in the partition.
    pub fn blocks(&self) -> u64 {
        self.superblock.blocks
    }
}

/// The node's blocks, the next free qid and the address of the roots.
fn build_node(base: &entries::Base<Form>, tree: &Arc<Tree>, epoch: u32) -> Result<(Area<Form>, u64, u64), LayoutError> {
    if !place::is_over(tree, &base.tree) {
        return Err(LayoutError::OtherBase);
    }
    let (b, next_qid) = base.node(tree, ALIGN)?;
    let live = b.root()?;
    let dump = Dentry::new(b"/", ROOT_QID, &Meta::new(Mode::dir(0o775), "", "", epoch), [-1; 3]);
    let mut area = b.area;
    // The block with both roots.
    let (root, _) = area.add_dir(&[live, dump.write()], SLOTS, ());
    area.finish();
    if area.end() > MAX_BLOCKS {
        return Err(LayoutError::TooManyBlocks);
    }
    Ok((area, next_qid, root))
}
