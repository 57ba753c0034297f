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

pub use crate::fs::shared::users::Users;
pub use layout::{Base, Hjfs, Options, base_start, data_offset, users};
pub use limits::{LayoutError, MAX_NAME};
pub use read::{HjfsReader, open};
pub use volume::OpenError;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_check;
