//! Values that may be there once.

use super::mistakes::{Notes, Problem};
use std::collections::BTreeMap;
use std::ops::Range;

/// Finds what appears twice.
pub(crate) struct Once<'n, 't, K> {
    notes: &'n Notes<'t>,
    seen: BTreeMap<K, Range<usize>>,
}

impl<'n, 't, K: Ord> Once<'n, 't, K> {
    pub fn new(notes: &'n Notes<'t>) -> Self {
        Self { notes, seen: BTreeMap::new() }
    }

    pub fn see(&mut self, key: K, span: &Range<usize>, problem: impl FnOnce() -> Problem) {
        match self.seen.get(&key) {
            Some(first) => self.notes.note_beside(span, problem(), Some(first)),
            None => drop(self.seen.insert(key, span.clone())),
        }
    }
}
