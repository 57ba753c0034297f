//! Where everything goes: first what the medium has ([`Base`]), then what one
//! node adds ([`Cwfs`]).
//!
//! Invariants: addresses and qids of the base depend on the medium's tree and
//! on the users' numbers; a node uses a base block as it is or leaves it free;
//! no block is used twice.

use super::cache::Cache;
use super::config::{Config, Device, FSTYPE};
use super::format::{
    BLOCK, DENTRY, Dentry, Form, Header, MAX_PATH, PAYLOAD, QIDGEN, ROOT_PATH, SLOTS, SUPER_AT, Super, device_blocks,
};
use super::limits::{LayoutError, MAX_NAME};
use super::other::Other;
use super::users::{born, parse};
use super::worm::Worm;
use crate::fs::shared::area::{Area, Sealed as _};
use crate::fs::shared::bad_name;
use crate::fs::shared::layers::{Blocks as _, Free};
use crate::fs::shared::place::{self, Place, ids};
use crate::fs::shared::shape::{Reach as _, Shape};
use crate::fs::shared::users::Users;
use crate::tree::{EntryId, Kind, Meta, Mode, Tree};
use std::sync::Arc;

/// A node's blocks start at a multiple of this many (64 KiB), so that the
/// base's last cluster of an image is the same for all nodes.
const ALIGN: u64 = 4;
/// Where the base starts: before it is room for super block and roots.
const START: u64 = 16;
/// Bytes from the start of a worm to its base.
pub const DATA_OFFSET: u64 = START * BLOCK as u64;
/// The roots, and where the next dump's super block goes.
const ROOT: u64 = 3;
const DUMP_ROOT: u64 = 4;
const NEXT: u64 = 5;

/// Where an entry of a tree was placed.
#[derive(Clone, Copy)]
pub struct Placed {
    first: u64,
    /// Without those of pointers.
    blocks: u64,
}

/// The part of a layout that depends on the medium alone; shared by all nodes
/// with the same users.
pub struct Base {
    pub(super) tree: Arc<Tree>,
    pub(super) area: Area<Form>,
    users: Users,
    placed: Vec<Placed>,
    number: u64,
}

/// What a volume is told beside its files. Lengths are those of partitions, in
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub cache: u64,
    pub worm: u64,
    pub other: u64,
    /// The text of the configuration.
    pub config: String,
    /// Time of what the medium does not have, in seconds since 1970-01-01 UTC.
    pub epoch: u32,
}

/// The three partitions of one node.
pub struct Cwfs {
    pub cache: Cache,
    pub worm: Worm,
    pub other: Other,
}

/// The numbers of the users of a tree: its `/adm/users`.
///
/// # Errors
/// When that file cannot be read.
pub fn users(tree: &Tree) -> Result<Users, LayoutError> {
    let text = crate::fs::shared::users::text(tree).map_err(|e| LayoutError::Users(e.to_string()))?;
    Ok(text.map_or_else(born, |t| parse(&t)))
}

impl Base {
    /// Gives every file and directory of a medium its place.
    ///
    /// # Errors
    /// When cwfs64x cannot hold a name, an owner, a file or all of them.
    pub fn layout(tree: &Arc<Tree>, users: &Users) -> Result<Self, LayoutError> {
        let mut b = Builder::new(tree, users, START);
        let placed = place::medium(&mut b, tree, base_path)?;
        b.area.finish();
        Ok(Self { tree: tree.clone(), area: b.area, users: users.clone(), placed, number: crate::fs::base_number() })
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Cwfs {
    /// Gives what `tree` adds to or changes in `base` its place. `tree` is
    /// the base's own tree, or an overlay of it.
    ///
    /// # Errors
    /// When cwfs64x cannot hold a name, an owner or a file, a partition is too
    /// small, or the configuration is not one for them.
    pub fn layout(base: &Arc<Base>, tree: &Arc<Tree>, options: &Options) -> Result<Self, LayoutError> {
        check_config(&options.config)?;
        if !place::is_over(tree, &base.tree) {
            return Err(LayoutError::OtherBase);
        }
        let mut b = Builder::new(tree, &base.users, base.area.end().next_multiple_of(ALIGN));
        let next = place::node(&mut b, (&base.tree, &base.placed), tree, base_path)?;
        if next > MAX_PATH {
            return Err(LayoutError::TooManyFiles);
        }
        let root = b.dentry(EntryId::ROOT, b"/", ROOT_PATH)?;
        b.area.finish();
        let fsize = b.area.end();
        let needed = fsize * BLOCK as u64;
        if needed > options.worm {
            return Err(LayoutError::TooSmall { needed, available: options.worm });
        }
        let superblock = Super {
            fstart: SUPER_AT,
            fsize,
            tfree: 0,
            qidgen: (next - 1).max(QIDGEN),
            cwraddr: ROOT,
            roraddr: DUMP_ROOT,
            last: SUPER_AT,
            next: NEXT,
        };
        let dir = Meta::new(Mode::dir(0o775), "", "", options.epoch);
        let dump_root = Dentry::new(b"/", ROOT_PATH, &dir, [-1, 0, -1]).write();
        let other = other(tree, &base.users, options)?;
        let least = (800..).find(|n| Header::divide(*n).is_some()).unwrap_or_default() * BLOCK as u64;
        let cache = Header::divide(device_blocks(options.cache)).filter(|_| options.cache >= least);
        let small = LayoutError::PartTooSmall { name: "fscache", len: options.cache, least };
        let header = Header {
            fsize,
            wsize: device_blocks(options.worm),
            wmax: fsize - 1,
            sbaddr: SUPER_AT,
            cwraddr: ROOT,
            roraddr: DUMP_ROOT,
            ..cache.ok_or(small)?
        };
        let free = unused(base, tree);
        let worm = Worm {
            base: base.clone(),
            tree: tree.clone(),
            len: options.worm,
            area: b.area,
            free,
            superblock,
            roots: [root, dump_root],
        };
        Ok(Self {
            cache: Cache { len: options.cache, config: options.config.clone().into_bytes(), header },
            worm,
            other,
        })
    }
}

/// The configuration names the three partitions, and every program knows what
/// it is.
fn check_config(text: &str) -> Result<(), LayoutError> {
    let wrong = |why: String| Err(LayoutError::Config(why));
    if text.len() >= FSTYPE {
        return wrong(format!("it has {} bytes, but fstype(8) reads {FSTYPE}", text.len()));
    }
    let config = Config::parse(text.as_bytes()).map_err(LayoutError::Config)?;
    if !config.is_marked || !config.newcache {
        return wrong("it must have newcache and the constants of cwfs64x".into());
    }
    let is = |path: &str, name: &str| path.rsplit('/').next() == Some(name);
    match (config.device("main").map_err(LayoutError::Config)?, config.device("other").map_err(LayoutError::Config)?) {
        (Device::Cached(cache, worm), Device::File(other))
            if is(&cache, "fscache") && is(&worm, "fsworm") && is(&other, "other") =>
        {
            Ok(())
        }
        _ => wrong("main must be the partitions fscache and fsworm, and other the partition other".into()),
    }
}

/// The folders that people have on the plain device: those of their homes that
/// hold a `tmp`, and that.
fn other(tree: &Tree, users: &Users, options: &Options) -> Result<Other, LayoutError> {
    let sys = Meta::new(Mode::dir(0o775), "sys", "sys", options.epoch);
    let mut out = Tree::new(tree.entry(EntryId::ROOT).meta.clone());
    let usr = out.push(EntryId::ROOT, b"usr", sys, None);
    let homes = tree.child(EntryId::ROOT, b"usr").map(|id| tree.entry(id).children()).unwrap_or_default();
    for home in homes {
        let Some(tmp) = tree.child(*home, b"tmp").filter(|id| tree.entry(*id).is_dir()) else { continue };
        let entry = tree.entry(*home);
        let id = out.push(usr, &entry.name, entry.meta.clone(), None);
        out.push(id, b"tmp", tree.entry(tmp).meta.clone(), None);
    }
    let mut b = Builder::new(&out, users, super::format::ROOT_AT + 1);
    b.placed = place::medium(&mut b, &out, base_path)?.into_iter().map(Some).collect();
    let root = b.dentry(EntryId::ROOT, b"/", ROOT_PATH)?;
    b.area.finish();
    let area = b.area;
    let qidgen = base_path(EntryId(out.len() as u32 - 1));
    Other::new(area, out, root, qidgen, options.other)
}

/// qid paths of the medium's entries.
fn base_path(id: EntryId) -> u64 {
    match id {
        EntryId::ROOT => ROOT_PATH,
        EntryId(n) => QIDGEN + u64::from(n),
    }
}

/// Base addresses that a node does not use.
fn unused(base: &Base, tree: &Arc<Tree>) -> Free {
    let dirs = ids(&base.tree).filter(|id| base.tree.entry(*id).is_dir()).map(|id| {
        let p = base.placed[id.index()];
        (id, p.first, p.first + Shape::<Form>::new(p.blocks).total())
    });
    place::unused(&base.tree, tree, base.area.file_runs().chain(dirs))
}

/// Fills an area: all files first, then directories, children before parents.
struct Builder<'a> {
    tree: &'a Tree,
    users: &'a Users,
    area: Area<Form>,
    /// By entry of the tree; what is `None` is not placed yet.
    placed: Vec<Option<Placed>>,
}

impl<'a> Builder<'a> {
    fn new(tree: &'a Tree, users: &'a Users, start: u64) -> Self {
        Self { tree, users, area: Area::new(start), placed: vec![None; tree.len()] }
    }

    fn path(&self, id: EntryId) -> String {
        self.tree.paths().swap_remove(id.index())
    }

    /// The numbers of owner, last user and group.
    fn ids(&self, id: EntryId, meta: &Meta) -> Result<[i16; 3], LayoutError> {
        let known = |what, name: &str| {
            let unknown = || LayoutError::UnknownUser { path: self.path(id), what, name: name.into() };
            self.users.id(name).ok_or_else(unknown)
        };
        let uid = known("owner", &meta.uid)?;
        // Who changed a file last may be nobody here: a medium tells of others.
        Ok([uid, self.users.id(&meta.muid).unwrap_or(uid), known("group", &meta.gid)?])
    }

    /// The directory entry of a placed entry.
    fn dentry(&self, id: EntryId, name: &[u8], path: u64) -> Result<[u8; DENTRY], LayoutError> {
        let entry = self.tree.entry(id);
        let placed = self.placed[id.index()].expect("children are placed before their directory");
        let mut d = Dentry::new(name, path, &entry.meta, self.ids(id, &entry.meta)?);
        d.size = entry.len();
        Shape::<Form>::new(placed.blocks).point(placed.first, &mut d.pointers.direct, &mut d.pointers.indirect);
        Ok(d.write())
    }
}

impl Place for Builder<'_> {
    type Placed = Placed;
    type Error = LayoutError;

    fn placed(&mut self) -> &mut Vec<Option<Placed>> {
        &mut self.placed
    }

    fn file(&mut self, id: EntryId, path: u64) -> Result<(), LayoutError> {
        let Kind::File(content) = &self.tree.entry(id).kind else { return Ok(()) };
        let max = Form::MAX_DATA.saturating_mul(PAYLOAD as u64).min(i64::MAX as u64);
        if content.len() > max {
            return Err(LayoutError::FileTooBig { path: self.path(id), len: content.len(), max });
        }
        let first = self.area.add_file(id, content.len(), path);
        self.placed[id.index()] = Some(Placed { first, blocks: Form::shape(content.len()).data() });
        Ok(())
    }

    fn dir(&mut self, id: EntryId, path: &dyn Fn(EntryId) -> u64) -> Result<(), LayoutError> {
        let tree = self.tree;
        let mut entries = Vec::with_capacity(tree.entry(id).children().len());
        for child in tree.entry(id).children() {
            let name = &tree.entry(*child).name;
            if let Some(why) = bad_name(name) {
                return Err(LayoutError::BadName { path: self.path(*child), why });
            }
            if name.len() > MAX_NAME {
                return Err(LayoutError::NameTooLong { path: self.path(*child), len: name.len() });
            }
            entries.push(self.dentry(*child, name, path(*child))?);
        }
        let (first, blocks) = self.area.add_dir(&entries, SLOTS, path(id));
        self.placed[id.index()] = Some(Placed { first, blocks });
        Ok(())
    }
}
