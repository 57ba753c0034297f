//! Reason why a Debian package cannot be read.

use crate::count;
use std::io;

/// Bytes of packed and of unpacked data that are taken: raspi-firmware has 5
/// and 33 MB.
pub const MOST: u64 = 256 << 20;

/// Reason why a package cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    #[error("No member begins at byte {at}: the package is damaged")]
    Header { at: u64 },
    #[error(
        "The member {name} begins at byte {at} and has {size}, but the package ends at byte {len}: it was cut off", size = count::of(size, "byte")
    )]
    Cut { name: String, at: u64, size: u64, len: u64 },
    #[error("There is no member data.tar, so this is not a package of files")]
    NoData,
    #[error("{name} has more than {MOST} bytes, which is more than any firmware")]
    Large { name: String },
    #[error("{name} is compressed with a method that p9img does not read")]
    Unknown { name: String },
    #[error("{name} does not unpack")]
    Unpack { name: String, source: io::Error },
    #[error(transparent)]
    Read(#[from] io::Error),
}
