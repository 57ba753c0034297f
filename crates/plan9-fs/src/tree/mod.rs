//! A node's files: names, owners, modes, times and a *reference* to each
//! file's bytes. Nothing is copied.
//!
//! A tree is either a **medium's** tree or a medium's tree with a role's files
//! laid over it ([`Tree::overlay`]). The overlaid tree remembers for each
//! entry which entry of the medium it is and whether anything below it
//! changed; volumes use that to give shared files the same place in every
//! image.

mod content;
mod digest;
mod meta;
mod overlay;

pub use content::Content;
pub use digest::GoOn;
pub use meta::{DMAPPEND, DMDIR, DMEXCL, DMTMP, Meta, Mode};
pub use overlay::{Addition, What};

use std::sync::Arc;

/// Index of an entry in its tree. Entry 0 is the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u32);

impl EntryId {
    /// The root of every tree.
    pub const ROOT: Self = Self(0);
    /// Index among [`Tree::entries`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One file or directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The last path element as raw bytes; empty for the root only.
    pub name: Arc<[u8]>,
    /// Mode, owners and time.
    pub meta: Meta,
    /// File or directory, and what it holds.
    pub kind: Kind,
    /// In an overlaid tree: the medium's entry that this is or replaces.
    pub base: Option<EntryId>,
    /// In an overlaid tree: this entry and all below it are exactly the
    /// medium's. In a medium's own tree: always true.
    pub pristine: bool,
}

/// Kind of an entry.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Children sorted by name, bytewise, without duplicates.
    Dir(Vec<EntryId>),
    /// Bytes of a file.
    File(Content),
}

impl Entry {
    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir(_))
    }
    /// Length of the file in bytes; 0 for a directory.
    pub fn len(&self) -> u64 {
        match &self.kind {
            Kind::Dir(_) => 0,
            Kind::File(c) => c.len(),
        }
    }
    /// True for a directory and for a file without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Children of a directory, nothing for a file.
    pub fn children(&self) -> &[EntryId] {
        match &self.kind {
            Kind::Dir(c) => c,
            Kind::File(_) => &[],
        }
    }
    /// Bytes of a file, `None` for a directory.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::Dir(_) => None,
            Kind::File(c) => Some(c),
        }
    }
}

/// A whole hierarchy. Entries are stored parents before children, in the order
/// of a depth-first walk with sorted names, so the order depends on the names
/// alone.
#[derive(Clone, Debug)]
pub struct Tree {
    entries: Vec<Entry>,
    base: Option<Arc<Tree>>,
}

impl Tree {
    /// A tree with nothing but a root directory.
    pub fn new(root: Meta) -> Self {
        let root = Entry { name: [].into(), meta: root, kind: Kind::Dir(Vec::new()), base: None, pristine: true };
        Self { entries: vec![root], base: None }
    }

    /// Adds a child under `parent`. Call in depth-first order with ascending
    /// names (see [`Tree`]).
    ///
    /// # Panics
    /// If `parent` is a file, or `name` is not greater than the last child's.
    pub fn push(&mut self, parent: EntryId, name: &[u8], meta: Meta, content: Option<Content>) -> EntryId {
        let id = EntryId(u32::try_from(self.entries.len()).expect("a tree has fewer than 2^32 entries"));
        let last = self.entries[parent.index()].children().last().copied();
        assert!(last.is_none_or(|l| *self.entries[l.index()].name < *name), "children are pushed in ascending order");
        let Kind::Dir(children) = &mut self.entries[parent.index()].kind else {
            panic!("the parent is a directory");
        };
        children.push(id);
        let kind = content.map_or_else(|| Kind::Dir(Vec::new()), Kind::File);
        self.entries.push(Entry { name: name.into(), meta, kind, base: None, pristine: true });
        id
    }

    /// The entry of an id.
    ///
    /// # Panics
    /// If the id is another tree's, and this one has fewer entries.
    pub fn entry(&self, id: EntryId) -> &Entry {
        &self.entries[id.index()]
    }
    /// Every entry, in walk order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// Number of entries, the root included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// True when there is only the root.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 1
    }
    /// The medium's tree under an overlaid one.
    pub fn base(&self) -> Option<&Arc<Tree>> {
        self.base.as_ref()
    }
    /// Finds `name` among the children of `dir`.
    pub fn child(&self, dir: EntryId, name: &[u8]) -> Option<EntryId> {
        let children = self.entry(dir).children();
        children.binary_search_by(|c| (*self.entry(*c).name).cmp(name)).ok().map(|i| children[i])
    }
    /// Finds an entry by its path from the root, elements separated by `/`.
    pub fn find(&self, path: &[u8]) -> Option<EntryId> {
        path.split(|b| *b == b'/').filter(|e| !e.is_empty()).try_fold(EntryId::ROOT, |dir, name| self.child(dir, name))
    }
    /// Visits every entry with its full path (no leading slash; empty for the
    /// root), in walk order.
    pub fn walk<'a>(&'a self, mut visit: impl FnMut(&[u8], EntryId, &'a Entry)) {
        let mut path = Vec::new();
        self.walk_below(EntryId::ROOT, &mut path, &mut visit);
    }
    fn walk_below<'a>(&'a self, id: EntryId, path: &mut Vec<u8>, visit: &mut impl FnMut(&[u8], EntryId, &'a Entry)) {
        let entry = self.entry(id);
        visit(path, id, entry);
        for child in entry.children() {
            let keep = path.len();
            if keep > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&self.entry(*child).name);
            self.walk_below(*child, path, visit);
            path.truncate(keep);
        }
    }
    /// The path of every entry, indexed by its id, lossily as text: for messages.
    pub fn paths(&self) -> Vec<String> {
        let mut out = vec![String::new(); self.len()];
        self.walk(|path, id, _| out[id.index()] = String::from_utf8_lossy(path).into_owned());
        out
    }
}
