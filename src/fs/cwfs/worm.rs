//! The bytes of a worm at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches; blocks that nobody uses are zeros and in no extent.

use super::format::{BLOCK, DENTRY, Form, Kind, ROOT_PATH, SUPER_AT, Super, Tag};
use super::layout::Base;
use crate::fs::shared::area::Area;
use crate::fs::shared::layers::{Blocks as _, Free, Layers};
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use crate::tree::Tree;
use std::io;
use std::sync::Arc;

/// The partition `fsworm`.
pub struct Worm {
    pub(super) base: Arc<Base>,
    pub(super) tree: Arc<Tree>,
    pub(super) len: u64,
    pub(super) area: Area<Form>,
    pub(super) free: Free,
    pub(super) superblock: Super,
    /// `/` and the root of the dumps, at the addresses that follow each other.
    pub(super) roots: [[u8; DENTRY]; 2],
}

/// A block with one entry of a directory, a root.
pub fn root_block(root: &[u8; DENTRY]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..DENTRY].copy_from_slice(root);
    Tag { kind: Kind::DIR, path: ROOT_PATH }.write(&mut block);
    block
}

impl Worm {
    fn layers(&self) -> Layers<'_, Area<Form>> {
        Layers { base: (&self.base.area, &self.base.tree), free: &self.free, own: (&self.area, &self.tree) }
    }

    /// Blocks in use.
    pub fn blocks_used(&self) -> u64 {
        3 + self.layers().blocks()
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
        let data = self.base.area.start() * BLOCK as u64;
        let mut done = 0;
        while done < buf.len() && offset + (done as u64) < data {
            let at = offset + done as u64;
            let block = self.front_block(at / BLOCK as u64);
            let within = (at % BLOCK as u64) as usize;
            let n = (buf.len() - done).min(BLOCK - within);
            buf[done..done + n].copy_from_slice(&block[within..within + n]);
            done += n;
        }
        self.layers().read(offset + done as u64, &mut buf[done..])
    }

    fn extents(&self) -> Vec<Extent> {
        let block = BLOCK as u64;
        let front = Extent { offset: SUPER_AT * block, len: 3 * block };
        let used = |(start, end)| Extent { offset: start * block, len: (end - start) * block };
        normalize(std::iter::once(front).chain(self.layers().used().map(used)).collect())
    }

    /// Blocks of the base that this node uses are the base's.
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.layers().in_base(offset, len).then(|| Origin { base: self.base.number(), offset })
    }
}
