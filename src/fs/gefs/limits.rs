//! What a volume is asked for, and what gefs cannot hold.

use super::format::MAX_KEY;
use crate::fs::shared::refused::Refused;
use thiserror::Error;

/// What messages call it.
pub const FS: &str = "gefs";
/// Longest name in bytes: a key has as many more as say its kind, the
/// directory, the name's length and its end.
pub const MAX_NAME: usize = MAX_KEY - 12;
/// Longest file in bytes: the server counts in signed numbers.
pub const MAX_FILE: u64 = i64::MAX as u64;

/// Why a tree cannot become a gefs volume.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(transparent)]
    Entry(#[from] Refused),
    #[error("The partition has {available} bytes, but its files need {needed}: make it {} bytes larger", needed - available)]
    TooSmall { needed: u64, available: u64 },
    #[error("The tree is not laid over the medium that the base was made from")]
    OtherBase,
    #[error("/adm/users: {0}; gefs would not start with it")]
    Users(String),
    #[error("Cannot read /adm/users: {0}")]
    ReadUsers(String),
    #[error("There is no /adm/users, without which gefs does not start")]
    NoUsers,
}
