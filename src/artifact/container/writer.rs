//! The writer of a format, as the table of formats has it.

use super::sink::Sink;
use crate::artifact::codec::Method;
use crate::artifact::error::Error;
use crate::artifact::job::{Job, Settings};
use crate::artifact::output::file::Output;
use crate::lab::Format;

/// Opens the writer of a file.
type Open = fn(Output, &Job, &Settings, Option<[u8; 32]>) -> Result<Box<dyn Sink>, Error>;

/// Writer of a format.
pub struct Writer {
    pub format: Format,
    /// Compression method of its clusters, if they are compressed one by one.
    pub method: Option<Method>,
    /// Data that its bytes depend on besides the disk and the settings of all
    /// formats, for
    /// [`ArtifactReport::mark`](crate::artifact::ArtifactReport::mark).
    pub parts: fn(&Job, &Settings) -> Vec<Vec<u8>>,
    /// Begins a file for the job's disk. The digest is that of the disk's content,
    /// if it was computed before.
    pub open: Open,
}

/// Parts of a format that depends on nothing but the disk.
pub fn no_parts(_: &Job, _: &Settings) -> Vec<Vec<u8>> {
    Vec::new()
}
