//! Files that people import: raw, qcow2, and a streamOptimized VMDK in an OVA.
//!
//! [`build()`] takes the nodes' disks and writes every artifact in one run. A
//! disk is read once, in clusters of 64 KiB; a cluster of zeros is not stored;
//! a cluster whose content an earlier node, or another format, compressed
//! already is copied, not compressed again. The bytes depend neither on the
//! number of threads nor on their timing.
//!
//! Four rooms, each of which knows those below it:
//!
//! - [`mod@build`] reads, compresses and decides what need not be done again;
//! - [`container`] knows the layout of every format, to write and to read it;
//! - [`output`] knows the folder: files under their names together and
//!   complete, digests, `SHA256SUMS`, `manifest.json`;
//! - `job`, `machine`, `cluster`, `codec` and `error` are the types that all of
//!   them share, and know nothing of the others.
//!
//! [`open()`] reads any of these files as a disk again, and images made by
//! others.
//!
//! It may ask `lab`, `partition`, `render` and `template`.

pub mod build;
mod cluster;
mod codec;
pub mod container;
mod error;
mod job;
mod layer;
mod machine;
pub mod output;

pub use build::memory::{self, Memory};
pub use build::{build, build_from};
pub use cluster::CLUSTER;
pub use codec::{Method, Packed, Packer, libraries, probe};
pub use container::check::read_disk;
pub use container::open::{Layers, beside, from, layers, layers_over, open, regular};
pub use container::unpacked::unpack_in;
pub use container::{ova, ovf, qcow2, reader, vmdk, zip};
pub use error::Error;
pub use job::{ArtifactReport, Image, Job, Monitor, Quiet, Recorded, Settings};
pub use layer::{BASE_NAME, Layer, Over, Shared, is_base_name};
pub use machine::Machine;
pub use output::folder::{Folder, Wait};
pub use output::{folder, imager, manifest, sums};
