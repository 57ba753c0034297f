//! What rendering a node gives.

use super::RenderError;
use super::role::Partition;
use crate::lab::Fs;
use crate::tree::{Addition, Content, DMDIR, Kind, Meta, Mode, Tree, What as Change};
use serde::Serialize;

/// Everything that a node's roles give it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Sorted by path, each path once.
    pub files: Vec<RenderedFile>,
    /// For 9fat.
    pub plan9_ini: String,
    /// What the root is.
    pub fs: Fs,
    /// The text in the fossil partition, its first line included; empty
    /// without a fossil.
    pub fossil_config: String,
    /// The configuration of a cwfs64x; empty without one.
    pub cwfs_config: String,
    /// For the start of the nvram partition; empty when no role needs it.
    /// Secret.
    pub nvram: Vec<u8>,
    pub boot: BootFiles,
    /// What a Pi's firmware reads; none for a PC.
    pub pi: Option<PiFiles>,
    /// The script that U-Boot runs; none where something else starts the node.
    pub boot_script: Option<String>,
    /// Partitions that the roles want behind those that every node has.
    pub partitions: Vec<Partition>,
}

/// The medium's files that start a node, as paths from its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootFiles {
    pub mbr: String,
    pub pbs: String,
    pub loader: String,
    /// For UEFI, where the node starts from that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efi: Option<String>,
    /// `None` when the distribution has no kernels.
    pub kernel: Option<String>,
}

/// The texts on the FAT partition of a Pi's card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PiFiles {
    pub config_txt: String,
    /// One line.
    pub cmdline_txt: String,
}

/// What happens at one path of the medium's tree.
#[derive(Clone, Debug)]
pub struct RenderedFile {
    /// From the root, without leading slash.
    pub path: String,
    pub what: What,
    /// Permissions with the append-only and exclusive bits; `None` for a copy:
    /// as the original's.
    pub mode: Option<u32>,
    pub uid: String,
    pub gid: String,
    /// Do nothing when the medium has something there.
    pub keep: bool,
    /// The bytes must not be shown.
    pub secret: bool,
    /// Who wants it, such as `role cpu: service`.
    pub from: String,
}

/// See [`RenderedFile`].
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    Bytes(Vec<u8>),
    /// The bytes of another of the medium's files.
    Copy(String),
    Folder,
    Remove,
}

impl std::fmt::Debug for What {
    /// Without the bytes, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(b) => write!(f, "Bytes({})", b.len()),
            Self::Copy(path) => write!(f, "Copy({path})"),
            Self::Folder => f.write_str("Folder"),
            Self::Remove => f.write_str("Remove"),
        }
    }
}

impl Rendered {
    /// The files as changes to a medium's tree; `epoch` is their time.
    ///
    /// # Errors
    /// When the medium lacks a file that should be copied.
    pub fn additions(&self, medium: &Tree, epoch: u32) -> Result<Vec<Addition>, RenderError> {
        let mut out = Vec::with_capacity(self.files.len());
        for f in &self.files {
            if f.keep && medium.find(f.path.as_bytes()).is_some() {
                continue;
            }
            let meta = |mode: u32| Meta::new(Mode(mode), &f.uid, &f.gid, epoch);
            let mode = f.mode.unwrap_or(0o664) & !DMDIR;
            let what = match &f.what {
                What::Bytes(bytes) => Change::File(meta(mode), Content::bytes(bytes.as_slice())),
                What::Folder => Change::Dir(meta(DMDIR | f.mode.unwrap_or(0o775))),
                What::Remove => Change::Remove,
                What::Copy(from) => {
                    let entry = medium.find(from.as_bytes()).map(|id| medium.entry(id));
                    let Some((entry, Kind::File(content))) = entry.map(|e| (e, &e.kind)) else {
                        return Err(RenderError::NoSource { path: from.clone(), from: f.from.clone() });
                    };
                    Change::File(meta(f.mode.unwrap_or(entry.meta.mode.0)), content.clone())
                }
            };
            out.push(Addition { path: f.path.clone().into_bytes(), what });
        }
        Ok(out)
    }
}

impl RenderedFile {
    pub(super) fn removal(path: String, from: String) -> Self {
        Self {
            path,
            what: What::Remove,
            mode: None,
            uid: "sys".into(),
            gid: "sys".into(),
            keep: false,
            secret: false,
            from,
        }
    }
}
