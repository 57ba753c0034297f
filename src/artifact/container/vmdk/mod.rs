//! Sparse VMDK: streamOptimized as VMware's tools write it, and its plain
//! relative for reading. `doc/vmdk.md` has the format.

mod check;
mod descriptor;
pub mod format;
pub mod read;
pub mod write;

pub use read::Vmdk;
