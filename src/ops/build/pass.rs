//! One pass over assembled nodes: from their disks to artifacts and a manifest.

use super::inputs::{Inputs, Purpose, load};
use super::{BuildError, leftovers};
use crate::artifact::manifest::{self, MEDIA, MEDIUM, Manifest};
use crate::artifact::{
    self, ArtifactReport, BASE_NAME, Folder, Job, Layer, Machine, Memory, Recorded, Settings, Shared,
};
use crate::assemble::{Assembled, Assembler, CommonDisk};
use crate::digest::FieldHasher;
use crate::lab::{Format, Lab, Node, Secrets, Word as _};
use crate::media::Medium;
use crate::media::firmware::Firmware;
use crate::ops::{Reporter, Watched};
use crate::page;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Digits of a digest in the name of a base.
const DIGITS: usize = 12;

/// Nodes with their disks. Nothing is written yet.
pub struct Assembly<'a> {
    pub assembler: Assembler<'a>,
    /// Number of media that the lab's nodes are built from.
    media: usize,
    variants: Vec<(Node, Vec<Format>)>,
    nodes: Vec<Assembled>,
}

impl<'a> Assembly<'a> {
    /// Assembles nodes with the secrets that exist, or stand-ins.
    ///
    /// # Errors
    /// Fails when a node cannot be assembled, or there is none.
    pub fn new(
        inputs: &'a Inputs,
        media: &'a [Medium],
        firmware: Option<Firmware>,
        variants: Vec<(Node, Vec<Format>)>,
    ) -> Result<Self, BuildError> {
        let assembler = Assembler::new(&inputs.lab, media, &inputs.catalog, &inputs.secrets.value)?;
        let assembler = assembler.with_firmware(firmware);
        if variants.is_empty() {
            return Err(BuildError::NoneFits);
        }
        let nodes = assembler.nodes(&variants)?;
        Ok(Self { assembler, media: media.len(), variants, nodes })
    }

    /// The same nodes with other secrets.
    ///
    /// # Errors
    /// Fails when a node cannot be assembled.
    pub fn with_secrets(self, secrets: &'a Secrets) -> Result<Self, BuildError> {
        let assembler = self.assembler.with_secrets(secrets);
        let nodes = assembler.nodes(&self.variants)?;
        Ok(Self { assembler, media: self.media, variants: self.variants, nodes })
    }

    /// Whether a disk holds passwords or keys.
    pub fn has_secrets(&self) -> bool {
        self.nodes.iter().any(|node| node.secret)
    }

    /// The jobs of the nodes, after those of the bases that they are over; `digests` are those of
    /// the media, if they could be computed.
    fn jobs(&self, lab: &Lab, digests: Option<&[String]>) -> Vec<Job> {
        let key = self.assembler.key();
        let (mut bases, mut jobs) = (Bases::default(), Vec::new());
        for ((node, formats), assembled) in self.variants.iter().zip(&self.nodes) {
            let common = assembled.common.as_ref().filter(|_| !lab.layout.is_whole()).zip(digests);
            let (layered, whole): (Vec<Format>, Vec<Format>) =
                formats.iter().partition(|format| common.is_some() && format.spec().layers);
            for format in layered {
                let Some((common, digests)) = common else { continue };
                let made = job(lab, node, &[format], assembled, key);
                let layer = bases.layer(common, format, &digests[common.medium], &made);
                jobs.push(Job { layer, ..made });
            }
            if !whole.is_empty() || formats.is_empty() {
                jobs.push(job(lab, node, &whole, assembled, key));
            }
        }
        bases.jobs.into_iter().chain(jobs).collect()
    }
}

/// One pass over the nodes of an assembly, into a folder.
pub struct Pass<'a> {
    inputs: &'a Inputs,
    assembly: &'a Assembly<'a>,
    folder: &'a Folder,
    pub memory: Memory,
    pub jobs: Vec<Job>,
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
        let known = memory.media(&settings.bases).filter(|digests| digests.len() == assembly.media);
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

/// The files that nodes' images are over.
#[derive(Default)]
struct Bases {
    jobs: Vec<Job>,
    /// What each has, by its name.
    shared: BTreeMap<String, Shared>,
}

impl Bases {
    /// The layer of a node's job in a format over the base of what it has in common with others;
    /// `medium` is the medium's digest.
    fn layer(&mut self, common: &CommonDisk, format: Format, medium: &str, of: &Job) -> Layer {
        let mut hash = FieldHasher::new();
        let tools = serde_json::to_string(&(manifest::Tools::default(), format)).unwrap_or_default();
        for part in [medium, &common.depends, common.fs.word(), &tools] {
            hash.field(part);
        }
        let digest = hash.finish().to_string();
        let stem = format!("{BASE_NAME}{}-{}", common.fs.word(), &digest[..DIGITS]);
        let name = format!("{stem}.{}", format.spec().extension);
        let shared = self.shared.entry(name.clone()).or_insert_with(|| {
            let shared = Shared::of(&*common.disk);
            let node = Machine { name: stem, ..of.node.clone() };
            let outputs = vec![(format, name.clone())];
            self.jobs.push(Job { node, disk: common.disk.clone(), outputs, key: None, layer: shared.layer() });
            shared
        });
        shared.over(&name, &*of.disk)
    }
}

fn job(lab: &Lab, node: &Node, formats: &[Format], assembled: &Assembled, key: [u8; 32]) -> Job {
    let identity = Machine {
        lab: lab.name.clone(),
        name: node.name.clone(),
        annotation: format!("Plan 9 node {} of the lab {}: {}", node.name, lab.name, node.roles.join(", ")),
        arch: node.arch,
        cpus: node.cpus,
        memory: node.memory,
        mac: node.mac,
        nic: node.nic,
        controller: node.controller,
        firmware: node.firmware,
        network: lab.network.name.clone(),
    };
    let outputs = formats.iter().map(|f| (*f, format!("{}.{}", node.name, f.spec().extension))).collect();
    Job {
        node: identity,
        disk: assembled.disk.clone(),
        outputs,
        key: assembled.secret.then_some(key),
        layer: Layer::Whole,
    }
}

fn manifest(
    lab: &Lab,
    assembly: &Assembly<'_>,
    reports: &[ArtifactReport],
    digests: &[String],
    purpose: Purpose,
) -> serde_json::Result<Manifest> {
    let plan = assembly.assembler.plan(&assembly.nodes);
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
