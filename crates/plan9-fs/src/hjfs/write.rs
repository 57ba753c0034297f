//! The bytes of a volume at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches; counts are made on the fly; blocks that nobody uses are
//! zeros and in no extent.

use super::format::{BLOCK, COUNTS, REFS, SENTINEL, SUPER_AT};
use super::layout::Hjfs;
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use crate::shared::front;
use std::io;

impl Hjfs {
    /// Super block or a block of counts.
    fn front_block(&self, n: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let s = &self.superblock;
        if n == SUPER_AT {
            let bytes = s.write();
            block[..bytes.len()].copy_from_slice(&bytes);
            return block;
        }
        block[0] = REFS;
        let first = (n - s.fstart) * COUNTS;
        let last = first + COUNTS;
        let mut put = |from: u64, to: u64, count: u32| {
            for at in from.clamp(first, last)..to.clamp(first, last) {
                let slot = 1 + 3 * (at - first) as usize;
                block[slot..slot + 3].copy_from_slice(&count.to_le_bytes()[..3]);
            }
        };
        put(0, s.fend, 1);
        let layers = self.blocks.layers();
        let mut at = first;
        while let Some((start, end)) = layers.used_at(at).filter(|u| u.0 < last) {
            put(start, end, 1);
            at = end;
        }
        put(s.blocks, last, SENTINEL);
        block
    }
}

impl ReadAt for Hjfs {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("hjfs", offset, buf.len(), self.len)?;
        let done = front(offset, buf, self.superblock.fend, |n| self.front_block(n));
        self.blocks.layers().read(offset + done as u64, &mut buf[done..])
    }

    fn extents(&self) -> Vec<Extent> {
        let front = Extent { offset: 0, len: self.superblock.fend * BLOCK as u64 };
        normalize(std::iter::once(front).chain(self.blocks.extents()).collect())
    }

    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.blocks.origin(offset, len)
    }
}
