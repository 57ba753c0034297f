//! An opened partition: super block, leaves and pivots with their hashes
//! checked, lists of records. For images of any origin, hostile ones included.

use super::format::{BLOCK, BLOCK64, NAME, Pointer, Records, Super};
use super::hash::hash;
use super::node::Node;
use crate::ErrorKind;
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Leaves and pivots that are cached: 16 MiB.
const KEPT: usize = 1024;

/// Reason why bytes are not a gefs partition.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum OpenError {
    /// Too few bytes for the super blocks.
    #[error("Not a gefs partition: {len} too few for its super blocks", len = count::either(len, "byte is", "bytes are"))]
    TooShort { len: u64 },
    /// No magic at the start.
    #[error("Not a gefs partition: it does not begin with \"gefs\"")]
    Magic,
    /// Magic of gefs, but neither super block is sound.
    #[error("Bad gefs super block (block 0): {why}; and its copy (block {last}): {copy}")]
    Super { why: String, last: u64, copy: String },
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

/// A block for people: its address in hexadecimal, as gefs itself writes it.
pub(super) fn block_name(address: u64) -> String {
    format!("Block {address:x}")
}

/// Nodes read last.
#[derive(Default)]
struct Cache {
    nodes: BTreeMap<(u64, u64), Arc<Node>>,
    order: VecDeque<(u64, u64)>,
}

pub(super) struct Volume {
    dev: Arc<dyn ReadAt>,
    pub superblock: Super,
    /// Whole blocks of the partition.
    pub blocks: u64,
    cache: Mutex<Cache>,
}

impl Volume {
    /// Reads the super block, or its copy.
    pub(super) fn open(dev: Arc<dyn ReadAt>) -> Result<Self, OpenError> {
        let len = dev.len();
        let blocks = len / BLOCK64;
        if blocks < 2 {
            return Err(OpenError::TooShort { len });
        }
        let read = |block: u64| {
            let mut b = vec![0; BLOCK];
            dev.read_at(block * BLOCK64, &mut b).map(|()| b)
        };
        let first = read(0)?;
        if first[..NAME.len()] != NAME {
            return Err(OpenError::Magic);
        }
        let superblock = match Super::parse(&first) {
            Ok(s) => s,
            Err(why) => {
                let last = blocks - 1;
                Super::parse(&read(last)?).map_err(|copy| OpenError::Super { why, last, copy })?
            }
        };
        Ok(Self { dev, superblock, blocks, cache: Mutex::default() })
    }

    /// Bytes from a block on, whole blocks.
    pub(super) fn bytes(&self, address: u64, buf: &mut [u8]) -> io::Result<()> {
        let last = address.checked_add(buf.len() as u64).is_some_and(|end| end <= self.blocks * BLOCK64);
        if !address.is_multiple_of(BLOCK64) || !last {
            let have = self.blocks * BLOCK64;
            return Err(damaged(format!("{address:x} is not the address of a block: there are {have:x} bytes")));
        }
        self.dev.read_at(address, buf)
    }

    /// One block, whatever is in it.
    pub(super) fn block(&self, address: u64) -> io::Result<Vec<u8>> {
        let mut b = vec![0; BLOCK];
        self.bytes(address, &mut b)?;
        Ok(b)
    }

    /// The leaf or pivot that a pointer says.
    pub(super) fn node(&self, pointer: &Pointer) -> io::Result<Arc<Node>> {
        self.try_node(pointer)?.map_err(|(_, why)| damaged(why))
    }

    /// The same; what is wrong with the block comes apart from what is wrong
    /// with the image, as a kind of finding and a sentence.
    pub(super) fn try_node(&self, pointer: &Pointer) -> io::Result<Result<Arc<Node>, (&'static str, String)>> {
        let key = (pointer.address, pointer.hash);
        if let Some(node) = self.lock().nodes.get(&key) {
            return Ok(Ok(node.clone()));
        }
        let block = self.block(pointer.address)?;
        let found = hash(&block);
        if found != pointer.hash {
            return Ok(Err(("hash", wrong_hash(pointer, found))));
        }
        let node = match Node::parse(block) {
            Ok(node) => Arc::new(node),
            Err(why) => return Ok(Err(("node", format!("{}: {why}", block_name(pointer.address))))),
        };
        let mut cache = self.lock();
        if cache.nodes.insert(key, node.clone()).is_none() {
            cache.order.push_back(key);
        }
        if cache.order.len() > KEPT
            && let Some(old) = cache.order.pop_front()
        {
            cache.nodes.remove(&old);
        }
        Ok(Ok(node))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `buf` with blocks of a file, one after the other, and compares
    /// their hashes.
    pub(super) fn data(&self, pointers: &[Pointer], buf: &mut [u8]) -> io::Result<()> {
        let Some(first) = pointers.first() else { return Ok(()) };
        self.bytes(first.address, buf)?;
        for (pointer, block) in pointers.iter().zip(buf.chunks(BLOCK)) {
            let found = hash(block);
            if found != pointer.hash {
                return Err(damaged(wrong_hash(pointer, found)));
            }
        }
        Ok(())
    }

    /// A block of records, or why it is none.
    pub(super) fn records(&self, address: u64, kind: u16) -> io::Result<Result<Records, String>> {
        let block = self.block(address)?;
        Ok(Records::parse(&block, kind).map_err(|why| format!("{}: {why}", block_name(address))))
    }
}

/// Message about a block whose hash is not that of its pointer.
pub(super) fn wrong_hash(pointer: &Pointer, found: u64) -> String {
    let Pointer { address, hash, .. } = pointer;
    format!("{} has the hash {found:016x}, but the pointer to it says {hash:016x}", block_name(*address))
}
