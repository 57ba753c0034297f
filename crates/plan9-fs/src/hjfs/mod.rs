//! hjfs, a file system of 9front. `doc/hjfs.md` describes the format.
//!
//! Writing: [`Base::layout`] places a medium's files once for all nodes,
//! [`Hjfs::layout`] one node's; the result answers [`crate::ReadAt`].
//! Reading: [`open`].

mod check;
mod dump;
mod format;
mod layout;
mod limits;
mod read;
mod users;
mod volume;
mod write;

pub use crate::shared::users::Users;
pub use layout::{Base, Hjfs, Options, base_start, data_offset, users};
pub use limits::{LayoutError, MAX_NAME};
pub use read::{HjfsReader, open};
pub use volume::OpenError;

use crate::probe::{self, Holds, Probe};

/// Entry of the table of kinds.
pub(crate) const KIND: probe::Kind = probe::Kind {
    name: "hjfs",
    damaged: "an hjfs volume, but it is damaged",
    partitions: &["fs"],
    holds: Holds::Root,
    probe: |v| Probe::of(open(v.bytes.clone()), OpenError::kind),
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_check;
