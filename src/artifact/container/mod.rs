//! Containers: the formats that a disk is written in and read from.
//!
//! A writer is a `Sink`, which takes clusters in ascending order. A
//! reader is a [`ReadAt`](crate::read_at::ReadAt) over the disk within.

use crate::artifact::codec::Method;
use crate::artifact::error::Error;
use crate::artifact::job::{Job, Settings};
use crate::artifact::output::file::Output;
use crate::lab::Format;
use reader::Reader;
use sink::Sink;

mod cache;
pub(super) mod card;
pub(super) mod check;
mod mapped;
pub(super) mod open;
pub mod ova;
pub mod ovf;
pub mod qcow2;
pub(super) mod raw;
pub mod reader;
pub(super) mod sink;
pub(super) mod unpacked;
pub mod vmdk;
pub mod zip;

/// Opens the writer of a file.
type Open = fn(Output, &Job, &Settings, Option<[u8; 32]>) -> Result<Box<dyn Sink>, Error>;

/// Writer of a format.
pub(super) struct Writer {
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

/// Writers of all formats.
const WRITERS: &[&Writer] =
    &[&raw::WRITER, &qcow2::write::ZLIB, &qcow2::write::ZSTD, &ova::WRITER, &card::ZIP, &card::XZ, &card::ZST];

/// The writer of a format; a test finds one for each.
pub(super) fn writer(format: Format) -> &'static Writer {
    WRITERS.iter().find(|writer| writer.format == format).unwrap_or(&&raw::WRITER)
}

/// Readers of all containers; what none of them reads is taken as a raw disk.
const READERS: &[&Reader] = &[&qcow2::READER, &vmdk::READER, &ova::READER];

/// Reader of a file that begins with `start`, 512 bytes if it has them; none for a
/// raw disk.
pub fn reader(start: &[u8]) -> Option<&'static Reader> {
    READERS.iter().copied().find(|reader| (reader.matches)(start))
}

/// Parts of a format that depends on nothing but the disk.
fn no_parts(_: &Job, _: &Settings) -> Vec<Vec<u8>> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::format::FORMATS;

    #[test]
    fn every_format_has_its_writer() {
        let written: Vec<_> = FORMATS.iter().map(|spec| writer(spec.format).format).collect();
        let all: Vec<_> = FORMATS.iter().map(|spec| spec.format).collect();
        assert_eq!((written, WRITERS.len()), (all, FORMATS.len()));
    }
}
