//! The layout of file systems whose directory entries hold the numbers of users
//! and pointers to blocks: what the medium has ([`Base`]), and what one node
//! lays over it ([`Overlaid`]).
//!
//! Invariants: addresses and qids of the base depend on the medium's tree, on
//! the users' numbers and on where the base starts; a node uses a base block as
//! it is or leaves it free; no block is used twice.

use super::area::{Area, Sealed};
use super::layers::{Blocks as _, Free, Layers};
use super::place::{self, Placer, ids};
use super::pointers::Pointers;
use super::refused::{Refused, check_name, owner};
use super::shape::{Reach, Shape};
use super::users::Users;
use crate::read_at::{Extent, Origin};
use crate::tree::{Entry, EntryId, Kind, Tree};
use std::sync::Arc;

/// Directory entries of a format.
pub(crate) trait Entries: Sealed {
    /// For people.
    const NAME: &'static str;
    /// Directory entries in a block.
    const SLOTS: usize;
    /// Longest name, and most bytes of a file.
    const MAX_NAME: usize;
    const MAX_FILE: u64;
    /// qid path of the root, and that of the medium's first entry below it.
    const ROOT_QID: u64;
    const FIRST_QID: u64;
    /// A directory entry as it lies in a block.
    type Dentry: AsRef<[u8]>;

    /// Ownership tag of the blocks of a file or directory with this qid path.
    fn mark(qid: u64) -> Self::Mark;

    /// The directory entry of something.
    fn dentry(of: &Described<'_>) -> Self::Dentry;

    /// qid paths of the medium's entries.
    fn qid(id: EntryId) -> u64 {
        match id {
            EntryId::ROOT => Self::ROOT_QID,
            EntryId(n) => Self::FIRST_QID - 1 + u64::from(n),
        }
    }
}

/// Fields of a directory entry.
pub(crate) struct Described<'a> {
    pub name: &'a [u8],
    pub qid: u64,
    pub entry: &'a Entry,
    /// Owner, last user and group.
    pub ids: [i16; 3],
    pub placed: Placed,
}

/// Position of an entry of a tree.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    first: u64,
    /// Data blocks, without those of pointers.
    pub blocks: u64,
}

impl Placed {
    /// The pointers to the blocks.
    pub(crate) fn pointers<R: Reach, const DIRECT: usize>(self) -> Pointers<DIRECT> {
        let mut p = Pointers::default();
        Shape::<R>::new(self.blocks).point(self.first, &mut p.direct, &mut p.indirect);
        p
    }
}

/// The part of a layout that depends on the medium alone; shared by all nodes
/// with the same users whose bases start alike.
pub(crate) struct Base<F: Entries> {
    pub tree: Arc<Tree>,
    pub area: Area<F>,
    pub users: Users,
    placed: Vec<Placed>,
    number: u64,
}

impl<F: Entries> Base<F> {
    /// Gives every file and directory of a medium its place, from block `start`
    /// on.
    ///
    /// # Errors
    /// Reason why the format cannot hold an entry.
    pub(crate) fn layout(tree: &Arc<Tree>, users: &Users, start: u64) -> Result<Self, Refused> {
        let mut b = Builder::new(tree, users, start);
        let placed = place::medium(&mut b, tree, F::qid)?;
        b.area.finish();
        Ok(Self { tree: tree.clone(), area: b.area, users: users.clone(), placed, number: Origin::unique().base })
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Gives what `tree`, which is laid over the base's, adds or changes its
    /// place, from a multiple of `align` blocks on. With it goes the first qid
    /// path that is not used.
    ///
    /// # Errors
    /// Reason why the format cannot hold an entry.
    pub(crate) fn node<'a>(&'a self, tree: &'a Arc<Tree>, align: u64) -> Result<(Builder<'a, F>, u64), Refused> {
        let mut b = Builder::new(tree, &self.users, self.area.end().next_multiple_of(align));
        let next = place::node(&mut b, (&self.tree, &self.placed), tree, F::qid)?;
        Ok((b, next))
    }
}

/// A node's blocks over those of a base.
pub(crate) struct Overlaid<F: Entries> {
    base: Arc<Base<F>>,
    tree: Arc<Tree>,
    area: Area<F>,
    free: Free,
}

impl<F: Entries> Overlaid<F> {
    /// `area` is what came of [`Base::node`] for this tree.
    pub(crate) fn new(base: &Arc<Base<F>>, tree: &Arc<Tree>, area: Area<F>) -> Self {
        let dirs = ids(&base.tree).filter(|id| base.tree.entry(*id).is_dir()).map(|id| {
            let p = base.placed[id.index()];
            (id, p.first, p.first + Shape::<F>::new(p.blocks).total())
        });
        let free = place::unused(&base.tree, tree, base.area.file_runs().chain(dirs));
        Self { base: base.clone(), tree: tree.clone(), area, free }
    }

    pub(crate) fn layers(&self) -> Layers<'_, Area<F>> {
        Layers { base: (&self.base.area, &self.base.tree), free: &self.free, own: (&self.area, &self.tree) }
    }

    /// The first block of the base.
    pub(crate) fn start(&self) -> u64 {
        self.base.area.start()
    }

    /// The used blocks, of both layers.
    pub(crate) fn extents(&self) -> impl Iterator<Item = Extent> {
        let block = F::BLOCK as u64;
        let mut at = 0;
        std::iter::from_fn(move || {
            let (start, end) = self.layers().used_at(at)?;
            at = end;
            Some(Extent { offset: start * block, len: (end - start) * block })
        })
    }

    /// Blocks of the base that this node uses are the base's.
    pub(crate) fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.layers().in_base(offset, len).then(|| Origin { base: self.base.number, offset })
    }
}

/// Fills an area: all files first, then directories, children before parents.
pub(crate) struct Builder<'a, F: Entries> {
    tree: &'a Tree,
    users: &'a Users,
    pub area: Area<F>,
    /// Positions by entry of the tree; `None` until the entry is placed.
    placed: Vec<Option<Placed>>,
}

impl<'a, F: Entries> Builder<'a, F> {
    fn new(tree: &'a Tree, users: &'a Users, start: u64) -> Self {
        Self { tree, users, area: Area::new(start), placed: vec![None; tree.len()] }
    }

    /// Gives everything of a tree that has nothing to do with a medium its
    /// place.
    ///
    /// # Errors
    /// Reason why the format cannot hold an entry.
    pub(crate) fn alone(tree: &'a Tree, users: &'a Users, start: u64) -> Result<Self, Refused> {
        let mut b = Self::new(tree, users, start);
        b.placed = place::medium(&mut b, tree, F::qid)?.into_iter().map(Some).collect();
        Ok(b)
    }

    fn path(&self, id: EntryId) -> String {
        self.tree.paths().swap_remove(id.index())
    }

    /// The directory entry of a placed entry.
    fn dentry(&self, id: EntryId, name: &[u8], qid: u64) -> Result<F::Dentry, Refused> {
        let entry = self.tree.entry(id);
        let placed = self.placed[id.index()].expect("children are placed before their directory");
        let ids = owner(F::NAME, &entry.meta, |name| self.users.id(name), || self.path(id))?;
        Ok(F::dentry(&Described { name, qid, entry, ids, placed }))
    }

    /// The directory entry of the root.
    ///
    /// # Errors
    /// Fails when its owner or group is not in the user table.
    pub(crate) fn root(&self) -> Result<F::Dentry, Refused> {
        self.dentry(EntryId::ROOT, b"/", F::ROOT_QID)
    }
}

impl<F: Entries> Placer for Builder<'_, F> {
    type Placed = Placed;
    type Error = Refused;

    fn placed(&mut self) -> &mut Vec<Option<Placed>> {
        &mut self.placed
    }

    fn file(&mut self, id: EntryId, qid: u64) -> Result<(), Refused> {
        let Kind::File(content) = &self.tree.entry(id).kind else { return Ok(()) };
        if content.len() > F::MAX_FILE {
            return Err(Refused::FileTooBig { path: self.path(id), len: content.len(), max: F::MAX_FILE });
        }
        let first = self.area.add_file(id, content.len(), F::mark(qid));
        self.placed[id.index()] = Some(Placed { first, blocks: F::shape(content.len()).data() });
        Ok(())
    }

    fn dir(&mut self, id: EntryId, qid: &dyn Fn(EntryId) -> u64) -> Result<(), Refused> {
        let tree = self.tree;
        let mut dentries = Vec::with_capacity(tree.entry(id).children().len());
        for child in tree.entry(id).children() {
            let name = &tree.entry(*child).name;
            check_name(F::NAME, F::MAX_NAME, name, || self.path(*child))?;
            dentries.push(self.dentry(*child, name, qid(*child))?);
        }
        let (first, blocks) = self.area.add_dir(&dentries, F::SLOTS, F::mark(qid(id)));
        self.placed[id.index()] = Some(Placed { first, blocks });
        Ok(())
    }
}
