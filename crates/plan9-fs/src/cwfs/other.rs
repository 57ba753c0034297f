//! The plain device: a small tree, and every other block on the free list.
//!
//! The list is the one that `superream` and `addfree` of
//! `/sys/src/cmd/cwfs/sub.c` make: addresses are added from the end downwards,
//! and when a block is full, the next address becomes the block that holds
//! those before. So which blocks are blocks of the list, and what is in them,
//! follows from where the free blocks begin and end.

use super::format::{BLOCK, DENTRY, FREES, Form, ROOT_AT, SUPER_AT, Super, device_blocks, free_list};
use super::limits::LayoutError;
use super::worm::root_block;
use crate::read_at::{Extent, ReadAt, check_range, normalize};
use crate::shared::area::Area;
use crate::shared::layers::{Blocks as _, Free, Layers};
use crate::tree::{Meta, Mode, Tree};
use std::io;

/// The partition `other`.
pub struct Other {
    len: u64,
    area: Area<Form>,
    tree: Tree,
    none: (Area<Form>, Tree, Free),
    superblock: Super,
    root: [u8; DENTRY],
}

impl Other {
    /// A device of `len` bytes with the root, and the blocks of `area` after
    /// it.
    ///
    /// # Errors
    /// Fails when the blocks do not fit.
    pub fn new(area: Area<Form>, tree: Tree, root: [u8; DENTRY], qidgen: u64, len: u64) -> Result<Self, LayoutError> {
        let fsize = device_blocks(len);
        let end = area.end();
        if end * BLOCK as u64 > len || fsize * BLOCK as u64 > len {
            return Err(LayoutError::PartTooSmall { name: "other", len, least: end.max(fsize) * BLOCK as u64 });
        }
        let superblock = Super { fstart: SUPER_AT, fsize, tfree: fsize - end, qidgen, ..Super::default() };
        let none = (Area::new(area.start()), Tree::new(Meta::new(Mode::dir(0), "", "", 0)), Free::default());
        Ok(Self { len, area, tree, none, superblock, root })
    }

    fn layers(&self) -> Layers<'_, Area<Form>> {
        let (area, tree, free) = &self.none;
        Layers { base: (area, tree), free, own: (&self.area, &self.tree) }
    }

    /// The address that was added as number `k`.
    fn added(&self, k: u64) -> u64 {
        self.superblock.fsize - 1 - k
    }

    /// The list's block number `j` (the last is the super block's part): the
    /// block before it, and the addresses that were added since.
    fn list(&self, j: u64) -> Vec<u64> {
        let per = FREES as u64;
        let first = j * per;
        let before = if j == 0 { 0 } else { self.added(first - 1) };
        let last = (first + per - 1).min(self.superblock.tfree);
        std::iter::once(before).chain((first..last).map(|k| self.added(k))).collect()
    }

    /// Blocks of the list.
    fn lists(&self) -> u64 {
        self.superblock.tfree / FREES as u64
    }

    /// The number of the list's block at an address.
    fn list_at(&self, address: u64) -> Option<u64> {
        let k = (self.superblock.fsize - 1).checked_sub(address)?;
        ((k + 1).is_multiple_of(FREES as u64) && k < self.superblock.tfree).then(|| (k + 1) / FREES as u64 - 1)
    }

    fn own_block(&self, n: u64) -> Option<[u8; BLOCK]> {
        match n {
            SUPER_AT => Some(self.superblock.write(&self.list(self.lists()))),
            ROOT_AT => Some(root_block(&self.root)),
            n => self.list_at(n).map(|j| free_list(&self.list(j))),
        }
    }
}

impl ReadAt for Other {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("other", offset, buf.len(), self.len)?;
        let block = BLOCK as u64;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let within = (at % block) as usize;
            let n = (buf.len() - done).min(BLOCK - within);
            let out = &mut buf[done..done + n];
            match self.own_block(at / block) {
                Some(b) => out.copy_from_slice(&b[within..within + n]),
                None => self.layers().read(at, out)?,
            }
            done += n;
        }
        Ok(())
    }

    fn extents(&self) -> Vec<Extent> {
        let block = BLOCK as u64;
        let own = |(start, end)| Extent { offset: start * block, len: (end - start) * block };
        let lists = (0..self.lists()).map(|j| self.added((j + 1) * FREES as u64 - 1)).map(|a| (a, a + 1));
        let front = (SUPER_AT, ROOT_AT + 1);
        normalize(std::iter::once(front).chain(self.layers().used()).chain(lists).map(own).collect())
    }
}
