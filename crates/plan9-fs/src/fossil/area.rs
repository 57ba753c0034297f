//! A run of data blocks with everything needed to compute them: the files'
//! blocks come from their contents, those of directories are stored as bytes.
//!
//! Invariants: files' runs are contiguous, ascending and without gaps from
//! `start`; the made blocks follow them. The tag of the `i`th file is
//! `first_tag + i`; made blocks have labels of their own.

use super::entry::{Entry, Shape, TreePosition};
use super::format::{BLOCK, Label, USER_TAG};
use crate::shared::layers::Blocks;
use crate::tree::{Content, EntryId, Tree};
use std::io;

/// Extent of one file's blocks.
#[derive(Clone, Copy)]
struct Run {
    start: u32,
    entry: EntryId,
}

pub(super) struct Area {
    start: u32,
    runs: Vec<Run>,
    first_tag: u32,
    made_start: u32,
    made: Vec<u8>,
    /// Type and tag of each made block.
    labels: Vec<(u8, u32)>,
}

impl Area {
    /// An empty area that starts at address `start` and with tag `first_tag`.
    pub(super) fn new(start: u32, first_tag: u32) -> Self {
        Self { start, runs: Vec::new(), first_tag, made_start: start, made: Vec::new(), labels: Vec::new() }
    }

    /// First address after the area. Below 2^32 as long as callers stop
    /// at the first `None` of [`Self::add_file`] or [`Self::add_made`].
    pub(super) fn end(&self) -> u32 {
        self.made_start + self.labels.len() as u32
    }

    /// Places a file; files come before made blocks. `None` when addresses
    /// run out.
    pub(super) fn add_file(&mut self, id: EntryId, content: &Content) -> Option<Entry> {
        debug_assert!(self.labels.is_empty());
        let shape = Shape::for_size(content.len());
        if shape.total() == 0 {
            return Some(Entry::empty(false));
        }
        let start = self.made_start;
        self.made_start = u32::try_from(u64::from(start).checked_add(shape.total())?).ok()?;
        let tag = self.first_tag + self.runs.len() as u32;
        self.runs.push(Run { start, entry: id });
        Some(Entry::placed(false, content.len(), &shape, start, tag))
    }

    /// The tag that the next made source gets. Made sources are counted by
    /// the caller's `sources`.
    pub(super) fn tag(&self, sources: u32) -> u32 {
        self.first_tag + self.runs.len() as u32 + sources
    }

    /// Places a source whose data blocks are `data` (a whole number of
    /// blocks). `None` when addresses run out.
    pub(super) fn add_made(&mut self, is_dir: bool, size: u64, data: &[u8], tag: u32) -> Option<Entry> {
        debug_assert!(data.len().is_multiple_of(BLOCK) && tag >= 1);
        let shape = Shape::new((data.len() / BLOCK) as u64);
        if shape.total() == 0 {
            return Some(Entry::empty(is_dir));
        }
        let first = self.end();
        u32::try_from(u64::from(first) + shape.total()).ok()?;
        let kind = if is_dir { Label::DIR } else { 0 };
        for n in 0..shape.total() {
            let position = shape.position(n);
            let at = self.made.len();
            self.made.resize(at + BLOCK, 0);
            let block = &mut self.made[at..];
            match position.level {
                0 => block.copy_from_slice(&data[n as usize * BLOCK..][..BLOCK]),
                _ => shape.write_pointers(position, first, block),
            }
            self.labels.push((kind + position.level, tag));
        }
        debug_assert!(tag >= USER_TAG || shape.total() == 1);
        Some(Entry::placed(is_dir, size, &shape, first, tag))
    }

    /// Gives back what growing reserved.
    pub(super) fn finish(&mut self) {
        self.runs.shrink_to_fit();
        self.made.shrink_to_fit();
        self.labels.shrink_to_fit();
    }

    /// Index of the run that holds `address`, which lies before the made blocks.
    fn run_at(&self, address: u32) -> usize {
        self.runs.partition_point(|r| r.start <= address) - 1
    }
    fn run_end(&self, i: usize) -> u32 {
        self.runs.get(i + 1).map_or(self.made_start, |r| r.start)
    }

    /// Addresses of each file's blocks: entry, first address, first address
    /// after them.
    pub(super) fn file_runs(&self) -> impl Iterator<Item = (EntryId, u64, u64)> {
        self.runs.iter().enumerate().map(|(i, r)| (r.entry, r.start.into(), self.run_end(i).into()))
    }

    /// Labels of the blocks from `address` on, one for each slot of `out`;
    /// all those addresses lie in this area.
    pub(super) fn labels(&self, tree: &Tree, address: u32, out: &mut [Label]) {
        let mut at = address;
        let mut slots = out.iter_mut();
        while at < self.made_start && slots.len() > 0 {
            let i = self.run_at(at);
            let shape = Shape::for_size(tree.entry(self.runs[i].entry).len());
            let (start, end) = (self.runs[i].start, self.run_end(i));
            for slot in slots.by_ref().take((end - at) as usize) {
                let level = shape.position(u64::from(at - start)).level;
                *slot = Label::fresh(level, self.first_tag + i as u32);
                at += 1;
            }
        }
        for slot in slots {
            let (kind, tag) = self.labels[(at - self.made_start) as usize];
            *slot = Label::fresh(kind, tag);
            at += 1;
        }
    }
}

impl Blocks for Area {
    const BLOCK: usize = BLOCK;

    fn start(&self) -> u64 {
        self.start.into()
    }

    fn end(&self) -> u64 {
        self.end().into()
    }

    fn read(&self, tree: &Tree, address: u64, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        let address = address as u32;
        if address >= self.made_start {
            let at = (address - self.made_start) as usize * BLOCK + within;
            let n = buf.len().min(self.made.len() - at);
            buf[..n].copy_from_slice(&self.made[at..at + n]);
            return Ok(n);
        }
        let run = self.runs[self.run_at(address)];
        let Some(content) = tree.entry(run.entry).content() else {
            unreachable!("runs are made for files only");
        };
        let shape = Shape::for_size(content.len());
        let position = shape.position(u64::from(address - run.start));
        match position {
            TreePosition { level: 0, index } => {
                let at = index * BLOCK as u64 + within as u64;
                let room = shape.data() * BLOCK as u64 - at;
                let n = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                let have = usize::try_from(content.len().saturating_sub(at)).unwrap_or(usize::MAX).min(n);
                if have > 0 {
                    content.read_at(at, &mut buf[..have])?;
                }
                buf[have..n].fill(0);
                Ok(n)
            }
            _ => {
                let mut block = [0; BLOCK];
                shape.write_pointers(position, run.start, &mut block);
                let n = buf.len().min(BLOCK - within);
                buf[..n].copy_from_slice(&block[within..within + n]);
                Ok(n)
            }
        }
    }
}
