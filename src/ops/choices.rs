//! Choices of requests that shaped the images of an output folder, its medium,
//! formats and layout, so that the next build makes the same again.
//!
//! They count as long as `lab.toml` says what it said when they were made, and no
//! request says otherwise. They are in a file next to the artifacts and not in the
//! manifest, which names no path of this machine.

use super::{BuildError, LabError, LabRequest, Note, Reporter, lab};
use crate::artifact::Folder;
use crate::artifact::manifest::Manifest;
use crate::lab::{Format, Lab, Layout, Node, SAMPLE, Word as _, words};
use crate::render::Catalog;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Name of the file, in the output folder.
pub const FILE: &str = ".p9img.choices";
/// Bytes of the file that are read.
const LARGEST: u64 = 1 << 20;

/// Choices that an output folder remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Name of the lab that they were made for.
    lab: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media: Option<Choice<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Choice<Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layout: Option<Choice<String>>,
    /// Name of the medium that the images of each node are made from.
    #[serde(default)]
    nodes: BTreeMap<String, String>,
}

/// A value of a request, and the one of `lab.toml` that it replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Choice<T> {
    given: T,
    instead_of: T,
}

/// The lab with all that the request replaces, or has replaced when its images
/// were last built; and the choices to be remembered. Notes all that it takes
/// from another place than `lab.toml`.
///
/// # Errors
/// Every mistake in the lab, or the one in the request.
pub fn lab(request: &LabRequest, catalog: &Catalog, reporter: &dyn Reporter) -> Result<(Lab, Choices), LabError> {
    let own = lab::load(&request.file, catalog, reporter)?;
    let out = request.out.clone().unwrap_or_else(|| own.out.clone());
    let old = Choices::load(&out, &own.name);
    let mut used = LabRequest { out: Some(out), ..request.clone() };
    let media = chosen(
        request.medium.as_ref().map(|given| place(&own, given)),
        own.medium.clone(),
        old.media,
        |used, own| reporter.note(&Note::MediumAsBefore { used, own }),
        |given, was, own| reporter.note(&Note::MediumForgotten { given, was, own }),
    );
    let format = chosen(
        Some(request.formats.clone()).filter(|formats| !formats.is_empty()),
        own.formats.iter().map(|f| f.word().to_owned()).collect(),
        old.format,
        |used, own| reporter.note(&Note::FormatsAsBefore { used, own }),
        |given, _, own| reporter.note(&Note::FormatsForgotten { given, own }),
    );
    let layout = chosen(
        request.layout.clone(),
        own.layout.word().to_owned(),
        old.layout,
        |used, own| reporter.note(&Note::LayoutAsBefore { used, own }),
        |given, _, own| reporter.note(&Note::LayoutForgotten { given, own }),
    );
    // What the request gives is there already, as it was given.
    used.medium = used.medium.or_else(|| Some(media.as_ref()?.given.clone()));
    if let Some(format) = format.as_ref().filter(|_| used.formats.is_empty()) {
        used.formats.clone_from(&format.given);
    }
    used.layout = used.layout.or_else(|| Some(layout.as_ref()?.given.clone()));
    let (name, epoch) = (own.name.clone(), own.epoch);
    let lab = used.change(own)?;
    if let Some(from) = lab.epoch_from {
        reporter.note(&Note::EpochReplaced { from, epoch: lab.epoch, own: epoch });
    }
    Ok((lab, Choices { lab: name, media, format, layout, nodes: old.nodes }))
}

/// The choice that counts for a value that is the lab's `own`: the one that is given now, else an
/// old one, as long as it was made instead of the same. One that is forgotten, and one that is
/// taken again, are told.
fn chosen<T: Clone + PartialEq>(
    given: Option<T>,
    own: T,
    old: Option<Choice<T>>,
    as_before: impl FnOnce(T, T),
    forgotten: impl FnOnce(T, T, T),
) -> Option<Choice<T>> {
    match (given, old) {
        (Some(given), _) => (given != own).then(|| Choice { given, instead_of: own }),
        (None, Some(old)) if old.instead_of == own => {
            as_before(old.given.clone(), own);
            Some(old)
        }
        (None, Some(Choice { given, instead_of })) => {
            forgotten(given, instead_of, own);
            None
        }
        (None, None) => None,
    }
}

/// Name or path of a medium that is valid in other working directories, too.
fn place(lab: &Lab, given: &str) -> String {
    let path = Path::new(given);
    let is_name = given == SAMPLE || lab.media.contains_key(given) || (!given.contains('/') && !path.exists());
    match std::path::absolute(path) {
        Ok(absolute) if !is_name => absolute.to_str().unwrap_or(given).to_owned(),
        _ => given.to_owned(),
    }
}

impl Choices {
    /// Choices of the lab called `lab` in the output folder; none when there is no
    /// file, it is another lab's, or it cannot be understood.
    fn load(out: &Path, lab: &str) -> Self {
        let path = out.join(FILE);
        let short = path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() <= LARGEST);
        let text = short.then(|| std::fs::read(&path).ok()).flatten();
        let found: Option<Self> = text.and_then(|text| serde_json::from_slice(&text).ok());
        found.filter(|found| found.lab == lab).unwrap_or_default()
    }

    /// The medium that replaces the lab's.
    pub fn medium(&self) -> Option<&str> {
        self.media.as_ref().map(|medium| medium.given.as_str())
    }

    /// Refuses to put the sample, which nobody chose, in the place of images that
    /// are made from a real medium.
    ///
    /// # Errors
    /// Fails when a build of `nodes` would do that.
    pub fn keep_real_images(
        &self,
        request: &LabRequest,
        lab: &Lab,
        nodes: &[&Node],
        there: Option<&Manifest>,
    ) -> Result<(), BuildError> {
        if request.medium.is_some() || self.media.is_some() {
            return Ok(());
        }
        let has_images = |node: &str| there.is_none_or(|m| m.artifacts.values().any(|a| a.node == node));
        let mut lost = Vec::new();
        for node in nodes.iter().filter(|n| lab.medium_of(n) == SAMPLE && has_images(&n.name)) {
            let medium = self.nodes.get(&node.name).cloned().or_else(|| medium_then(there?, &node.name));
            lost.extend(medium.filter(|m| m != SAMPLE).map(|medium| (node.name.as_str(), medium)));
        }
        let Some((_, medium)) = lost.first() else { return Ok(()) };
        Err(BuildError::RealImages {
            nodes: lost.iter().map(|(name, _)| (*name).to_owned()).collect(),
            medium: medium.clone(),
            out: lab.out.clone(),
        })
    }

    /// Remembers the choices of a build of `nodes`. Returns what was remembered
    /// before, for [`Choices::undo`].
    ///
    /// # Errors
    /// Fails when the file cannot be written or removed.
    pub fn save(&self, folder: &Folder, lab: &Lab, nodes: &[&Node]) -> Result<Option<Vec<u8>>, BuildError> {
        let old = std::fs::read(folder.path().join(FILE)).ok();
        let mut new = self.clone();
        new.nodes.retain(|name, _| lab.nodes.iter().any(|n| n.name == *name));
        for node in nodes {
            new.nodes.insert(node.name.clone(), lab.medium_of(node).to_owned());
        }
        let as_lab = new.media.is_none() && new.format.is_none() && new.layout.is_none();
        let plain = as_lab && new.nodes.values().all(|medium| medium == SAMPLE);
        let mut text = serde_json::to_vec_pretty(&new).map_err(io::Error::from)?;
        text.push(b'\n');
        match (&old, plain) {
            (None, true) => {}
            (Some(old), false) if *old == text => {}
            (_, true) => std::fs::remove_file(folder.path().join(FILE))?,
            (_, false) => folder.replace(FILE, &text)?,
        }
        Ok(old)
    }

    /// Restores the file as it was before a build that failed.
    pub fn undo(folder: &Folder, old: Option<Vec<u8>>) {
        // The error of the build is the one to report.
        let _ = match old {
            Some(old) => folder.replace(FILE, &old).map_err(io::Error::other),
            None => std::fs::remove_file(folder.path().join(FILE)),
        };
    }
}

/// Name of the medium that a node had when the manifest was written.
fn medium_then(manifest: &Manifest, node: &str) -> Option<String> {
    let lab = manifest.inputs.get("lab")?;
    let own = lab["nodes"].as_array()?.iter().find(|n| n["name"] == node)?["medium"].as_str();
    own.or_else(|| lab["medium"].as_str()).map(str::to_owned)
}

/// Layout of a manifest's lab.
pub fn layout_then(manifest: &Manifest) -> Layout {
    let word = manifest.inputs.get("lab").and_then(|lab| lab["layout"].as_str());
    word.and_then(|word| words::parse(word).ok()).unwrap_or_default()
}

/// Formats of a manifest's lab.
pub fn formats_then(manifest: &Manifest) -> Option<Vec<Format>> {
    serde_json::from_value(manifest.inputs.get("lab")?["formats"].clone()).ok()
}
