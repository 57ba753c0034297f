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

#[cfg(test)]
mod store;
#[cfg(test)]
mod tests;
