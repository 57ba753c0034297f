//! The build: many disks in, many artifacts out, in one pass.
//!
//! Workers read and compress, one thread hands out in order (`pipeline`), and each
//! file has a thread that writes it (`writers`). Four places say that something is
//! there already: `unchanged` artifacts of an earlier build, clusters that an earlier
//! build computed (`reuse`, out of its `memory`), and clusters that this build
//! compressed (`dedup`).

mod dedup;
pub mod memory;
mod pipeline;
mod reuse;
mod unchanged;
mod writers;

use crate::artifact::build::dedup::{Share, Taken};
use crate::artifact::build::memory::{Memory, Stream};
use crate::artifact::build::pipeline::{Form, Piece, Source};
use crate::artifact::build::reuse::Known;
use crate::artifact::build::unchanged::{Content, Found, Kept};
use crate::artifact::build::writers::{Budget, Item, Out, Sealed, Writer, Writers};
use crate::artifact::cluster::CLUSTER;
use crate::artifact::codec::{Method, probe};
use crate::artifact::container;
use crate::artifact::error::Error;
use crate::artifact::job::{ArtifactReport, Job, Monitor, Recorded, Settings};
use crate::artifact::layer::Layer;
use crate::artifact::output::file::Output;
use crate::artifact::output::folder::Folder;
use crate::artifact::output::sums;
use crate::hex::hex;
use crate::lab::Format;
use crate::read_at::{ReadAt, SECTOR};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::Scope;

/// Builds every output of every job in `folder`, then gives all of them their
/// names at once and brings `SHA256SUMS` up to date. Reports come in the order
/// of the jobs and their outputs.
///
/// # Errors
/// The first error; then no artifact was replaced and nothing half-written
/// remains.
pub fn build(
    folder: &Folder,
    jobs: &[Job],
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Vec<ArtifactReport>, Error> {
    build_counted(folder, jobs, settings, &mut Memory::none(), monitor).map(|(reports, _)| reports)
}

/// As [`build()`], with what an earlier build left in `memory`: neither reads nor
/// compresses again what that records. Afterwards `memory` is ready to be
/// saved.
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
    let known = Known::new(memory, folder.path(), &settings.bases);
    // What a disk could not compute because the user interrupts is no error of the disk.
    let or_interrupted = |error: Error| if monitor.cancelled() { Error::Interrupted } else { error };
    let found = unchanged::find(folder, jobs, settings, &known, memory, monitor).map_err(or_interrupted)?;
    let rest: Vec<Rest> = jobs.iter().zip(&found).map(|(job, found)| Rest::of(job, found)).collect();
    let mut sources = Vec::new();
    for Rest { job, .. } in &rest {
        let mut methods: Vec<Method> = Vec::new();
        for method in job.outputs.iter().filter_map(|(format, _)| container::writer(*format).method) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        let plain = job.outputs.iter().any(|(format, _)| container::writer(*format).method.is_none());
        sources.push(Source { plain, ..Source::of(job, methods)? });
    }
    // A disk whose artifacts all stay is not read again.
    for (source, _) in sources.iter_mut().zip(&rest).filter(|(_, rest)| rest.job.outputs.is_empty()) {
        source.extents.clear();
    }
    if rest.iter().any(|rest| !rest.job.outputs.is_empty()) {
        probe::check()?;
    }
    let share = Share::new();
    let written = write_all(folder, &rest, &sources, &share, &known, settings, monitor);
    let (sealed, compressed) = written.map_err(or_interrupted)?;
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
                    mark: unchanged::mark(job, *format, settings, &content),
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

/// Locations of the streams of this build.
fn streams(share: Share, sealed: &[Sealed]) -> Vec<(Method, [u8; 32], Stream)> {
    let files: Vec<_> = sealed.iter().map(|s| (s.out.sink.file().shared(), &s.out.name)).collect();
    share.streams(&|file| files.iter().find(|(f, _)| Arc::ptr_eq(f, file)).map(|(_, name)| (*name).clone()))
}

/// A job with the outputs that have to be written.
struct Rest<'a> {
    job: Job<'a>,
    /// Digest of the disk's content if it was computed.
    content: Option<[u8; 32]>,
}

impl<'a> Rest<'a> {
    fn of(job: &Job<'a>, found: &Found) -> Self {
        let outputs = job.outputs.iter().zip(&found.kept).filter(|(_, kept)| kept.is_none());
        let outputs = outputs.map(|(output, _)| output.clone()).collect();
        Self { job: Job { outputs, ..job.clone() }, content: found.content }
    }
}

/// Report of an artifact before it is made.
fn report(folder: &Folder, job: &Job, format: Format, name: &str) -> ArtifactReport {
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
        note: format.note(job.node.controller).map(str::to_owned),
        image: None,
        base: job.layer.base().map(str::to_owned),
        is_base: matches!(job.layer, Layer::Base(_)),
    }
}

/// Gives artifacts their names. A sum is gone before its file changes and back
/// when the new file is there, so `SHA256SUMS` is never wrong, only short. What
/// stays has no output.
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
    let mut outs = Vec::new();
    for (format, name) in &job.outputs {
        // A disk with secrets belongs to its owner alone.
        let partial = if job.key.is_some() { folder.create_private(name) } else { folder.create(name) };
        let output = Output::new(partial?, settings.stop.clone())?;
        let writer = container::writer(*format);
        let sink = (writer.open)(output, job, settings, *content)?;
        outs.push(Out { name: name.clone(), method: writer.method, sink, clusters: 0, shared: 0 });
    }
    Ok(outs)
}

/// The node being written.
struct Current<'scope> {
    job: usize,
    writers: Vec<Writer<'scope>>,
    content: Content,
}

impl<'scope> Current<'scope> {
    fn write(
        &mut self,
        share: &Share,
        source: &Source,
        piece: Piece,
        stopped: &dyn Fn() -> bool,
        budget: &'scope Budget,
    ) -> Result<(), Error> {
        let Piece { index, digest, bytes, forms, .. } = piece;
        self.content.add(index, &digest);
        let mut bytes = bytes.map(Arc::new);
        for (method, form) in forms {
            for writer in self.writers.iter().filter(|writer| writer.method == Some(method)) {
                let taken = match (share.take(method, digest, self.job, stopped), &form) {
                    (Some(taken), _) => taken,
                    (None, Form::Made(packed)) => Taken { form: dedup::Form::Made(packed.clone()), shared: false },
                    (None, Form::Shared) => return Err(Error::Interrupted),
                };
                let own = match (taken.is_incompressible(), &bytes) {
                    (false, _) => None,
                    (true, Some(bytes)) => Some(bytes.clone()),
                    (true, None) => Some(bytes.insert(Arc::new(source.read(index)?)).clone()),
                };
                writer.write(Item { index, digest, bytes: own, taken: Some(taken) }, budget)?;
            }
        }
        for writer in self.writers.iter().filter(|writer| writer.method.is_none()) {
            writer.write(Item { index, digest, bytes: bytes.clone(), taken: None }, budget)?;
        }
        Ok(())
    }
}

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
    let budget = &Budget::new();
    std::thread::scope(|scope| {
        let mut nodes = Nodes { scope, folder, jobs, settings, share, writers: Writers::default(), current: None };
        let mut done = 0;
        let result = pipeline::run(sources, share, known, settings.jobs, |piece, stopped| {
            if monitor.cancelled() {
                return Err(Error::Interrupted);
            }
            done += CLUSTER as u64;
            let Some(piece) = piece else { return Ok(()) };
            let source = piece.source;
            if let Some(node) = nodes.reach(source)? {
                node.write(share, &sources[source], piece, stopped, budget)?;
            }
            monitor.progress(&jobs[source].job.node.name, done, total);
            Ok(())
        });
        let result = result.and_then(|compressed| {
            // Nodes without data have files, too.
            nodes.reach(jobs.len().saturating_sub(1))?;
            nodes.end();
            if total > 0 {
                // Only the digests of the files are left to compute.
                monitor.progress("checksums", total, total);
            }
            Ok(compressed)
        });
        let open = nodes.current.map(|node| node.writers);
        match result {
            Ok(compressed) => Ok((nodes.writers.join(open, None)?, compressed)),
            Err(e) => nodes.writers.join(open, Some(e)).map(|sealed| (sealed, 0)),
        }
    })
}

/// The nodes on their way to their files.
struct Nodes<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    folder: &'scope Folder,
    jobs: &'scope [Rest<'scope>],
    settings: &'scope Settings,
    share: &'scope Share,
    writers: Writers<'scope>,
    current: Option<Current<'scope>>,
}

impl<'scope> Nodes<'scope, '_> {
    /// Goes on to a node, and begins its files, and those of the nodes before it
    /// that have no data.
    fn reach(&mut self, job: usize) -> Result<Option<&mut Current<'scope>>, Error> {
        loop {
            let next = match &self.current {
                Some(node) if node.job >= job => return Ok(self.current.as_mut()),
                Some(node) => node.job + 1,
                None => 0,
            };
            self.end();
            let Some(rest) = self.jobs.get(next) else { return Ok(None) };
            let outs = open_outputs(self.folder, rest, self.settings)?;
            let writers = self.writers.start(self.scope, next, outs, self.share)?;
            self.current = Some(Current { job: next, writers, content: Content::default() });
        }
    }

    /// Ends the files of the node.
    fn end(&mut self) {
        if let Some(node) = self.current.take() {
            self.writers.end(node.writers, node.content.finish());
        }
    }
}
