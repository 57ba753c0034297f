//! Remembers compressed clusters by the SHA-256 of their content, so that each
//! is compressed once however many nodes and formats need it.
//!
//! Nodes of a lab hold the same clusters, at offsets that differ with their
//! partition tables. So content is the key, not the offset. Only the digest and
//! where the stream was written stay in memory; the stream is read back from
//! the artifact that holds it, which the kernel still has in its cache. That
//! makes node after node as good as all nodes in lockstep, with no window that
//! two nodes could drift out of.
//!
//! The table decides which worker compresses, never what is written: equal
//! content compresses to equal bytes in every worker. [`MOST`] entries bound
//! its memory; what comes later is compressed where it occurs.

use crate::artifact::build::memory::{Stream, Tag};
use crate::artifact::codec::{Method, Packed};
use crate::artifact::output::gather::Gather;
use crate::poison::IgnorePoison as _;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Entries: 16 GiB of distinct clusters in about 40 MiB of memory.
const MOST: usize = 1 << 18;

/// SHA-256 of a cluster's content.
pub type Digest = [u8; 32];

/// Location of a compressed cluster: file and offset.
#[derive(Clone, Debug)]
pub struct StoredAt {
    pub file: Arc<Gather>,
    pub offset: u64,
}

enum State {
    /// A worker is compressing it.
    Pending,
    /// Compressed, and not written yet; the stream's own digest.
    Ready(Arc<Packed>, Tag),
    /// Written: its length and Adler-32 sum (0 for zstd).
    Stored {
        place: StoredAt,
        len: u32,
        adler32: u32,
        sum: Tag,
    },
    Incompressible,
}

struct Entry {
    state: State,
    /// First node that wrote it, in the order of the build.
    node: Option<usize>,
}

/// Answer of [`Share::claim`] to a worker.
pub enum Claim {
    /// Compress it and report with [`Share::ready`].
    Mine,
    /// Somebody has or will have compressed it: ask [`Share::take`] later.
    Theirs,
    /// Compress it and tell nobody: the table is full.
    Unshared,
}

/// A compressed cluster to be written, and whether it was a repetition.
pub struct Taken {
    pub form: Form,
    /// An earlier node of this build wrote the same cluster.
    pub shared: bool,
}

/// Where a compressed cluster is.
pub enum Form {
    Made(Arc<Packed>),
    /// In an artifact.
    Stored {
        method: Method,
        place: StoredAt,
        len: u32,
        adler32: u32,
    },
}

impl Taken {
    pub fn is_incompressible(&self) -> bool {
        matches!(&self.form, Form::Made(packed) if **packed == Packed::Incompressible)
    }

    /// Bytes of memory that it takes.
    pub fn cost(&self) -> usize {
        match &self.form {
            Form::Made(packed) => match &**packed {
                Packed::Deflate { stream, .. } => stream.len(),
                Packed::Zstd { frame } => frame.len(),
                Packed::Incompressible => 0,
            },
            Form::Stored { .. } => 0,
        }
    }

    /// The cluster, read back from the artifact that holds it.
    ///
    /// # Errors
    /// Fails when that cannot be read.
    pub fn packed(&self) -> io::Result<Arc<Packed>> {
        match &self.form {
            Form::Made(packed) => Ok(packed.clone()),
            Form::Stored { method, place, len, adler32 } => {
                let mut stream = vec![0; *len as usize];
                place.file.read_exact_at(&mut stream, place.offset)?;
                Ok(Arc::new(match method {
                    Method::Deflate | Method::Deflate4k => Packed::Deflate { stream, adler32: *adler32 },
                    Method::Zstd => Packed::Zstd { frame: stream },
                }))
            }
        }
    }
}

pub struct Share {
    table: Mutex<HashMap<(Method, Digest), Entry>>,
    changed: Condvar,
    most: usize,
}

impl Share {
    pub fn new() -> Self {
        Self::with_most(MOST)
    }

    fn with_most(most: usize) -> Self {
        Self { table: Mutex::new(HashMap::new()), changed: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Method, Digest), Entry>> {
        self.table.lock().ignore_poison()
    }

    /// Asks who compresses a cluster.
    pub fn claim(&self, method: Method, digest: Digest) -> Claim {
        let mut table = self.lock();
        if table.contains_key(&(method, digest)) {
            return Claim::Theirs;
        }
        if table.len() >= self.most {
            return Claim::Unshared;
        }
        table.insert((method, digest), Entry { state: State::Pending, node: None });
        Claim::Mine
    }

    /// Hands in what was compressed after [`Claim::Mine`].
    pub fn ready(&self, method: Method, digest: Digest, packed: Arc<Packed>, sum: Tag) {
        if let Some(entry) = self.lock().get_mut(&(method, digest)) {
            entry.state = match *packed {
                Packed::Incompressible => State::Incompressible,
                _ => State::Ready(packed, sum),
            };
        }
        self.changed.notify_all();
    }

    /// The compressed form of a cluster, for the writer, which calls this in
    /// the order of the build. Waits for the worker that has it. Nothing when
    /// nobody claimed it, or when `failed` says that the worker will not come.
    pub fn take(&self, method: Method, digest: Digest, node: usize, failed: &dyn Fn() -> bool) -> Option<Taken> {
        let mut table = self.lock();
        loop {
            let entry = table.get_mut(&(method, digest))?;
            if matches!(entry.state, State::Pending) {
                if failed() {
                    return None;
                }
                let pause = std::time::Duration::from_millis(100);
                table = self.changed.wait_timeout(table, pause).ignore_poison().0;
                continue;
            }
            let shared = *entry.node.get_or_insert(node) != node;
            let form = match &entry.state {
                State::Ready(packed, _) => Form::Made(packed.clone()),
                State::Stored { place, len, adler32, .. } => {
                    Form::Stored { method, place: place.clone(), len: *len, adler32: *adler32 }
                }
                State::Pending | State::Incompressible => Form::Made(Arc::new(Packed::Incompressible)),
            };
            return Some(Taken { form, shared });
        }
    }

    /// Tells where a cluster's stream was written, so that memory can let go
    /// of it. Later places of the same stream are ignored.
    pub fn stored(&self, method: Method, digest: Digest, place: StoredAt) {
        let mut table = self.lock();
        let Some(entry) = table.get_mut(&(method, digest)) else { return };
        let State::Ready(packed, sum) = &entry.state else { return };
        let (len, adler32) = match &**packed {
            Packed::Deflate { stream, adler32 } => (stream.len(), *adler32),
            Packed::Zstd { frame } => (frame.len(), 0),
            Packed::Incompressible => return,
        };
        entry.state = State::Stored { place, len: len as u32, adler32, sum: *sum };
    }

    /// Every cluster with where its stream is; `name` tells the file names of
    /// artifacts.
    pub fn streams(self, name: &dyn Fn(&Arc<Gather>) -> Option<String>) -> Vec<(Method, Digest, Stream)> {
        let table = self.table.into_inner().ignore_poison();
        let stream = |((method, digest), entry): ((Method, Digest), Entry)| {
            let stream = match entry.state {
                State::Stored { place, len, adler32, sum } => {
                    Stream { artifact: name(&place.file)?, offset: place.offset, len, adler32, sum }
                }
                State::Incompressible => {
                    Stream { artifact: String::new(), offset: 0, len: 0, adler32: 0, sum: Tag::default() }
                }
                _ => return None,
            };
            Some((method, digest, stream))
        };
        table.into_iter().filter_map(stream).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_one_compressor_and_is_read_back() {
        let share = Share::with_most(1);
        let never = || false;
        assert!(matches!(share.claim(Method::Deflate, [1; 32]), Claim::Mine));
        assert!(matches!(share.claim(Method::Deflate, [1; 32]), Claim::Theirs));
        assert!(matches!(share.claim(Method::Zstd, [1; 32]), Claim::Unshared));
        let packed = Packed::Deflate { stream: b"stream".to_vec(), adler32: 7 };
        share.ready(Method::Deflate, [1; 32], Arc::new(packed), Tag::default());
        assert!(!share.take(Method::Deflate, [1; 32], 0, &never).unwrap().shared);
        let file = Gather::new(tempfile::tempfile().unwrap());
        file.write_all_at(b"..stream", 0).unwrap();
        share.stored(Method::Deflate, [1; 32], StoredAt { file: Arc::new(file), offset: 2 });
        let taken = share.take(Method::Deflate, [1; 32], 1, &never).unwrap();
        assert!(taken.shared && taken.cost() == 0);
        assert!(matches!(&*taken.packed().unwrap(), Packed::Deflate { stream, adler32: 7 } if stream == b"stream"));
    }

    #[test]
    fn a_stopped_worker_is_not_waited_for() {
        let share = Share::new();
        assert!(matches!(share.claim(Method::Zstd, [1; 32]), Claim::Mine));
        assert!(share.take(Method::Zstd, [1; 32], 0, &|| true).is_none());
    }
}
