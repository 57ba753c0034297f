//! The bytes of a volume at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches; counts are made on the fly; blocks that nobody uses are
//! zeros and in no extent.

use super::format::{BLOCK, COUNTS, REFS, SENTINEL, SUPER_AT};
use super::layout::Hjfs;
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use std::io;

impl Hjfs {
    /// The used address range behind the counts that holds `address` or comes
    /// next.
    fn used_at(&self, address: u64) -> Option<(u64, u64)> {
        let mut at = address.max(self.base.area.start());
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

    /// Fills `buf` from byte `offset` on, which lies behind the counts.
    fn read_data(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let address = offset / BLOCK as u64;
            let within = (offset % BLOCK as u64) as usize;
            let used = self.used_at(address);
            let room = |to: u64| (to * BLOCK as u64 - offset).min(buf.len() as u64) as usize;
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
        let mut at = first;
        while let Some((start, end)) = self.used_at(at).filter(|u| u.0 < last) {
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
        let data = self.superblock.fend * BLOCK as u64;
        let mut done = 0;
        while done < buf.len() && offset + (done as u64) < data {
            let at = offset + done as u64;
            let block = self.front_block(at / BLOCK as u64);
            let within = (at % BLOCK as u64) as usize;
            let n = (buf.len() - done).min(BLOCK - within);
            buf[done..done + n].copy_from_slice(&block[within..within + n]);
            done += n;
        }
        self.read_data(offset + done as u64, &mut buf[done..])
    }

    fn extents(&self) -> Vec<Extent> {
        let s = &self.superblock;
        let block = BLOCK as u64;
        let mut out = vec![Extent { offset: 0, len: s.fend * block }];
        let mut at = 0;
        while let Some((start, end)) = self.used_at(at) {
            out.push(Extent { offset: start * block, len: (end - start) * block });
            at = end;
        }
        normalize(out)
    }

    /// Blocks of the base that this node uses are the base's.
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        let block = BLOCK as u64;
        let end = offset.checked_add(len)?;
        let area = &self.base.area;
        let free = self.free.partition_point(|(_, end)| end * block <= offset);
        let whole = offset >= area.start() * block
            && end <= area.end() * block
            && self.free.get(free).is_none_or(|(start, _)| end <= start * block);
        whole.then(|| Origin { base: self.base.number(), offset })
    }
}
