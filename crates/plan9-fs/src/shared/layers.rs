//! Two layers of a volume's blocks: the base, which has the medium's files, and
//! a node's own blocks after it.
//!
//! A node uses a block of the base as it is, or leaves it free.

use crate::tree::Tree;
use std::io;

/// A run of blocks, each of which can be computed.
pub(crate) trait Blocks {
    /// Bytes in a block.
    const BLOCK: usize;
    /// The first address.
    fn start(&self) -> u64;
    /// First address after the run.
    fn end(&self) -> u64;
    /// Fills `buf` from byte `within` of block `address`, up to the end of one
    /// piece at most; returns the number of bytes filled. `address` lies in
    /// this run, whose files are those of `tree`.
    ///
    /// # Errors
    /// Error of reading a file's content.
    fn read(&self, tree: &Tree, address: u64, within: usize, buf: &mut [u8]) -> io::Result<usize>;
}

/// Addresses of the base that a node leaves free: ascending, disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Free(Vec<(u64, u64)>);

impl Free {
    /// Sorts ranges and joins neighbours.
    pub(crate) fn new(ranges: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut all: Vec<_> = ranges.filter(|(a, b)| a < b).collect();
        all.sort_unstable();
        all.dedup_by(|next, last| {
            let joins = next.0 == last.1;
            if joins {
                last.1 = next.1;
            }
            joins
        });
        Self(all)
    }

    /// The used range that contains `address` or is the next one; `base` and
    /// `own` are the ranges of the base and of a node's own blocks.
    pub(crate) fn used_at(&self, base: (u64, u64), own: (u64, u64), address: u64) -> Option<(u64, u64)> {
        let mut at = address.max(base.0);
        if at < base.1 {
            let next = self.0.partition_point(|f| f.1 <= at);
            let mut free = self.0[next..].iter();
            let mut hole = free.next();
            if let Some((_, end)) = hole.filter(|h| h.0 <= at) {
                at = *end;
                hole = free.next();
            }
            let end = hole.map_or(base.1, |h| h.0);
            if at < end {
                return Some((at, end));
            }
        }
        let at = at.max(own.0);
        (at < own.1).then_some((at, own.1))
    }
}

/// Both layers of one volume.
pub(crate) struct Layers<'a, A> {
    pub base: (&'a A, &'a Tree),
    pub free: &'a Free,
    pub own: (&'a A, &'a Tree),
}

impl<A: Blocks> Layers<'_, A> {
    /// The used range of addresses that holds `address` or comes next.
    pub(crate) fn used_at(&self, address: u64) -> Option<(u64, u64)> {
        let span = |area: &A| (area.start(), area.end());
        self.free.used_at(span(self.base.0), span(self.own.0), address)
    }

    /// All used ranges, ascending.
    pub(crate) fn used(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let range = self.used_at(at)?;
            at = range.1;
            Some(range)
        })
    }

    /// Blocks in use.
    pub(crate) fn blocks(&self) -> u64 {
        self.used().map(|(a, b)| b - a).sum()
    }

    /// The layer that holds a used address.
    pub(crate) fn layer(&self, address: u64) -> (&A, &Tree) {
        if address < self.own.0.start() { self.base } else { self.own }
    }

    /// Fills `buf` from byte `offset` on, counted from block 0; what nobody
    /// uses is zeros.
    ///
    /// # Errors
    /// Error of reading a file's content.
    pub(crate) fn read(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let block = A::BLOCK as u64;
        while !buf.is_empty() {
            let (address, within) = (offset / block, (offset % block) as usize);
            let used = self.used_at(address);
            let room = |to: u64| (to * block - offset).min(buf.len() as u64) as usize;
            let n = match used {
                Some((start, end)) if start == address => {
                    let piece = room(end);
                    let (area, tree) = self.layer(address);
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

    /// Whether all of the `len` bytes at `offset`, counted from block 0, are
    /// blocks of the base that the node uses.
    pub(crate) fn in_base(&self, offset: u64, len: u64) -> bool {
        let block = A::BLOCK as u64;
        let Some(end) = offset.checked_add(len) else { return false };
        let base = self.base.0;
        let free = self.free.0.partition_point(|(_, end)| end * block <= offset);
        offset >= base.start() * block
            && end <= base.end() * block
            && self.free.0.get(free).is_none_or(|(start, _)| end <= start * block)
    }
}
