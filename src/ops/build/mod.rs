//! Builds of a lab's nodes: [`build`] into the output folder, [`rebuild`] into
//! another one, to compare. Both read the inputs, assemble the nodes, and write
//! their artifacts in one pass.

mod assembly;
mod error;
mod inputs;
mod keys;
mod leftovers;
mod pass;
mod rebuild;
mod up_to_date;

pub use error::BuildError;
pub use rebuild::{Compared, rebuild};

use crate::artifact::{ArtifactReport, Folder, Memory, Wait, imager, memory};
use crate::lab::Secrets;
use crate::ops::choices::Choices;
use crate::ops::media::Record;
use crate::ops::{LabRequest, Note, Reporter, stale};
use crate::page;
use assembly::Assembly;
use inputs::{Inputs, Purpose};
use pass::Pass;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use up_to_date::AllInputs;
pub(in crate::ops) use up_to_date::{InputStamps, memory_key};

/// Request of a build or a rebuild.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    pub lab: LabRequest,
    /// Names of the nodes to build; all of the lab if it is empty.
    pub nodes: Vec<String>,
    /// Whether to remove images of earlier builds that this lab makes no more.
    pub prune: bool,
    /// Threads that compute and compress; as many as there are cores if it is
    /// none. Does not change a byte.
    pub jobs: Option<NonZeroUsize>,
}

impl BuildRequest {
    /// All nodes of the lab in `file`, as the lab has them.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { lab: LabRequest::new(file), nodes: Vec::new(), prune: false, jobs: None }
    }
}

/// Outcome of a build.
#[derive(Debug)]
pub struct BuildOutcome {
    pub artifacts: Vec<ArtifactReport>,
    /// Whether nodes of the lab are built from the embedded sample medium.
    pub from_sample: bool,
    /// Facts about the output folder and its images after the build.
    pub notes: Vec<Note>,
}

/// An output folder, locked, and its memory, if that was read.
type Locked = (Folder, Option<Memory>);

/// Builds nodes of a lab: writes those of their artifacts that are not there yet
/// into the output folder, with sums, manifest and the page.
///
/// # Errors
/// Fails when an input has a mistake, or a file cannot be read or written. Then
/// every artifact is as it was.
pub fn build(request: &BuildRequest, reporter: &dyn Reporter) -> Result<BuildOutcome, BuildError> {
    let inputs = Inputs::read(request, Purpose::Build, reporter)?;
    let stamps = InputStamps::of(&inputs.lab);
    let of = |secrets: &Secrets| stamps.as_ref().map(|stamps| inputs.all(stamps, secrets));
    let all = if inputs.secrets.complete { of(&inputs.secrets.value) } else { None };
    let locked = match up_to_date(request, &inputs, all.as_ref())? {
        ControlFlow::Break(outcome) => return Ok(outcome),
        ControlFlow::Continue(locked) => locked,
    };

    let (media, firmware) = inputs.media(Record::Yes, reporter)?;
    let variants = inputs.nodes().into_iter().flat_map(|n| inputs.lab.variants(n)).collect();
    let trial = Assembly::new(&inputs, &media, firmware, variants)?;
    // Until here, and while another build is waited for, an interrupt may end the
    // program: files that were fetched stay in the cache, and nothing is
    // half-written.
    let (folder, memory) = match locked {
        Some(locked) => locked,
        None => (Folder::lock(&inputs.lab.out, Wait::Yes)?, None),
    };
    let stop = reporter.stop_flag().map_err(|source| BuildError::StopFlag { source })?;
    // Secrets are made when nothing else is wrong: a build that fails leaves no
    // passwords in the folder.
    let made = if inputs.secrets.complete { None } else { Some(inputs.make_secrets(reporter)?) };
    let (assembly, all) = match &made {
        Some(made) => (trial.with_secrets(made)?, of(made)),
        None => (trial, all),
    };
    let memory = memory.or_else(|| Some(all.as_ref()?.memory(&inputs.lab))).unwrap_or_else(Memory::none);
    publish(request, &inputs, &assembly, all.as_ref(), (&folder, memory), stop, reporter)
}

/// The outcome of the last build, if nothing is to be done. Otherwise the folder,
/// if it had to be locked to find out.
fn up_to_date(
    request: &BuildRequest,
    inputs: &Inputs,
    all: Option<&AllInputs<'_>>,
) -> Result<ControlFlow<BuildOutcome, Option<Locked>>, BuildError> {
    let lab = &inputs.lab;
    let Some(all) = all.filter(|_| lab.out.join(memory::FILE).exists()) else { return Ok(ControlFlow::Continue(None)) };
    let folder = Folder::lock(&lab.out, Wait::Yes)?;
    let memory = all.memory(lab);
    let Some(artifacts) = all.nothing_to_do(lab, &memory).filter(|_| !request.prune) else {
        return Ok(ControlFlow::Continue(Some((folder, Some(memory)))));
    };
    inputs.choices.save(&folder, lab, &inputs.nodes())?;
    let notes = inputs.previous.iter().filter_map(|there| leftovers::note(&lab.out, there)).collect();
    Ok(ControlFlow::Break(BuildOutcome { artifacts, from_sample: inputs.use_sample(), notes }))
}

/// Writes the artifacts, and the files that describe them.
fn publish(
    request: &BuildRequest,
    inputs: &Inputs,
    assembly: &Assembly<'_>,
    all: Option<&AllInputs<'_>>,
    (folder, memory): (&Folder, Memory),
    stop: Arc<AtomicBool>,
    reporter: &dyn Reporter,
) -> Result<BuildOutcome, BuildError> {
    let (lab, catalog) = (&inputs.lab, &inputs.catalog);
    let bases = all.map(|all| all.bases(&assembly.assembler)).unwrap_or_default();
    let mut pass = Pass::new(inputs, assembly, folder, memory, bases, request.jobs, stop)?;
    let open = keys::OpenImages::before(folder, &pass.jobs);
    let old = inputs.choices.save(folder, lab, &inputs.nodes())?;
    let artifacts = pass.write(reporter).inspect_err(|_| Choices::undo(folder, old))?;
    let mut manifest = pass.manifest(&artifacts, Purpose::Build)?;
    if request.prune {
        leftovers::prune(folder, &mut manifest, &mut pass.memory, reporter)?;
    }
    manifest.save(folder)?;
    page::save(folder, lab, catalog, &manifest)?;
    let boards = lab.nodes.iter().map(|n| (n.name.as_str(), n.board));
    imager::save(folder, &manifest, &boards.collect(), lab.url.as_deref())?;
    if let Some(all) = all {
        all.remember(folder, &mut pass.memory, &artifacts)?;
    }

    let mut notes = open.after(folder, &artifacts);
    notes.extend(leftovers::note(&lab.out, &manifest));
    if let Ok(Some(secrets)) = Secrets::load(&lab.dir, &lab.hostowner) {
        // The images that this build has written are not stale.
        let built = inputs.nodes();
        let others = manifest.artifacts.iter().filter(|(_, a)| !built.iter().any(|n| n.name == a.node));
        let images: Vec<_> = others.map(|(file, a)| (a.node.as_str(), lab.out.join(file))).collect();
        let images = images.iter().map(|(node, image)| (*node, image.as_path()));
        notes.extend(stale::notes(images, &secrets, &lab.hostowner));
    }
    Ok(BuildOutcome { artifacts, from_sample: inputs.use_sample(), notes })
}
