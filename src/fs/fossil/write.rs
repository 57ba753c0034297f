//! The bytes of a volume at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches; labels are made on the fly; blocks that nobody uses are
//! zeros and in no extent.

use super::format::{BLOCK, CONFIG, HEADER_AT, HEADER_LEN, LABEL_LEN, Label};
use super::layout::Fossil;
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use std::io;

const FREE: Label = Label { state: 0, kind: 0, epoch: 0, close: 0, tag: 0 };

impl Fossil {
    /// The used address range that holds `address` or comes next.
    fn used_at(&self, address: u32) -> Option<(u32, u32)> {
        let mut at = address;
        if at < self.base.area.end() {
            let next = self.free.partition_point(|f| f.1 <= at);
            let mut free = self.free[next..].iter();
            let mut hole = free.next();
            if let Some((_, end)) = hole.filter(|h| h.0 <= at) {
                at = *end;
                hole = free.next();
            }
            let end = hole.map_or(self.base.area.end(), |h| h.0);
            if at < end {
                return Some((at, end));
            }
        }
        let at = at.max(self.area.start());
        (at < self.area.end()).then(|| (at, self.area.end()))
    }

    /// Fills `buf` from `offset` bytes behind the first data block.
    fn read_data(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let address = (offset / BLOCK as u64) as u32;
            let within = (offset % BLOCK as u64) as usize;
            let used = self.used_at(address);
            let room = |to: u32| (u64::from(to) * BLOCK as u64 - offset).min(buf.len() as u64) as usize;
            let n = match used {
                Some((start, end)) if start == address => {
                    let piece = room(end);
                    let (area, tree) = match address < self.area.start() {
                        true => (&self.base.area, &self.base.tree),
                        false => (&self.area, &self.tree),
                    };
                    area.read(tree, address, within, &mut buf[..piece])?
                }
                _ => {
                    let n = used.map_or(buf.len(), |(start, _)| room(start));
                    buf[..n].fill(0);
                    n
                }
            };
            buf = &mut buf[n..];
            offset += n as u64;
        }
        Ok(())
    }

    /// Label block number `n`.
    fn label_block(&self, n: u32) -> [u8; BLOCK] {
        let per = self.header.labels_per_block();
        let first = n * per;
        let mut labels = [FREE; BLOCK / LABEL_LEN];
        let last = first + per;
        let mut at = first;
        while let Some((start, end)) = self.used_at(at).filter(|u| u.0 < last) {
            let end = end.min(last);
            let slots = &mut labels[(start - first) as usize..(end - first) as usize];
            match start < self.area.start() {
                true => self.base.area.labels(&self.base.tree, start, slots),
                false => self.area.labels(&self.tree, start, slots),
            }
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
        let mut done = 0;
        while done < buf.len() && offset + (done as u64) < data {
            let at = offset + done as u64;
            let block = self.front_block((at / BLOCK as u64) as u32);
            let within = (at % BLOCK as u64) as usize;
            let n = (buf.len() - done).min(BLOCK - within);
            buf[done..done + n].copy_from_slice(&block[within..within + n]);
            done += n;
        }
        let at = offset + done as u64;
        let n = (buf.len() - done).min(end.saturating_sub(at) as usize);
        if n > 0 {
            self.read_data(at - data, &mut buf[done..done + n])?;
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
        let mut at = 0;
        while let Some((start, end)) = self.used_at(at) {
            let labels = h.label + start / per..h.label + end.div_ceil(per);
            out.push(Extent { offset: h.byte(labels.start), len: h.byte(labels.len() as u32) });
            out.push(Extent { offset: h.byte(h.data) + h.byte(start), len: h.byte(end - start) });
            at = end;
        }
        normalize(out)
    }

    /// Blocks of the base that this node uses are the base's.
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        let from = offset.checked_sub(self.header.byte(self.header.data))?;
        let end = from.checked_add(len)?;
        let block = BLOCK as u64;
        let free = self.free.partition_point(|(_, end)| u64::from(*end) * block <= from);
        let whole = end <= u64::from(self.base.area.end()) * block
            && self.free.get(free).is_none_or(|(start, _)| end <= u64::from(*start) * block);
        whole.then(|| Origin { base: self.base.number(), offset: from })
    }
}
