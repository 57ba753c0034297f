//! What the writer of a format is: something that takes a disk's clusters in
//! ascending order and finishes the file.

use super::Error;
use super::folder::Partial;
use super::gather::Gather;
use super::manifest::Image;
use super::pack::Packed;
use crate::stamp::Stamp;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A cluster on its way into an artifact.
pub struct Cluster<'a> {
    /// Number of the cluster on the disk, counted in clusters.
    pub index: u64,
    /// Its bytes, always a whole cluster: zeros follow the end of the disk.
    pub bytes: &'a [u8],
    /// Compressed by the sink's method.
    pub packed: &'a Packed,
}

/// A format being written.
pub trait Sink: Send {
    /// Writes one cluster. Returns where its compressed stream begins in the
    /// file, if the file holds it.
    fn cluster(&mut self, cluster: &Cluster<'_>) -> Result<Option<u64>, Error>;

    /// Writes what comes after the last cluster. `content` is the digest of
    /// all clusters with their places, from which identities are derived.
    fn finish(&mut self, content: [u8; 32]) -> Result<(), Error>;

    /// The file, for reading streams back and for digests.
    fn file(&self) -> &Output;

    /// Ends the writer and gives back its file.
    fn into_output(self: Box<Self>) -> Output;

    /// Bytes of cluster data in the file as stored.
    fn data_bytes(&self) -> u64;

    /// The disk image within, when the file is a compressed one; known after
    /// [`Sink::finish`].
    fn image(&self) -> Option<Image> {
        None
    }

    /// Runs after [`Sink::finish`], away from the writer: computes digests and
    /// fills in what depends on them. Returns length and SHA-256 of the file.
    fn seal(&mut self) -> Result<(u64, [u8; 32]), Error> {
        super::digest::file(self.file(), 0, None)
    }
}

/// The file under an artifact: positioned writes with errors that name it.
pub struct Output {
    partial: Partial,
    file: Arc<Gather>,
}

impl Output {
    pub fn new(partial: Partial) -> Result<Self, Error> {
        let file = partial.file().try_clone().map_err(|e| Error::write(partial.target(), e))?;
        Ok(Self { partial, file: Arc::new(Gather::new(file)) })
    }

    /// The same file, for writing from front to back.
    pub fn stream(&self) -> Result<File, Error> {
        self.file.file().and_then(File::try_clone).map_err(|e| self.error(e))
    }

    pub fn shared(&self) -> Arc<Gather> {
        self.file.clone()
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.error(e))
    }

    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(buf, offset).map_err(|e| self.error(e))
    }

    /// Cuts or extends the file; new bytes are a hole.
    pub fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.file().and_then(|file| file.set_len(len)).map_err(|e| self.error(e))
    }

    pub fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(|e| self.error(e))?.len())
    }

    /// What the host says of the file now.
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
