//! Reason why a tar archive cannot be read.

use crate::count;
use std::io;

/// Reason why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("No header at byte {at}: its checksum is wrong; the archive is damaged")]
    Checksum { at: u64 },
    #[error("The {field} in the header at byte {at} is not a number: the archive is damaged")]
    Number { at: u64, field: &'static str },
    #[error("The extended header at byte {at} has no records of `LENGTH KEY=VALUE`: the archive is damaged")]
    Record { at: u64 },
    #[error("The header at byte {at} has {len} of its own, more than {most}", len = count::of(len, "byte"))]
    Long { at: u64, len: u64, most: u64 },
    #[error("The archive stops at byte {len} and has no end marker: it was cut off")]
    Cut { len: u64 },
    #[error("{name} begins at byte {at} and has {size}, but the archive stops at byte {len}: it was cut off", size = count::of(size, "byte"))]
    CutMember { name: String, at: u64, size: u64, len: u64 },
    #[error("A single block of zeros at byte {at} does not end an archive: it is damaged, or several were joined")]
    Zeros { at: u64 },
    #[error(
        "{name} is stored as a sparse file: make the archive again with no sparse files (GNU tar: leave out --sparse)"
    )]
    Sparse { name: String },
    #[error("{name} is a member of the unknown type {kind:?}")]
    Kind { name: String, kind: char },
    #[error("The hard link {name} names {target}, which is not an earlier file of the archive")]
    HardLink { name: String, target: String },
    #[error(transparent)]
    Read(#[from] io::Error),
}
