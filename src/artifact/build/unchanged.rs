//! Artifacts that a build need not write again.
//!
//! Nothing is concluded from what a user changed. Every disk is computed and
//! digested, as for writing it, but not compressed. An artifact stays when its
//! *mark* (a digest of the disk and of all else that its bytes depend on) is
//! the one that was recorded when it was written, and its file still has the
//! recorded length and SHA-256. So no input can be forgotten, and a file that
//! somebody wrote to since is written anew.
//!
//! A disk with secrets has a mark under a key: without it nobody can try
//! passwords on what the manifest says.

use crate::artifact::build::dedup::Share;
use crate::artifact::build::memory::Memory;
use crate::artifact::build::pipeline::Source;
use crate::artifact::build::reuse::Known;
use crate::artifact::build::{memory, pipeline};
use crate::artifact::cluster::CLUSTER;
use crate::artifact::codec::CONTAINERS;
use crate::artifact::container;
use crate::artifact::error::Error;
use crate::artifact::job::{Job, Monitor, Recorded, Settings};
use crate::artifact::output::folder::Folder;
use crate::artifact::output::manifest::Tools;
use crate::digest::FieldHasher;
use crate::hex::hex;
use crate::lab::Format;
use crate::poison::IgnorePoison as _;
use crate::read_at::ReadAt as _;
use crate::stamp::{Moment, Stamp};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An artifact that stays as it is.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub recorded: Recorded,
    /// Clusters of the disk that hold data.
    pub clusters: u64,
}

/// Digest of the clusters of a disk with their places.
#[derive(Default)]
pub(super) struct Content {
    hash: Sha256,
    clusters: u64,
}

impl Content {
    pub fn add(&mut self, index: u64, digest: &[u8; 32]) {
        self.hash.update(index.to_le_bytes());
        self.hash.update(digest);
        self.clusters += 1;
    }

    pub fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

/// The mark of a job's artifact in `format`, of a disk with this content.
pub(super) fn mark(job: &Job, format: Format, settings: &Settings, content: &[u8; 32]) -> String {
    let mut hash = FieldHasher::new();
    let mut add = |part: &[u8]| hash.field(part);
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let key: &[u8] = job.key.as_ref().map_or(&[], |k| k);
    add(key);
    add(&CONTAINERS.to_le_bytes());
    add(json(serde_json::to_string(&(Tools::default(), format))).as_bytes());
    add(&job.disk.len().to_le_bytes());
    add(content);
    for part in (container::writer(format).parts)(job, settings) {
        add(&part);
    }
    for part in job.layer.parts() {
        add(&part);
    }
    add(key);
    hash.finish().to_string()
}

/// State of a job before anything of it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// For each output, whether it stays.
    pub kept: Vec<Option<Kept>>,
    /// Digest of the disk's content; not of a disk of which no output could stay.
    pub content: Option<[u8; 32]>,
}

/// The outputs that stay, for each job. A disk none of whose outputs could stay
/// is not digested.
///
/// # Errors
/// Fails when a disk cannot be computed, or the build was interrupted.
pub(super) fn find(
    folder: &Folder,
    jobs: &[Job],
    settings: &Settings,
    known: &Known,
    memory: &mut Memory,
    monitor: &dyn Monitor,
) -> Result<Vec<Found>, Error> {
    let possible = |name: &str| {
        let recorded = settings.recorded.get(name).filter(|r| !r.mark.is_empty())?;
        let meta = folder.path().join(name).symlink_metadata().ok()?;
        (meta.is_file() && meta.len() == recorded.len).then_some(recorded)
    };
    let nothing = |job: &Job| Found { kept: vec![None; job.outputs.len()], content: None };
    let mut found: Vec<Found> = jobs.iter().map(nothing).collect();
    let some = |job: &Job| job.outputs.iter().any(|(_, name)| possible(name).is_some());
    let candidates: Vec<usize> = (0..jobs.len()).filter(|i| some(&jobs[*i])).collect();
    let contents = digest(&candidates.iter().map(|i| &jobs[*i]).collect::<Vec<_>>(), settings, known, monitor)?;
    let mut unchanged = Vec::new();
    for (job, content) in candidates.into_iter().zip(contents) {
        let clusters = content.clusters;
        let content = content.finish();
        found[job].content = Some(content);
        for (position, (format, name)) in jobs[job].outputs.iter().enumerate() {
            let same = |r: &&Recorded| r.mark == mark(&jobs[job], *format, settings, &content);
            if let Some(recorded) = possible(name).filter(same) {
                unchanged.push((job, position, Kept { recorded: recorded.clone(), clusters }));
            }
        }
    }
    // The files last, and in parallel: a file whose digest is not recorded is
    // read whole.
    let next = AtomicUsize::new(0);
    let whole: Mutex<Vec<(usize, Option<Stamp>)>> = Mutex::default();
    let taken = Moment::now();
    let remembered = &*memory;
    std::thread::scope(|scope| {
        for _ in 0..settings.jobs.get().min(unchanged.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((job, position, kept)) = unchanged.get(at).filter(|_| !monitor.cancelled()) else {
                        return;
                    };
                    let name = &jobs[*job].outputs[*position].1;
                    let path = folder.path().join(name);
                    let whole = |stamp| whole.lock().ignore_poison().push((at, stamp));
                    let before = memory::stamp(&path);
                    // A file that cannot be read is one to be written again.
                    if remembered.is_whole(folder.path(), name, &kept.recorded.sha256) {
                        whole(None);
                    } else if sha256(&path, monitor).is_ok_and(|sum| sum == kept.recorded.sha256) {
                        whole(before);
                    }
                }
            });
        }
    });
    for (at, stamp) in whole.into_inner().ignore_poison() {
        let (job, position, kept) = &unchanged[at];
        if let Some(stamp) = stamp {
            memory.whole(&jobs[*job].outputs[*position].1, &kept.recorded.sha256, stamp, taken);
        }
        found[*job].kept[*position] = Some(kept.clone());
    }
    Ok(found)
}

/// The content of each job's disk.
fn digest(jobs: &[&Job], settings: &Settings, known: &Known, monitor: &dyn Monitor) -> Result<Vec<Content>, Error> {
    let sources: Vec<Source> = jobs.iter().map(|job| Source::of(job, Vec::new())).collect::<Result<_, _>>()?;
    let mut contents: Vec<Content> = jobs.iter().map(|_| Content::default()).collect();
    let total: u64 = sources.iter().map(Source::clusters).sum::<u64>() * CLUSTER as u64;
    let mut done = 0;
    pipeline::run(&sources, &Share::new(), known, settings.jobs, |piece, _| {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        done += CLUSTER as u64;
        if let Some(piece) = piece {
            contents[piece.source].add(piece.index, &piece.digest);
            monitor.progress(&jobs[piece.source].node.name, done, total);
        }
        Ok(())
    })?;
    Ok(contents)
}

/// SHA-256 of a file, in hexadecimal; an error when the build is to end.
fn sha256(path: &Path, monitor: &dyn Monitor) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        if monitor.cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::build::build;
    use crate::artifact::job::Quiet;
    use crate::artifact::layer::{Layer, Over};
    use crate::artifact::machine::Machine;
    use crate::artifact::output::folder::Wait;
    use std::sync::Arc;

    const FORMATS: [(Format, &str); 7] = [
        (Format::Raw, "n.img"),
        (Format::Qcow2, "n.qcow2"),
        (Format::Qcow2Zlib, "n.zlib.qcow2"),
        (Format::Ova, "n.ova"),
        (Format::Sd, "n.sd.img.zip"),
        (Format::SdXz, "n.sd.img.xz"),
        (Format::SdZst, "n.sd.img.zst"),
    ];

    fn job() -> Job<'static> {
        let node = Machine { annotation: "a".into(), ..Machine::sample("n") };
        let mut disk = vec![0u8; 5 * CLUSTER];
        for at in [0, 3 * CLUSTER] {
            disk[at..at + 5000].iter_mut().zip(0u32..).for_each(|(b, i)| *b = (i * i / 7) as u8);
        }
        let outputs = FORMATS.map(|(format, name)| (format, name.to_owned())).to_vec();
        Job { node, disk: Arc::new(disk), outputs, key: None, layer: Layer::Whole }
    }

    /// If this test fails, equal disks give other artifacts than before: raise
    /// [`CONTAINERS`], say so in CHANGELOG.md, and then put the new sums here.
    #[test]
    fn the_bytes_of_containers_are_those_of_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        // The template is in the mark for itself.
        let settings = Settings { ovf_template: "<Envelope>{{disk_size}}</Envelope>\n".into(), ..Settings::default() };
        let reports = build(&folder, &[job()], &settings, &Quiet).unwrap();
        let sums: Vec<_> = reports.iter().map(|r| &r.sha256[..16]).collect();
        let pinned = [
            "ff231d6a647b31bc",
            "e1f56a71f0a6641e",
            "826c5bb19a2a16cc",
            "9f3d804b7ff85258",
            "b9bb0318f5fbfbf2",
            "090a607a272f7766",
            "1a8cbfda64c331ea",
        ];
        assert_eq!((CONTAINERS, &sums[..]), (2, &pinned[..]));
    }

    #[test]
    fn every_input_of_an_artifact_is_in_its_mark() {
        let (plain, settings) = (job(), Settings::default());
        let of = |job: &Job, format, settings: &Settings, content: u8| mark(job, format, settings, &[content; 32]);
        let mut all: Vec<String> = FORMATS.iter().map(|(f, _)| of(&plain, *f, &settings, 1)).collect();
        all.push(of(&plain, Format::Raw, &settings, 2));
        all.push(of(&Job { key: Some([0; 32]), ..plain.clone() }, Format::Raw, &settings, 1));
        all.push(of(&Job { key: Some([7; 32]), ..plain.clone() }, Format::Raw, &settings, 1));
        let over = |base: &str, replaced: &[u64]| {
            Layer::Over(Over { base: base.into(), extents: plain.disk.extents(), replaced: replaced.into() })
        };
        for layer in [over("a", &[]), over("b", &[]), over("a", &[0])] {
            all.push(of(&Job { layer, ..plain.clone() }, Format::Raw, &settings, 1));
        }
        all.push(of(&Job { disk: Arc::new(vec![0u8; CLUSTER]), ..plain.clone() }, Format::Raw, &settings, 1));
        all.push(of(&plain, Format::Ova, &Settings { epoch: 9, ..Settings::default() }, 1));
        all.push(of(&plain, Format::Ova, &Settings { ovf_template: "x".into(), ..Settings::default() }, 1));
        let other = Job { node: Machine { memory: 1 << 30, ..plain.node.clone() }, ..plain.clone() };
        all.push(of(&other, Format::Ova, &settings, 1));
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        // The machine's description is an OVA's only.
        assert_eq!(of(&other, Format::Qcow2, &settings, 1), of(&plain, Format::Qcow2, &settings, 1));
        let jobs = Settings { jobs: std::num::NonZeroUsize::MIN, ..Settings::default() };
        assert_eq!(of(&plain, Format::Ova, &jobs, 1), of(&plain, Format::Ova, &settings, 1));
    }
}
