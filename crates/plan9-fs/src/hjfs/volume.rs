//! An opened partition: blocks by their types, and the way from a dentry to
//! its blocks. For images of any origin, hostile ones included.

use super::format::{BLOCK, DENTRIES, Dentry, Form, INDIRECT, PAYLOAD, POINTERS, RAW, Super, pointers, type_name};
use crate::ErrorKind;
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shared::pointers::addresses;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Reason why bytes are not an hjfs partition.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum OpenError {
    /// Too few bytes for the super block.
    #[error("Not an hjfs partition: {len} too few for its super block", len = count::either(len, "byte is", "bytes are"))]
    TooShort { len: u64 },
    /// No magic at the start.
    #[error("Not an hjfs partition: no 01 1c e5 0d 6e at its start")]
    Magic,
    /// Magic of hjfs, but a super block that contradicts itself or the partition.
    #[error("Bad hjfs super block (block 0): {why}")]
    Super { why: String },
    /// Failure to read the partition.
    #[error("Cannot read the partition")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooShort { .. } => ErrorKind::TooSmall,
            Self::Magic => ErrorKind::NotThisFormat,
            Self::Super { .. } => ErrorKind::Damaged,
            Self::Io(_) => ErrorKind::Io,
        }
    }
}

pub(super) struct Volume {
    dev: Arc<dyn ReadAt>,
    pub superblock: Super,
}

impl Volume {
    /// Reads the super block.
    pub(super) fn open(dev: Arc<dyn ReadAt>) -> Result<Self, OpenError> {
        let len = dev.len();
        if len < BLOCK as u64 {
            return Err(OpenError::TooShort { len });
        }
        let mut b = [0; Super::LEN];
        dev.read_at(0, &mut b)?;
        let superblock = Super::parse(&b).ok_or(OpenError::Magic)?;
        match superblock.flaw(len / BLOCK as u64) {
            Some(why) => Err(OpenError::Super { why }),
            None => Ok(Self { dev, superblock }),
        }
    }

    /// Bytes from block `address` on, whatever their type; as many blocks as
    /// fit into `buf`.
    pub(super) fn bytes(&self, address: u64, buf: &mut [u8]) -> io::Result<()> {
        let last = self.superblock.blocks - 1;
        let end = address.checked_add((buf.len() / BLOCK) as u64);
        if end.is_none_or(|end| end > self.superblock.blocks) {
            return Err(damaged(format!("Block {address} is after the last one, {last}")));
        }
        self.dev.read_at(address * BLOCK as u64, buf)
    }

    /// One block, whatever its type.
    pub(super) fn any_block(&self, address: u64) -> io::Result<Vec<u8>> {
        let mut b = vec![0; BLOCK];
        self.bytes(address, &mut b)?;
        Ok(b)
    }

    /// One block of a type.
    pub(super) fn block(&self, address: u64, kind: u8) -> io::Result<Vec<u8>> {
        let b = self.any_block(address)?;
        expect(address, b[0], kind)?;
        Ok(b)
    }

    /// The dentry in a slot of a block.
    pub(super) fn dentry(&self, address: u64, slot: usize) -> io::Result<Dentry> {
        Ok(Dentry::at(&self.block(address, DENTRIES)?, slot))
    }

    /// Addresses of up to `max` blocks of a file or directory from number `bn`
    /// on; 0 for a hole. At least one, as far as one indirect block reaches.
    pub(super) fn addresses(&self, d: &Dentry, bn: u64, max: usize) -> io::Result<Vec<u64>> {
        let read = |address, _| self.block(address, INDIRECT).map(|b| pointers(&b));
        addresses::<Form>(d.pointers.tops(), bn, max, &read)
    }

    /// Reads `buf.len()` bytes at `offset` of a file; the range lies within
    /// its size. Neighbouring blocks are read at once.
    pub(super) fn read(&self, d: &Dentry, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let payload = PAYLOAD as u64;
        while !buf.is_empty() {
            let bn = offset / payload;
            let mut within = (offset % payload) as usize;
            let want = (within as u64 + buf.len() as u64).div_ceil(payload).min(POINTERS) as usize;
            let addresses = self.addresses(d, bn, want)?;
            let first = addresses[0];
            let run = match first {
                0 => addresses.iter().take_while(|a| **a == 0).count(),
                a => addresses.iter().zip(0..).take_while(|(have, i)| a.checked_add(*i) == Some(**have)).count(),
            };
            let blocks = match first {
                0 => None,
                a => {
                    let mut b = vec![0; run * BLOCK];
                    self.bytes(a, &mut b)?;
                    Some(b)
                }
            };
            for i in 0..run {
                let n = buf.len().min(PAYLOAD - within);
                let (out, more) = buf.split_at_mut(n);
                match &blocks {
                    None => out.fill(0),
                    Some(b) => {
                        expect(first + i as u64, b[i * BLOCK], RAW)?;
                        out.copy_from_slice(&b[i * BLOCK + 1 + within..][..n]);
                    }
                }
                offset += n as u64;
                buf = more;
                within = 0;
                if buf.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn expect(address: u64, have: u8, want: u8) -> io::Result<()> {
    match have == want {
        true => Ok(()),
        false => Err(damaged(format!(
            "Block {address} has type {}, but the pointer to it says {}",
            type_name(have),
            type_name(want)
        ))),
    }
}
