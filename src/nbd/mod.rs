//! Network block devices: disks that p9img computes or overlays, served to QEMU and to
//! other programs on a Unix socket.
//!
//! `doc/nbd.md` has what is spoken. [`Export`] is a disk, [`format`](mod@format) has the numbers of the
//! protocol, `option` the haggling at the beginning, [`Session`] one client from beginning to end,
//! and [`Server`] all of them. It knows nothing of labs.
//!
//! It asks no other folder.

mod export;
pub mod format;
mod option;
mod server;
mod session;

pub use export::{Export, Exports, Fixed, WriteAt};
pub use server::Server;
pub use session::Session;

#[cfg(test)]
mod tests;
