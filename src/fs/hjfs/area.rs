//! A run of blocks with everything needed to compute them: the files' blocks
//! come from their contents, those of directories are kept as bytes.
//!
//! Invariants: files' runs are contiguous, ascending and without gaps from
//! `start`; the made blocks follow them.

use super::format::{BLOCK, DENTRIES, DENTRY, PAYLOAD, SLOTS};
use super::shape::Shape;
use crate::tree::{EntryId, Tree};
use std::io;

/// Where the blocks of one file start.
#[derive(Clone, Copy)]
struct Run {
    start: u64,
    entry: EntryId,
}

pub struct Area {
    start: u64,
    runs: Vec<Run>,
    made_start: u64,
    made: Vec<u8>,
}

impl Area {
    pub fn new(start: u64) -> Self {
        Self { start, runs: Vec::new(), made_start: start, made: Vec::new() }
    }

    pub fn start(&self) -> u64 {
        self.start
    }
    /// The first address behind the area.
    pub fn end(&self) -> u64 {
        self.made_start + (self.made.len() / BLOCK) as u64
    }

    /// Places a file of `len` bytes; files come before made blocks. Returns
    /// its first address.
    pub fn add_file(&mut self, entry: EntryId, len: u64) -> u64 {
        debug_assert!(self.made.is_empty());
        let start = self.made_start;
        let blocks = shape_of(len).total();
        if blocks > 0 {
            self.runs.push(Run { start, entry });
            self.made_start += blocks;
        }
        start
    }

    /// Places a directory; returns its first address and how many blocks of
    /// dentries it has.
    pub fn add_dir(&mut self, dentries: &[[u8; DENTRY]]) -> (u64, u64) {
        let first = self.end();
        for some in dentries.chunks(SLOTS) {
            self.made.push(DENTRIES);
            self.made.extend(some.as_flattened());
            self.made.resize(self.made.len().next_multiple_of(BLOCK), 0);
        }
        let data = self.end() - first;
        let shape = Shape::new(data);
        for n in data..shape.total() {
            self.made.extend(shape.indirect(n, first));
        }
        (first, data)
    }

    /// Gives back what growing reserved.
    pub fn finish(&mut self) {
        self.runs.shrink_to_fit();
        self.made.shrink_to_fit();
    }

    fn run_end(&self, i: usize) -> u64 {
        self.runs.get(i + 1).map_or(self.made_start, |r| r.start)
    }

    /// Addresses of each file's blocks: entry, first address, first behind.
    pub fn file_runs(&self) -> impl Iterator<Item = (EntryId, u64, u64)> {
        self.runs.iter().enumerate().map(|(i, r)| (r.entry, r.start, self.run_end(i)))
    }

    /// Fills `buf` with what lies `within` bytes into block `address` and
    /// behind, as far as one piece reaches; returns how many bytes that was.
    /// `address` lies in this area.
    ///
    /// # Errors
    /// What the content of a file reports.
    pub fn read(&self, tree: &Tree, address: u64, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        if address >= self.made_start {
            let at = (address - self.made_start) as usize * BLOCK + within;
            let n = buf.len().min(self.made.len() - at);
            buf[..n].copy_from_slice(&self.made[at..at + n]);
            return Ok(n);
        }
        let run = self.runs[self.runs.partition_point(|r| r.start <= address) - 1];
        let Some(content) = tree.entry(run.entry).content() else {
            unreachable!("runs are made for files only");
        };
        let shape = shape_of(content.len());
        let number = address - run.start;
        if number >= shape.data() {
            let block = shape.indirect(number, run.start);
            let n = buf.len().min(BLOCK - within);
            buf[..n].copy_from_slice(&block[within..within + n]);
            return Ok(n);
        }
        let room = (shape.data() - number) * BLOCK as u64 - within as u64;
        let n = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        // The file's bytes that the blocks hold are read at once.
        let blocks = (within + n).div_ceil(BLOCK);
        let from = number * PAYLOAD as u64;
        let have = (content.len() - from).min((blocks * PAYLOAD) as u64) as usize;
        let mut bytes = vec![0; have];
        content.read_at(from, &mut bytes)?;
        let mut at = 0;
        while at < n {
            let (block, byte) = ((within + at) / BLOCK, (within + at) % BLOCK);
            let piece = (n - at).min(BLOCK - byte);
            let out = &mut buf[at..at + piece];
            out.fill(0);
            // Byte 0 is the type, raw.
            let skip = usize::from(byte == 0);
            let start = (block * PAYLOAD + byte + skip - 1).min(have);
            let end = (block * PAYLOAD + byte + piece - 1).min(have);
            if start < end {
                out[skip..skip + end - start].copy_from_slice(&bytes[start..end]);
            }
            at += piece;
        }
        Ok(n)
    }
}

/// The shape of a file of `len` bytes.
pub fn shape_of(len: u64) -> Shape {
    Shape::new(len.div_ceil(PAYLOAD as u64))
}
