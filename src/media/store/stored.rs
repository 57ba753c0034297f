//! A file of the store, opened: its bytes, each verified before it is used.

use super::folders::{Store, StoreError};
use super::record::{CHUNK, Name, Record};
use crate::digest::Digest;
use crate::read_at::{HostFile, ReadAt, check_range};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// An opened file of the store.
///
/// A chunk is read whole and compared with its digest when the first of its
/// bytes is asked for; then it is trusted for as long as the file is open.
pub struct Stored {
    store: Store,
    path: PathBuf,
    file: HostFile,
    /// The same file, to tell it from one that took its place.
    handle: File,
    record: Record,
    /// A bit for each chunk that was verified.
    verified: Box<[AtomicU8]>,
}

impl Stored {
    pub(super) fn new(store: &Store, path: PathBuf, handle: File, record: Record) -> io::Result<Self> {
        let verified = (0..record.chunks.len().div_ceil(8)).map(|_| AtomicU8::new(0)).collect();
        let file = HostFile::new(handle.try_clone()?)?;
        Ok(Self { store: store.clone(), path, file, handle, record, verified })
    }

    /// Path of the file. Bytes that are read there in other ways are not
    /// verified.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> &Name {
        &self.record.name
    }

    fn is_verified(&self, chunk: usize) -> bool {
        self.verified[chunk / 8].load(Ordering::Relaxed) & 1 << (chunk % 8) != 0
    }

    /// Reads a whole chunk into `bytes` and compares it with its digest.
    pub(super) fn verified_chunk(&self, chunk: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let start = chunk as u64 * CHUNK;
        bytes.resize((self.record.len - start).min(CHUNK) as usize, 0);
        match self.file.read_at(start, bytes) {
            Ok(()) if Digest::of(bytes) == self.record.chunks[chunk] => {
                self.verified[chunk / 8].fetch_or(1 << (chunk % 8), Ordering::Relaxed);
                Ok(())
            }
            // Cut off since it was opened.
            Ok(()) => Err(self.damaged(start)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged(start)),
            Err(source) => {
                let kind = source.kind();
                Err(io::Error::new(kind, StoreError::Read { path: self.path.clone(), source }))
            }
        }
    }

    /// Removes the file, so that the next run gets it again.
    fn damaged(&self, offset: u64) -> io::Error {
        let removed = self.store.discard(&self.record.name, &self.handle).is_ok();
        let path = self.path.clone();
        let error = if removed {
            StoreError::Damaged { what: self.record.name.clone(), path, offset }
        } else {
            StoreError::DamagedStays { path, offset }
        };
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// Number of chunks.
    pub(super) fn chunks(&self) -> usize {
        self.record.chunks.len()
    }
}

impl ReadAt for Stored {
    fn len(&self) -> u64 {
        self.record.len
    }

    /// # Errors
    /// `InvalidData` when the bytes are not those that were stored: the error
    /// names the file, which is then removed.
    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        check_range("cached file", offset, buf.len(), self.record.len)?;
        let mut whole = Vec::new();
        while !buf.is_empty() {
            let chunk = (offset / CHUNK) as usize;
            let within = (offset % CHUNK) as usize;
            let n = buf.len().min(CHUNK as usize - within);
            let (piece, rest) = std::mem::take(&mut buf).split_at_mut(n);
            if self.is_verified(chunk) {
                self.file.read_at(offset, piece)?;
            } else {
                self.verified_chunk(chunk, &mut whole)?;
                piece.copy_from_slice(&whole[within..within + n]);
            }
            offset += n as u64;
            buf = rest;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stored({})", self.record.name)
    }
}
