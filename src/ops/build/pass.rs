//! One pass over assembled nodes: from their disks to artifacts and a manifest.

use super::assembly::Assembly;
use super::inputs::{Inputs, Purpose, load};
use super::{BuildError, leftovers};
use crate::artifact::manifest::{MEDIA, MEDIUM, Manifest};
use crate::artifact::{self, ArtifactReport, Folder, Job, Memory, Recorded, Settings};
use crate::lab::Lab;
use crate::ops::{Reporter, Watched};
use crate::page;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One pass over the nodes of an assembly, into a folder.
pub struct Pass<'a> {
    inputs: &'a Inputs,
    assembly: &'a Assembly<'a>,
    folder: &'a Folder,
    pub memory: Memory,
    pub jobs: Vec<Job<'a>>,
    settings: Settings,
    /// Digests of the media, or the error of reading one.
    media: io::Result<Vec<String>>,
}

impl<'a> Pass<'a> {
    /// Prepares the pass. Nothing is replaced yet.
    ///
    /// # Errors
    /// Fails when a template has a mistake, or `stop` became true.
    pub fn new(
        inputs: &'a Inputs,
        assembly: &'a Assembly<'a>,
        folder: &'a Folder,
        memory: Memory,
        bases: BTreeMap<u64, [u8; 32]>,
        jobs: Option<NonZeroUsize>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, BuildError> {
        let (lab, catalog) = (&inputs.lab, &inputs.catalog);
        // A mistake in a template shows before anything is written.
        page::render(lab, catalog, &Manifest::new(&lab.name, lab.epoch))?;
        let mut settings = Settings {
            epoch: lab.epoch,
            ovf_template: catalog.template("templates/lab/node.ovf")?.1.to_owned(),
            recorded: recorded(lab, folder),
            bases,
            stop,
            ..Settings::default()
        };
        if let Some(jobs) = jobs {
            settings.jobs = jobs;
        }
        // All of the medium is read for these: before anything is replaced, so that an
        // interrupt leaves everything as it was.
        let known = memory.media(&settings.bases).filter(|digests| digests.len() == assembly.media());
        let media = known.map_or_else(|| assembly.assembler.digests(settings.jobs), Ok);
        if settings.stop.load(Ordering::Relaxed) {
            return Err(artifact::Error::Interrupted.into());
        }
        let media = match media {
            // Their names are made of the digests.
            Err(source) if !lab.layout.is_whole() => return Err(BuildError::Digests { source }),
            media => media,
        };
        let jobs = assembly.jobs(lab, media.as_deref().ok());
        Ok(Self { inputs, assembly, folder, memory, jobs, settings, media })
    }

    /// Writes the artifacts.
    ///
    /// # Errors
    /// Fails when an artifact cannot be written, or the user interrupts. Then all
    /// are as they were.
    pub fn write(&mut self, reporter: &dyn Reporter) -> Result<Vec<ArtifactReport>, artifact::Error> {
        let watched = Watched::new(reporter, self.settings.stop.clone());
        artifact::build_from(self.folder, &self.jobs, &self.settings, &mut self.memory, &watched)
    }

    /// Manifest of the artifacts that were written, and of those of other nodes
    /// that the manifest in the lab's output folder lists.
    ///
    /// # Errors
    /// Fails when a medium cannot be read.
    pub fn manifest(&mut self, reports: &[ArtifactReport], purpose: Purpose) -> Result<Manifest, BuildError> {
        let none = Ok(Vec::new());
        // The error of a file that is in no image appears only here.
        let digests = std::mem::replace(&mut self.media, none).map_err(|source| BuildError::Digests { source })?;
        self.memory.remember_media(&self.settings.bases, &digests);
        Ok(manifest(&self.inputs.lab, self.assembly, reports, &digests, purpose).map_err(io::Error::from)?)
    }
}

/// The manifest's records of this lab's artifacts in the folder. If it cannot be
/// read, there are none: then every artifact is written.
fn recorded(lab: &Lab, folder: &Folder) -> BTreeMap<String, Recorded> {
    let manifest = load(lab, folder.path());
    let artifacts = manifest.into_iter().flat_map(|m| m.artifacts.into_iter().chain(m.bases));
    artifacts.map(|(name, a)| (name, Recorded { len: a.len, sha256: a.sha256, mark: a.mark, image: a.image })).collect()
}

fn manifest(
    lab: &Lab,
    assembly: &Assembly<'_>,
    reports: &[ArtifactReport],
    digests: &[String],
    purpose: Purpose,
) -> serde_json::Result<Manifest> {
    let plan = assembly.plan();
    let mut manifest = Manifest::new(&lab.name, lab.epoch);
    manifest.epoch_from = lab.epoch_from.map(str::to_owned);
    if let Some(old) = load(lab, &lab.out) {
        manifest.nodes = old.nodes;
        let there = |name: &String| leftovers::is_plain(name) && lab.out.join(name).exists();
        manifest.artifacts = old.artifacts.into_iter().filter(|(name, _)| there(name)).collect();
        manifest.bases = old.bases.into_iter().filter(|(name, _)| there(name)).collect();
        let known = |node: &str| lab.nodes.iter().any(|n| n.name == node);
        let built = |node: &str| plan.nodes.iter().any(|n| n.name == node);
        // An artifact that is not made again, though its node is built or gone, is
        // a leftover. A rebuild only looks.
        for artifact in manifest.artifacts.values_mut().filter(|_| purpose == Purpose::Build) {
            artifact.stale |= !known(&artifact.node) || built(&artifact.node);
        }
    }
    let mut media = BTreeMap::new();
    for (medium, digest) in plan.media().zip(digests) {
        let mut value = serde_json::to_value(medium)?;
        value["sha256"] = json!(digest);
        media.insert(medium.name.clone(), value);
    }
    match plan.medium {
        Some(_) => manifest.inputs.extend(media.into_values().map(|medium| (MEDIUM.to_owned(), medium))),
        None => drop(manifest.inputs.insert(MEDIA.into(), json!(media))),
    }
    manifest.inputs.insert("lab".into(), serde_json::to_value(lab)?);
    manifest.nodes.retain(|name, _| lab.nodes.iter().any(|n| Some(n.name.as_str()) == name.split('@').next()));
    let built = |name: &String| plan.nodes.iter().any(|n| n.name == *name.split('@').next().unwrap_or(name));
    manifest.nodes.retain(|name, _| !built(name));
    for node in &plan.nodes {
        // A node with several controllers has several plans: the first has its name alone.
        let taken = manifest.nodes.contains_key(&node.name);
        let name = if taken { format!("{}@{}", node.name, node.device) } else { node.name.clone() };
        manifest.nodes.insert(name, serde_json::to_value(node)?);
    }
    manifest.add(reports);
    let used: BTreeSet<_> = manifest.artifacts.values().filter(|a| !a.stale).filter_map(|a| a.base.clone()).collect();
    for (name, base) in &mut manifest.bases {
        base.stale = !used.contains(name);
    }
    Ok(manifest)
}
