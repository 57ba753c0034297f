//! What a volume is asked for, and what hjfs cannot hold.

use super::format::MAX_BLOCKS;
use super::format::NAME;
use crate::fs::shared::refused::Refused;
use thiserror::Error;

/// Longest name in bytes: the field holds a zero behind it.
pub const MAX_NAME: usize = NAME - 1;

/// Why a tree cannot become an hjfs volume.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(transparent)]
    Entry(#[from] Refused),
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
