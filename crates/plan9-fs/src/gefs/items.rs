//! The values of a tree of files, in the order of their keys: pieces of files
//! by their qid paths, entries of directories by the directories' qid paths and
//! then by length and name, and each directory's way up.

use super::format::{BLOCK64, Dir, K_UP, NOWHERE, Pointer, data_key, entry_key, number_key};
use super::limits::{FS, LayoutError, MAX_FILE, MAX_NAME};
use super::sums::blocks_of;
use super::users::Users;
use crate::shared::place::ids;
use crate::shared::refused::{self, Refused, check_name};
use crate::tree::{EntryId, Meta, Tree};

/// One value, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A block of a file, by its number.
    Data(EntryId, u64),
    Entry(EntryId),
    Up(EntryId),
}

/// A tree of files, and what its values need besides.
pub(super) struct Files<'a> {
    pub tree: &'a Tree,
    /// By entry: qid path, owner, last user and group, first index.
    pub qids: Vec<u64>,
    owners: Vec<[i32; 3]>,
    parents: Vec<EntryId>,
    pub indices: Vec<u64>,
    /// Entry that is left out.
    pub without: Option<EntryId>,
}

impl<'a> Files<'a> {
    /// Looks at everything that gefs may not hold; indices come later.
    pub(super) fn new(
        tree: &'a Tree,
        users: &Users,
        qids: Vec<u64>,
        without: Option<EntryId>,
    ) -> Result<Self, LayoutError> {
        let path = |id: EntryId| tree.paths().swap_remove(id.index());
        let mut parents = vec![EntryId::ROOT; tree.len()];
        let mut owners = Vec::with_capacity(tree.len());
        for id in ids(tree) {
            let entry = tree.entry(id);
            if id != EntryId::ROOT {
                check_name(FS, MAX_NAME, &entry.name, || path(id))?;
            }
            if entry.len() > MAX_FILE {
                return Err(Refused::FileTooBig { path: path(id), len: entry.len(), max: MAX_FILE }.into());
            }
            owners.push(owner(&entry.meta, users, || path(id))?);
            for child in entry.children() {
                parents[child.index()] = id;
            }
        }
        Ok(Self { tree, qids, owners, parents, indices: Vec::new(), without })
    }

    pub(super) fn has(&self, id: EntryId) -> bool {
        self.without != Some(id)
    }

    fn qid(&self, id: EntryId) -> u64 {
        self.qids[id.index()]
    }

    /// Calls `visit` with every item, in the order of the keys.
    pub(super) fn items(&self, visit: &mut dyn FnMut(Item)) {
        let mut by_qid: Vec<EntryId> = ids(self.tree).filter(|id| self.has(*id)).collect();
        by_qid.sort_unstable_by_key(|id| self.qid(*id));
        for id in &by_qid {
            (0..blocks_of(self.tree.entry(*id).len())).for_each(|n| visit(Item::Data(*id, n)));
        }
        let dirs: Vec<EntryId> = by_qid.into_iter().filter(|id| self.tree.entry(*id).is_dir()).collect();
        for dir in &dirs {
            let mut children: Vec<EntryId> =
                self.tree.entry(*dir).children().iter().copied().filter(|id| self.has(*id)).collect();
            let name = |id: &EntryId| &*self.tree.entry(*id).name;
            children.sort_unstable_by(|a, b| (name(a).len(), name(a)).cmp(&(name(b).len(), name(b))));
            children.into_iter().for_each(|id| visit(Item::Entry(id)));
        }
        visit(Item::Entry(EntryId::ROOT));
        dirs.into_iter().for_each(|id| visit(Item::Up(id)));
    }

    /// The key of an entry in its directory.
    fn entry_key(&self, id: EntryId) -> Vec<u8> {
        match id {
            EntryId::ROOT => entry_key(NOWHERE, b""),
            _ => entry_key(self.qid(self.parents[id.index()]), &self.tree.entry(id).name),
        }
    }

    /// Key and value of an item; pointers hold indices.
    pub(super) fn bytes(&self, item: Item, generation: u64) -> (Vec<u8>, Vec<u8>) {
        match item {
            Item::Data(id, n) => {
                let pointer = Pointer { address: self.indices[id.index()] + n, hash: 0, generation };
                (data_key(self.qid(id), n * BLOCK64), pointer.write().to_vec())
            }
            Item::Entry(id) => {
                let entry = self.tree.entry(id);
                let dir = Dir::new(self.qid(id), &entry.meta, entry.len(), self.owners[id.index()]);
                (self.entry_key(id), dir.write())
            }
            Item::Up(id) => (number_key(K_UP, self.qid(id)), self.entry_key(id)),
        }
    }
}

/// The numbers of owner, last user and group.
pub(super) fn owner(meta: &Meta, users: &Users, path: impl Fn() -> String) -> Result<[i32; 3], Refused> {
    refused::owner(FS, meta, |name| users.id(name), path)
}
