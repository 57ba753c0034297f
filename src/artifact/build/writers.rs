//! Writers: a thread for each file that is being written. It takes the file's clusters
//! in order, and then digests the file.
//!
//! Copying into the host's file system is most of what the second of two like nodes
//! costs, so several files are written side by side. The thread that hands out the
//! clusters gives a stream that is in some file already as its place there, which
//! takes no memory; [`Budget`] bounds what the others take.

use crate::artifact::build::dedup::{Digest, Share, StoredAt, Taken};
use crate::artifact::codec::{Method, Packed};
use crate::artifact::container::sink::{Cluster, Sink};
use crate::artifact::error::Error;
use crate::poison::IgnorePoison as _;
use crate::stamp::Stamp;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Scope, ScopedJoinHandle};

/// Clusters that wait for one file.
const QUEUE: usize = 4096;
/// Bytes that wait for all files.
const BYTES: usize = 32 << 20;
/// Most nodes whose files are not at their end when the next begins.
const NODES: usize = 8;

/// A file being written.
pub struct Out {
    pub name: String,
    pub method: Option<Method>,
    pub sink: Box<dyn Sink>,
    pub clusters: u64,
    pub shared: u64,
}

/// A file that is whole.
pub struct Sealed {
    pub job: usize,
    pub position: usize,
    pub out: Out,
    pub content: [u8; 32],
    pub len: u64,
    pub sha256: [u8; 32],
    pub stamp: Option<Stamp>,
}

/// Bytes that wait for writers, up to a limit.
pub struct Budget {
    used: Mutex<usize>,
    less: Condvar,
    most: usize,
}

impl Budget {
    pub fn new() -> Self {
        Self { used: Mutex::new(0), less: Condvar::new(), most: BYTES }
    }

    /// Takes `n` bytes, when there is room for them or nothing else waits.
    fn take(&self, n: usize) -> Permit<'_> {
        let mut used = self.used.lock().ignore_poison();
        while n > 0 && *used > 0 && *used + n > self.most {
            used = self.less.wait(used).ignore_poison();
        }
        *used += n;
        Permit { budget: self, n }
    }
}

/// Bytes of a [`Budget`], given back when it is dropped.
struct Permit<'a> {
    budget: &'a Budget,
    n: usize,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.n > 0 {
            *self.budget.used.lock().ignore_poison() -= self.n;
            self.budget.less.notify_all();
        }
    }
}

/// A cluster for a file.
pub struct Item {
    pub index: u64,
    pub digest: Digest,
    /// The cluster itself, where the file needs it.
    pub bytes: Option<Arc<Vec<u8>>>,
    /// Its compressed form, where the file has that.
    pub taken: Option<Taken>,
}

impl Item {
    fn cost(&self) -> usize {
        self.bytes.as_ref().map_or(0, |b| b.len()) + self.taken.as_ref().map_or(0, Taken::cost)
    }
}

enum Order<'a> {
    Cluster(Item, Permit<'a>),
    /// The digest of the disk's content, after the last cluster.
    End([u8; 32]),
}

/// The end of a file's queue that clusters are put in at.
pub struct Writer<'scope> {
    pub method: Option<Method>,
    orders: SyncSender<Order<'scope>>,
    thread: ScopedJoinHandle<'scope, Result<Sealed, Error>>,
}

impl<'scope> Writer<'scope> {
    /// Waits when too much is waiting.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the writer has failed: it has the reason.
    pub fn write(&self, item: Item, budget: &'scope Budget) -> Result<(), Error> {
        let permit = budget.take(item.cost());
        self.orders.send(Order::Cluster(item, permit)).map_err(|_| Error::Interrupted)
    }
}

/// All writers of a build.
#[derive(Default)]
pub struct Writers<'scope> {
    /// Those of nodes all of whose clusters are waiting or written.
    ending: VecDeque<Vec<Writer<'scope>>>,
    sealed: Vec<Sealed>,
    error: Option<Error>,
}

impl<'scope> Writers<'scope> {
    /// Starts writers of the files of one node, when few enough others are under way.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when another writer has failed.
    pub fn start(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        job: usize,
        outs: Vec<Out>,
        share: &'scope Share,
    ) -> Result<Vec<Writer<'scope>>, Error> {
        while self.ending.len() >= NODES {
            self.join_first();
        }
        if self.error.is_some() {
            return Err(Error::Interrupted);
        }
        let start = |(position, out): (usize, Out)| {
            let (orders, queue) = sync_channel(QUEUE);
            let method = out.method;
            let thread = scope.spawn(move || run(job, position, out, &queue, share));
            Writer { method, orders, thread }
        };
        Ok(outs.into_iter().enumerate().map(start).collect())
    }

    /// Ends the files of a node.
    pub fn end(&mut self, writers: Vec<Writer<'scope>>, content: [u8; 32]) {
        for writer in &writers {
            // Without a receiver it has failed, and its error is waiting.
            let _ = writer.orders.send(Order::End(content));
        }
        self.ending.push_back(writers);
    }

    fn join_first(&mut self) {
        for Writer { orders, thread, .. } in self.ending.pop_front().into_iter().flatten() {
            drop(orders);
            match thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                Ok(sealed) => self.sealed.push(sealed),
                // What was interrupted by an error is no reason.
                Err(e) if self.error.is_none() || matches!(self.error, Some(Error::Interrupted)) => {
                    self.error = Some(e);
                }
                Err(_) => {}
            }
        }
    }

    /// Waits for all, with those in `open`, which are not at their end if the build
    /// was given up for `error`. Files come in the order of their nodes.
    ///
    /// # Errors
    /// The first error that is not a consequence of another.
    pub fn join(mut self, open: Option<Vec<Writer<'scope>>>, error: Option<Error>) -> Result<Vec<Sealed>, Error> {
        self.ending.extend(open);
        while !self.ending.is_empty() {
            self.join_first();
        }
        match (self.error, error) {
            (None, None) => {
                self.sealed.sort_by_key(|s| (s.job, s.position));
                Ok(self.sealed)
            }
            (Some(Error::Interrupted) | None, Some(e)) | (Some(e), _) => Err(e),
        }
    }
}

/// Writes one file.
fn run(job: usize, position: usize, mut out: Out, queue: &Receiver<Order<'_>>, share: &Share) -> Result<Sealed, Error> {
    for order in queue {
        match order {
            Order::Cluster(item, _permit) => out.write(&item, share)?,
            Order::End(content) => {
                out.sink.finish(content)?;
                let (len, sha256) = out.sink.seal()?;
                let stamp = out.sink.file().stamp();
                return Ok(Sealed { job, position, out, content, len, sha256, stamp });
            }
        }
    }
    Err(Error::Interrupted)
}

impl Out {
    fn write(&mut self, item: &Item, share: &Share) -> Result<(), Error> {
        let packed = match &item.taken {
            Some(taken) => taken.packed().map_err(|e| self.sink.file().error(e))?,
            None => Arc::new(Packed::Incompressible),
        };
        let bytes = item.bytes.as_ref().map_or(&[][..], |b| b);
        let place = self.sink.cluster(&Cluster { index: item.index, bytes, packed: &packed })?;
        self.clusters += 1;
        self.shared += u64::from(item.taken.as_ref().is_some_and(|taken| taken.shared));
        if let (Some(offset), Some(method)) = (place, self.method) {
            share.stored(method, item.digest, StoredAt { file: self.sink.file().shared(), offset });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_budget_waits_for_room_and_lets_one_pass_that_is_larger() {
        let budget = Budget { most: 10, ..Budget::new() };
        let large = budget.take(100);
        drop(large);
        let six = budget.take(6);
        // What takes no memory never waits.
        drop(budget.take(0));
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let five = budget.take(5);
                sender.send(()).unwrap();
                drop(five);
            });
            assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
            drop(six);
            receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        });
        assert_eq!(*budget.used.lock().unwrap(), 0);
    }
}
