//! Layout of a volume: first the medium's files ([`Base`]), then those that one
//! node adds ([`Gefs`]). Nothing is read: sizes do not depend on the hashes,
//! which are computed when the first block of a tree is asked for.
//!
//! Invariants: indices and qids of the base depend on the medium's tree, on the
//! users' numbers and on the arenas alone; a node uses a base block as it is or
//! leaves it free; no block is used twice.

use super::area::Area;
use super::arenas::{Arenas, BlockIndex, MIN_LEN, Map};
use super::bulk::{self, Child, Leaves, Root, address};
use super::format::{FIRST_QID, MAIN_ROOT_QID, Super};
use super::items::{Files, Item};
use super::limits::LayoutError;
use super::snapshots::{self, MAIN};
use super::sums::{Once, sums};
use super::users::{MAX_FILE, Users};
use crate::count;
use crate::read_at::Origin;
use crate::shared::layers::Free;
use crate::shared::place::ids;
use crate::tree::{Content, EntryId, Tree};
use std::io;
use std::sync::Arc;

/// Path of the user table in a tree; gefs has it in a snapshot of its own.
const USERS: &[u8] = b"adm/users";
/// Stands for what no item is.
const NOT: u32 = u32::MAX;

/// The bytes of a medium's files, as far as trees need them: their hashes,
/// computed once for all nodes.
pub struct Data {
    tree: Arc<Tree>,
    sums: Once<Vec<u64>>,
}

impl Data {
    /// Hashes of the files of a tree, of which none is computed yet.
    pub fn new(tree: &Arc<Tree>) -> Self {
        Self { tree: tree.clone(), sums: Once::new() }
    }

    /// The hashes of all blocks of all files, in walk order.
    fn sums(&self) -> io::Result<&[u64]> {
        Ok(self.sums.get(|| sums(self.tree.entries().iter().filter_map(|e| e.content())))?)
    }
}

/// A leaf of the base.
struct BaseLeaf {
    /// The number of its first item, and how many it has.
    first: u32,
    count: u32,
    child: Child,
}

/// The part of a layout that depends on the medium alone; shared by all nodes
/// with partitions of one length and with the same users.
pub struct Base {
    data: Arc<Data>,
    map: Map,
    users: Users,
    pub(super) area: Area,
    /// First block index by entry.
    indices: Vec<BlockIndex>,
    leaves: Vec<BaseLeaf>,
    /// Item numbers by entry: of its first block, of its entry, and of its way
    /// up.
    numbers: Vec<[u32; 3]>,
    number: u64,
    made: Once<Vec<u64>>,
}

/// Options of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the partition in bytes.
    pub len: u64,
}

/// A gefs volume: answers [`crate::ReadAt`] without holding any file's bytes.
pub struct Gefs {
    pub(super) base: Arc<Base>,
    pub(super) tree: Arc<Tree>,
    pub(super) map: Map,
    pub(super) len: u64,
    pub(super) area: Area,
    /// Places of the base that this node leaves free.
    pub(super) free: Free,
    /// Super block without the hash of the root.
    superblock: Super,
    root: Root,
    /// Headers and logs: block numbers and bytes, ascending.
    pub(super) fixed: Vec<(u64, Arc<[u8]>)>,
    used: u64,
    own: Once<Vec<u64>>,
}

/// The users of a tree: its `/adm/users`.
///
/// # Errors
/// Fails when that file is not there, cannot be read, or gefs would not start
/// with it.
pub fn users(tree: &Tree) -> Result<Users, LayoutError> {
    Users::parse(&users_text(tree)?).map_err(LayoutError::Users)
}

fn users_text(tree: &Tree) -> Result<Vec<u8>, LayoutError> {
    let content = tree.find(USERS).and_then(|id| tree.entry(id).content()).ok_or(LayoutError::NoUsers)?;
    if content.len() > MAX_FILE {
        return Err(LayoutError::Users(format!(
            "it has {}, but gefs reads {MAX_FILE}",
            count::of(content.len(), "byte")
        )));
    }
    content.read_all().map_err(|e| LayoutError::ReadUsers(e.to_string()))
}

/// The arenas of a partition.
///
/// # Errors
/// Fails when it is too short for a gefs.
pub fn arenas(len: u64) -> Result<Arenas, LayoutError> {
    Arenas::new(len).ok_or(LayoutError::TooSmall { needed: MIN_LEN, available: len })
}

fn base_qid(id: EntryId) -> u64 {
    match id {
        EntryId::ROOT => MAIN_ROOT_QID,
        EntryId(n) => FIRST_QID - 1 + u64::from(n),
    }
}

/// Map of `shared` indices of the base and `own` of a node, if the arenas have
/// room for them.
fn map(arenas: &Arenas, shared: u64, own: u64) -> Result<Map, LayoutError> {
    let available = arenas.blocks * super::format::BLOCK64;
    let small = || LayoutError::TooSmall { needed: Map::needed(shared, own), available };
    Map::new(*arenas, shared, own).ok_or_else(small)
}

impl Base {
    /// Gives every file of a medium its index, and makes leaves of them.
    ///
    /// # Errors
    /// Fails when gefs cannot hold a name, an owner, a file or all of them.
    pub fn layout(data: &Arc<Data>, users: &Users, arenas: Arenas) -> Result<Self, LayoutError> {
        let tree = &data.tree;
        let mut files = Files::new(tree, users, ids(tree).map(base_qid).collect(), None)?;
        let mut area = Area::new(0);
        files.indices = ids(tree).map(|id| area.add_file(id, tree.entry(id).len())).collect();
        // Before there are items of files that have no room.
        map(&arenas, area.end(), 0)?;
        let mut leaves = Leaves::new();
        let mut firsts = Vec::new();
        let mut numbers = vec![[NOT; 3]; tree.len()];
        let mut n = 0;
        files.items(&mut |item| {
            let (key, value) = files.bytes(item, MAIN);
            if leaves.push(&mut area, &key, &value) {
                firsts.push(n);
            }
            match item {
                Item::Data(id, 0) => numbers[id.index()][0] = n,
                Item::Data(..) => {}
                Item::Entry(id) => numbers[id.index()][1] = n,
                Item::Up(id) => numbers[id.index()][2] = n,
            }
            n += 1;
        });
        leaves.close(&mut area);
        area.finish();
        let map = map(&arenas, area.end(), 0)?;
        let ends = firsts.iter().copied().skip(1).chain([n]);
        let leaf = |((first, end), child): ((&u32, u32), Child)| BaseLeaf { first: *first, count: end - first, child };
        let leaves = firsts.iter().zip(ends).zip(leaves.done).map(leaf).collect();
        let indices = files.indices;
        let number = Origin::unique().base;
        let (data, users) = (data.clone(), users.clone());
        Ok(Self { data, map, users, area, indices, leaves, numbers, number, made: Once::new() })
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn tree(&self) -> &Arc<Tree> {
        &self.data.tree
    }

    /// The hashes of the blocks, by their indices: those of files, and those of
    /// leaves.
    fn sums(&self) -> io::Result<(&[u64], &[u64])> {
        let data = self.data.sums()?;
        let made = self.made.get(|| Ok(self.area.seal(&self.map, &|index| data[index as usize])))?;
        Ok((data, made))
    }

    /// The number of the item that one of a node's is, too.
    fn item(&self, old: EntryId, item: Item) -> Option<u32> {
        let [data, entry, up] = self.numbers[old.index()];
        let (first, n) = match item {
            Item::Data(_, n) => (data, n as u32),
            Item::Entry(_) => (entry, 0),
            Item::Up(_) => (up, 0),
        };
        (first != NOT).then(|| first + n)
    }
}

impl Gefs {
    /// Gives what `tree` adds to or changes in `base` its index. `tree` is
    /// the base's own tree, or an overlay of it.
    ///
    /// # Errors
    /// Fails when gefs cannot hold a name, an owner or a file, would not start
    /// with the users, or the partition is too small.
    pub fn layout(base: &Arc<Base>, tree: &Arc<Tree>, options: &Options) -> Result<Self, LayoutError> {
        let same = Arc::ptr_eq(tree, base.tree());
        if arenas(options.len)? != base.map.arenas || !same && !tree.base().is_some_and(|b| Arc::ptr_eq(b, base.tree()))
        {
            return Err(LayoutError::OtherBase);
        }
        let text = users_text(tree)?;
        let of = Of { base, tree, same };
        let mut qid = base_qid(EntryId(base.tree().len() as u32));
        let mut fresh = || {
            qid += 1;
            qid - 1
        };
        let qids = ids(tree).map(|id| of.base(id).map_or_else(&mut fresh, base_qid)).collect();
        let mut files = Files::new(tree, &base.users, qids, tree.find(USERS))?;
        let arenas = &base.map.arenas;
        let start = Map::own_start(arenas, base.area.end());
        let mut area = Area::new(start);
        files.indices = ids(tree)
            .map(|id| match of.base(id) {
                Some(old) if tree.entry(id).pristine => base.indices[old.index()],
                _ if !files.has(id) => 0,
                _ => area.add_file(id, tree.entry(id).len()),
            })
            .collect();
        map(arenas, base.area.end(), area.end() - start)?;
        let mut roots = snapshots::small(&mut area, tree, &base.users, &text, &mut fresh)?;
        let (main, kept) = main(&of, &files, &mut area);
        roots.main = main;
        let root = snapshots::snap_tree(&mut area, &roots);
        area.finish();
        let map = map(arenas, base.area.end(), area.end() - start)?;
        let free = unused(&of, &files, &kept);
        let mut volume = Self {
            base: base.clone(),
            tree: tree.clone(),
            map,
            len: options.len,
            area,
            free,
            superblock: Super {
                height: root.height,
                root: (address(&map, root.index), 0),
                dead: [(u64::MAX, u64::MAX); 2],
                flags: 0,
                next_qid: qid,
                next_generation: snapshots::NEXT,
                queue: 0,
                arenas: Vec::new(),
            },
            root,
            fixed: Vec::new(),
            used: 0,
            own: Once::new(),
        };
        volume.logs();
        Ok(volume)
    }

    /// Makes headers and logs.
    fn logs(&mut self) {
        let arenas = self.map.arenas;
        for i in 0..arenas.count {
            let used = self.used_in(i);
            let (header, log) = arenas.log(i, &used);
            self.used += header.used;
            let bytes: Arc<[u8]> = header.write().into();
            let address = arenas.header(i) * super::format::BLOCK64;
            self.superblock.arenas.push((address, super::hash::hash(&bytes)));
            self.fixed.extend([(arenas.header(i), bytes.clone()), (arenas.header(i) + 1, bytes)]);
            self.fixed.extend(log.into_iter().map(|(block, bytes)| (block, bytes.into())));
        }
    }

    /// Hashes by index.
    ///
    /// # Errors
    /// Error of a file that is read for the hashes.
    pub(super) fn sums(&self) -> io::Result<impl Fn(BlockIndex) -> u64> {
        let (data, leaves) = self.base.sums()?;
        let below = move |index: BlockIndex| match data.get(index as usize) {
            Some(sum) => *sum,
            None => leaves[index as usize - data.len()],
        };
        let own = self.own.get(|| {
            let files: Vec<&Content> = self.area.files().filter_map(|id| self.tree.entry(id).content()).collect();
            let mut all = sums(files.into_iter())?;
            let start = self.area.start();
            let made = self.area.seal(&self.map, &|index| match index.checked_sub(start) {
                Some(i) => all[i as usize],
                None => below(index),
            });
            all.extend(made);
            Ok(all)
        })?;
        let start = self.area.start();
        Ok(move |index: BlockIndex| match index.checked_sub(start) {
            Some(i) => own[i as usize],
            None => below(index),
        })
    }

    /// The super block.
    ///
    /// # Errors
    /// Error of a file that is read for the hash.
    pub(super) fn super_block(&self) -> io::Result<Vec<u8>> {
        let hash = self.sums()?(self.root.index);
        let (address, _) = self.superblock.root;
        Ok(Super { root: (address, hash), ..self.superblock.clone() }.write())
    }

    /// Bytes in use, as the server counts them.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes that the arenas have.
    pub fn capacity(&self) -> u64 {
        self.map.arenas.count * self.map.arenas.size * super::format::BLOCK64
    }
}

/// A node's tree with its base.
struct Of<'a> {
    base: &'a Base,
    tree: &'a Tree,
    same: bool,
}

impl Of<'_> {
    /// The base's entry that an entry is or replaces.
    fn base(&self, id: EntryId) -> Option<EntryId> {
        if self.same { Some(id) } else { self.tree.entry(id).base }
    }

    /// The base's item that has the same bytes.
    fn item(&self, item: Item) -> Option<u32> {
        let (Item::Data(id, _) | Item::Entry(id) | Item::Up(id)) = item;
        let old = self.base(id)?;
        let (now, was) = (self.tree.entry(id), self.base.tree().entry(old));
        // A directory's own entry does not change with what is in it.
        let equal = match item {
            Item::Up(_) => was.is_dir(),
            _ => now.pristine || now.is_dir() && was.is_dir() && now.meta == was.meta,
        };
        equal.then(|| self.base.item(old, item)).flatten()
    }
}

/// The tree main, and which of the base's leaves it has.
fn main(of: &Of<'_>, files: &Files<'_>, area: &mut Area) -> (Root, Vec<bool>) {
    let mut items = Vec::new();
    files.items(&mut |item| items.push((item, of.item(item))));
    let mut kept = vec![false; of.base.leaves.len()];
    let mut leaves = Leaves::new();
    let mut at = 0;
    while let Some((item, old)) = items.get(at) {
        let leaf = old.and_then(|n| of.base.leaves.binary_search_by_key(&n, |l| l.first).ok());
        if let Some(i) = leaf {
            let whole = &of.base.leaves[i];
            let some = items.get(at..at + whole.count as usize).unwrap_or_default();
            if !some.is_empty() && some.iter().map(|(_, old)| *old).eq((whole.first..).take(some.len()).map(Some)) {
                leaves.close(area);
                leaves.done.push(whole.child.clone());
                kept[i] = true;
                at += some.len();
                continue;
            }
        }
        let (key, value) = files.bytes(*item, MAIN);
        leaves.push(area, &key, &value);
        at += 1;
    }
    leaves.close(area);
    (bulk::pivots(area, MAIN, leaves.done), kept)
}

/// Places of the base that a node does not use.
fn unused(of: &Of<'_>, files: &Files<'_>, kept: &[bool]) -> Free {
    let mut used = vec![false; of.base.tree().len()];
    for id in ids(of.tree).filter(|id| of.tree.entry(*id).pristine && files.has(*id)) {
        if let Some(old) = of.base(id) {
            used[old.index()] = true;
        }
    }
    let runs = of.base.area.file_runs().filter(|(id, ..)| !used[id.index()]).map(|(_, a, b)| (a, b));
    let leaves = of.base.leaves.iter().zip(kept).filter(|(_, kept)| !**kept);
    Free::new(runs.chain(leaves.map(|(l, _)| (l.child.index, l.child.index + 1))))
}
