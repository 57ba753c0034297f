//! The report of a build: every address, size, offset, id and time of every node.
//!
//! `p9img plan` shows it before a byte is written, and `manifest.json` records it.
//! Two equal reports give equal artifacts.

use crate::hex::hex;
use crate::lab::{Format, Fs, Lab};
use crate::media::Medium;
use crate::partition::Layout;
use crate::render::{PiFiles, Rendered, RenderedFile, What};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Plan of a build.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Version of p9img, which decides the bytes together with all values below.
    pub p9img: &'static str,
    pub lab: Lab,
    /// The medium of all nodes, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<MediumPlan>,
    /// The media of the nodes, if they are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediumPlan>,
    pub nodes: Vec<NodePlan>,
}

impl Plan {
    /// Plan of a lab whose nodes are built from `media`.
    pub(super) fn new(lab: &Lab, media: &[Medium], nodes: Vec<NodePlan>) -> Self {
        let (medium, media) = match media {
            [one] => (Some(MediumPlan::of(one)), Vec::new()),
            several => (None, several.iter().map(MediumPlan::of).collect()),
        };
        Self { p9img: env!("CARGO_PKG_VERSION"), lab: lab.clone(), medium, media, nodes }
    }

    /// Every medium that nodes are built from.
    pub fn media(&self) -> impl Iterator<Item = &MediumPlan> {
        self.medium.iter().chain(&self.media)
    }
}

/// A medium as far as it shapes the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MediumPlan {
    pub name: String,
    pub distribution: &'static str,
    /// Files and directories on it.
    pub entries: usize,
    /// Source of the owners, modes and times.
    pub metadata: String,
    /// Files and folders on it that were left out, because they are an old node's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl MediumPlan {
    fn of(medium: &Medium) -> Self {
        Self {
            name: medium.name.clone(),
            distribution: medium.distribution.name(),
            entries: medium.tree.len(),
            metadata: medium.metadata_source.clone(),
            left_out: medium.left_out.clone(),
        }
    }
}

/// One node's disk.
#[derive(Clone, Debug, Serialize)]
pub struct NodePlan {
    pub name: String,
    /// Id of its machine, as in an OVA: derived from the lab's and the node's name.
    pub uuid: Uuid,
    /// Name of its medium, if the nodes of the lab are built from several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    pub roles: Vec<String>,
    pub ip: std::net::Ipv4Addr,
    pub mac: String,
    /// The disk as Plan 9 names it, such as `sdC0`.
    pub device: &'static str,
    /// The artifacts that hold this disk.
    pub formats: Vec<Format>,
    /// Path of the kernel on the medium; none for the sample.
    pub kernel: Option<String>,
    pub layout: Layout,
    /// Files and directories in the root file system.
    pub entries: usize,
    /// File system of the root, and the partition that the kernel finds it by.
    pub fs: Fs,
    pub root: &'static str,
    /// Bytes of the root partition's data: those in use, and all.
    pub used: u64,
    pub capacity: u64,
    pub plan9_ini: String,
    /// config.txt and cmdline.txt of a Pi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pi: Option<PiFiles>,
    /// Configuration of the root under [`RootKind::config`](crate::root::RootKind::config);
    /// that of the default root is there, and empty, where it is not the
    /// node's.
    #[serde(flatten)]
    pub root_config: BTreeMap<&'static str, String>,
    /// Changes that the roles make to the medium's tree.
    pub files: Vec<FilePlan>,
}

/// One rendered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilePlan {
    pub path: String,
    /// `file`, `folder`, `removed`, `listener`, or `copy of` and a path.
    pub what: String,
    /// As stat(5) has it, in octal; none: as the original's.
    pub mode: Option<String>,
    pub uid: String,
    pub gid: String,
    /// Bytes of a rendered file.
    pub len: Option<u64>,
    /// SHA-256 of the bytes of a rendered file; none for one that contains a secret.
    pub sha256: Option<String>,
    /// Role or distribution that it comes from.
    pub from: String,
}

impl FilePlan {
    pub(super) fn of(f: &RenderedFile) -> Self {
        let bytes = match &f.what {
            What::Bytes(b) => Some(b),
            _ => None,
        };
        Self {
            path: f.path.clone(),
            what: match &f.what {
                What::Bytes(_) => "file".into(),
                What::Copy(from) => format!("copy of {from}"),
                What::Folder => "folder".into(),
                What::Remove => "removed".into(),
                What::Listener { .. } => "listener".into(),
            },
            mode: f.mode.map(|m| format!("{m:o}")),
            uid: f.uid.clone(),
            gid: f.gid.clone(),
            len: bytes.map(|b| b.len() as u64),
            sha256: bytes.filter(|_| !f.secret).map(|b| hex(&Sha256::digest(b))),
            from: f.from.clone(),
        }
    }
}

/// Value of [`NodePlan::root_config`].
pub(super) fn root_config(rendered: &Rendered) -> BTreeMap<&'static str, String> {
    let own = rendered.fs.kind().config.map(|key| (key, rendered.root_config.clone()));
    let default = Fs::DEFAULT.kind().config.map(|key| (key, String::new()));
    default.into_iter().chain(own).collect()
}
