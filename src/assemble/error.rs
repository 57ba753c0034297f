//! Errors of assembling a disk.

use crate::count;
use crate::disk::DiskError;
use crate::disk::mbr::ENTRIES_AT;
use crate::fs::{fat, venti};
use crate::media::PatternError;
use crate::media::firmware::FirmwareError;
use crate::partition::LayoutError;
use crate::render::RenderError;
use std::io;

/// Reason why a node's disk cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Interrupted(io::Error),
    #[error("Node {node} needs the medium {medium}, which was not given or found")]
    NoMedium { node: String, medium: String },
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("Cannot render {node}")]
    Render { node: String, source: RenderError },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    #[error("The medium {medium} has no file {path}, which {node} needs to start: {instead}")]
    NoBootFile { medium: String, path: String, node: String, instead: String },
    #[error("The file {path} of the medium {medium} has {len}, but the MBR has room for {ENTRIES_AT}", len = count::of(len, "byte"))]
    MbrCode { medium: String, path: String, len: u64 },
    #[error("Cannot read {path} of the medium")]
    Read { path: String, source: io::Error },
    #[error("Cannot lay out the {what} of {node}")]
    Root { node: String, what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "[tree] leaves out files that {node} needs: {missing}; add them to `include`, or remove the pattern of \
         `exclude` that they match"
    )]
    Incomplete { node: String, missing: String },
    #[error(
        "The disk of {node} is too small for its tree: {fs} needs {needed}, but its partition has \
         {available}; enlarge disk by {} at least", count::of(needed - available, "byte"), needed = count::of(needed, "byte")
    )]
    TooSmall { node: String, fs: &'static str, needed: u64, available: u64 },
    #[error("Cannot lay out the 9fat partition of {node}")]
    Fat { node: String, source: fat::LayoutError },
    #[error("Cannot lay out the EFI system partition of {node}")]
    Esp { node: String, source: fat::LayoutError },
    #[error("Cannot lay out the FAT partition that {node} starts from")]
    Dos { node: String, source: fat::LayoutError },
    #[error("Cannot format the venti of {node}")]
    Venti { node: String, source: venti::LayoutError },
    #[error("Cannot compose the disk of {node}")]
    Disk { node: String, source: DiskError },
}
