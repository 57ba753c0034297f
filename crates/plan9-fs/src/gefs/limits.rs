//! Options of a volume, and limits of gefs.

use super::format::MAX_KEY;
use crate::ErrorKind;
use crate::count;
use crate::shared::refused::Refused;
use thiserror::Error;

/// Name in messages.
pub(super) const FS: &str = "gefs";
/// Longest name in bytes: a key has as many more as say its kind, the
/// directory, the name's length and its end.
pub const MAX_NAME: usize = MAX_KEY - 12;
/// Longest file in bytes: the server counts in signed numbers.
pub(super) const MAX_FILE: u64 = i64::MAX as u64;

/// Reason why a tree cannot become a gefs volume.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum LayoutError {
    /// Entry that the format cannot hold.
    #[error(transparent)]
    Entry(#[from] Refused),
    /// Partition that is too small for the files.
    #[error("The partition has {available}, but its files need {needed}: make it {} larger", count::of(needed - available, "byte"), available = count::of(available, "byte"))]
    TooSmall { needed: u64, available: u64 },
    /// Tree that is not an overlay of the tree that the base was made from.
    #[error("The tree is not an overlay of the tree that the base was made from")]
    OtherBase,
    /// `/adm/users` that the server would not take.
    #[error("/adm/users: {0}; gefs would not start with it")]
    Users(String),
    /// Failure to read the tree's `/adm/users`.
    #[error("Cannot read /adm/users: {0}")]
    ReadUsers(String),
    /// Tree without `/adm/users`.
    #[error("There is no /adm/users, which gefs needs to start")]
    NoUsers,
}

impl LayoutError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooSmall { .. } => ErrorKind::TooSmall,
            Self::ReadUsers(_) => ErrorKind::Io,
            _ => ErrorKind::Unsupported,
        }
    }
}
