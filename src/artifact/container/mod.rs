//! Containers: the formats that a disk is written in and read from.
//!
//! A writer is a `Sink`, which takes clusters in ascending order. A
//! reader is a [`ReadAt`](crate::read_at::ReadAt) over the disk within.

use crate::lab::Format;
use reader::Reader;
use writer::Writer;

mod cache;
pub(super) mod card;
pub(super) mod check;
pub(super) mod findings;
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
pub(super) mod writer;
pub mod zip;

/// Writers of all formats.
const WRITERS: &[&Writer] =
    &[&raw::WRITER, &qcow2::write::ZSTD, &qcow2::write::ZLIB, &ova::WRITER, &card::ZIP, &card::XZ, &card::ZST];

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
