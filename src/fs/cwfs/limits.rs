//! What cwfs64x cannot hold.

use super::format::{MAX_PATH, NAME};
use thiserror::Error;

/// Longest name in bytes: the field holds a zero behind it.
pub const MAX_NAME: usize = NAME - 1;

/// Why a tree cannot become a cwfs64x.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("/{path}: cwfs64x cannot hold this name: {why}")]
    BadName { path: String, why: &'static str },
    #[error("/{path}: the name has {len} bytes, but cwfs64x holds at most {MAX_NAME}; use a shorter one")]
    NameTooLong { path: String, len: usize },
    #[error(
        "/{path}: its {what} {name:?} is not in /adm/users, where cwfs64x looks numbers up; add it there, or give the file to somebody else"
    )]
    UnknownUser { path: String, what: &'static str, name: String },
    #[error("/{path}: {len} bytes are more than the {max} that a file may have")]
    FileTooBig { path: String, len: u64, max: u64 },
    #[error("There are more files than qid paths, of which cwfs64x has {MAX_PATH}")]
    TooManyFiles,
    #[error("The partition has {available} bytes, but its files need {needed}: make it {} bytes larger", needed - available)]
    TooSmall { needed: u64, available: u64 },
    #[error("The partition {name} has {len} bytes, but cwfs64x needs {least} at the least: make it larger")]
    PartTooSmall { name: &'static str, len: u64, least: u64 },
    #[error("The tree is not laid over the medium that the base was made from")]
    OtherBase,
    #[error("Cannot read /adm/users: {0}")]
    Users(String),
    #[error("The configuration cannot be: {0}")]
    Config(String),
}
