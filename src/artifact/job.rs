//! Jobs and settings of a build, and its reports.

use crate::artifact::layer::{Layer, Over};
use crate::artifact::machine::Machine;
use crate::lab::Format;
use crate::read_at::{Extent, ReadAt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Template of OVF descriptors that p9img comes with.
pub const OVF_TEMPLATE: &str = include_str!("../../templates/lab/node.ovf");

/// One node's disk and the artifacts to make of it.
#[derive(Clone)]
pub struct Job<'a> {
    pub node: Machine,
    pub disk: Arc<dyn ReadAt + 'a>,
    /// Formats with the artifact's file name in the output folder.
    pub outputs: Vec<(Format, String)>,
    /// For the marks of a disk that holds secrets: something that only their
    /// owner knows.
    pub key: Option<[u8; 32]>,
    /// Part of the disk that the artifacts have.
    pub layer: Layer,
}

impl Job<'_> {
    /// Extents of the disk that the artifacts have.
    pub(super) fn extents(&self) -> Vec<Extent> {
        match &self.layer {
            Layer::Whole => self.disk.extents(),
            Layer::Base(extents) | Layer::Over(Over { extents, .. }) => extents.clone(),
        }
    }
}

/// Settings of all artifacts of a build.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that compute and compress. Does not change a byte.
    pub jobs: NonZeroUsize,
    /// Time of the members of an OVA, seconds since 1970.
    pub epoch: u32,
    /// Handlebars template of the OVF descriptor.
    pub ovf_template: String,
    /// False: write, digest, and throw away. For comparing with what is there.
    pub commit: bool,
    /// Artifacts in the folder by file name, from the manifest: of these, only
    /// changed ones are written. Empty: everything is written.
    pub recorded: BTreeMap<String, Recorded>,
    /// Digest that identifies each base of the disks across builds, by base
    /// number ([`crate::read_at::Origin`]): equal for equal bytes.
    pub bases: BTreeMap<u64, [u8; 32]>,
    /// Becomes true when the build is to end, for loops that no monitor watches.
    pub stop: Arc<AtomicBool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            epoch: 0,
            ovf_template: OVF_TEMPLATE.to_owned(),
            commit: true,
            recorded: BTreeMap::new(),
            bases: BTreeMap::new(),
            stop: Arc::default(),
        }
    }
}

/// Observer of a build. Called from the building thread only.
pub trait Monitor: Sync {
    /// `done` of `total` bytes of disks are written; the node is being written.
    fn progress(&self, _node: &str, _done: u64, _total: u64) {}
    /// Whether to stop. Asked often.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A monitor that says nothing.
pub struct Quiet;
impl Monitor for Quiet {}

/// A finished artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReport {
    pub node: String,
    pub format: Format,
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Equal for equal bytes, and made before they are: what the next build
    /// compares. Lower-case hexadecimal.
    pub mark: String,
    /// The file was there already, whole and unchanged, and was not written.
    pub kept: bool,
    /// Clusters of 64 KiB that hold data.
    pub clusters: u64,
    /// Of these, the ones that an earlier node of this build holds too, so that
    /// they were copied and not compressed again; 0 for raw images and for
    /// artifacts that stay.
    pub shared_clusters: u64,
    /// Bytes that the clusters take in the file; 0 for an artifact that stays.
    pub stored_bytes: u64,
    /// Advice for the user of the artifact.
    pub note: Option<String>,
    /// The disk image in a compressed file.
    #[serde(default)]
    pub image: Option<Image>,
    /// Name of the file in the same folder that has the rest of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The file is such a base, and no node's own: `node` is then its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_base: bool,
}

/// The one file in a compressed artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Bytes.
    pub len: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Record of an artifact from an earlier build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Bytes.
    pub len: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// As [`crate::artifact::ArtifactReport::mark`].
    pub mark: String,
    /// As [`crate::artifact::ArtifactReport::image`].
    pub image: Option<Image>,
}
