//! A row of block indices with everything needed to compute their blocks: those of
//! files come from their contents, leaves and pivots are stored as bytes, with
//! indices instead of addresses.
//!
//! Invariants: files' runs are contiguous, ascending and without gaps from
//! `start`; the made blocks follow them, each after those that it points to.

use super::arenas::{BlockIndex, Map};
use super::bulk;
use super::format::{BLOCK, BLOCK64};
use super::hash::hash;
use super::sums::blocks_of;
use crate::tree::{EntryId, Tree};
use std::io;

/// Extent of one file's blocks.
#[derive(Clone, Copy)]
struct Run {
    start: BlockIndex,
    entry: EntryId,
}

pub(super) struct Area {
    start: BlockIndex,
    runs: Vec<Run>,
    made_start: BlockIndex,
    made: Vec<u8>,
    /// Number of the made blocks that are bytes of a file.
    raw: u64,
}

impl Area {
    pub(super) fn new(start: BlockIndex) -> Self {
        Self { start, runs: Vec::new(), made_start: start, made: Vec::new(), raw: 0 }
    }

    pub(super) fn start(&self) -> BlockIndex {
        self.start
    }
    /// First index after the area.
    pub(super) fn end(&self) -> BlockIndex {
        self.made_start + (self.made.len() / BLOCK) as u64
    }
    /// The first index that holds no file of a tree.
    pub(super) fn made_start(&self) -> BlockIndex {
        self.made_start
    }
    /// Places a file of `len` bytes; files come before made blocks. Returns
    /// its first index.
    pub(super) fn add_file(&mut self, entry: EntryId, len: u64) -> BlockIndex {
        debug_assert!(self.made.is_empty());
        let start = self.made_start;
        if len > 0 {
            self.runs.push(Run { start, entry });
            self.made_start = self.made_start.saturating_add(blocks_of(len));
        }
        start
    }

    /// Places bytes that are a file of no tree; such come before leaves.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) -> BlockIndex {
        let index = self.end();
        self.made.extend(bytes);
        self.made.resize(self.made.len().next_multiple_of(BLOCK), 0);
        self.raw = self.end() - self.made_start;
        index
    }

    /// Places a leaf or pivot.
    pub(super) fn add_block(&mut self, block: &[u8]) -> BlockIndex {
        let index = self.end();
        self.made.extend(block);
        index
    }

    /// Gives back what growing reserved.
    pub(super) fn finish(&mut self) {
        self.runs.shrink_to_fit();
        self.made.shrink_to_fit();
    }

    fn run_end(&self, i: usize) -> BlockIndex {
        self.runs.get(i + 1).map_or(self.made_start, |r| r.start)
    }

    /// Indices of each file's blocks: entry, first index, first index after
    /// them.
    pub(super) fn file_runs(&self) -> impl Iterator<Item = (EntryId, BlockIndex, BlockIndex)> {
        self.runs.iter().enumerate().map(|(i, r)| (r.entry, r.start, self.run_end(i)))
    }

    /// Files in the order of their indices.
    pub(super) fn files(&self) -> impl Iterator<Item = EntryId> {
        self.runs.iter().map(|r| r.entry)
    }

    /// The hashes of the made blocks, those of what they point to filled in.
    /// `below` has the hashes of everything else.
    pub(super) fn seal(&self, map: &Map, below: &dyn Fn(BlockIndex) -> u64) -> Vec<u64> {
        let mut own: Vec<u64> = Vec::with_capacity(self.made.len() / BLOCK);
        for n in 0..(self.made.len() / BLOCK) as u64 {
            let found = |index: BlockIndex| match index.checked_sub(self.made_start) {
                Some(i) if index < self.end() => own[i as usize],
                _ => below(index),
            };
            let block = self.block(self.made_start + n, map, &found);
            own.push(hash(&block));
        }
        own
    }

    /// A made block, with the hashes that `found` has.
    fn block(&self, index: BlockIndex, map: &Map, found: &dyn Fn(BlockIndex) -> u64) -> Vec<u8> {
        let n = index - self.made_start;
        let mut block = self.made[n as usize * BLOCK..][..BLOCK].to_vec();
        if n >= self.raw {
            bulk::fill_in(&mut block, map, found);
        }
        block
    }

    /// Fills `buf` with what lies `within` bytes into the made block of `index`;
    /// returns how many bytes that was.
    pub(super) fn read_made(
        &self,
        index: BlockIndex,
        within: usize,
        buf: &mut [u8],
        map: &Map,
        found: &dyn Fn(BlockIndex) -> u64,
    ) -> usize {
        let block = self.block(index, map, found);
        let n = buf.len().min(BLOCK - within);
        buf[..n].copy_from_slice(&block[within..within + n]);
        n
    }

    /// Fills `buf` from byte `within` of the block of `index`, which is a
    /// file's, up to the end of that file at most; returns the number of bytes
    /// filled.
    ///
    /// # Errors
    /// Error of reading the file's content.
    pub(super) fn read_file(&self, tree: &Tree, index: BlockIndex, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        let i = self.runs.partition_point(|r| r.start <= index) - 1;
        let run = self.runs[i];
        let Some(content) = tree.entry(run.entry).content() else {
            unreachable!("runs are made for files only");
        };
        let room = (self.run_end(i) - index) * BLOCK64 - within as u64;
        let n = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let from = (index - run.start) * BLOCK64 + within as u64;
        let have = content.len().saturating_sub(from).min(n as u64) as usize;
        content.read_at(from, &mut buf[..have])?;
        buf[have..n].fill(0);
        Ok(n)
    }
}
