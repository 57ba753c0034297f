//! fossil, the file system of 9legacy. `doc/fossil.md` describes the format.
//!
//! Writing: [`Base::layout`] places a medium's files once for all nodes,
//! [`Fossil::layout`] one node's; the result answers [`crate::ReadAt`].
//! Reading: [`open`].

mod area;
mod check;
mod check_dirs;
mod dump;
mod entry;
mod format;
mod layout;
mod limits;
mod meta;
mod read;
mod volume;
mod write;

pub use format::{BLOCK, CONFIG, HEADER_AT, HEADER_LEN, Header, LABEL_LEN, Label, MAX_FILE_BLOCKS, Score, Super};
pub use layout::{Base, Fossil, data_offset, needed_len};
pub use limits::{LayoutError, MAX_NAME, Options};
pub use read::{FossilReader, MAX_NESTING, open};
pub use volume::OpenError;

use crate::probe::{self, Holds, Probe};

/// Entry of the table of kinds.
pub(crate) const KIND: probe::Kind = probe::Kind {
    name: "fossil",
    damaged: "a fossil volume, but it is damaged",
    partitions: &["fossil"],
    holds: Holds::Root,
    probe: |v| Probe::of(open(v.bytes.clone()), OpenError::kind),
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_check;
#[cfg(test)]
mod tests_layout;
