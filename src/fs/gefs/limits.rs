//! What a volume is asked for, and what gefs cannot hold.

use super::format::MAX_KEY;
use thiserror::Error;

/// Longest name in bytes: a key has as many more as say its kind, the
/// directory, the name's length and its end.
pub const MAX_NAME: usize = MAX_KEY - 12;
/// Longest file in bytes: the server counts in signed numbers.
pub const MAX_FILE: u64 = i64::MAX as u64;

/// Why a tree cannot become a gefs volume.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("/{path}: gefs cannot hold this name: {why}")]
    BadName { path: String, why: &'static str },
    #[error("/{path}: the name has {len} bytes, but gefs holds at most {MAX_NAME}; use a shorter one")]
    NameTooLong { path: String, len: usize },
    #[error(
        "/{path}: its {what} {name:?} is not in /adm/users, where gefs looks numbers up; add it there, or give the file to somebody else"
    )]
    UnknownUser { path: String, what: &'static str, name: String },
    #[error("/{path}: {len} bytes are more than the {MAX_FILE} that a file may have")]
    FileTooBig { path: String, len: u64 },
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
