//! The build: many disks in, many artifacts out, in one pass.

use super::card::CardSink;
use super::folder::Folder;
use super::keep::{self, Content, Found, Kept, Recorded};
use super::known::Known;
use super::manifest::Image;
use super::memory::{Memory, Stream};
use super::ova::OvaSink;
use super::pack::{DEFLATE_LEVEL, Method, Packed};
use super::pipeline::{self, Form, Piece, Source};
use super::qcow2::format::Compression;
use super::qcow2::write::Qcow2Sink;
use super::raw::RawSink;
use super::share::{Place, Share};
use super::sink::{Cluster, Output, Sink};
use super::{CLUSTER, Error, ovf, sums};
use crate::hex::hex;
use crate::lab::{Arch, Controller, Format, Mac, Nic, PcFirmware};
use crate::read_at::{ReadAt, SECTOR};
use crate::stamp::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// What an artifact says of its machine.
#[derive(Clone, Debug, Serialize)]
pub struct NodeIdentity {
    /// Name of the lab, part of the machine's UUID.
    pub lab: String,
    pub name: String,
    /// A sentence for people, such as the node's roles.
    pub annotation: String,
    pub arch: Arch,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    pub mac: Mac,
    pub nic: Nic,
    pub controller: Controller,
    #[serde(skip_serializing_if = "PcFirmware::is_bios")]
    pub firmware: PcFirmware,
    /// Name of the lab's network.
    pub network: String,
}

#[cfg(test)]
impl NodeIdentity {
    /// A node for tests.
    pub fn sample(name: &str) -> Self {
        Self {
            lab: "lab".into(),
            name: name.into(),
            annotation: String::new(),
            arch: Arch::I386,
            cpus: 1,
            memory: 512 << 20,
            mac: Mac([0x52, 0x54, 0, 9, 0, 1]),
            nic: Nic::E1000,
            controller: Controller::Ide,
            firmware: PcFirmware::Bios,
            network: "net".into(),
        }
    }
}

/// One node's disk and the artifacts to make of it.
#[derive(Clone)]
pub struct Job {
    pub node: NodeIdentity,
    pub disk: Arc<dyn ReadAt>,
    /// Formats with the artifact's file name in the output folder.
    pub outputs: Vec<(Format, String)>,
    /// For the marks of a disk that holds secrets: something that only their
    /// owner knows.
    pub key: Option<[u8; 32]>,
}

/// What all artifacts of a build have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that compute and compress. Does not change a byte.
    pub jobs: NonZeroUsize,
    /// zlib level, 1 to 9.
    pub level: u32,
    /// Time of the members of an OVA, seconds since 1970.
    pub epoch: u32,
    /// Handlebars template of the OVF descriptor.
    pub ovf_template: String,
    /// False: write, digest, and throw away. For comparing with what is there.
    pub commit: bool,
    /// What is in the folder by file name, as the manifest has it: of these,
    /// only what has changed is written. Empty: everything is written.
    pub recorded: BTreeMap<String, Recorded>,
    /// What bases of the disks are remembered by, by their numbers
    /// ([`crate::read_at::Origin`]): equal for equal bytes.
    pub bases: BTreeMap<u64, [u8; 32]>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            level: DEFLATE_LEVEL,
            epoch: 0,
            ovf_template: ovf::TEMPLATE.to_owned(),
            commit: true,
            recorded: BTreeMap::new(),
            bases: BTreeMap::new(),
        }
    }
}

/// Who watches a build. Called from the building thread only.
pub trait Monitor: Sync {
    /// `done` of `total` bytes of disks are written; the node is being written.
    fn progress(&self, _node: &str, _done: u64, _total: u64) {}
    /// Whether to stop. Asked often.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A monitor that says nothing.
pub struct Quiet;
impl Monitor for Quiet {}

/// A finished artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReport {
    pub node: String,
    pub format: Format,
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Equal for equal bytes, and made before they are: what the next build
    /// compares. Lower-case hexadecimal.
    pub mark: String,
    /// The file was there already, whole and unchanged, and was not written.
    pub kept: bool,
    /// Clusters of 64 KiB that hold data.
    pub clusters: u64,
    /// Of these, the ones that an earlier node of this build holds too, so that
    /// they were copied and not compressed again; 0 for raw images and for what
    /// was kept.
    pub shared_clusters: u64,
    /// Bytes that the clusters take in the file; 0 for what was kept.
    pub stored_bytes: u64,
    /// Something that whoever uses the artifact should know.
    pub note: Option<String>,
    /// The disk image in a compressed file.
    #[serde(default)]
    pub image: Option<Image>,
}

/// A format being written for a node.
struct Out {
    name: String,
    method: Option<Method>,
    sink: Box<dyn Sink>,
    clusters: u64,
    shared: u64,
}

struct Sealed {
    job: usize,
    position: usize,
    out: Out,
    content: [u8; 32],
    len: u64,
    sha256: [u8; 32],
    stamp: Option<Stamp>,
}

const fn method(format: Format) -> Option<Method> {
    match format {
        Format::Raw | Format::Sd | Format::SdXz | Format::SdZst => None,
        Format::Qcow2 | Format::Ova => Some(Method::Deflate),
        Format::Qcow2Zstd => Some(Method::Zstd),
    }
}

/// Builds every output of every job in `folder`, then gives all of them their
/// names at once and brings `SHA256SUMS` up to date. Reports come in the order
/// of the jobs and their outputs.
///
/// # Errors
/// The first error; then no artifact was replaced and nothing half-written is
/// left behind.
pub fn build(
    folder: &Folder,
    jobs: &[Job],
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Vec<ArtifactReport>, Error> {
    build_counted(folder, jobs, settings, &mut Memory::none(), monitor).map(|(reports, _)| reports)
}

/// As [`build()`], with what an earlier build left in `memory`: neither reads nor
/// compresses again what is known. Afterwards `memory` is ready to be saved.
///
/// # Errors
/// As [`build()`].
pub fn build_from(
    folder: &Folder,
    jobs: &[Job],
    settings: &Settings,
    memory: &mut Memory,
    monitor: &dyn Monitor,
) -> Result<Vec<ArtifactReport>, Error> {
    build_counted(folder, jobs, settings, memory, monitor).map(|(reports, _)| reports)
}

/// As [`build`]; also returns how many times a cluster was compressed.
pub(super) fn build_counted(
    folder: &Folder,
    jobs: &[Job],
    settings: &Settings,
    memory: &mut Memory,
    monitor: &dyn Monitor,
) -> Result<(Vec<ArtifactReport>, u64), Error> {
    check_names(jobs)?;
    for job in jobs {
        let len = job.disk.len();
        if !len.is_multiple_of(SECTOR) {
            return Err(Error::Length { node: job.node.name.clone(), len });
        }
    }
    let known = Known::new(memory, folder.path(), settings.level, &settings.bases);
    let found = keep::find(folder, jobs, settings, &known, memory, monitor)?;
    let rest: Vec<Rest> = jobs.iter().zip(&found).map(|(job, found)| Rest::of(job, found)).collect();
    let mut sources = Vec::new();
    for Rest { job, .. } in &rest {
        let mut methods: Vec<Method> = Vec::new();
        for method in job.outputs.iter().filter_map(|(format, _)| method(*format)) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        let plain = job.outputs.iter().any(|(format, _)| method(*format).is_none());
        sources.push(Source { plain, ..Source::new(&job.node.name, job.disk.clone(), methods)? });
    }
    // A disk of which all is kept is not read again.
    for (source, _) in sources.iter_mut().zip(&rest).filter(|(_, rest)| rest.job.outputs.is_empty()) {
        source.extents.clear();
    }
    let share = Share::new();
    let (sealed, compressed) = write_all(folder, &rest, &sources, &share, &known, settings, monitor)?;
    if monitor.cancelled() {
        return Err(Error::Interrupted);
    }
    let streams = streams(share, &sealed);
    let mut reports = Vec::new();
    let mut outputs = Vec::new();
    let mut sealed = sealed.into_iter();
    for (job, found) in jobs.iter().zip(&found) {
        for ((format, name), kept) in job.outputs.iter().zip(&found.kept) {
            let report = report(folder, job, *format, name);
            if let Some(Kept { recorded, clusters }) = kept {
                let Recorded { len, sha256, mark, image } = recorded.clone();
                outputs.push((name.clone(), sha256.clone(), None));
                reports.push(ArtifactReport { len, sha256, mark, image, kept: true, clusters: *clusters, ..report });
            } else if let Some(Sealed { out, content, len, sha256, stamp, .. }) = sealed.next() {
                let sha256 = hex(&sha256);
                memory.written.extend(stamp.map(|stamp| (name.clone(), sha256.clone(), stamp)));
                reports.push(ArtifactReport {
                    len,
                    sha256: sha256.clone(),
                    mark: keep::mark(job, *format, settings, &content),
                    clusters: out.clusters,
                    shared_clusters: out.shared,
                    stored_bytes: out.sink.data_bytes(),
                    image: out.sink.image(),
                    ..report
                });
                outputs.push((out.name, sha256, Some(out.sink.into_output())));
            }
        }
    }
    if settings.commit {
        let written = |name: &str| outputs.iter().any(|(n, _, output)| n == name && output.is_some());
        known.remember(memory, &settings.bases, streams, &written);
        commit(folder, outputs)?;
    }
    Ok((reports, compressed))
}

/// Where the streams of this build are.
fn streams(share: Share, sealed: &[Sealed]) -> Vec<(Method, [u8; 32], Stream)> {
    let files: Vec<_> = sealed.iter().map(|s| (s.out.sink.file().shared(), &s.out.name)).collect();
    share.streams(&|file| files.iter().find(|(f, _)| Arc::ptr_eq(f, file)).map(|(_, name)| (*name).clone()))
}

/// A job with the outputs that are not kept.
struct Rest {
    job: Job,
    /// Digest of the disk's content where it is known.
    content: Option<[u8; 32]>,
}

impl Rest {
    fn of(job: &Job, found: &Found) -> Self {
        let outputs = job.outputs.iter().zip(&found.kept).filter(|(_, kept)| kept.is_none());
        let outputs = outputs.map(|(output, _)| output.clone()).collect();
        Self { job: Job { outputs, ..job.clone() }, content: found.content }
    }
}

/// What is known of an artifact before it is made.
fn report(folder: &Folder, job: &Job, format: Format, name: &str) -> ArtifactReport {
    let fallback = format == Format::Ova && job.node.controller == Controller::Virtio;
    ArtifactReport {
        node: job.node.name.clone(),
        format,
        path: folder.path().join(name),
        len: 0,
        sha256: String::new(),
        mark: String::new(),
        kept: false,
        clusters: 0,
        shared_clusters: 0,
        stored_bytes: 0,
        note: fallback.then(|| {
            "OVF has no virtio block disk that Plan 9 drives: the machine in this OVA has its disk on IDE".to_owned()
        }),
        image: None,
    }
}

/// Gives artifacts their names. A sum is gone before its file changes and back
/// when the new file is there, so `SHA256SUMS` is never wrong, only short. What
/// was kept has no output.
fn commit(folder: &Folder, outputs: Vec<(String, String, Option<Output>)>) -> Result<(), Error> {
    let names: BTreeSet<&str> = outputs.iter().filter(|(.., o)| o.is_some()).map(|(name, ..)| name.as_str()).collect();
    sums::forget(folder, &names)?;
    let mut new = Vec::new();
    for (name, sha256, output) in outputs {
        if let Some(output) = output {
            output.commit()?;
        }
        new.push((name, sha256));
    }
    sums::add(folder, new)
}

fn check_names(jobs: &[Job]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for (_, name) in jobs.iter().flat_map(|job| &job.outputs) {
        let good = (1..=90).contains(&name.len())
            && !name.starts_with('.')
            && !name.chars().any(|c| c == '/' || c.is_control())
            && name != sums::FILE;
        if !good {
            return Err(Error::Name { name: name.clone() });
        }
        if !seen.insert(name) {
            return Err(Error::Twice { name: name.clone() });
        }
    }
    Ok(())
}

fn open_outputs(folder: &Folder, rest: &Rest, settings: &Settings) -> Result<Vec<Out>, Error> {
    let Rest { job, content } = rest;
    let size = job.disk.len();
    let mut outs = Vec::new();
    for (format, name) in &job.outputs {
        let output = Output::new(folder.create(name)?)?;
        let sink: Box<dyn Sink> = match format {
            Format::Raw => Box::new(RawSink::new(output, size)?),
            Format::Qcow2 => Box::new(Qcow2Sink::new(output, size, Compression::Zlib)?),
            Format::Qcow2Zstd => Box::new(Qcow2Sink::new(output, size, Compression::Zstd)?),
            Format::Sd => Box::new(CardSink::zip(output, size, &job.node.name, settings.epoch)?),
            Format::SdXz => Box::new(CardSink::xz(output, size)?),
            Format::SdZst => Box::new(CardSink::zstd(output, size)?),
            Format::Ova => {
                Box::new(OvaSink::new(output, size, &job.node, &settings.ovf_template, settings.epoch, *content)?)
            }
        };
        outs.push(Out { name: name.clone(), method: method(*format), sink, clusters: 0, shared: 0 });
    }
    Ok(outs)
}

/// The node being written.
struct Current {
    job: usize,
    outs: Vec<Out>,
    content: Content,
}

impl Current {
    fn open(folder: &Folder, jobs: &[Rest], job: usize, settings: &Settings) -> Result<Option<Self>, Error> {
        let Some(next) = jobs.get(job) else { return Ok(None) };
        Ok(Some(Self { job, outs: open_outputs(folder, next, settings)?, content: Content::default() }))
    }

    fn write(
        &mut self,
        share: &Share,
        source: &Source,
        mut piece: Piece,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        self.content.add(piece.index, &piece.digest);
        for (method, form) in &std::mem::take(&mut piece.forms) {
            let taken = share.take(*method, piece.digest, self.job, stopped);
            let (packed, shared) = match (taken, form) {
                (Ok(Some(taken)), _) => (taken.packed, taken.shared),
                (_, Form::Made(packed)) => (packed.clone(), false),
                (Ok(None), Form::Shared) => return Err(Error::Interrupted),
                (Err(e), Form::Shared) => return Err(self.outs[0].sink.file().error(e)),
            };
            if matches!(*packed, Packed::Incompressible) && piece.bytes.is_none() {
                piece.bytes = Some(source.read(piece.index)?);
            }
            let bytes = piece.bytes.as_deref().unwrap_or_default();
            for out in self.outs.iter_mut().filter(|out| out.method == Some(*method)) {
                let cluster = Cluster { index: piece.index, bytes, packed: &packed };
                let place = out.sink.cluster(&cluster)?;
                out.clusters += 1;
                out.shared += u64::from(shared);
                if let Some(offset) = place {
                    share.stored(*method, piece.digest, Place { file: out.sink.file().shared(), offset });
                }
            }
        }
        for out in self.outs.iter_mut().filter(|out| out.method.is_none()) {
            let bytes = piece.bytes.as_deref().unwrap_or_default();
            out.sink.cluster(&Cluster { index: piece.index, bytes, packed: &Packed::Incompressible })?;
            out.clusters += 1;
        }
        Ok(())
    }

    /// Ends the node's files and sends them to be sealed.
    fn finish(self, sealers: &mpsc::Sender<ToSeal>) -> Result<(), Error> {
        let content = self.content.finish();
        for (position, mut out) in self.outs.into_iter().enumerate() {
            out.sink.finish(content)?;
            // Without a receiver a sealer has failed, and its error is waiting.
            let _ = sealers.send((self.job, position, out, content));
        }
        Ok(())
    }
}

/// Job, position among its outputs, the output, digest of the disk's content.
type ToSeal = (usize, usize, Out, [u8; 32]);

/// Writes and seals all outputs; returns them in the order of the jobs.
fn write_all(
    folder: &Folder,
    jobs: &[Rest],
    sources: &[Source],
    share: &Share,
    known: &Known,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<(Vec<Sealed>, u64), Error> {
    let total: u64 = sources.iter().map(Source::clusters).sum::<u64>() * CLUSTER as u64;
    let sealed: Mutex<Vec<Result<Sealed, Error>>> = Mutex::default();
    let compressed = std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<ToSeal>();
        let receiver = Arc::new(Mutex::new(receiver));
        let outputs: usize = jobs.iter().map(|rest| rest.job.outputs.len()).sum();
        for _ in 0..settings.jobs.get().min(outputs) {
            let receiver = receiver.clone();
            let sealed = &sealed;
            scope.spawn(move || {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, position, mut out, content)) = next else { return };
                    let seal = out.sink.seal();
                    let stamp = out.sink.file().stamp();
                    let result = seal.map(|(len, sha256)| Sealed { job, position, out, content, len, sha256, stamp });
                    sealed.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
        drop(receiver);

        let mut current = Current::open(folder, jobs, 0, settings)?;
        let mut done = 0;
        let compressed = pipeline::run(sources, share, known, settings.jobs, settings.level, |piece, stopped| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            done += CLUSTER as u64;
            let Some(piece) = piece else { return Ok(()) };
            let source = piece.source;
            while let Some(node) = current.take_if(|node| node.job < piece.source) {
                let next = node.job + 1;
                node.finish(&sender)?;
                current = Current::open(folder, jobs, next, settings)?;
            }
            if let Some(node) = current.as_mut() {
                node.write(share, &sources[source], piece, stopped)?;
            }
            monitor.progress(&jobs[source].job.node.name, done, total);
            Ok(())
        })?;
        while let Some(node) = current {
            let next = node.job + 1;
            node.finish(&sender)?;
            current = Current::open(folder, jobs, next, settings)?;
        }
        Ok::<_, Error>(compressed)
    })?;
    let sealed = sealed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut sealed = sealed.into_iter().collect::<Result<Vec<_>, _>>()?;
    sealed.sort_by_key(|s| (s.job, s.position));
    Ok((sealed, compressed))
}
