//! Bases: the parts of volumes that nodes with the same medium share.

use crate::poison::IgnorePoison as _;
use crate::tree::Tree;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A base, once somebody has made it.
type Slot = Arc<Mutex<Option<Arc<dyn Any + Send + Sync>>>>;

/// A medium's tree, by its address, and all else that a base depends on.
type Key = (usize, String);

/// Bases of one build. Each is made when the first node needs it: only then are its
/// users determined.
#[derive(Default)]
pub struct Bases {
    slots: Mutex<BTreeMap<Key, Slot>>,
    numbers: Mutex<BTreeMap<Key, u64>>,
}

fn key(tree: &Arc<Tree>, layout: &str) -> Key {
    (Arc::as_ptr(tree).addr(), layout.to_owned())
}

impl Bases {
    /// Result of `make` for `tree`, made once for each `layout`, which names
    /// everything that it depends on besides the tree.
    ///
    /// # Errors
    /// Error of `make`.
    pub fn once<B: Any + Send + Sync, E>(
        &self,
        tree: &Arc<Tree>,
        layout: &str,
        make: impl FnOnce() -> Result<B, E>,
    ) -> Result<Arc<B>, E> {
        let slot = {
            let mut slots = self.slots.lock().ignore_poison();
            slots.entry(key(tree, layout)).or_default().clone()
        };
        // A node that needs the base waits for it; others go on.
        let mut there = slot.lock().ignore_poison();
        if let Some(base) = there.clone().and_then(|base| base.downcast().ok()) {
            return Ok(base);
        }
        let base = Arc::new(make()?);
        *there = Some(base.clone());
        Ok(base)
    }

    /// As [`Bases::once`], for a base that later builds remember by its `number`
    /// ([`crate::read_at::Origin`]).
    ///
    /// # Errors
    /// Error of `make`.
    pub fn base<B: Any + Send + Sync, E>(
        &self,
        tree: &Arc<Tree>,
        layout: &str,
        number: fn(&B) -> u64,
        make: impl FnOnce() -> Result<B, E>,
    ) -> Result<Arc<B>, E> {
        let base = self.once(tree, layout, make)?;
        let mut numbers = self.numbers.lock().ignore_poison();
        numbers.insert(key(tree, layout), number(&base));
        Ok(base)
    }

    /// Numbers of the bases of a tree, each with the layout that it depends on.
    pub fn of(&self, tree: &Arc<Tree>) -> Vec<(String, u64)> {
        let numbers = self.numbers.lock().ignore_poison();
        let own = numbers.iter().filter(|((address, _), _)| *address == Arc::as_ptr(tree).addr());
        own.map(|((_, layout), number)| (layout.clone(), *number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Meta, Mode};

    #[test]
    fn each_base_is_made_once_for_what_it_depends_on() {
        let tree = || Arc::new(Tree::new(Meta::new(Mode::dir(0o775), "sys", "sys", 0)));
        let (one, other, bases) = (tree(), tree(), Bases::default());
        let make = |n: u64| move || Ok::<_, ()>(n);
        assert_eq!(*bases.base(&one, "a", |n| *n, make(1)).unwrap(), 1);
        assert_eq!(*bases.base(&one, "a", |n| *n, make(2)).unwrap(), 1);
        assert_eq!(*bases.base(&one, "b", |n| *n, make(3)).unwrap(), 3);
        assert_eq!(*bases.base(&other, "a", |n| *n, make(4)).unwrap(), 4);
        assert_eq!(*bases.once(&other, "c", make(5)).unwrap(), 5);
        assert_eq!(bases.of(&one), [("a".to_owned(), 1), ("b".to_owned(), 3)]);
        assert_eq!(bases.of(&other), [("a".to_owned(), 4)]);
        // A failed `make` is tried again.
        assert_eq!(bases.once(&one, "d", || Err::<u64, _>("no")).unwrap_err(), "no");
        assert_eq!(*bases.once(&one, "d", make(6)).unwrap(), 6);
    }
}
