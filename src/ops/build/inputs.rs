//! Inputs of a build: the lab and its roles, secrets and media, and the manifest
//! of the build before.

use super::up_to_date::{AllInputs, InputStamps};
use super::{BuildError, BuildRequest};
use crate::artifact::manifest::Manifest;
use crate::lab::{Lab, Node, SAMPLE, Secrets};
use crate::media::Medium;
use crate::media::firmware::Firmware;
use crate::ops::choices::{self, Choices};
use crate::ops::lab::{self, MaybeStandIn};
use crate::ops::media::{self, Record};
use crate::ops::{LabRequest, Note, Reporter};
use crate::render::Catalog;
use std::path::Path;

/// Purpose of a pass over the nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Build,
    /// To compare with the artifacts that are there, and to trust nothing of them.
    Rebuild,
}

/// Inputs of a build, except its media.
pub struct Inputs {
    pub catalog: Catalog,
    pub lab: Lab,
    pub choices: Choices,
    /// Names of the nodes to build; all if it is empty.
    names: Vec<String>,
    /// Manifest of the build before.
    pub previous: Option<Manifest>,
    pub secrets: MaybeStandIn,
}

impl Inputs {
    /// Reads them, and writes nothing.
    ///
    /// # Errors
    /// Fails when an input has a mistake, or images of a real medium would be lost.
    pub fn read(request: &BuildRequest, purpose: Purpose, reporter: &dyn Reporter) -> Result<Self, BuildError> {
        let catalog = lab::catalog(&request.lab.file, reporter)?;
        let (mut lab, choices) = choices::lab(&request.lab, &catalog, reporter)?;
        let previous = load(&lab, &lab.out);
        if purpose == Purpose::Rebuild {
            lab = as_built(lab, &request.lab, previous.as_ref(), reporter);
        }
        let nodes = lab::nodes(&lab, &request.nodes)?;
        if lab.formats.is_empty() {
            return Err(BuildError::NoFormat);
        }
        if purpose == Purpose::Build {
            choices.keep_real_images(&request.lab, &lab, &nodes, previous.as_ref())?;
            epoch_goes_back(&lab, previous.as_ref()).iter().for_each(|note| reporter.note(note));
        }
        let secrets = lab::secrets(&lab, reporter)?;
        Ok(Self { catalog, lab, choices, names: request.nodes.clone(), previous, secrets })
    }

    /// The nodes to build.
    pub fn nodes(&self) -> Vec<&Node> {
        let wanted = |node: &&Node| self.names.is_empty() || self.names.contains(&node.name);
        self.lab.nodes.iter().filter(wanted).collect()
    }

    /// Whether nodes of the lab are built from the embedded sample medium.
    pub fn use_sample(&self) -> bool {
        self.lab.media_in_use().contains(&SAMPLE)
    }

    /// Opens the media of the lab's nodes, and the firmware of its Pis, and fetches
    /// those that are not in the cache.
    ///
    /// # Errors
    /// Fails when a medium cannot be opened, or has another digest than the expected one.
    pub fn media(
        &self,
        record: Record,
        reporter: &dyn Reporter,
    ) -> Result<(Vec<Medium>, Option<Firmware>), BuildError> {
        let media = media::all(&self.lab, record, reporter)?;
        Ok((media, media::firmware(&self.lab, &self.nodes(), record, reporter)?))
    }

    /// All inputs with `secrets`, as the next build compares them.
    pub fn all<'a>(&self, stamps: &'a InputStamps, secrets: &Secrets) -> AllInputs<'a> {
        AllInputs::new(stamps, &self.lab, &self.names, &self.catalog, secrets)
    }

    /// Makes the secrets, or adds the missing ones, and notes that.
    ///
    /// # Errors
    /// Fails when the file cannot be read or written.
    pub fn make_secrets(&self, reporter: &dyn Reporter) -> Result<Secrets, BuildError> {
        let (secrets, note) = lab::make_secrets(&self.lab)?;
        note.iter().for_each(|note| reporter.note(note));
        Ok(secrets)
    }
}

/// Manifest of the lab in a folder; none if it cannot be read, or is another lab's.
pub fn load(lab: &Lab, folder: &Path) -> Option<Manifest> {
    Manifest::load(folder).ok().flatten().filter(|m| m.lab == lab.name)
}

/// Note on images that lose an epoch that a variable gave them.
fn epoch_goes_back(lab: &Lab, previous: Option<&Manifest>) -> Option<Note> {
    let previous = previous.filter(|m| lab.epoch_from.is_none() && m.epoch != lab.epoch)?;
    let from = previous.epoch_from.clone()?;
    Some(Note::EpochGoesBack { from, then: previous.epoch, own: lab.epoch })
}

/// The lab with the choices of the request that its artifacts were built with,
/// where this request makes none.
fn as_built(lab: Lab, request: &LabRequest, there: Option<&Manifest>, reporter: &dyn Reporter) -> Lab {
    let Some(there) = there else { return lab };
    let formats = choices::formats_then(there).filter(|formats| request.formats.is_empty() && !formats.is_empty());
    let lab = match formats {
        Some(formats) => lab.with_formats(&formats),
        None => lab,
    };
    let lab = if request.layout.is_none() { lab.with_layout(choices::layout_then(there)) } else { lab };
    match &there.epoch_from {
        Some(from) if lab.epoch_from.is_none() && lab.epoch != there.epoch => {
            reporter.note(&Note::EpochAsBuilt { from: from.clone(), epoch: there.epoch });
            lab.with_epoch(there.epoch)
        }
        _ => lab,
    }
}
