//! Layout of a volume: first the medium's files ([`Base`]), then those that one
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
use super::users::FILE;
use super::worm::Worm;
use crate::count;
use crate::shared::entries::{self, Builder, Described, Entries, Overlaid};
use crate::shared::layers::Blocks as _;
use crate::shared::place;
use crate::shared::shape::Reach as _;
use crate::shared::users::Users;
use crate::tree::{EntryId, Meta, Mode, Tree};
use std::sync::Arc;

/// A node's blocks start at a multiple of this many (64 KiB), so that the
/// base's last cluster of an image is the same for all nodes.
const ALIGN: u64 = 4;
/// First block of the base: before it is room for super block and roots.
const START: u64 = 16;
/// Bytes from the start of a worm to its base.
pub const DATA_OFFSET: u64 = START * BLOCK as u64;
/// The roots, and where the next dump's super block goes.
const ROOT: u64 = 3;
const DUMP_ROOT: u64 = 4;
const NEXT: u64 = 5;

impl Entries for Form {
    const NAME: &'static str = "cwfs64x";
    const SLOTS: usize = SLOTS;
    const MAX_NAME: usize = MAX_NAME;
    const MAX_FILE: u64 = {
        let reach = Self::MAX_DATA.saturating_mul(PAYLOAD as u64);
        if reach < i64::MAX as u64 { reach } else { i64::MAX as u64 }
    };
    const ROOT_QID: u64 = ROOT_PATH;
    const FIRST_QID: u64 = QIDGEN + 1;
    type Dentry = [u8; DENTRY];

    fn mark(qid: u64) -> u64 {
        qid
    }

    fn dentry(of: &Described<'_>) -> [u8; DENTRY] {
        let mut d = Dentry::new(of.name, of.qid, &of.entry.meta, of.ids);
        d.size = of.entry.len();
        d.pointers = of.placed.pointers::<Self, _>();
        d.write()
    }
}

/// The part of a layout that depends on the medium alone; shared by all nodes
/// with the same users.
pub struct Base(Arc<entries::Base<Form>>);

/// Options of a volume. Lengths are those of partitions, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the partition of the cache, in bytes.
    pub cache: u64,
    /// Length of the partition of the worm, in bytes.
    pub worm: u64,
    /// Length of the plain partition `other`, in bytes.
    pub other: u64,
    /// The text of the configuration.
    pub config: String,
    /// Time of what the medium does not have, in seconds since 1970-01-01 UTC.
    pub epoch: u32,
}

/// The three partitions of one node.
pub struct Cwfs {
    /// Partition of the cache, `fscache`: empty, so all is read from the worm.
    pub cache: Cache,
    /// Partition of the worm, `fsworm`: the files.
    pub worm: Worm,
    /// Partition of the plain file system, `other`.
    pub other: Other,
}

/// The numbers of the users of a tree: its `/adm/users`.
///
/// # Errors
/// Fails when that file cannot be read.
pub fn users(tree: &Tree) -> Result<Users, LayoutError> {
    FILE.of(tree).map_err(|e| LayoutError::Users(e.to_string()))
}

impl Base {
    /// Gives every file and directory of a medium its place.
    ///
    /// # Errors
    /// Fails when cwfs64x cannot hold a name, an owner, a file or all of them.
    pub fn layout(tree: &Arc<Tree>, users: &Users) -> Result<Self, LayoutError> {
        Ok(Self(Arc::new(entries::Base::layout(tree, users, START)?)))
    }

    /// Tells bases of one process apart; see [`crate::read_at::Origin`].
    pub fn number(&self) -> u64 {
        self.0.number()
    }
}

impl Cwfs {
    /// Gives what `tree` adds to or changes in `base` its place. `tree` is
    /// the base's own tree, or an overlay of it.
    ///
    /// # Errors
    /// Fails when cwfs64x cannot hold a name, an owner or a file, a partition
    /// is too small, or the configuration is not one for them.
    pub fn layout(base: &Arc<Base>, tree: &Arc<Tree>, options: &Options) -> Result<Self, LayoutError> {
        check_config(&options.config)?;
        let base = &base.0;
        if !place::is_over(tree, &base.tree) {
            return Err(LayoutError::OtherBase);
        }
        let (b, next) = base.node(tree, ALIGN)?;
        if next > MAX_PATH {
            return Err(LayoutError::TooManyFiles);
        }
        let root = b.root()?;
        let mut area = b.area;
        area.finish();
        let fsize = area.end();
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
        let blocks = Overlaid::new(base, tree, area);
        let worm = Worm { blocks, len: options.worm, superblock, roots: [root, dump_root] };
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
        return wrong(format!("it has {}, but fstype(8) reads {FSTYPE}", count::of(text.len(), "byte")));
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
    let b = Builder::<Form>::alone(&out, users, super::format::ROOT_AT + 1)?;
    let root = b.root()?;
    let mut area = b.area;
    area.finish();
    let qidgen = Form::qid(EntryId(out.len() as u32 - 1));
    Other::new(area, out, root, qidgen, options.other)
}
