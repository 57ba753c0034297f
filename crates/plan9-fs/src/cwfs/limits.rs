//! Limits of cwfs64x.

use super::format::{MAX_PATH, NAME};
use crate::ErrorKind;
use crate::count;
use crate::shared::refused::Refused;
use thiserror::Error;

/// Longest name in bytes: the field ends with a zero.
pub const MAX_NAME: usize = NAME - 1;

/// Reason why a tree cannot become a cwfs64x.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum LayoutError {
    /// Entry that the format cannot hold.
    #[error(transparent)]
    Entry(#[from] Refused),
    /// More files than there are qid paths.
    #[error("There are more files than qid paths, of which cwfs64x has {MAX_PATH}")]
    TooManyFiles,
    /// Partition that is too small for the files.
    #[error("The partition has {available}, but its files need {needed}: make it {} larger", count::of(needed - available, "byte"), available = count::of(available, "byte"))]
    TooSmall { needed: u64, available: u64 },
    /// Partition that is too small for any file system.
    #[error("The partition {name} has {len}, but cwfs64x needs {least} at the least: make it larger", len = count::of(len, "byte"))]
    PartTooSmall { name: &'static str, len: u64, least: u64 },
    /// Tree that is not an overlay of the tree that the base was made from.
    #[error("The tree is not an overlay of the tree that the base was made from")]
    OtherBase,
    /// Failure to read the tree's `/adm/users`.
    #[error("Cannot read /adm/users: {0}")]
    Users(String),
    /// Configuration that the server would not take.
    #[error("The configuration is not possible: {0}")]
    Config(String),
}

impl LayoutError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooSmall { .. } | Self::PartTooSmall { .. } => ErrorKind::TooSmall,
            Self::Users(_) => ErrorKind::Io,
            _ => ErrorKind::Unsupported,
        }
    }
}
