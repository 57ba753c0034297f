//! Options of a volume, and limits of hjfs.

use super::format::MAX_BLOCKS;
use super::format::NAME;
use crate::ErrorKind;
use crate::count;
use crate::shared::refused::Refused;
use thiserror::Error;

/// Longest name in bytes: the field ends with a zero.
pub const MAX_NAME: usize = NAME - 1;

/// Reason why a tree cannot become an hjfs volume.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum LayoutError {
    /// Entry that the format cannot hold.
    #[error(transparent)]
    Entry(#[from] Refused),
    /// More blocks than a volume may have.
    #[error("The files need more than the {MAX_BLOCKS} blocks that an hjfs volume may have")]
    TooManyBlocks,
    /// Partition that is too small for the files.
    #[error("The partition has {available}, but its files need {needed}: make it {} larger", count::of(needed - available, "byte"), available = count::of(available, "byte"))]
    TooSmall { needed: u64, available: u64 },
    /// Partition that is larger than hjfs counts.
    #[error("The partition has {len}, but an hjfs has at most {max}; make it smaller", len = count::of(len, "byte"))]
    PartitionTooBig { len: u64, max: u64 },
    /// Tree that is not an overlay of the tree that the base was made from.
    #[error("The tree is not an overlay of the tree that the base was made from")]
    OtherBase,
    /// Failure to read the tree's `/adm/users`.
    #[error("Cannot read /adm/users: {0}")]
    Users(String),
}

impl LayoutError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooSmall { .. } => ErrorKind::TooSmall,
            Self::Users(_) => ErrorKind::Io,
            _ => ErrorKind::Unsupported,
        }
    }
}
