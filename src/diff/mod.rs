//! Differences between two images, media or manifests, from the container down
//! to the byte.
//!
//! Each layer is compared for itself and names what it knows: containers their
//! header's fields and members, disks their boot code and partitions, file
//! systems their structures and files. A differing byte that no field and no
//! file accounts for is named by its place, with both values. What follows from
//! something that was named already (the blocks of a file whose content
//! differs) is not named again.
//!
//! Images of any origin: what one claims is followed only as far as its own
//! size makes sense ([`Budget`]), and what cannot be read is a difference.

mod bytes;
mod container;
mod disk;
mod fat;
mod files;
mod fossil;
mod json;
mod nvram;
mod owners;
mod text;
mod volume;

pub use container::{Compared, Image, images};
pub use json::manifests;
pub use volume::{Side, partitions};

use crate::fs::FileSystem;
use serde::Serialize;
use std::io;

/// Differences of one kind in one place that are named one by one; the rest is
/// counted.
const MOST: usize = 20;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Position, from the outside in: `ova: n.ovf`, `disk`, `fossil:
    /// /lib/ndb/local`.
    pub place: String,
    /// A short, stable word: `content`, `mode`, `added`, `label`, …
    pub kind: &'static str,
    /// Description of the difference, with no full stop.
    pub what: String,
    /// Value of the first side, and of the second; `None` if it has none.
    pub a: Option<String>,
    pub b: Option<String>,
    /// Byte offset in the place, where it is about bytes; of a text, the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Difference {
    fn new(place: &str, kind: &'static str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), kind, what: what.into(), a: None, b: None, offset: None }
    }
    fn values(self, a: impl Into<String>, b: impl Into<String>) -> Self {
        Self { a: Some(a.into()), b: Some(b.into()), ..self }
    }
    fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => write!(f, ": {a} → {b}")?,
            (Some(a), None) => write!(f, ": {a}")?,
            (None, Some(b)) => write!(f, ": {b}")?,
            (None, None) => {}
        }
        write!(f, " [{}]", self.kind)
    }
}

/// Takes differences as they are found.
pub type Sink<'a> = dyn FnMut(Difference) -> io::Result<()> + 'a;

/// Bytes of files that may still be compared: a small image can claim files
/// without end.
#[derive(Debug)]
pub struct Budget(u64);

/// Sum of file lengths that every image may have, because of sparse files,
/// bytes.
const LEAST: u64 = 1 << 30;
/// Multiple of its own size that an image's files may have.
const TIMES: u64 = 4;

impl Budget {
    /// For an image of `len` bytes.
    pub fn new(len: u64) -> Self {
        Self(len.saturating_mul(TIMES).max(LEAST))
    }
    fn take(&mut self, len: u64) -> bool {
        let left = self.0.checked_sub(len);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Compares a field of each side and reports it when it differs.
fn field<T: PartialEq + std::fmt::Display>(
    place: &str,
    kind: &'static str,
    what: &str,
    (a, b): (T, T),
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    if a == b {
        return Ok(());
    }
    sink(Difference::new(place, kind, what).values(a.to_string(), b.to_string()))
}

/// Compares the files below two directories.
///
/// # Errors
/// Error of `sink`; damage is a difference.
pub fn trees(
    place: &str,
    a: (&dyn FileSystem, &[u8]),
    b: (&dyn FileSystem, &[u8]),
    budget: &mut Budget,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    files::compare(place, a, b, budget, &mut |_| {}, sink)
}
