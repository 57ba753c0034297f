//! A run of blocks with everything needed to compute them: the files' blocks
//! come from their contents, those of directories are stored as bytes.
//!
//! Invariants: files' runs are contiguous, ascending and without gaps from
//! `start`; the made blocks follow them.

use super::layers::Blocks;
use super::shape::{Reach, Shape};
use crate::tree::{EntryId, Tree};
use std::io;

/// Block format of a file system: what surrounds the payload of a block.
pub trait Sealed: Reach + 'static {
    /// Bytes in a block.
    const BLOCK: usize;
    /// Offset of a block's payload.
    const HEAD: usize;
    const PAYLOAD: usize;
    /// Ownership tag of a block.
    type Mark: Copy;
    /// Fills in what a block says of itself; its payload is there.
    fn seal(block: &mut [u8], holds: Holds, mark: Self::Mark);

    /// The shape of a file of `len` bytes.
    fn shape(len: u64) -> Shape<Self>
    where
        Self: Sized,
    {
        Shape::new(len.div_ceil(Self::PAYLOAD as u64))
    }
}

/// Content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    File,
    Entries,
    /// Pointers, with so many levels of them below.
    Pointers(usize),
}

/// Extent of one file's blocks.
#[derive(Clone, Copy)]
struct Run<M> {
    start: u64,
    entry: EntryId,
    mark: M,
}

pub struct Area<S: Sealed> {
    start: u64,
    runs: Vec<Run<S::Mark>>,
    made_start: u64,
    made: Vec<u8>,
}

impl<S: Sealed> Area<S> {
    pub fn new(start: u64) -> Self {
        Self { start, runs: Vec::new(), made_start: start, made: Vec::new() }
    }

    /// Places a file of `len` bytes; files come before made blocks. Returns
    /// its first address.
    pub fn add_file(&mut self, entry: EntryId, len: u64, mark: S::Mark) -> u64 {
        debug_assert!(self.made.is_empty());
        let start = self.made_start;
        let blocks = S::shape(len).total();
        if blocks > 0 {
            self.runs.push(Run { start, entry, mark });
            self.made_start += blocks;
        }
        start
    }

    /// Places a directory whose entries, all of one length, fill `per_block` to
    /// a block; returns its first address and how many blocks of entries it
    /// has.
    pub fn add_dir<D: AsRef<[u8]>>(&mut self, entries: &[D], per_block: usize, mark: S::Mark) -> (u64, u64) {
        let first = self.end();
        for some in entries.chunks(per_block) {
            let block = self.grow();
            let mut at = S::HEAD;
            for entry in some.iter().map(AsRef::as_ref) {
                block[at..at + entry.len()].copy_from_slice(entry);
                at += entry.len();
            }
            S::seal(block, Holds::Entries, mark);
        }
        let data = self.end() - first;
        let shape = Shape::<S>::new(data);
        for n in data..shape.total() {
            let block = self.grow();
            let height = shape.indirect(n, first, &mut block[S::HEAD..][..S::PAYLOAD]);
            S::seal(block, Holds::Pointers(height), mark);
        }
        (first, data)
    }

    /// One more made block of zeros.
    fn grow(&mut self) -> &mut [u8] {
        let at = self.made.len();
        self.made.resize(at + S::BLOCK, 0);
        &mut self.made[at..]
    }

    /// Gives back what growing reserved.
    pub fn finish(&mut self) {
        self.runs.shrink_to_fit();
        self.made.shrink_to_fit();
    }

    fn run_end(&self, i: usize) -> u64 {
        self.runs.get(i + 1).map_or(self.made_start, |r| r.start)
    }

    /// Addresses of each file's blocks: entry, first address, first address
    /// after them.
    pub fn file_runs(&self) -> impl Iterator<Item = (EntryId, u64, u64)> {
        self.runs.iter().enumerate().map(|(i, r)| (r.entry, r.start, self.run_end(i)))
    }
}

impl<S: Sealed> Blocks for Area<S> {
    const BLOCK: usize = S::BLOCK;

    fn start(&self) -> u64 {
        self.start
    }

    fn end(&self) -> u64 {
        self.made_start + (self.made.len() / S::BLOCK) as u64
    }

    fn read(&self, tree: &Tree, address: u64, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        if address >= self.made_start {
            let at = (address - self.made_start) as usize * S::BLOCK + within;
            let n = buf.len().min(self.made.len() - at);
            buf[..n].copy_from_slice(&self.made[at..at + n]);
            return Ok(n);
        }
        let run = self.runs[self.runs.partition_point(|r| r.start <= address) - 1];
        let Some(content) = tree.entry(run.entry).content() else {
            unreachable!("runs are made for files only");
        };
        let shape = S::shape(content.len());
        let number = address - run.start;
        let mut whole = Vec::new();
        if number >= shape.data() {
            whole.resize(S::BLOCK, 0);
            let height = shape.indirect(number, run.start, &mut whole[S::HEAD..][..S::PAYLOAD]);
            S::seal(&mut whole, Holds::Pointers(height), run.mark);
            let n = buf.len().min(S::BLOCK - within);
            buf[..n].copy_from_slice(&whole[within..within + n]);
            return Ok(n);
        }
        let room = (shape.data() - number) * S::BLOCK as u64 - within as u64;
        let n = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        // The file's bytes that the blocks hold are read at once.
        let blocks = (within + n).div_ceil(S::BLOCK);
        let from = number * S::PAYLOAD as u64;
        let have = (content.len() - from).min((blocks * S::PAYLOAD) as u64) as usize;
        let mut bytes = vec![0; have];
        content.read_at(from, &mut bytes)?;
        let fill = |block: &mut [u8], i: usize| {
            let some = &bytes[i * S::PAYLOAD..have.min((i + 1) * S::PAYLOAD)];
            block.fill(0);
            block[S::HEAD..][..some.len()].copy_from_slice(some);
            S::seal(block, Holds::File, run.mark);
        };
        let mut at = 0;
        while at < n {
            let (block, byte) = ((within + at) / S::BLOCK, (within + at) % S::BLOCK);
            let piece = (n - at).min(S::BLOCK - byte);
            let out = &mut buf[at..at + piece];
            if piece == S::BLOCK {
                fill(out, block);
            } else {
                whole.resize(S::BLOCK, 0);
                fill(&mut whole, block);
                out.copy_from_slice(&whole[byte..byte + piece]);
            }
            at += piece;
        }
        Ok(n)
    }
}
