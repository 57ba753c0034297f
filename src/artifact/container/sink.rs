//! Interface of the writer of a format: it takes a disk's clusters in ascending
//! order and finishes the file.

use crate::artifact::codec::Packed;
use crate::artifact::error::Error;
use crate::artifact::job::Image;
use crate::artifact::output::file::Output;

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

    /// The disk image within, when the file is a compressed one; set by
    /// [`Sink::finish`].
    fn image(&self) -> Option<Image> {
        None
    }

    /// Runs after [`Sink::finish`], away from the writer: computes digests and
    /// fills in what depends on them. Returns length and SHA-256 of the file.
    fn seal(&mut self) -> Result<(u64, [u8; 32]), Error> {
        crate::artifact::output::digest::file(self.file(), 0, None)
    }
}
