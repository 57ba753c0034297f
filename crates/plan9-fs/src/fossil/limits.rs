//! Options of a volume, and limits of fossil.

use super::format::{CONFIG, CONFIG_MAGIC, Super};
use super::meta::MAX_ENTRY;
use crate::ErrorKind;
use crate::count;
use crate::tree::Meta;
use thiserror::Error;

/// Longest name in bytes: fossil copies path elements to a buffer of 1024
/// (`/sys/src/cmd/fossil/file.c`).
pub const MAX_NAME: usize = 1023;

/// Reason why a tree cannot become a fossil volume.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum LayoutError {
    /// Name that fossil or the kernel takes for something else.
    #[error("/{path}: fossil cannot store this name: {why}")]
    BadName { path: String, why: &'static str },
    /// Name of more than [`MAX_NAME`] bytes.
    #[error("/{path}: the name has {len}, but fossil stores at most {MAX_NAME}; use a shorter one", len = count::of(len, "byte"))]
    NameTooLong { path: String, len: usize },
    /// Name of an owner or group that cannot be stored.
    #[error("/{path}: the name of its {what} {why}")]
    BadUser { path: String, what: &'static str, why: &'static str },
    /// Names that do not fit into a block together.
    #[error("/{path}: name, owner and group need {len}, but a block has room for {MAX_ENTRY}; use shorter ones", len = count::of(len, "byte"))]
    EntryTooBig { path: String, len: usize },
    /// File that is longer than its pointers reach.
    #[error("/{path}: {len} are more than the {max} that a file may have", len = count::of(len, "byte"))]
    FileTooBig { path: String, len: u64, max: u64 },
    /// More blocks than a volume may have.
    #[error("The files need more than the {max} that a fossil volume may have", max = count::of(max, "block"))]
    TooManyBlocks { max: u64 },
    /// Partition that is too small for the files.
    #[error("The partition has {available}, but its files need {needed}: make it {} larger", count::of(needed - available, "byte"), available = count::of(available, "byte"))]
    TooSmall { needed: u64, available: u64 },
    /// Partition that is larger than fossil divides.
    #[error("The partition has {len}, but a fossil has at most {max}; make it smaller", len = count::of(len, "byte"))]
    PartitionTooBig { len: u64, max: u64 },
    /// Configuration that does not fit.
    #[error("The fossil configuration has {len}, but there is room for {}; shorten it", CONFIG.len, len = count::of(len, "byte"))]
    ConfigTooLong { len: usize },
    /// Configuration that fossil would not take.
    #[error("The fossil configuration must start with the line `fossil config` and contain no zero byte")]
    BadConfig,
    /// Volume name that does not fit.
    #[error("The volume name has {len}, but there is room for {}; shorten it", Super::MAX_NAME, len = count::of(len, "byte"))]
    VolumeNameTooLong { len: usize },
    /// Tree that is not an overlay of the tree that the base was made from.
    #[error("The tree is not an overlay of the tree that the base was made from")]
    OtherBase,
}

impl LayoutError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooSmall { .. } => ErrorKind::TooSmall,
            _ => ErrorKind::Unsupported,
        }
    }
}

/// Options of a volume.
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
pub(super) fn check_options(o: &Options) -> Result<(), LayoutError> {
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

/// Reason why fossil or the kernel refuses a path element.
pub(super) fn bad_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("it is empty"),
        b"." | b".." => Some("it has a special meaning"),
        n if n.contains(&b'/') => Some("it contains a slash"),
        n if n.iter().any(|b| is_control(*b)) => Some("it contains a control character, which Plan 9's kernel refuses"),
        _ => None,
    }
}

/// Bytes that the kernel takes in no name: it then cannot list the directory
/// at all (`isfrog` in `/sys/src/9/port/chan.c`).
pub(super) fn is_control(b: u8) -> bool {
    b < 0x20 || b == 0x7f
}

/// The first of a file's user names that cannot be stored: its field, and the
/// reason.
pub(super) fn bad_user(meta: &Meta) -> Option<(&'static str, &'static str)> {
    [("owner", &meta.uid), ("group", &meta.gid), ("last user", &meta.muid)].into_iter().find_map(|(what, name)| {
        let why = match name {
            n if n.contains('\0') => "contains a zero byte",
            n if n.len() > MAX_NAME => "has more than 1023 bytes",
            _ => return None,
        };
        Some((what, why))
    })
}
