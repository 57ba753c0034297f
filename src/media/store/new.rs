//! A file that is being written into the store, under a name of no meaning.

use super::folders::{Folder, Store, StoreError};
use super::record::{CHUNK, Name, Record};
use super::room::Room;
use super::stored::Stored;
use crate::digest::Digest;
use crate::lock;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Begins the name of every file that is not complete.
pub(super) const UNFINISHED: &str = ".new-";

/// Digests of bytes as they come, of each chunk and perhaps of all.
pub(super) struct Sums {
    all: Option<Sha256>,
    chunk: Sha256,
    chunks: Vec<Digest>,
    len: u64,
}

impl Sums {
    pub fn new(all: bool) -> Self {
        Self { all: all.then(Sha256::new), chunk: Sha256::new(), chunks: Vec::new(), len: 0 }
    }

    pub fn add(&mut self, mut bytes: &[u8]) {
        if let Some(all) = &mut self.all {
            all.update(bytes);
        }
        while !bytes.is_empty() {
            let room = (CHUNK - self.len % CHUNK).min(bytes.len() as u64) as usize;
            let (head, rest) = bytes.split_at(room);
            self.chunk.update(head);
            self.len += room as u64;
            if self.len.is_multiple_of(CHUNK) {
                self.chunks.push(Digest(std::mem::take(&mut self.chunk).finalize().into()));
            }
            bytes = rest;
        }
    }

    /// The record, under the name given or that of the content.
    pub fn finish(mut self, name: Option<Name>) -> Record {
        if !self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Digest(self.chunk.finalize().into()));
        }
        let content = || Name::Content(Digest(self.all.unwrap_or_default().finalize().into()));
        Record { name: name.unwrap_or_else(content), len: self.len, chunks: self.chunks }
    }
}

/// Takes bytes, digests them and writes them to a locked file: a process that
/// finds such a file and can lock it may remove it, as its writer is gone.
pub(super) struct New<'a> {
    store: &'a Store,
    file: NamedTempFile,
    sums: Sums,
    room: Room,
    /// The first error of writing, which `make` may hide with its own.
    failed: Option<io::Error>,
}

impl<'a> New<'a> {
    pub fn begin(store: &'a Store, folder: Folder, all: bool) -> Result<Self, StoreError> {
        let dir = store.prepare(folder)?;
        let wrong = |source| StoreError::Write { path: dir.clone(), source };
        loop {
            let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&dir).map_err(wrong)?;
            let _ = lock::wait(file.path(), file.as_file());
            // Somebody who cleans up may have been between the two.
            if file.path().exists() {
                return Ok(Self { store, file, sums: Sums::new(all), room: Room::default(), failed: None });
            }
        }
    }

    /// Error that stopped the writing, if any.
    pub fn failure(&mut self) -> Option<StoreError> {
        let source = self.failed.take()?;
        Some(StoreError::Write { path: self.file.path().parent().unwrap_or(self.file.path()).into(), source })
    }

    /// Gives the file its name: that of its content, unless there is one.
    pub fn publish(self, name: Option<Name>) -> Result<Arc<Stored>, StoreError> {
        let record = self.sums.finish(name);
        let (handle, from) = self.file.into_parts();
        let path = self.store.publish(&from, &record)?;
        // It is not there under its old name any more.
        let _ = from.keep();
        open(self.store, path, handle, record)
    }
}

impl Write for New<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = self.room.at(self.store, self.sums.len);
        match room.and_then(|()| self.file.as_file_mut().write(buf)) {
            Ok(n) => {
                self.sums.add(&buf[..n]);
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let again = io::Error::new(e.kind(), e.to_string());
                self.failed.get_or_insert(e);
                Err(again)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what was just published, for reading alone.
pub(super) fn open(store: &Store, path: PathBuf, handle: File, record: Record) -> Result<Arc<Stored>, StoreError> {
    let handle = fs::File::open(&path).unwrap_or(handle);
    Stored::new(store, path.clone(), handle, record).map(Arc::new).map_err(|source| StoreError::Read { path, source })
}
