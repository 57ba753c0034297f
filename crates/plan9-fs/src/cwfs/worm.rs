//! The bytes of a worm at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches; blocks that nobody uses are zeros and in no extent.

use super::format::{BLOCK, DENTRY, Form, Kind, ROOT_PATH, SUPER_AT, Super, Tag};
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use crate::shared::entries::Overlaid;
use crate::shared::front;
use std::io;

/// The partition `fsworm`.
pub struct Worm {
    pub(super) blocks: Overlaid<Form>,
    pub(super) len: u64,
    pub(super) superblock: Super,
    /// `/` and the root of the dumps, at the addresses that follow each other.
    pub(super) roots: [[u8; DENTRY]; 2],
}

/// A block with one entry of a directory, a root.
pub(super) fn root_block(root: &[u8; DENTRY]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..DENTRY].copy_from_slice(root);
    Tag { kind: Kind::DIR, path: ROOT_PATH }.write(&mut block);
    block
}

impl Worm {
    /// Blocks in use.
    pub fn blocks_used(&self) -> u64 {
        3 + self.blocks.layers().blocks()
    }

    /// Blocks in the partition.
    pub fn blocks(&self) -> u64 {
        self.len / BLOCK as u64
    }

    /// A block before the base.
    fn front_block(&self, n: u64) -> [u8; BLOCK] {
        let [root, dumps] = &self.roots;
        match n {
            SUPER_AT => self.superblock.write(&[0]),
            n if n == self.superblock.cwraddr => root_block(root),
            n if n == self.superblock.roraddr => root_block(dumps),
            _ => [0; BLOCK],
        }
    }
}

impl ReadAt for Worm {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("fsworm", offset, buf.len(), self.len)?;
        let done = front(offset, buf, self.blocks.start(), |n| self.front_block(n));
        self.blocks.layers().read(offset + done as u64, &mut buf[done..])
    }

    fn extents(&self) -> Vec<Extent> {
        let block = BLOCK as u64;
        let front = Extent { offset: SUPER_AT * block, len: 3 * block };
        normalize(std::iter::once(front).chain(self.blocks.extents()).collect())
    }

    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.blocks.origin(offset, len)
    }
}
