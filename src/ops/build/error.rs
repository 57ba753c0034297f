//! Errors of builds and rebuilds.

use crate::artifact;
use crate::assemble::AssembleError;
use crate::lab::Mistakes;
use crate::lab::secrets::SecretsError;
use crate::ops::{LabError, MediaError};
use crate::page::PageError;
use crate::render::RenderError;
use std::io;
use std::path::PathBuf;

/// Reason why a lab is not built or rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("No format to build")]
    NoFormat,
    #[error("None of these nodes is a Raspberry Pi, and none of the formats is for PCs")]
    NoneFits,
    /// The sample, which the user did not ask for, would replace real images.
    #[error(
        "The images of {} in {} are made from the medium {medium}, and this build would replace them by the embedded sample, which is not Plan 9",
        super::super::few(nodes), out.display()
    )]
    RealImages { nodes: Vec<String>, medium: String, out: PathBuf },
    #[error("{} lacks passwords of the lab: a rebuild needs the secrets of the build", path.display())]
    NoSecrets { path: PathBuf },
    #[error("Cannot listen for interrupts")]
    StopFlag { source: io::Error },
    #[error("Cannot read the medium")]
    Digests { source: io::Error },
    #[error("Cannot make a folder for the rebuild in {}", parent.display())]
    WorkFolder { parent: PathBuf, source: io::Error },
    #[error("Cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("Cannot remove {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    /// A record next to the artifacts cannot be written.
    #[error(transparent)]
    Record(#[from] io::Error),
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
}

impl From<RenderError> for BuildError {
    fn from(e: RenderError) -> Self {
        Self::Lab(e.into())
    }
}

impl From<Mistakes> for BuildError {
    fn from(e: Mistakes) -> Self {
        Self::Lab(e.into())
    }
}
