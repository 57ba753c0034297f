//! Media: anything that a tree can be read from.
//!
//! A [`Medium`] is a whole tree with Plan 9's names, owners, modes and times,
//! and what kind of system it holds. [`directory`] reads one from a folder of
//! the host; `select` picks what goes into an image.

pub mod directory;
mod distribution;
mod metadata;
pub mod sample;
mod select;

pub use directory::MediumError;
pub use distribution::Distribution;
pub use metadata::{Database, MetadataError};
pub use select::{PatternError, Selection};

use crate::tree::Tree;
use std::path::Path;
use std::sync::Arc;

/// An opened medium.
#[derive(Clone, Debug)]
pub struct Medium {
    /// As the lab calls it.
    pub name: String,
    pub distribution: Distribution,
    /// Everything on it.
    pub tree: Arc<Tree>,
    /// Where owners, modes and times came from, in words.
    pub metadata_source: String,
}

impl Medium {
    /// The embedded sample.
    pub fn sample() -> Self {
        Self {
            name: crate::lab::SAMPLE.into(),
            distribution: Distribution::Sample,
            tree: Arc::new(sample::tree()),
            metadata_source: "p9img itself".into(),
        }
    }

    /// Reads the medium in the folder `path`. Files without an entry in the
    /// medium's own metadata get the time `epoch` (seconds since 1970).
    ///
    /// # Errors
    /// When there is no such folder, something in it cannot be read or cannot
    /// be a Plan 9 file, or the folder holds no Plan 9 system.
    pub fn open(name: &str, path: &Path, epoch: u32) -> Result<Self, MediumError> {
        directory::open(name, path, epoch)
    }
}
