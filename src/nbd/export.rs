//! Disks that are served.

use crate::read_at::{Extent, ReadAt};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A disk that is served.
pub trait Export: Send + Sync {
    fn disk(&self) -> &dyn ReadAt;

    /// Where the disk may have something else than zeros, if that never changes.
    fn map(&self) -> Option<&[Extent]> {
        None
    }

    /// The same disk for writing; none for one that is only read.
    fn writable(&self) -> Option<&dyn WriteAt> {
        None
    }
}

/// A disk that is written to.
pub trait WriteAt: Send + Sync {
    /// Writes bytes, which every later read gives.
    ///
    /// # Errors
    /// Error of the operating system.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Brings what was written to the platter.
    ///
    /// # Errors
    /// Error of the operating system.
    fn flush(&self) -> io::Result<()>;
}

/// A disk that is only read, and never changes.
pub struct Fixed {
    disk: Arc<dyn ReadAt>,
    extents: Vec<Extent>,
}

impl Fixed {
    pub fn new(disk: Arc<dyn ReadAt>) -> Self {
        Self { extents: disk.extents(), disk }
    }
}

impl Export for Fixed {
    fn disk(&self) -> &dyn ReadAt {
        &*self.disk
    }

    fn map(&self) -> Option<&[Extent]> {
        Some(&self.extents)
    }
}

/// The disks of a server, by name.
#[derive(Clone, Default)]
pub struct Exports(BTreeMap<String, Arc<dyn Export>>);

impl Exports {
    pub fn new(exports: impl IntoIterator<Item = (String, Arc<dyn Export>)>) -> Self {
        Self(exports.into_iter().collect())
    }

    /// The disk that a client asks for: a client that gives no name gets the only one.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<dyn Export>> {
        match (self.0.get(name), self.0.len()) {
            (None, 1) if name.is_empty() => self.0.values().next(),
            (found, _) => found,
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}
