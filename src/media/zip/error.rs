//! Reason why a zip archive cannot be read.

use crate::count;
use std::io;

/// Bytes of a symbolic link: `PATH_MAX` of Linux.
pub const MAX_LINK: u64 = 4096;

/// Reason why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    #[error("{name} appears twice: programs differ about which one they use")]
    Twice { name: String },
    #[error("{name} and {other} overlap in the archive, which makes it unpack to more than its length allows")]
    Overlap { name: String, other: String },
    #[error("{name} inflates to {found}, but the archive's directory says {len}", len = count::of(len, "byte"))]
    Length { name: String, found: String, len: u64 },
    #[error("{name} has the CRC-32 {found:08x}, but the archive's directory says {crc:08x}: get the file again")]
    Crc { name: String, found: u32, crc: u32 },
    #[error("{name} does not inflate")]
    Inflate { name: String, source: io::Error },
    #[error("{name} is a symbolic link of {len}, more than {MAX_LINK}", len = count::of(len, "byte"))]
    Link { name: String, len: u64 },
    #[error(transparent)]
    Read(#[from] io::Error),
}
