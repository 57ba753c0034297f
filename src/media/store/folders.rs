//! The folders of the store.

use super::record::Name;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(super) const SUMS: &str = ".sums";
pub(super) const LOCK: &str = ".lock";

/// Reason why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "Cannot write to the cache in {path}: make room or change its permissions, or set P9IMG_CACHE to another folder"
    )]
    Write { path: PathBuf, source: io::Error },
    #[error("Cannot read {path} in the cache")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "The cached file {path} ({what}) is damaged at byte {offset}: it was removed; run the command again to get it \
         anew"
    )]
    Damaged { what: Name, path: PathBuf, offset: u64 },
    #[error("The cached file {path} is damaged at byte {offset}: remove it and run the command again")]
    DamagedStays { path: PathBuf, offset: u64 },
}

/// The folders of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    Content,
    Derived,
    /// Has no entries: what is in it is not complete.
    Partial,
}

impl Folder {
    pub const ALL: [Self; 3] = [Self::Content, Self::Derived, Self::Partial];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Derived => "derived",
            Self::Partial => "partial",
        }
    }

    pub const fn of(name: &Name) -> Self {
        match name {
            Name::Content(_) => Self::Content,
            Name::Derived(_) => Self::Derived,
        }
    }
}

/// A store in one folder, which need not be there yet. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) root: PathBuf,
    /// Whether leftovers were removed by this run.
    pub(super) clean: Arc<AtomicBool>,
}

impl Store {
    /// The store in this folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), clean: Arc::default() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
}
