//! gefs, a file system of 9front. `doc/gefs.md` describes the format.
//!
//! Writing: [`Data`] knows the bytes of a medium's files by their hashes,
//! [`Base::layout`] places them once for all nodes with partitions of a length,
//! [`Gefs::layout`] one node's; the result answers [`crate::ReadAt`].
//! Reading: [`open`].

mod area;
mod arenas;
mod bulk;
mod check;
mod check_files;
mod dump;
mod format;
mod hash;
mod items;
mod layout;
mod limits;
mod mend;
mod node;
mod read;
mod snapshots;
mod space;
mod sums;
mod tree;
mod users;
mod volume;
mod write;

pub use arenas::Arenas;
pub use layout::{Base, Data, Gefs, Options, arenas, users};
pub use limits::{LayoutError, MAX_NAME};
pub use mend::mend;
pub use read::{GefsReader, open};
pub use users::Users;
pub use volume::OpenError;

use crate::probe::{self, Holds, Probe};

/// Entry of the table of kinds.
pub(crate) const KIND: probe::Kind = probe::Kind {
    name: "gefs",
    damaged: "a gefs volume, but it is damaged",
    partitions: &["fs"],
    holds: Holds::Root,
    probe: |v| Probe::of(open(v.bytes.clone()), OpenError::kind),
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_check;
