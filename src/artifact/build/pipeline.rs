//! Reads and compresses the clusters of all disks on several threads and hands
//! them to one writer in order.
//!
//! Order is disk after disk, each by ascending offset. A worker takes the next
//! few clusters only while fewer than a fixed number are under way, which bounds
//! memory; the writer takes results by their number, so what is written does
//! not depend on who was faster.

use crate::artifact::build::dedup::{Claim, Digest, Share};
use crate::artifact::build::memory::Tag;
use crate::artifact::build::reuse::{Known, Of};
use crate::artifact::cluster::{CLUSTER, Walk, is_zero};
use crate::artifact::codec::{Method, Packed, Packer};
use crate::artifact::error::Error;
use crate::artifact::job::Job;
use crate::poison::IgnorePoison as _;
use crate::read_at::{Extent, ReadAt, normalize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Clusters that a worker takes at a time: where most are computed already,
/// asking for the next costs more than computing it.
const BATCH: usize = 8;

/// A disk to be read.
pub struct Source<'a> {
    pub name: String,
    pub disk: Arc<dyn ReadAt + 'a>,
    pub extents: Vec<Extent>,
    /// Compressed forms that the disk's outputs need.
    pub methods: Vec<Method>,
    /// Some output needs every cluster's own bytes.
    pub plain: bool,
}

impl<'a> Source<'a> {
    /// The disk of a job, as far as its outputs have it.
    pub fn of(job: &Job<'a>, methods: Vec<Method>) -> Result<Self, Error> {
        Self::new(&job.node.name, job.disk.clone(), job.extents(), methods)
    }

    /// Checks that the extents lie on the disk.
    fn new(name: &str, disk: Arc<dyn ReadAt + 'a>, extents: Vec<Extent>, methods: Vec<Method>) -> Result<Self, Error> {
        let extents = normalize(extents);
        let len = disk.len();
        if let Some(last) = extents.last()
            && last.offset.checked_add(last.len).is_none_or(|end| end > len)
        {
            let end = last.offset.saturating_add(last.len);
            return Err(Error::Extent { node: name.to_owned(), start: last.offset, end, len });
        }
        Ok(Self { name: name.to_owned(), disk, extents, methods, plain: false })
    }

    /// Reads cluster `index`; zeros follow the end of the disk.
    pub fn read(&self, index: u64) -> Result<Vec<u8>, Error> {
        let offset = index * CLUSTER as u64;
        let mut bytes = vec![0; CLUSTER];
        let there = (self.disk.len() - offset).min(CLUSTER as u64) as usize;
        let failed = |source| Error::Disk { node: self.name.clone(), offset, source };
        self.disk.read_at(offset, &mut bytes[..there]).map_err(failed)?;
        Ok(bytes)
    }

    /// Clusters that may hold data.
    pub fn clusters(&self) -> u64 {
        let mut walk = Walk::default();
        let mut n = 0;
        while let Some(run) = walk.next_run(&self.extents) {
            n += run.1 - run.0;
        }
        n
    }
}

/// A cluster that is not all zeros.
pub struct Piece {
    /// Index of the source.
    pub source: usize,
    /// Number of the cluster on the disk.
    pub index: u64,
    /// A whole cluster; none when nobody had to read it.
    pub bytes: Option<Vec<u8>>,
    pub digest: Digest,
    pub forms: Vec<(Method, Form)>,
}

/// A compressed form of a piece.
pub enum Form {
    /// This piece's worker made it.
    Made(Arc<Packed>),
    /// Another made it: take it from the [`Share`].
    Shared,
}

/// Hands out clusters one at a time, source after source.
#[derive(Default)]
struct Cursor {
    source: usize,
    walk: Walk,
    run: (u64, u64),
}

impl Cursor {
    fn next(&mut self, sources: &[Source]) -> Option<(usize, u64)> {
        loop {
            if self.run.0 < self.run.1 {
                self.run.0 += 1;
                return Some((self.source, self.run.0 - 1));
            }
            let source = sources.get(self.source)?;
            match self.walk.next_run(&source.extents) {
                Some(run) => self.run = run,
                None => {
                    self.source += 1;
                    self.walk = Walk::default();
                }
            }
        }
    }
}

#[derive(Default)]
struct State {
    cursor: Cursor,
    /// Number of the next cluster to be taken, and to be written.
    taken: u64,
    written: u64,
    /// Results that wait for the writer, by the number of the first.
    done: BTreeMap<u64, Vec<Result<Option<Piece>, Error>>>,
    stop: bool,
}

struct Shared<'a> {
    sources: &'a [Source<'a>],
    share: &'a Share,
    known: &'a Known,
    state: Mutex<State>,
    /// A result came, or the end.
    result: Condvar,
    /// There is room for another cluster, or the end.
    room: Condvar,
    under_way: u64,
    compressed: AtomicU64,
}

/// Stops everybody when its thread ends early, by panic or by error.
struct StopOnDrop<'a, 'b>(&'a Shared<'b>, bool);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.lock().stop = true;
            self.0.room.notify_all();
            self.0.result.notify_all();
        }
    }
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().ignore_poison()
    }

    fn work(&self) {
        let mut guard = StopOnDrop(self, true);
        let mut packer = Packer::default();
        while let Some((number, clusters)) = self.take() {
            let results = clusters.iter().map(|(source, index)| self.compute(*source, *index, &mut packer)).collect();
            self.lock().done.insert(number, results);
            self.result.notify_one();
        }
        guard.1 = false;
    }

    /// The number of the next clusters, and each with its source.
    fn take(&self) -> Option<(u64, Vec<(usize, u64)>)> {
        let mut state = self.lock();
        while !state.stop && state.taken - state.written >= self.under_way {
            state = self.room.wait(state).ignore_poison();
        }
        if state.stop {
            return None;
        }
        let clusters: Vec<_> = std::iter::from_fn(|| state.cursor.next(self.sources)).take(BATCH).collect();
        let number = state.taken;
        state.taken += clusters.len() as u64;
        (!clusters.is_empty()).then_some((number, clusters))
    }

    fn compute(&self, source: usize, index: u64, packer: &mut Packer) -> Result<Option<Piece>, Error> {
        let from = &self.sources[source];
        let place = Known::place(from.disk.origin(index * CLUSTER as u64, CLUSTER as u64));
        let known = place.and_then(|p| self.known.get(p));
        let mut bytes = None;
        if from.plain || known.is_none() {
            bytes = Some(from.read(index)?);
        }
        let of = match (known, &bytes) {
            (Some(of), _) => of,
            (None, Some(bytes)) if !is_zero(bytes) => Of::Data(Sha256::digest(bytes).into()),
            (None, _) => Of::Zeros,
        };
        if let (Some(place), None) = (place, known) {
            self.known.learn(place, of);
        }
        let Of::Data(digest) = of else { return Ok(None) };
        let mut forms = Vec::with_capacity(from.methods.len());
        for &method in &from.methods {
            let claim = self.share.claim(method, digest);
            if matches!(claim, Claim::Theirs) {
                forms.push((method, Form::Shared));
                continue;
            }
            let (packed, sum) = match (self.known.stream(method, &digest), &mut bytes) {
                (Some(known), _) => known,
                (None, Some(bytes)) => self.pack(method, bytes, packer),
                (None, none) => self.pack(method, none.insert(from.read(index)?), packer),
            };
            let packed = Arc::new(packed);
            if matches!(claim, Claim::Mine) {
                self.share.ready(method, digest, packed.clone(), sum);
            }
            forms.push((method, Form::Made(packed)));
        }
        Ok(Some(Piece { source, index, bytes, digest, forms }))
    }

    /// Compresses a cluster; returns what its stream is remembered with, too.
    fn pack(&self, method: Method, bytes: &[u8], packer: &mut Packer) -> (Packed, Tag) {
        self.compressed.fetch_add(1, Ordering::Relaxed);
        let packed = packer.pack(method, bytes);
        let sum = self.known.sum(&packed);
        (packed, sum)
    }

    /// The results with the next numbers; none when a worker has died.
    fn next_results(&self) -> Option<Vec<Result<Option<Piece>, Error>>> {
        let mut state = self.lock();
        loop {
            let number = state.written;
            if let Some(results) = state.done.remove(&number) {
                state.written += results.len() as u64;
                self.room.notify_one();
                return Some(results);
            }
            if state.stop {
                return None;
            }
            state = self.result.wait(state).ignore_poison();
        }
    }
}

/// Runs `emit` for every cluster of every source in order, `None` for one of
/// zeros. `stopped`, given to `emit`, says that a worker died. Returns how many
/// times a cluster was compressed.
///
/// # Errors
/// The first one, in the order of the clusters, of reading or of `emit`.
pub fn run(
    sources: &[Source],
    share: &Share,
    known: &Known,
    jobs: NonZeroUsize,
    mut emit: impl FnMut(Option<Piece>, &dyn Fn() -> bool) -> Result<(), Error>,
) -> Result<u64, Error> {
    let total: u64 = sources.iter().map(Source::clusters).sum();
    let jobs = jobs.get().min(64);
    let shared = Shared {
        sources,
        share,
        known,
        state: Mutex::default(),
        result: Condvar::new(),
        room: Condvar::new(),
        under_way: (2 * BATCH * jobs).clamp(4 * BATCH, 16 * BATCH) as u64,
        compressed: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| shared.work());
        }
        let _stop = StopOnDrop(&shared, true);
        let mut left = total;
        while left > 0 {
            let Some(results) = shared.next_results() else {
                return Err(Error::Interrupted); // the scope passes the panic on
            };
            left -= results.len() as u64;
            for result in results {
                emit(result?, &|| shared.lock().stop)?;
            }
        }
        Ok(())
    })?;
    Ok(shared.compressed.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e(offset: u64, len: u64) -> Extent {
        Extent { offset, len }
    }

    struct Sparse(Vec<Extent>, u64);
    impl ReadAt for Sparse {
        fn len(&self) -> u64 {
            self.1
        }
        fn read_at(&self, _: u64, buf: &mut [u8]) -> std::io::Result<()> {
            buf.fill(1);
            Ok(())
        }
        fn extents(&self) -> Vec<Extent> {
            self.0.clone()
        }
    }

    fn of(name: &str, disk: Sparse) -> Result<Source<'static>, Error> {
        let extents = disk.extents();
        Source::new(name, Arc::new(disk), extents, vec![])
    }

    #[test]
    fn clusters_touched_by_two_extents_come_once() {
        let c = CLUSTER as u64;
        let disk = Sparse(vec![e(10, 5), e(100, 5), e(c - 1, 2), e(5 * c, c)], 7 * c);
        let source = of("n", disk).unwrap();
        assert_eq!(source.clusters(), 3);
        let mut cursor = Cursor::default();
        let sources = [source, of("m", Sparse(vec![e(3 * c, 1)], 4 * c)).unwrap()];
        let mut seen = Vec::new();
        while let Some(next) = cursor.next(&sources) {
            seen.push(next);
        }
        assert_eq!(seen, [(0, 0), (0, 1), (0, 5), (1, 3)]);
    }

    #[test]
    fn extents_behind_the_end_are_refused() {
        let err = of("n", Sparse(vec![e(u64::MAX - 1, 5)], 512)).err().unwrap();
        assert!(matches!(err, Error::Extent { .. }));
    }
}
