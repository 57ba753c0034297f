//! One difference, and the room for finding more.

use serde::Serialize;
use std::io;

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
    pub(super) fn new(place: &str, kind: &'static str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), kind, what: what.into(), a: None, b: None, offset: None }
    }
    pub(super) fn values(self, a: impl Into<String>, b: impl Into<String>) -> Self {
        Self { a: Some(a.into()), b: Some(b.into()), ..self }
    }
    pub(super) fn at(self, offset: u64) -> Self {
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
    pub(super) fn take(&mut self, len: u64) -> bool {
        let left = self.0.checked_sub(len);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}
