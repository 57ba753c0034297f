//! Facts about clusters that a build has from earlier work, so that it need not
//! read or compress them.
//!
//! Two things: the digests of clusters that nodes have from the medium alone
//! ([`Origin`]), computed by the first node or remembered from an earlier
//! build of an unchanged medium; and streams in the artifacts of earlier
//! builds. A stream is taken from a file that has not been written to since
//! ([`crate::stamp`]), and its own digest is compared before it is used.

use crate::artifact::build::dedup::Digest;
use crate::artifact::build::memory;
use crate::artifact::build::memory::{Memory, Stream, Tag};
use crate::artifact::cluster::CLUSTER;
use crate::artifact::codec::{Method, Packed};
use crate::poison::IgnorePoison as _;
use crate::read_at::Origin;
use crate::stamp::Stamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// Clusters of bases that are remembered: 64 GiB in about 50 MiB of memory.
const MOST: usize = 1 << 20;
/// Streams that are remembered in addition to those of the last build.
const MOST_STREAMS: usize = 1 << 18;
/// Stands for the digest of a cluster of zeros.
const ZEROS: Digest = [0; 32];
/// Stands for the digest of a cluster whose digest is not recorded.
const UNKNOWN: Digest = [0xff; 32];

/// State of a cluster of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Zeros,
    Data(Digest),
}

/// Number of a base and of a cluster in it.
pub type BaseCluster = (u64, u64);

pub struct Known {
    key: memory::Key,
    on: bool,
    clusters: Mutex<HashMap<BaseCluster, Digest>>,
    streams: BTreeMap<Tag, Stream>,
    files: BTreeMap<String, File>,
}

impl Known {
    /// Takes over what `memory` has. `bases` are the keys of bases by number.
    pub fn new(memory: &mut Memory, folder: &Path, bases: &BTreeMap<u64, [u8; 32]>) -> Self {
        let unchanged = |(name, whole): (&String, &memory::Whole)| {
            let file = File::open(folder.join(name)).ok()?;
            (Stamp::of(&file.metadata().ok()?) == whole.stamp).then(|| (name.clone(), file))
        };
        let wanted: BTreeSet<&String> = memory.streams.values().map(|s| &s.artifact).collect();
        let there = memory.artifacts.iter().filter(|(name, _)| wanted.contains(name));
        let files: BTreeMap<String, File> = there.filter_map(unchanged).collect();
        let mut streams = std::mem::take(&mut memory.streams);
        streams.retain(|_, s| s.artifact.is_empty() || files.contains_key(&s.artifact));
        let mut clusters = HashMap::new();
        for (number, key) in bases {
            let known = memory.bases.get(key).into_iter().flatten().enumerate();
            clusters.extend(known.filter(|(_, d)| **d != UNKNOWN).map(|(i, d)| ((*number, i as u64), *d)));
        }
        Self { key: memory.key, on: memory.is_on(), clusters: Mutex::new(clusters), streams, files }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BaseCluster, Digest>> {
        self.clusters.lock().ignore_poison()
    }

    /// The place of a whole cluster that comes from a base.
    pub fn place(origin: Option<Origin>) -> Option<BaseCluster> {
        let Origin { base, offset } = origin?;
        offset.is_multiple_of(CLUSTER as u64).then_some((base, offset / CLUSTER as u64))
    }

    pub fn get(&self, place: BaseCluster) -> Option<Of> {
        self.lock().get(&place).map(|d| if *d == ZEROS { Of::Zeros } else { Of::Data(*d) })
    }

    pub fn learn(&self, place: BaseCluster, of: Of) {
        let mut clusters = self.lock();
        if clusters.len() < MOST {
            clusters.insert(place, if let Of::Data(digest) = of { digest } else { ZEROS });
        }
    }

    /// The compressed form of a cluster from an earlier build, with its sum.
    pub fn stream(&self, method: Method, digest: &Digest) -> Option<(Packed, Tag)> {
        if self.streams.is_empty() {
            return None;
        }
        let s = self.streams.get(&self.key.stream(method, digest))?;
        if s.artifact.is_empty() {
            return Some((Packed::Incompressible, Tag::default()));
        }
        if s.len as usize > CLUSTER {
            return None;
        }
        let mut stream = vec![0; s.len as usize];
        self.files.get(&s.artifact)?.read_exact_at(&mut stream, s.offset).ok()?;
        if self.key.tag(&[&stream]) != s.sum {
            return None;
        }
        let packed = match method {
            Method::Deflate | Method::Deflate4k => Packed::Deflate { stream, adler32: s.adler32 },
            Method::Zstd => Packed::Zstd { frame: stream },
        };
        Some((packed, s.sum))
    }

    /// Digest of a stream's bytes, to be remembered with it.
    pub fn sum(&self, packed: &Packed) -> Tag {
        match packed {
            Packed::Deflate { stream, .. } | Packed::Zstd { frame: stream } if self.on => self.key.tag(&[stream]),
            _ => Tag::default(),
        }
    }

    /// Gives back to `memory` all digests and streams that were found.
    /// `streams` are those of this build, by method and digest; `written` are
    /// the files it wrote.
    pub fn remember(
        self,
        memory: &mut Memory,
        bases: &BTreeMap<u64, [u8; 32]>,
        streams: Vec<(Method, Digest, Stream)>,
        written: &dyn Fn(&str) -> bool,
    ) {
        if !self.on {
            return;
        }
        memory.streams = self.streams;
        // Streams that did not compress are in no artifact: they are dropped only when there are too many.
        let much = memory.streams.len() > MOST_STREAMS;
        memory.streams.retain(|_, s| if s.artifact.is_empty() { !much } else { !written(&s.artifact) });
        for (method, digest, stream) in streams {
            memory.streams.insert(self.key.stream(method, &digest), stream);
        }
        memory.bases.clear();
        let clusters = self.clusters.into_inner().ignore_poison();
        let sorted: BTreeMap<BaseCluster, Digest> = clusters.into_iter().collect();
        for ((number, index), digest) in sorted {
            let Some(key) = bases.get(&number) else { continue };
            let all = memory.bases.entry(*key).or_default();
            all.resize(index as usize, UNKNOWN);
            all.push(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::build::{build, build_counted};
    use crate::artifact::job::{Job, Quiet, Settings};
    use crate::artifact::layer::Layer;
    use crate::artifact::machine::Machine;
    use crate::artifact::output::folder::{Folder, Wait};
    use crate::lab::Format;
    use crate::read_at::ReadAt;
    use std::fs;
    use std::io;
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const CLUSTERS: usize = 6;

    /// Four clusters of a base and two of its own, one of them zeros; counts
    /// the clusters that are read.
    struct Disk {
        bytes: Vec<u8>,
        base: u64,
        reads: AtomicUsize,
    }

    impl Disk {
        fn new(base: u64, own: u8) -> Arc<Self> {
            let mut bytes: Vec<u8> = (0..CLUSTERS * CLUSTER).map(|i| (i * i / 977) as u8).collect();
            bytes[CLUSTER..2 * CLUSTER].fill(0);
            bytes[4 * CLUSTER..].iter_mut().for_each(|b| *b ^= own);
            bytes[5 * CLUSTER..].fill(0);
            // A cluster that does not become smaller.
            let mut x = 7u64;
            for b in &mut bytes[2 * CLUSTER..3 * CLUSTER] {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *b = (x >> 56) as u8;
            }
            Arc::new(Self { bytes, base, reads: AtomicUsize::new(0) })
        }
    }

    impl ReadAt for Disk {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.bytes.read_at(offset, buf)
        }
        fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
            (offset + len <= 4 * CLUSTER as u64).then_some(Origin { base: self.base, offset })
        }
    }

    fn job(name: &str, disk: &Arc<Disk>, formats: &[Format]) -> Job<'static> {
        let outputs = formats.iter().map(|f| (*f, format!("{name}.{f:?}"))).collect();
        Job { node: Machine::sample(name), disk: disk.clone(), outputs, key: None, layer: Layer::Whole }
    }

    /// A folder that is built into again and again.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// Builds from the folder's memory, after `change`; compares with what a
        /// build without memory makes. Returns how many clusters were compressed.
        fn build(&self, base: u64, jobs: &[Job], key: u8, change: impl FnOnce(&mut Memory)) -> u64 {
            let folder = Folder::lock(self.0.path(), Wait::No).unwrap();
            let mut memory = Memory::load(self.0.path(), [key; 32]);
            change(&mut memory);
            let settings = Settings { bases: BTreeMap::from([(base, [9; 32])]), ..Settings::default() };
            let (reports, compressed) = build_counted(&folder, jobs, &settings, &mut memory, &Quiet).unwrap();
            memory.save(&folder).unwrap();
            let other = tempfile::tempdir().unwrap();
            let plain = Folder::lock(other.path(), Wait::No).unwrap();
            for (a, b) in reports.iter().zip(build(&plain, jobs, &Settings::default(), &Quiet).unwrap()) {
                assert_eq!((&a.sha256, &a.mark), (&b.sha256, &b.mark));
                assert!(fs::read(&a.path).unwrap() == fs::read(&b.path).unwrap());
            }
            compressed
        }
    }

    fn nothing(_: &mut Memory) {}

    #[test]
    fn what_all_nodes_have_is_read_once() {
        let disks = [Disk::new(1, 1), Disk::new(1, 2)];
        let jobs = [job("a", &disks[0], &[Format::Qcow2]), job("b", &disks[1], &[Format::Qcow2])];
        let folder = tempfile::tempdir().unwrap();
        // Two threads could have a cluster of either in hand at the same time.
        let settings = Settings { jobs: NonZeroUsize::MIN, ..Settings::default() };
        build(&Folder::lock(folder.path(), Wait::No).unwrap(), &jobs, &settings, &Quiet).unwrap();
        // Of the second only its own, and what is stored as it is.
        assert_eq!(disks[0].reads.load(Ordering::Relaxed), CLUSTERS);
        assert!(disks[1].reads.load(Ordering::Relaxed) <= CLUSTERS - 4 + 1 + 1);
    }

    #[test]
    fn another_format_and_a_changed_disk_compress_only_what_is_new() {
        let bench = Bench::new();
        let disk = Disk::new(1, 1);
        // Of six clusters two are zeros.
        assert_eq!(bench.build(1, &[job("a", &disk, &[Format::Qcow2])], 1, nothing), 4);
        assert_eq!(bench.build(1, &[job("a", &disk, &[Format::Ova])], 1, nothing), 4);
        assert_eq!(bench.build(1, &[job("a", &disk, &[Format::Qcow2Zlib])], 1, nothing), 4);
        let every = [Format::Raw, Format::Qcow2, Format::Qcow2Zlib, Format::Ova];
        assert_eq!(bench.build(1, &[job("b", &disk, &every)], 1, nothing), 0);
        // Another process, whose bases have other numbers.
        let changed = Disk::new(5, 3);
        let all = [Format::Qcow2, Format::Ova];
        let plain = Disk::new(5, 3);
        assert_eq!(bench.build(5, &[job("a", &changed, &all)], 1, nothing), 2);
        let reads = |d: &Disk| d.reads.load(Ordering::Relaxed);
        bench.build(6, &[job("a", &plain, &all)], 1, nothing);
        assert!(reads(&plain) > 0 && reads(&changed) > 0);
        // Under another key nothing is believed.
        assert_eq!(bench.build(5, &[job("c", &changed, &all)], 2, nothing), 8);
    }

    #[test]
    fn what_is_damaged_is_compressed_again() {
        let bench = Bench::new();
        let disk = Disk::new(1, 1);
        bench.build(1, &[job("a", &disk, &[Format::Qcow2])], 1, nothing);
        let other = |name| [job(name, &disk, &[Format::Qcow2])];
        // Streams that are not where the memory says, or have another length.
        let elsewhere = |m: &mut Memory| m.streams.values_mut().for_each(|s| s.offset += 1);
        assert_eq!(bench.build(1, &other("b"), 1, elsewhere), 3);
        let longer = |m: &mut Memory| m.streams.values_mut().for_each(|s| s.len = u32::MAX);
        assert_eq!(bench.build(1, &other("c"), 1, longer), 3);
        let bench = Bench::new();
        bench.build(1, &[job("a", &disk, &[Format::Qcow2])], 1, nothing);
        // An artifact with a bit that is other, and its time of before.
        let path = bench.0.path().join("a.Qcow2");
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[CLUSTER + 100] ^= 1;
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        assert_eq!(bench.build(1, &other("b"), 1, nothing), 3);
        assert_eq!(bench.build(1, &[job("a", &disk, &[Format::Qcow2])], 1, nothing), 0);
    }
}
