//! Order in which entries get their places, and the places that a node has in
//! common with the medium: files first, then directories, children before their
//! parents.

use super::layers::Free;
use crate::tree::{EntryId, Tree};
use std::sync::Arc;

/// Something that gives entries of a tree their places.
pub(crate) trait Placer {
    /// Position of an entry.
    type Placed: Copy;
    type Error;
    /// Positions by entry; `None` until the entry is placed.
    fn placed(&mut self) -> &mut Vec<Option<Self::Placed>>;
    /// Places a file with a qid path; does nothing for a directory.
    ///
    /// # Errors
    /// Reason why the file system cannot hold it.
    fn file(&mut self, id: EntryId, qid: u64) -> Result<(), Self::Error>;
    /// Places a directory, whose children have their places; `qid` tells the
    /// qid paths of entries.
    ///
    /// # Errors
    /// Reason why the file system cannot hold it.
    fn dir(&mut self, id: EntryId, qid: &dyn Fn(EntryId) -> u64) -> Result<(), Self::Error>;
}

/// All entries of a tree.
pub(crate) fn ids(tree: &Tree) -> impl DoubleEndedIterator<Item = EntryId> + use<> {
    (0..tree.len() as u32).map(EntryId)
}

/// Whether `tree` is `base` itself or laid over it.
pub(crate) fn is_over(tree: &Arc<Tree>, base: &Arc<Tree>) -> bool {
    Arc::ptr_eq(tree, base) || tree.base().is_some_and(|b| Arc::ptr_eq(b, base))
}

/// The base's entry that an entry of a node's tree is or replaces.
fn base_of(same: bool, tree: &Tree, id: EntryId) -> Option<EntryId> {
    if same { Some(id) } else { tree.entry(id).base }
}

/// Places everything that a medium has.
///
/// # Errors
/// Reason why the file system cannot hold an entry.
pub(crate) fn medium<P: Placer>(
    to: &mut P,
    tree: &Tree,
    qid: impl Fn(EntryId) -> u64,
) -> Result<Vec<P::Placed>, P::Error> {
    for id in ids(tree) {
        to.file(id, qid(id))?;
    }
    for id in ids(tree).rev().filter(|id| tree.entry(*id).is_dir()) {
        to.dir(id, &qid)?;
    }
    Ok(to.placed().drain(..).map(|p| p.expect("every entry was placed")).collect())
}

/// Places what a node adds or changes; what it shares is where the medium's
/// layout, `placed`, has it. Returns the first qid path that is not used:
/// `qid` gives those of the medium's entries, and the one after the last.
///
/// # Errors
/// Reason why the file system cannot hold an entry.
pub(crate) fn node<P: Placer>(
    to: &mut P,
    (base, placed): (&Arc<Tree>, &[P::Placed]),
    tree: &Arc<Tree>,
    qid: impl Fn(EntryId) -> u64,
) -> Result<u64, P::Error> {
    let same = Arc::ptr_eq(tree, base);
    let mut next = qid(EntryId(base.len() as u32));
    let mut qids = Vec::with_capacity(tree.len());
    for id in ids(tree) {
        let old = base_of(same, tree, id);
        let own = old.map_or(next, &qid);
        qids.push(own);
        next += u64::from(old.is_none());
        match old {
            Some(old) if tree.entry(id).pristine => to.placed()[id.index()] = Some(placed[old.index()]),
            _ => to.file(id, own)?,
        }
    }
    for id in ids(tree).rev() {
        if to.placed()[id.index()].is_none() {
            to.dir(id, &|id: EntryId| qids[id.index()])?;
        }
    }
    Ok(next)
}

/// Ranges of the base's entries that a node leaves free.
pub(crate) fn unused(base: &Arc<Tree>, tree: &Arc<Tree>, ranges: impl Iterator<Item = (EntryId, u64, u64)>) -> Free {
    let mut used = vec![false; base.len()];
    let same = Arc::ptr_eq(tree, base);
    for id in ids(tree).filter(|id| tree.entry(*id).pristine) {
        if let Some(old) = base_of(same, tree, id) {
            used[old.index()] = true;
        }
    }
    Free::new(ranges.filter(|(id, ..)| !used[id.index()]).map(|(_, a, b)| (a, b)))
}
