//! Types between the roots and the table of them.

use super::bases::Bases;
use crate::read_at::ReadAt;
use crate::tree::Tree;
use serde::Serialize;
use std::error::Error;
use std::sync::Arc;

/// File system of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fs {
    Fossil,
    Hjfs,
    Gefs,
    Cwfs64x,
}

impl Fs {
    /// Root of a distribution that names none, and of every Pi.
    pub const DEFAULT: Self = Self::Fossil;
}

/// Properties of a root.
pub struct RootKind {
    pub fs: Fs,
    /// Word in `lab.toml` and `role.toml`.
    pub word: &'static str,
    /// Name of its server's console in `/srv`, without `.cmd`.
    pub service: &'static str,
    pub partitions: Partitions,
    /// Characters that a name of its users cannot hold, of those that names in a
    /// lab can.
    pub not_in_users: &'static [char],
    /// Key of its configuration in a plan; none where it has no configuration, and
    /// then a distribution has no template of one.
    pub config: Option<&'static str>,
    /// Offset of the files in its data partition of so many bytes.
    pub data_offset: fn(u64) -> u64,
    pub lay_out: fn(&RootJob<'_>, &Bases) -> Result<LaidOut, RootError>,
}

/// Partitions of a root, as the distributions' installers call them.
#[derive(Clone, Copy, Debug)]
pub struct Partitions {
    /// The one that the kernel starts from.
    pub start: &'static str,
    /// The one with the files, which gets the room that is left.
    pub data: &'static str,
    /// Partitions that have a share of that room: one before the data, one
    /// after it.
    pub shares: Option<[&'static str; 2]>,
}

impl Partitions {
    pub(super) const fn one(name: &'static str) -> Self {
        Self { start: name, data: name, shares: None }
    }

    /// All of them, in their order on the disk.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let (before, behind) = self.shares.map(|[before, behind]| (before, behind)).unzip();
        [before, Some(self.data), behind].into_iter().flatten()
    }
}

/// One node's root, to be laid out.
pub struct RootJob<'a> {
    /// Tree of the medium, which nodes share.
    pub medium: &'a Arc<Tree>,
    /// Tree of the node: that of the medium with the node's own files over it.
    pub tree: &'a Arc<Tree>,
    /// Bytes of a partition by its name; 0 where there is none.
    pub len: &'a dyn Fn(&str) -> u64,
    /// Configuration as the distribution's template makes it; empty where the
    /// root has none.
    pub config: &'a str,
    /// Time of what p9img makes itself, in seconds since 1970.
    pub epoch: u32,
}

/// A root, laid out.
pub struct LaidOut {
    /// Contents of partitions by their names.
    pub volumes: Vec<(&'static str, Arc<dyn ReadAt>)>,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that there are.
    pub capacity: u64,
}

/// Reason why a root cannot be laid out.
#[derive(Debug)]
pub enum RootError {
    /// In bytes.
    TooSmall { needed: u64, available: u64 },
    /// Part that cannot be laid out, and the reason.
    Other { what: &'static str, source: Box<dyn Error + Send + Sync> },
}

impl RootError {
    pub(super) fn other(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Other { what, source: Box::new(source) }
    }
}
