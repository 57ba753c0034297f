//! The bytes of a volume at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches; labels are made on the fly; blocks that nobody uses are
//! zeros and in no extent.

use super::format::{BLOCK, CONFIG, HEADER_AT, HEADER_LEN, LABEL_LEN, Label};
use super::layout::Fossil;
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use crate::shared::front;
use std::io;

const FREE: Label = Label { state: 0, kind: 0, epoch: 0, close: 0, tag: 0 };

impl Fossil {
    /// Label block number `n`.
    fn label_block(&self, n: u32) -> [u8; BLOCK] {
        let per = self.header.labels_per_block();
        let first = n * per;
        let mut labels = [FREE; BLOCK / LABEL_LEN];
        let (first, last) = (u64::from(first), u64::from(first + per));
        let layers = self.layers();
        let mut at = first;
        while let Some((start, end)) = layers.used_at(at).filter(|u| u.0 < last) {
            let end = end.min(last);
            let slots = &mut labels[(start - first) as usize..(end - first) as usize];
            let (area, tree) = layers.layer(start);
            area.labels(tree, start as u32, slots);
            at = end;
        }
        let mut block = [0; BLOCK];
        for (slot, label) in block.chunks_exact_mut(LABEL_LEN).zip(&labels) {
            slot.copy_from_slice(&label.write());
        }
        block
    }

    /// Block `n` of the partition, before the data.
    fn front_block(&self, n: u32) -> [u8; BLOCK] {
        if n >= self.header.label {
            return self.label_block(n - self.header.label);
        }
        let mut block = [0; BLOCK];
        if n == self.header.super_at {
            self.superblock.write(&mut block);
        }
        let start = self.header.byte(n);
        let mut put = |at: u64, bytes: &[u8]| {
            if (start..start + BLOCK as u64).contains(&at) {
                let at = (at - start) as usize;
                block[at..at + bytes.len()].copy_from_slice(bytes);
            }
        };
        put(CONFIG.offset, &self.config);
        put(HEADER_AT, &self.header.write());
        block
    }
}

impl ReadAt for Fossil {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("fossil", offset, buf.len(), self.len)?;
        let data = self.header.byte(self.header.data);
        let end = self.header.byte(self.header.end);
        let done = front(offset, buf, self.header.data.into(), |n| self.front_block(n as u32));
        let at = offset + done as u64;
        let n = (buf.len() - done).min(end.saturating_sub(at) as usize);
        if n > 0 {
            self.layers().read(at - data, &mut buf[done..done + n])?;
        }
        buf[done + n..].fill(0);
        Ok(())
    }

    fn extents(&self) -> Vec<Extent> {
        let h = &self.header;
        let per = h.labels_per_block();
        let mut out = vec![
            Extent { offset: CONFIG.offset, len: self.config.len() as u64 },
            Extent { offset: HEADER_AT, len: HEADER_LEN as u64 },
            Extent { offset: h.byte(h.super_at), len: BLOCK as u64 },
        ];
        for (start, end) in self.layers().used() {
            let (start, end) = (start as u32, end as u32);
            let labels = h.label + start / per..h.label + end.div_ceil(per);
            out.push(Extent { offset: h.byte(labels.start), len: h.byte(labels.len() as u32) });
            out.push(Extent { offset: h.byte(h.data) + h.byte(start), len: h.byte(end - start) });
        }
        normalize(out)
    }

    /// Blocks of the base that this node uses are the base's.
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        let from = offset.checked_sub(self.header.byte(self.header.data))?;
        self.layers().in_base(from, len).then(|| Origin { base: self.base.number(), offset: from })
    }
}
