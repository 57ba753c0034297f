//! qcow2, version 3, with compressed clusters. `doc/qcow2.md` has the format.

mod check;
pub mod format;
pub mod read;
pub mod write;

pub use read::Qcow2;
