//! Disks of nodes that run without an artifact: computed whenever they are read.
//!
//! What such a node wrote is over a disk that is nowhere. So its folder has a description of it,
//! [`ComputedBase`], with a digest of all that decides its bytes: if any of that is another now,
//! the disk is refused.

use super::build::InputStamps;
use super::disks::{Sources, raw};
use super::lab::{MaybeStandIn, make_secrets};
use super::media::Record;
use super::{BuildError, LabRequest, Reporter, Silent, choices, lab};
use crate::assemble::Assembled;
use crate::digest::FieldHasher;
use crate::guest::computed::ComputedBase;
use crate::guest::grid::running::real;
use crate::lab::{Lab, Secrets};
use crate::read_at::ReadAt;
use crate::render::Catalog;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Inputs that disks are computed from, besides the lab and its roles.
pub struct Live {
    pub sources: Sources,
    secrets: Secrets,
    /// File of the lab.
    file: PathBuf,
    /// The medium that replaces the lab's.
    medium: Option<String>,
    /// Digest of the stamps of the files that are read, if a change would show in it.
    stamps: Option<String>,
    /// A disk of this lab that was computed before.
    before: Option<ComputedBase>,
}

impl Live {
    /// Reads the lab, and the other inputs of all of its nodes. Makes the lab's secrets if there are none. The medium is that of the request, else the one of the start
    /// before, else the one of the last build.
    ///
    /// # Errors
    /// Fails when an input has a mistake.
    pub fn open(
        request: &LabRequest,
        catalog: &Catalog,
        before: Option<ComputedBase>,
        reporter: &dyn Reporter,
    ) -> Result<(Lab, Self), BuildError> {
        let request = raw(request);
        let (lab, medium) = match &before {
            Some(before) if request.medium.is_none() => {
                let request = LabRequest { medium: before.medium.clone(), ..request.clone() };
                (request.lab(catalog, reporter)?, request.medium)
            }
            _ => {
                let (lab, choices) = choices::lab(&request, catalog, reporter)?;
                (lab, choices.medium().map(str::to_owned))
            }
        };
        let (secrets, note) = make_secrets(&lab)?;
        note.iter().for_each(|note| reporter.note(note));
        let live = Self::with(&lab, secrets, &[], Record::Yes, reporter)?;
        Ok((lab, Self { file: request.file, medium, before, ..live }))
    }

    fn with(
        lab: &Lab,
        secrets: Secrets,
        nodes: &[String],
        record: Record,
        reporter: &dyn Reporter,
    ) -> Result<Self, BuildError> {
        // Before they are read.
        let stamps = InputStamps::of(lab).map(|stamps| stamps.digest().to_string());
        let sources = Sources::open(lab, nodes, record, reporter)?;
        Ok(Self { sources, secrets, file: PathBuf::new(), medium: None, stamps, before: None })
    }

    /// Descriptions of the disks of the nodes with these names.
    ///
    /// # Errors
    /// Fails when a node cannot be assembled, or a medium not be read.
    pub fn bases(&self, lab: &Lab, catalog: &Catalog, nodes: &[String]) -> Result<Vec<ComputedBase>, BuildError> {
        let assembled = self.sources.assemble(lab, catalog, &self.secrets, nodes)?;
        let files = self.files(self.before.as_ref()).map_err(|source| BuildError::Digests { source })?;
        let base = |made: &Assembled| -> io::Result<ComputedBase> {
            let mut base = ComputedBase::new(&made.plan.name, &real(&self.file), &real(&lab.out));
            base.medium.clone_from(&self.medium);
            base.len = made.disk.len();
            base.digest = self.digest(lab, made, &files)?;
            (base.files, base.stamps) = (files.clone(), self.stamps.clone());
            Ok(base)
        };
        Ok(assembled.iter().map(base).collect::<io::Result<_>>()?)
    }

    /// Digest of the files that disks are computed from, which are read if `known` does not know it.
    fn files(&self, known: Option<&ComputedBase>) -> io::Result<String> {
        match known {
            Some(known) if self.stamps.is_some() && known.stamps == self.stamps => Ok(known.files.clone()),
            _ => Ok(self.sources.digest()?.to_string()),
        }
    }

    /// Digest of all that decides the bytes of a disk.
    fn digest(&self, lab: &Lab, made: &Assembled, files: &str) -> io::Result<String> {
        let mut hash = FieldHasher::keyed(self.secrets.derive("computed disks"));
        hash.field(files);
        hash.field(self.secrets.fingerprint());
        hash.field(lab.epoch.to_le_bytes());
        hash.field(serde_json::to_vec(&made.plan)?);
        Ok(hash.finish().to_string())
    }
}

/// Computes a disk again.
///
/// # Errors
/// Fails when an input has a mistake, or is another one than when the disk was described.
pub fn compute(base: &ComputedBase) -> io::Result<Arc<dyn ReadAt>> {
    let failed = |why: String| io::Error::other(format!("Cannot compute the disk of {}: {why}", base.node));
    let disk = again(base).map_err(|e| failed(e.to_string()))?;
    disk.ok_or_else(|| {
        failed("the lab, its roles, passwords, media or p9img have changed since the node last ran".to_owned())
    })
}

/// The disk; none if it is another one.
fn again(base: &ComputedBase) -> Result<Option<Arc<dyn ReadAt>>, BuildError> {
    let request =
        raw(&LabRequest { medium: base.medium.clone(), out: Some(base.out.clone()), ..LabRequest::new(&base.lab) });
    let catalog = lab::catalog(&request.file, &Silent)?;
    let lab = request.lab(&catalog, &Silent)?;
    let MaybeStandIn { value: secrets, .. } = lab::secrets(&lab, &Silent)?;
    let node = std::slice::from_ref(&base.node);
    let live = Live::with(&lab, secrets, node, Record::No, &Silent)?;
    let made = live.sources.assemble(&lab, &catalog, &live.secrets, node)?;
    let files = live.files(Some(base)).map_err(|source| BuildError::Digests { source })?;
    Ok(match made.into_iter().next() {
        Some(made) if live.digest(&lab, &made, &files)? == base.digest => Some(made.disk),
        _ => None,
    })
}
