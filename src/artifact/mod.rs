//! Files that people import: raw, qcow2, and a streamOptimized VMDK in an OVA.
//!
//! [`build()`] takes the nodes' disks and writes every artifact in one run. A
//! disk is read once, in clusters of 64 KiB; a cluster of zeros is not stored;
//! a cluster whose content an earlier node, or another format, compressed
//! already is copied, not compressed again (`share`). Workers read and
//! compress, one writer emits in order (`pipeline`), so the bytes depend
//! neither on the number of threads nor on their timing.
//!
//! Artifacts appear under their names together and complete ([`folder`]):
//! until then they are hidden files, removed by whoever fails or by the next
//! build.
//!
//! [`open()`] reads any of these files as a disk again, and images made by
//! others.

mod build;
mod cache;
mod card;
mod digest;
mod error;
pub mod folder;
mod gather;
pub mod imager;
mod keep;
mod known;
pub mod manifest;
mod mapped;
pub mod memory;
mod open;
pub mod ova;
pub mod ovf;
mod pack;
mod pipeline;
pub mod qcow2;
mod raw;
mod share;
mod sink;
pub mod sums;
mod unpacked;
pub mod vmdk;
pub mod zip;

pub use build::{ArtifactReport, Job, Monitor, NodeIdentity, Quiet, Settings, build, build_from};
pub use error::Error;
pub use folder::{Folder, Wait};
pub use keep::Recorded;
pub use memory::Memory;
pub use open::{from, open};
pub use pack::{DEFLATE_LEVEL, ZSTD_LEVEL, zlib_version, zstd_version};

/// Bytes in a cluster: qcow2's default cluster, and the grain of VMware's own
/// streamOptimized disks, so that both formats store the same pieces.
pub const CLUSTER: usize = 65_536;

/// `n` rounded up to a multiple of `to`.
const fn round_up(n: u64, to: u64) -> u64 {
    n.div_ceil(to) * to
}
