//! What cwfs64x cannot hold.

use super::format::{MAX_PATH, NAME};
use crate::fs::shared::refused::Refused;
use thiserror::Error;

/// Longest name in bytes: the field holds a zero behind it.
pub const MAX_NAME: usize = NAME - 1;

/// Why a tree cannot become a cwfs64x.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(transparent)]
    Entry(#[from] Refused),
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
