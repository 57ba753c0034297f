//! The file of an artifact while it is written.

use crate::artifact::error::Error;
use crate::artifact::output::folder::Partial;
use crate::artifact::output::gather::Gather;
use crate::stamp::Stamp;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file under an artifact: positioned writes with errors that name it.
pub struct Output {
    partial: Partial,
    file: Arc<Gather>,
    /// Becomes true when the build is to end.
    stop: Arc<AtomicBool>,
}

impl Output {
    pub fn new(partial: Partial, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let file = partial.file().try_clone().map_err(|e| Error::write(partial.target(), e))?;
        Ok(Self { partial, file: Arc::new(Gather::new(file)), stop })
    }

    /// Ends a long loop over the file when the build is to end.
    pub fn go_on(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// The same file, for writing from front to back.
    pub fn stream(&self) -> Result<File, Error> {
        self.file.file().and_then(File::try_clone).map_err(|e| self.error(e))
    }

    pub fn shared(&self) -> Arc<Gather> {
        self.file.clone()
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let end = offset + bytes.len() as u64;
        self.file.write_all_at(bytes, offset).map_err(|e| Error::write_to(self.target(), Some(end), e))
    }

    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(buf, offset).map_err(|e| self.error(e))
    }

    /// Cuts or extends the file; new bytes are a hole.
    pub fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.file().and_then(|file| file.set_len(len)).map_err(|e| Error::write_to(self.target(), Some(len), e))
    }

    pub fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(|e| self.error(e))?.len())
    }

    /// Present stamp of the file.
    pub fn stamp(&self) -> Option<Stamp> {
        self.file.metadata().ok().map(|m| Stamp::of(&m))
    }

    pub fn target(&self) -> &Path {
        self.partial.target()
    }

    pub fn error(&self, source: io::Error) -> Error {
        Error::write(self.target(), source)
    }

    /// Gives the file its final name, replacing what was there.
    pub fn commit(self) -> Result<(), Error> {
        self.file.file().map_err(|e| self.error(e))?;
        self.partial.exchange()
    }
}
