//! An opened partition: labels, blocks, and the way from an entry to the data
//! blocks of its source. For images of any origin, hostile ones included.
//!
//! A block is used only when its label carries the type and tag that the
//! pointer to it implies, as fossil itself does. Nothing stays in memory after
//! a call.

use super::entry::Entry;
use super::format::{
    CONFIG, CONFIG_MAGIC, ENTRY_LEN, HEADER_AT, HEADER_LEN, Header, LABEL_LEN, Label, MAX_DEPTH, ROOT_TAG, SCORE_LEN,
    Score, Super,
};
use crate::ErrorKind;
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Reason why bytes are not a fossil partition.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum OpenError {
    /// Too few bytes for the header.
    #[error("Not a fossil partition: {len} too few, fossil starts at byte {HEADER_AT}", len = count::either(len, "byte is", "bytes are"))]
    TooShort { len: u64 },
    /// No header where it should be, or one that contradicts the length.
    #[error("Not a fossil partition: bad header at byte {HEADER_AT}: {why}")]
    Header { why: String },
    /// Header of a fossil, but no sound super block.
    #[error("Bad fossil super block (block {at}): {why}")]
    Super { at: u32, why: String },
    /// Failure to read the partition.
    #[error("Cannot read the partition")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooShort { .. } => ErrorKind::TooSmall,
            Self::Header { .. } => ErrorKind::NotThisFormat,
            Self::Super { .. } => ErrorKind::Damaged,
            Self::Io(_) => ErrorKind::Io,
        }
    }
}

impl From<OpenError> for io::Error {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Io(e) => e,
            other => damaged(other.to_string()),
        }
    }
}

/// Position of an entry: address of its block and index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryAt {
    pub block: u32,
    pub index: u16,
}

impl EntryAt {
    pub(super) fn pack(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.index)
    }
    pub(super) fn unpack(v: u64) -> Self {
        Self { block: (v >> 16) as u32, index: v as u16 }
    }
}

pub(super) struct Volume {
    dev: Arc<dyn ReadAt>,
    pub header: Header,
    pub superblock: Super,
}

impl Volume {
    /// Reads header and super block.
    pub(super) fn open(dev: Arc<dyn ReadAt>) -> Result<Self, OpenError> {
        let len = dev.len();
        if len < HEADER_AT + HEADER_LEN as u64 {
            return Err(OpenError::TooShort { len });
        }
        let mut b = [0; HEADER_LEN];
        dev.read_at(HEADER_AT, &mut b)?;
        let header = Header::parse(&b, len).map_err(|why| OpenError::Header { why })?;
        dev.read_at(header.byte(header.super_at), &mut b)?;
        let superblock = Super::parse(&b).map_err(|why| OpenError::Super { at: header.super_at, why })?;
        Ok(Self { dev, header, superblock })
    }

    /// The configuration text, up to the zeros; `None` when there
    /// is none.
    pub(super) fn config(&self) -> io::Result<Option<Vec<u8>>> {
        let mut b = vec![0; CONFIG.len as usize];
        self.dev.read_at(CONFIG.offset, &mut b)?;
        let end = b.iter().position(|c| *c == 0).unwrap_or(b.len());
        b.truncate(end);
        Ok(b.starts_with(CONFIG_MAGIC).then_some(b))
    }

    /// Labels of `out.len()` blocks from `address` on.
    pub(super) fn labels(&self, address: u32, out: &mut [Label]) -> io::Result<()> {
        let per = self.header.labels_per_block();
        let mut bytes = vec![0; LABEL_LEN * out.len().min(per as usize)];
        let mut done = 0;
        while done < out.len() {
            let at = address + done as u32;
            if at >= self.header.data_blocks() {
                return Err(damaged(format!("Address {at} is after the last one, {}", self.header.data_blocks() - 1)));
            }
            let n = (out.len() - done).min((per - at % per) as usize);
            let b = &mut bytes[..n * LABEL_LEN];
            let within = u64::from(at % per) * LABEL_LEN as u64;
            self.dev.read_at(self.header.byte(self.header.label + at / per) + within, b)?;
            for (i, slot) in out[done..done + n].iter_mut().enumerate() {
                *slot = Label::at(b, i * LABEL_LEN);
            }
            done += n;
        }
        Ok(())
    }

    /// Label block number `n`, of those there are.
    pub(super) fn label_block(&self, n: u32) -> io::Result<Vec<u8>> {
        let mut b = vec![0; self.header.block];
        self.dev.read_at(self.header.byte(self.header.label + n), &mut b)?;
        Ok(b)
    }

    /// Checks that `count` blocks from `address` on have type and tag.
    fn expect(&self, address: u32, count: usize, kind: u8, tag: u32) -> io::Result<()> {
        let mut labels = vec![Label { state: 0, kind: 0, epoch: 0, close: 0, tag: 0 }; count];
        self.labels(address, &mut labels)?;
        match labels.iter().position(|l| l.kind != kind || l.tag != tag) {
            None => Ok(()),
            Some(i) => Err(damaged(format!(
                "Block {}: the label says type {} tag {:#x}, but the pointer to it implies type {kind} tag {tag:#x}",
                address + i as u32,
                labels[i].kind,
                labels[i].tag
            ))),
        }
    }

    /// Bytes of block `address` from byte `within` on, whatever its label.
    pub(super) fn bytes(&self, address: u32, within: usize, buf: &mut [u8]) -> io::Result<()> {
        if address >= self.header.data_blocks() {
            return Err(damaged(format!("Address {address} is after the last one, {}", self.header.data_blocks() - 1)));
        }
        let start = self.header.byte(self.header.data) + self.header.byte(address);
        self.dev.read_at(start + within as u64, buf)
    }

    /// A whole block with the expected label.
    pub(super) fn block(&self, address: u32, kind: u8, tag: u32) -> io::Result<Vec<u8>> {
        self.expect(address, 1, kind, tag)?;
        self.any_block(address)
    }

    /// A whole block, whatever its label.
    pub(super) fn any_block(&self, address: u32) -> io::Result<Vec<u8>> {
        let mut b = vec![0; self.header.block];
        self.bytes(address, 0, &mut b)?;
        Ok(b)
    }

    /// An entry, by its place.
    pub(super) fn entry(&self, at: EntryAt) -> io::Result<Entry> {
        let mut b = [0; ENTRY_LEN];
        let within = usize::from(at.index) * ENTRY_LEN;
        if within + ENTRY_LEN > self.header.block {
            return Err(damaged(format!("Block {} has no entry {}", at.block, at.index)));
        }
        self.bytes(at.block, within, &mut b)?;
        Ok(Entry::parse(&b))
    }

    /// An entry that must be good to open.
    pub(super) fn source(&self, at: EntryAt, is_dir: bool) -> io::Result<Entry> {
        let e = self.entry(at)?;
        let fail = |why: String| damaged(format!("Entry {} in block {}: {why}", at.index, at.block));
        if let Some(why) = e.flaw(self.header.block) {
            return Err(fail(why));
        }
        if e.is_dir() != is_dir {
            return Err(fail(format!("directory flag is {}, but its name says {is_dir}", e.is_dir())));
        }
        let s = &self.superblock;
        if e.snap != 0 && (e.snap < s.epoch_low || e.snap >= s.epoch_high) {
            let (low, high) = (s.epoch_low, s.epoch_high);
            return Err(fail(format!(
                "it leads to a snapshot of epoch {}, but only {low} to {high} are stored",
                e.snap
            )));
        }
        Ok(e)
    }

    /// The entry of the active root block that leads to everything.
    pub(super) fn top(&self) -> io::Result<Entry> {
        let at = EntryAt { block: self.superblock.active, index: 0 };
        self.expect(at.block, 1, Label::DIR, ROOT_TAG)?;
        self.source(at, true)
    }

    /// Addresses of up to `max` data blocks of a source from number `bn` on;
    /// `None` for a hole. At least one, as far as one pointer block reaches.
    pub(super) fn leaves(&self, e: &Entry, bn: u64, max: usize) -> io::Result<Vec<Option<u32>>> {
        let per = e.pointers();
        let mut index = [0u64; MAX_DEPTH as usize + 1];
        let mut rest = bn;
        for (level, slot) in index.iter_mut().enumerate() {
            if level >= usize::from(e.depth) {
                break;
            }
            *slot = rest % per;
            rest /= per;
        }
        if rest > 0 {
            return Err(damaged(format!("Data block {bn} is out of reach of depth {}", e.depth)));
        }
        let mut score = e.score;
        let mut level = e.depth;
        while level > 0 {
            let place = index[usize::from(level) - 1];
            let n = if level == 1 { max.min((per - place) as usize) } else { 1 };
            let Some(address) = local(score)? else { return Ok(vec![None; n]) };
            let kind = level | if e.is_dir() { Label::DIR } else { 0 };
            self.expect(address, 1, kind, e.tag)?;
            let mut b = vec![0; n * SCORE_LEN];
            self.bytes(address, place as usize * SCORE_LEN, &mut b)?;
            if level == 1 {
                return (0..n).map(|i| local(Score::at(&b, i * SCORE_LEN))).collect();
            }
            score = Score::at(&b, 0);
            level -= 1;
        }
        Ok(vec![local(score)?])
    }

    /// Reads `buf.len()` bytes at `offset` of a source of data; the range
    /// lies within its size. Neighbouring blocks are read at once.
    pub(super) fn read(&self, e: &Entry, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let dsize = u64::from(e.dsize);
        while !buf.is_empty() {
            let bn = offset / dsize;
            let within = offset % dsize;
            let want = (within + buf.len() as u64).div_ceil(dsize);
            let leaves = self.leaves(e, bn, usize::try_from(want).unwrap_or(usize::MAX))?;
            let first = leaves[0];
            // Blocks with slack after their data cannot be read as one.
            let joins = usize::from(e.dsize) == self.header.block;
            let run = match first {
                None => leaves.iter().take_while(|l| l.is_none()).count(),
                Some(a) if joins => leaves.iter().zip(a..).take_while(|(l, a)| **l == Some(*a)).count(),
                Some(_) => 1,
            };
            let n = (run as u64 * dsize - within).min(buf.len() as u64) as usize;
            match first {
                None => buf[..n].fill(0),
                Some(address) => {
                    self.expect(address, run, 0, e.tag)?;
                    self.bytes(address, within as usize, &mut buf[..n])?;
                }
            }
            buf = &mut buf[n..];
            offset += n as u64;
        }
        Ok(())
    }
}

/// The address a score stands for; `None` for a hole.
fn local(score: Score) -> io::Result<Option<u32>> {
    if score.is_zero() {
        return Ok(None);
    }
    score.address().map(Some).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            format!("The block with score {score} is in a venti server, not in this image; read it there"),
        )
    })
}
