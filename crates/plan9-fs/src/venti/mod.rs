//! venti, the archival store of 9legacy. `doc/venti.md` describes the formats.
//!
//! Writing: [`layout()`] formats the partitions of one venti; the results
//! answer [`crate::ReadAt`]. Reading: [`open`]; [`check_together`] compares what
//! was opened.

mod arena;
mod dump;
mod fields;
mod format;
mod layout;
mod read;
mod section;
mod set;
mod table;
mod whack;

pub use layout::{INDEX, Kind, LayoutError, Wanted, layout};
pub use read::{OpenError, Venti, open};
pub use set::check_together;

use crate::probe::{self, Holds, Probe};

/// Entry of the table of kinds.
pub(crate) const KIND: probe::Kind = probe::Kind {
    name: "venti",
    damaged: "a partition of a venti, but it is damaged",
    partitions: &[],
    holds: Holds::Archive,
    probe: |v| Probe::of(open(v.bytes.clone()), OpenError::kind),
};

#[cfg(test)]
mod offsets;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tests;
