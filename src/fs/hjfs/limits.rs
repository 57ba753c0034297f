//! What a volume is asked for, and what hjfs cannot hold.

use super::format::MAX_BLOCKS;
use super::format::NAME;
use thiserror::Error;

/// Longest name in bytes: the field holds a zero behind it.
pub const MAX_NAME: usize = NAME - 1;

/// Why a tree cannot become an hjfs volume.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("/{path}: hjfs cannot hold this name: {why}")]
    BadName { path: String, why: &'static str },
    #[error("/{path}: the name has {len} bytes, but hjfs holds at most {MAX_NAME}; use a shorter one")]
    NameTooLong { path: String, len: usize },
    #[error(
        "/{path}: its {what} {name:?} is not in /adm/users, where hjfs looks numbers up; add it there, or give the file to somebody else"
    )]
    UnknownUser { path: String, what: &'static str, name: String },
    #[error("/{path}: {len} bytes are more than the {max} that a file may have")]
    FileTooBig { path: String, len: u64, max: u64 },
    #[error("The files need more than the {MAX_BLOCKS} blocks that an hjfs volume may have")]
    TooManyBlocks,
    #[error("The partition has {available} bytes, but its files need {needed}: make it {} bytes larger", needed - available)]
    TooSmall { needed: u64, available: u64 },
    #[error("The partition has {len} bytes, but hjfs holds at most {max}; make it smaller")]
    PartitionTooBig { len: u64, max: u64 },
    #[error("The tree is not laid over the medium that the base was made from")]
    OtherBase,
    #[error("Cannot read /adm/users: {0}")]
    Users(String),
}
