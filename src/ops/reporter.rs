//! Observer of a use case.

use super::note::Note;
use super::said_by::SaidBy;
use crate::artifact;
use crate::media::fetch;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Observer of a use case: a program that shows what it does, and may end it.
pub trait Reporter: Sync {
    /// Something that the user should know.
    fn note(&self, _note: &Note) {}
    /// `done` of `total` bytes of a node's disk, or of a medium, are there.
    fn progress(&self, _what: &str, _done: u64, _total: Option<u64>) {}
    /// The work that [`Reporter::progress`] was told of has ended.
    fn finished(&self) {}
    /// Flag that becomes true when the user wants the work to end. Asked for
    /// before the first artifact is written: until then, the program may end at
    /// any moment, and nothing is half-written.
    ///
    /// # Errors
    /// Fails when the program cannot learn of that wish.
    fn stop_flag(&self) -> io::Result<Arc<AtomicBool>> {
        Ok(Arc::default())
    }
    /// Words for the source of a medium's expected digest. A program may add how
    /// to change it.
    fn said_by(&self, source: SaidBy, _medium: &str) -> String {
        source.to_string()
    }
}

/// A reporter that says nothing, and never ends the work.
pub struct Silent;
impl Reporter for Silent {}

/// One piece of work whose progress a reporter hears of, from here to its end.
pub struct Watched<'a> {
    reporter: &'a dyn Reporter,
    stop: Arc<AtomicBool>,
}

impl<'a> Watched<'a> {
    /// Work that ends once `stop` is true.
    pub fn new(reporter: &'a dyn Reporter, stop: Arc<AtomicBool>) -> Self {
        Self { reporter, stop }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.reporter.finished();
    }
}

impl artifact::Monitor for Watched<'_> {
    fn progress(&self, node: &str, done: u64, total: u64) {
        self.reporter.progress(node, done, Some(total));
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl fetch::Monitor for Watched<'_> {
    fn progress(&self, name: &str, done: u64, total: Option<u64>) {
        self.reporter.progress(name, done, total);
    }
}
