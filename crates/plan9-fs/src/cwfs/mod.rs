//! cwfs64x, the cached worm file system of 9front. `doc/cwfs.md` describes the
//! format.
//!
//! Writing: [`Base::layout`] places a medium's files once for all nodes,
//! [`Cwfs::layout`] one node's; its three partitions answer
//! [`crate::ReadAt`]. Reading: [`open`], with a lookup of the disk's other
//! partitions.

mod cache;
mod check;
mod config;
mod dump;
mod format;
mod layout;
mod limits;
mod marks;
mod other;
mod read;
mod users;
mod volume;
mod worm;

pub use crate::shared::users::Users;
pub use cache::Cache;
pub use config::{Config, Device};
pub use layout::{Base, Cwfs, DATA_OFFSET, Options, users};
pub use limits::{LayoutError, MAX_NAME};
pub use other::Other;
pub use read::{CwfsReader, open};
pub use volume::OpenError;
pub use worm::Worm;

use crate::probe::{self, Holds, Probe};

/// Entry of the table of kinds.
pub(crate) const KIND: probe::Kind = probe::Kind {
    name: "cwfs64x",
    damaged: "a partition of a cwfs64x, but it is damaged, or another of its partitions is",
    partitions: &["fscache", "fsworm", "other"],
    holds: Holds::Root,
    probe: |v| Probe::of(open(v.bytes.clone(), v.beside), OpenError::kind),
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_check;
