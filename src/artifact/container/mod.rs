//! Containers: the formats that a disk is written in and read from.
//!
//! A writer is a `Sink`, which takes clusters in ascending order. A
//! reader is a [`ReadAt`](crate::read_at::ReadAt) over the disk within.

use crate::lab::Format;
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
pub(super) mod sink;
pub(super) mod unpacked;
pub mod vmdk;
pub(super) mod writer;
pub mod zip;

/// Writers of all formats.
const WRITERS: &[&Writer] =
    &[&raw::WRITER, &qcow2::write::ZLIB, &qcow2::write::ZSTD, &ova::WRITER, &card::ZIP, &card::XZ, &card::ZST];

/// The writer of a format; a test finds one for each.
pub(super) fn writer(format: Format) -> &'static Writer {
    WRITERS.iter().find(|writer| writer.format == format).unwrap_or(&&raw::WRITER)
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
