//! Laying a role's files over a medium's tree.

use super::{Content, Entry, EntryId, Kind, Meta, Tree};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One change to a medium's tree.
#[derive(Clone, Debug)]
pub struct Addition {
    /// Path from the root, elements separated by `/`.
    pub path: Vec<u8>,
    /// Change at this path.
    pub what: What,
}

/// Change that an [`Addition`] makes at its path.
#[derive(Clone, Debug)]
pub enum What {
    /// Creates or replaces a file; a directory there goes away with all in it.
    File(Meta, Content),
    /// Creates a directory or gives an existing one these attributes.
    Dir(Meta),
    /// Takes the medium's entry away, a directory with all in it.
    Remove,
}

#[derive(Default)]
struct Layer {
    what: Option<What>,
    below: BTreeMap<Vec<u8>, Layer>,
}

impl Tree {
    /// The tree `base` with `additions` over it; of two additions at one path
    /// the later wins. Directories that an addition needs and that neither
    /// side has are made with `parent`'s attributes.
    pub fn overlay(base: &Arc<Tree>, additions: &[Addition], parent: &Meta) -> Tree {
        let mut top = Layer::default();
        for a in additions {
            let elements = a.path.split(|b| *b == b'/').filter(|e| !e.is_empty());
            elements.fold(&mut top, |layer, name| layer.below.entry(name.to_vec()).or_default()).what =
                Some(a.what.clone());
        }
        let mut out = Tree { entries: Vec::with_capacity(base.len() + additions.len()), base: Some(base.clone()) };
        out.merge(base, Some(EntryId::ROOT), None, Some(&top), parent);
        out
    }

    /// Appends the merge of one medium entry and one layer; returns its id and
    /// whether it is pristine. `None` when the layer removes it. The name is the
    /// medium's, if there is none.
    fn merge(
        &mut self,
        base: &Tree,
        from: Option<EntryId>,
        name: Option<&[u8]>,
        layer: Option<&Layer>,
        parent: &Meta,
    ) -> Option<(EntryId, bool)> {
        let old = from.map(|id| base.entry(id));
        let what = layer.and_then(|l| l.what.as_ref());
        let (meta, content, keep_children) = match (what, old) {
            (Some(What::Remove), _) => return None,
            (Some(What::File(meta, content)), _) => (meta.clone(), Some(content.clone()), false),
            (Some(What::Dir(meta)), old) => (meta.clone(), None, old.is_some_and(Entry::is_dir)),
            // A file of the medium with something to go below it becomes a directory.
            (None, Some(old)) if !old.is_dir() && layer.is_some_and(|l| !l.below.is_empty()) => {
                (parent.clone(), None, false)
            }
            (None, Some(old)) => (old.meta.clone(), old.content().cloned(), true),
            (None, None) => (parent.clone(), None, false),
        };
        let id = EntryId(u32::try_from(self.entries.len()).expect("a tree has fewer than 2^32 entries"));
        let same = |o: &Entry| (what.is_none() || o.meta == meta) && o.is_dir() == content.is_none();
        let same_meta = old.is_some_and(same);
        let mut pristine = same_meta && !matches!(what, Some(What::File(..)));
        let is_dir = content.is_none();
        let kind = content.map_or_else(|| Kind::Dir(Vec::new()), Kind::File);
        let name = match (name, old) {
            (Some(name), _) => name.into(),
            (None, old) => old.map_or_else(|| [].into(), |old| old.name.clone()),
        };
        self.entries.push(Entry { name, meta, kind, base: from, pristine: false });
        if is_dir {
            let (children, unchanged) = self.merge_children(base, old.filter(|_| keep_children), layer, parent);
            pristine &= unchanged && keep_children;
            self.entries[id.index()].kind = Kind::Dir(children);
        }
        self.entries[id.index()].pristine = pristine;
        Some((id, pristine))
    }

    fn merge_children(
        &mut self,
        base: &Tree,
        old: Option<&Entry>,
        layer: Option<&Layer>,
        parent: &Meta,
    ) -> (Vec<EntryId>, bool) {
        let Some(layer) = layer.filter(|layer| !layer.below.is_empty()) else {
            // Nearly all directories: they stay as they are.
            let mut children = Vec::with_capacity(old.map_or(0, |old| old.children().len()));
            for child in old.map(Entry::children).unwrap_or_default() {
                children.extend(self.merge(base, Some(*child), None, None, parent).map(|(id, _)| id));
            }
            return (children, true);
        };
        let mut names: BTreeMap<&[u8], (Option<EntryId>, Option<&Layer>)> = BTreeMap::new();
        for child in old.map(Entry::children).unwrap_or_default() {
            names.insert(&base.entry(*child).name, (Some(*child), None));
        }
        for (name, below) in &layer.below {
            names.entry(name).or_default().1 = Some(below);
        }
        let mut unchanged = true;
        let mut children = Vec::with_capacity(names.len());
        for (name, (from, below)) in names {
            let new = from.is_none().then_some(name);
            match self.merge(base, from, new, below, parent) {
                Some((id, pristine)) => {
                    children.push(id);
                    unchanged &= pristine;
                }
                None => unchanged &= from.is_none(),
            }
        }
        (children, unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::*;

    fn file(bytes: &str) -> Content {
        Content::bytes(bytes.as_bytes())
    }

    fn medium() -> Arc<Tree> {
        let dir = Meta::new(Mode::dir(0o775), "sys", "sys", 1);
        let plain = Meta::new(Mode::file(0o664), "sys", "sys", 1);
        let mut t = Tree::new(dir.clone());
        let a = t.push(EntryId::ROOT, b"a", dir.clone(), None);
        t.push(a, b"x", plain.clone(), Some(file("ax")));
        let b = t.push(EntryId::ROOT, b"b", dir, None);
        t.push(b, b"y", plain.clone(), Some(file("by")));
        t.push(b, b"z", plain, Some(file("bz")));
        Arc::new(t)
    }

    #[test]
    fn only_what_changed_and_its_parents_lose_their_place() {
        let base = medium();
        let meta = Meta::new(Mode::file(0o600), "adm", "adm", 2);
        let parent = Meta::new(Mode::dir(0o775), "sys", "sys", 2);
        let t = Tree::overlay(
            &base,
            &[
                Addition { path: b"/b/y".to_vec(), what: What::File(meta.clone(), file("new")) },
                Addition { path: b"b/z".to_vec(), what: What::Remove },
                Addition { path: b"c/d/e".to_vec(), what: What::File(meta, file("deep")) },
            ],
            &parent,
        );
        let at = |p: &str| t.find(p.as_bytes()).map(|id| t.entry(id));
        assert!(at("a").unwrap().pristine && at("a/x").unwrap().pristine);
        assert!(!at("").unwrap().pristine && !at("b").unwrap().pristine && !at("b/y").unwrap().pristine);
        assert_eq!(at("b/y").unwrap().content().unwrap().read_all().unwrap(), b"new");
        assert!(at("b/z").is_none());
        assert_eq!(at("b/y").unwrap().base, base.find(b"b/y"));
        assert_eq!(at("c/d/e").unwrap().base, None);
        let names: Vec<_> = t.entries().iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect();
        assert_eq!(names, ["", "a", "x", "b", "y", "c", "d", "e"]);
    }

    #[test]
    fn nothing_added_is_all_pristine() {
        let base = medium();
        let t = Tree::overlay(&base, &[], &base.entry(EntryId::ROOT).meta);
        assert!(t.entries().iter().all(|e| e.pristine));
    }
}
