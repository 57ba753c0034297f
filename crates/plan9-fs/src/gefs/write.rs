//! The bytes of a volume at any offset, computed from its layout.
//!
//! One call of the content's `read_at` for each run of a file's blocks that a
//! request touches. A read of the first block of a tree, or of the super block,
//! waits until all files have been hashed.

use super::arenas::BlockIndex;
use super::format::{BLOCK, BLOCK64};
use super::layout::Gefs;
use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use std::io;

impl Gefs {
    /// The used indices that hold `index` or come next.
    fn used_from(&self, index: BlockIndex) -> Option<(BlockIndex, BlockIndex)> {
        let base = (self.base.area.start(), self.base.area.end());
        self.free.used_at(base, (self.area.start(), self.area.end()), index)
    }

    /// The blocks of an arena that are in use: ascending, disjoint. Headers, logs
    /// and super blocks are not among them.
    pub(super) fn used_in(&self, arena: u64) -> Vec<(u64, u64)> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        for (mut index, end) in self.map.indices(arena) {
            while let Some((from, to)) = self.used_from(index).filter(|(from, _)| *from < end) {
                let Some((block, run)) = self.map.block(from) else { break };
                let n = run.min(to - from);
                match out.last_mut().filter(|last| last.1 == block) {
                    Some(last) => last.1 += n,
                    None => out.push((block, block + n)),
                }
                index = from + n;
            }
        }
        out
    }

    /// Fills `buf` from byte `within` of `block` on, as far as one piece
    /// reaches; returns how many bytes that was.
    fn read_piece(&self, block: u64, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        let map = &self.map;
        let rest = buf.len().min(BLOCK - within);
        if block == 0 || block == map.arenas.blocks - 1 {
            buf[..rest].copy_from_slice(&self.super_block()?[within..within + rest]);
            return Ok(rest);
        }
        if let Ok(i) = self.fixed.binary_search_by_key(&block, |(at, _)| *at) {
            buf[..rest].copy_from_slice(&self.fixed[i].1[within..within + rest]);
            return Ok(rest);
        }
        let zeros = |blocks: u64, buf: &mut [u8]| {
            let n = usize::try_from(blocks * BLOCK64 - within as u64).unwrap_or(usize::MAX).min(buf.len());
            buf[..n].fill(0);
            n
        };
        let Some((index, run)) = map.index(block) else { return Ok(zeros(1, buf)) };
        match self.used_from(index) {
            Some((start, end)) if start == index => {
                let most = usize::try_from(run.min(end - start) * BLOCK64 - within as u64).unwrap_or(usize::MAX);
                let n = buf.len().min(most);
                let buf = &mut buf[..n];
                let (area, tree) = match index < self.area.start() {
                    true => (&self.base.area, self.base.tree()),
                    false => (&self.area, &self.tree),
                };
                match index < area.made_start() {
                    true => area.read_file(tree, index, within, buf),
                    false => Ok(area.read_made(index, within, buf, map, &self.sums()?)),
                }
            }
            next => Ok(zeros(next.map_or(run, |(start, _)| run.min(start - index)), buf)),
        }
    }
}

impl ReadAt for Gefs {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("gefs", offset, buf.len(), self.len)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let rest = &mut buf[done..];
            done += match at / BLOCK64 {
                // The rest of the partition, less than a block, is not used.
                block if block >= self.map.arenas.blocks => {
                    rest.fill(0);
                    rest.len()
                }
                block => self.read_piece(block, (at % BLOCK64) as usize, rest)?,
            };
        }
        Ok(())
    }

    fn extents(&self) -> Vec<Extent> {
        let arenas = &self.map.arenas;
        let one = |block: u64| Extent { offset: block * BLOCK64, len: BLOCK64 };
        let mut out = vec![one(0), one(arenas.blocks - 1)];
        out.extend(self.fixed.iter().map(|(block, _)| one(*block)));
        let used = (0..arenas.count).flat_map(|i| self.used_in(i));
        out.extend(used.map(|(a, b)| Extent { offset: a * BLOCK64, len: (b - a) * BLOCK64 }));
        normalize(out)
    }

    /// Blocks of the base that this node uses are the base's.
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        let end = offset.checked_add(len)?;
        let (index, run) = self.map.index(offset / BLOCK64)?;
        let blocks = end.div_ceil(BLOCK64) - offset / BLOCK64;
        let (start, used) = self.used_from(index)?;
        let whole = start == index && blocks <= run.min(used - start) && index + blocks <= self.base.area.end();
        let within = offset % BLOCK64;
        whole.then(|| Origin { base: self.base.number(), offset: index * BLOCK64 + within })
    }
}
