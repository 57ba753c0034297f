//! Types between the formats and the table of them: what a format is asked,
//! and what it answers.

use crate::read_at::ReadAt;
use crate::{ErrorKind, FileSystem};
use std::error::Error;
use std::sync::Arc;

/// Lookup of another partition of the same disk by its name.
pub type Beside<'a> = dyn Fn(&str) -> Option<Arc<dyn ReadAt>> + 'a;

/// Lookup for a volume that is a file of its own, without other partitions:
/// `None` for every name.
pub fn alone(_name: &str) -> Option<Arc<dyn ReadAt>> {
    None
}

/// Volume of unknown kind, and its surroundings.
pub(crate) struct Volume<'a> {
    pub bytes: Arc<dyn ReadAt>,
    /// First sector on its disk, if the caller has it.
    pub partition_lba: Option<u64>,
    pub beside: &'a Beside<'a>,
}

/// Answer of one format to the question whether a volume is its own.
pub(crate) enum Probe {
    Yes(Box<dyn FileSystem>),
    /// Signs of the format, but damage.
    Damaged(Box<dyn Error + Send + Sync>),
    /// No signs of the format, or unreadable: kind and reason.
    No(ErrorKind, String),
}

impl Probe {
    /// Answer that follows from a format's own way of opening; `kind` is that
    /// of its error.
    pub(crate) fn of<F, E>(opened: Result<F, E>, kind: fn(&E) -> ErrorKind) -> Self
    where
        F: FileSystem + 'static,
        E: Error + Send + Sync + 'static,
    {
        match opened {
            Ok(fs) => Self::Yes(Box::new(fs)),
            Err(e) if kind(&e) == ErrorKind::Damaged => Self::Damaged(Box::new(e)),
            Err(e) => {
                let why = e.source().map_or_else(|| e.to_string(), |source| format!("{e}: {source}"));
                Self::No(kind(&e), why)
            }
        }
    }
}

/// Content that a kind of file system is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holds {
    /// All files of a system, with Plan 9's owners, modes and times: a node starts
    /// from it.
    Root,
    /// Files that firmware or a boot program reads, without owners.
    Boot,
    /// Blocks of other file systems, and no files.
    Archive,
}

/// A kind of file system, as the table of kinds and its messages know it.
pub(crate) struct Kind {
    /// Name in messages.
    pub name: &'static str,
    /// Rest of the sentence "This was …" about damage.
    pub damaged: &'static str,
    /// Partitions that Plan 9's installers name for it.
    pub partitions: &'static [&'static str],
    pub holds: Holds,
    pub probe: fn(&Volume<'_>) -> Probe,
}
