//! What a volume is asked for, and what fossil cannot hold.

use super::format::{CONFIG, CONFIG_MAGIC, Super};
use super::meta::MAX_ENTRY;
use crate::tree::Meta;
use thiserror::Error;

/// Longest name in bytes: fossil copies path elements to a buffer of 1024
/// (`/sys/src/cmd/fossil/file.c`).
pub const MAX_NAME: usize = 1023;

/// Why a tree cannot become a fossil volume.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("/{path}: fossil cannot hold this name: {why}")]
    BadName { path: String, why: &'static str },
    #[error("/{path}: the name has {len} bytes, but fossil holds at most {MAX_NAME}; use a shorter one")]
    NameTooLong { path: String, len: usize },
    #[error("/{path}: the name of its {what} {why}")]
    BadUser { path: String, what: &'static str, why: &'static str },
    #[error("/{path}: name, owner and group need {len} bytes, but a block has room for {MAX_ENTRY}; use shorter ones")]
    EntryTooBig { path: String, len: usize },
    #[error("/{path}: {len} bytes are more than the {max} that a file may have")]
    FileTooBig { path: String, len: u64, max: u64 },
    #[error("The files need more than the {max} blocks that a fossil volume may have")]
    TooManyBlocks { max: u64 },
    #[error("The partition has {available} bytes, but its files need {needed}: make it {} bytes larger", needed - available)]
    TooSmall { needed: u64, available: u64 },
    #[error("The partition has {len} bytes, but fossil divides at most {max}; make it smaller")]
    PartitionTooBig { len: u64, max: u64 },
    #[error("The fossil configuration has {len} bytes, but there is room for {}; shorten it", CONFIG.len)]
    ConfigTooLong { len: usize },
    #[error("The fossil configuration must start with the line `fossil config` and hold no zero byte")]
    BadConfig,
    #[error("The volume name has {len} bytes, but there is room for {}; shorten it", Super::MAX_NAME)]
    VolumeNameTooLong { len: usize },
    #[error("The tree is not laid over the medium that the base was made from")]
    OtherBase,
}

/// What a volume is told beside its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the partition in bytes.
    pub len: u64,
    /// Configuration text; its first line is `fossil config`.
    pub config: String,
    /// Volume name, usually `main`.
    pub name: String,
    /// Time of the root, archive and snapshot directories, in seconds since
    /// 1970-01-01 UTC.
    pub epoch: u32,
}

/// Checks what does not depend on the files.
pub fn check_options(o: &Options) -> Result<(), LayoutError> {
    if o.config.len() as u64 > CONFIG.len {
        return Err(LayoutError::ConfigTooLong { len: o.config.len() });
    }
    if !o.config.as_bytes().starts_with(CONFIG_MAGIC) || o.config.contains('\0') {
        return Err(LayoutError::BadConfig);
    }
    if o.name.len() > Super::MAX_NAME {
        return Err(LayoutError::VolumeNameTooLong { len: o.name.len() });
    }
    Ok(())
}

/// Why fossil or the kernel takes no such path element.
pub fn bad_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("it is empty"),
        b"." | b".." => Some("it has a meaning of its own"),
        n if n.contains(&b'/') => Some("it contains a slash"),
        n if n.iter().any(|b| is_control(*b)) => Some("it contains a control character, which Plan 9's kernel refuses"),
        _ => None,
    }
}

/// Bytes that the kernel takes in no name: it then cannot list the directory
/// at all (`isfrog` in `/sys/src/9/port/chan.c`).
pub fn is_control(b: u8) -> bool {
    b < 0x20 || b == 0x7f
}

/// Which of the names of users cannot be stored, and why.
pub fn bad_user(meta: &Meta) -> Option<(&'static str, &'static str)> {
    [("owner", &meta.uid), ("group", &meta.gid), ("last user", &meta.muid)].into_iter().find_map(|(what, name)| {
        let why = match name {
            n if n.contains('\0') => "contains a zero byte",
            n if n.len() > MAX_NAME => "has more than 1023 bytes",
            _ => return None,
        };
        Some((what, why))
    })
}
