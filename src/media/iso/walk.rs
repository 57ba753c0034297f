//! Going through the directories of an image.
//!
//! Two rules keep a hostile image harmless: every directory and every file has
//! bytes of its own (files may share all of them, which is how images store
//! equal files once), so a directory is read once and an image yields no more
//! entries than it has room for; and no path is deeper than a tree can be.

use super::error::{IsoError, shown};
use super::format::{Extent, FLAG_ASSOCIATED, FLAG_MORE, Record, SECTOR, Volume, read};
use super::list::Described;
use super::susp::RockRidge;
use super::taken::Taken;
use super::{names, plan9};
use crate::media::{Attributes, PathError};
use crate::pieces::{Pieces, Source};
use crate::read_at::ReadAt;
use crate::tree::Content;
use std::sync::Arc;

/// Deeper than a tree can be.
const MAX_DEPTH: usize = 300;

/// One file or directory of the image.
pub struct Node {
    pub parent: u32,
    pub name: Vec<u8>,
    pub attributes: Attributes,
    pub kind: Kind,
}

pub enum Kind {
    Dir,
    File(Content),
    /// A symbolic link with its target.
    Link(Vec<u8>),
    /// Of no use outside of the image.
    Hidden,
}

/// Everything below a root, which is number 0; parents come before children.
pub struct Nodes {
    pub all: Vec<Node>,
    /// First byte after the last directory.
    pub end: u64,
}

impl Nodes {
    /// A node's path, for people.
    pub fn path(&self, mut node: u32) -> String {
        let mut names = Vec::new();
        while node != 0 {
            let Node { parent, name, .. } = &self.all[node as usize];
            names.push(&**name);
            node = *parent;
        }
        names.push(b"");
        names.reverse();
        if names.len() == 1 { "/".into() } else { shown(&names.join(&b'/')) }
    }
}

pub struct Walk<'a> {
    image: &'a Arc<dyn ReadAt>,
    volume: &'a Volume,
    described: Described,
    boot_catalog: Option<u32>,
    owners: plan9::Owners,
    nodes: Nodes,
    taken: Taken,
    /// Directories to read, and how deep they are.
    todo: Vec<(u32, Extent, usize)>,
    /// Directories that only hold what was moved there from elsewhere.
    stores: Vec<u32>,
}

/// A directory while its records are read.
struct Dir {
    node: u32,
    path: String,
    depth: usize,
    /// Identifier and extents of a file whose next record continues it.
    open: Option<(Vec<u8>, Vec<Extent>)>,
}

impl<'a> Walk<'a> {
    pub fn new(
        image: &'a Arc<dyn ReadAt>,
        volume: &'a Volume,
        described: Described,
        boot_catalog: Option<u32>,
    ) -> Self {
        let root =
            Node { parent: 0, name: Vec::new(), attributes: Attributes::Unix { executable: true }, kind: Kind::Dir };
        Self {
            image,
            volume,
            described,
            boot_catalog,
            owners: plan9::Owners::default(),
            nodes: Nodes { all: vec![root], end: 0 },
            taken: Taken::default(),
            todo: Vec::new(),
            stores: Vec::new(),
        }
    }

    /// Reads the directory `root` and all below it.
    ///
    /// # Errors
    /// The first damage.
    pub fn run(mut self, root: Extent) -> Result<Nodes, IsoError> {
        self.todo.push((0, root, 0));
        while let Some((node, extent, depth)) = self.todo.pop() {
            self.directory(node, extent, depth)?;
        }
        let mut used = vec![false; self.nodes.all.len()];
        self.nodes.all.iter().for_each(|n| used[n.parent as usize] = true);
        for store in self.stores.into_iter().filter(|s| !used[*s as usize]) {
            self.nodes.all[store as usize].kind = Kind::Hidden;
        }
        Ok(self.nodes)
    }

    fn directory(&mut self, node: u32, extent: Extent, depth: usize) -> Result<(), IsoError> {
        let path = self.nodes.path(node);
        if depth > MAX_DEPTH {
            return Err(IsoError::Path { path, why: PathError::Deep });
        }
        let (mut at, end) = self.take(node, extent, false)?;
        self.nodes.end = self.nodes.end.max(end);
        let mut dir = Dir { node, path, depth, open: None };
        let mut sector = [0; SECTOR as usize];
        while at < end {
            let len = (end - at).min(SECTOR - at % SECTOR);
            let sector = &mut sector[..len as usize];
            read(self.image, at, sector)?;
            let mut from = 0;
            // Zeros fill a sector whose rest has no room for the next record.
            while sector.get(from).is_some_and(|b| *b != 0) {
                let byte = at + from as u64;
                let record = Record::parse(&sector[from..]).map_err(|why| IsoError::Record {
                    path: dir.path.clone(),
                    at: byte,
                    why,
                })?;
                if !record.is_dot() && record.flags() & FLAG_ASSOCIATED == 0 {
                    self.record(&mut dir, &record, byte)?;
                }
                from += record.len();
            }
            at += len;
        }
        match dir.open {
            None => Ok(()),
            Some(_) => Err(IsoError::Record { path: dir.path, at: end, why: "the rest of its last file is missing" }),
        }
    }

    fn record(&mut self, dir: &mut Dir, record: &Record<'_>, at: u64) -> Result<(), IsoError> {
        let damaged = |why| IsoError::Record { path: dir.path.clone(), at, why };
        let extent = record.extent(&dir.path)?;
        let mut extents = match dir.open.take() {
            None => Vec::new(),
            Some((name, extents)) if name == record.name => extents,
            Some(_) => return Err(damaged("it does not continue the file before it")),
        };
        extents.push(extent);
        if record.flags() & FLAG_MORE != 0 && !record.is_dir() {
            dir.open = Some((record.name.to_vec(), extents));
            return Ok(());
        }
        if Some(extent.block) == self.boot_catalog && !record.is_dir() {
            return Ok(());
        }

        let is_dir = record.is_dir();
        let unix = Attributes::Unix { executable: is_dir };
        let plain = || names::plain(record.name, is_dir);
        let (name, attributes, what) = match self.described {
            Described::Plan9 { verbatim } => {
                let fields = plan9::fields(record, &mut self.owners, &dir.path, at)?;
                let own = || if verbatim { record.name.to_vec() } else { record.name.to_ascii_lowercase() };
                let name = fields.name.map_or_else(own, <[u8]>::to_vec);
                (name, Attributes::Plan9(fields.meta), What::plain(is_dir))
            }
            Described::RockRidge(rock) => {
                let (name, executable, what) = self.rock_ridge(rock, dir, record, at)?;
                (name.unwrap_or_else(plain), Attributes::Unix { executable: executable || is_dir }, what)
            }
            Described::Utf8 => (record.name.to_vec(), unix, What::plain(is_dir)),
            Described::Joliet => {
                let name = names::joliet(record.name, is_dir).ok_or_else(|| damaged("its name is not Unicode"))?;
                (name, unix, What::plain(is_dir))
            }
            Described::Plain => (plain(), unix, What::plain(is_dir)),
        };
        self.add(dir, record, extents, name, attributes, what)
    }

    /// Name, whether it can be executed, and what it is.
    fn rock_ridge(
        &mut self,
        rock: RockRidge,
        dir: &Dir,
        record: &Record<'_>,
        at: u64,
    ) -> Result<(Option<Vec<u8>>, bool, What), IsoError> {
        let fields = rock.fields(self.image, self.volume, record, &dir.path, at)?;
        let executable = fields.executable();
        let what = if fields.moved {
            if self.stores.last() != Some(&dir.node) {
                self.stores.push(dir.node);
            }
            What::Elsewhere
        } else if let Some(kind) = fields.special() {
            What::Special(kind)
        } else if let Some(block) = fields.child {
            What::Dir(Some(block))
        } else if let Some(target) = fields.link {
            What::Link(target)
        } else if fields.compressed {
            What::Compressed
        } else {
            What::plain(record.is_dir())
        };
        Ok((fields.name, executable, what))
    }

    fn add(
        &mut self,
        dir: &Dir,
        record: &Record<'_>,
        extents: Vec<Extent>,
        name: Vec<u8>,
        attributes: Attributes,
        what: What,
    ) -> Result<(), IsoError> {
        if matches!(what, What::Elsewhere) {
            return Ok(());
        }
        let slash = name.contains(&b'/');
        let node = self.nodes.all.len() as u32;
        self.nodes.all.push(Node { parent: dir.node, name, attributes, kind: Kind::Dir });
        let path = |nodes: &Nodes| nodes.path(node);
        if slash {
            return Err(IsoError::Slash { path: path(&self.nodes) });
        }
        self.nodes.all[node as usize].kind = match what {
            What::Dir(moved) => {
                let extent = match moved {
                    Some(block) => self.own_record(node, block)?,
                    None => extents[0],
                };
                self.todo.push((node, extent, dir.depth + 1));
                Kind::Dir
            }
            What::File if record.is_interleaved() => {
                return Err(IsoError::Interleaved { path: path(&self.nodes) });
            }
            What::File => Kind::File(self.content(node, &extents)?),
            What::Link(target) => Kind::Link(target),
            What::Special(kind) => return Err(IsoError::Special { path: path(&self.nodes), kind }),
            What::Compressed => return Err(IsoError::Compressed { path: path(&self.nodes) }),
            What::Elsewhere => Kind::Hidden,
        };
        Ok(())
    }

    /// The extent of the directory that begins at `block`, from its record of
    /// itself.
    fn own_record(&self, node: u32, block: u32) -> Result<Extent, IsoError> {
        let at = u64::from(block) * u64::from(self.volume.block);
        let mut sector = vec![0; self.image.len().saturating_sub(at).min(SECTOR) as usize];
        let path = self.nodes.path(node);
        read(self.image, at, &mut sector)?;
        Record::parse(&sector).map_err(|why| IsoError::Record { path: path.clone(), at, why })?.extent(&path)
    }

    /// The bytes of a file: one part of the image where its extents follow
    /// each other.
    fn content(&mut self, node: u32, extents: &[Extent]) -> Result<Content, IsoError> {
        let mut parts: Vec<(u64, u64)> = Vec::new();
        for extent in extents.iter().filter(|e| e.len > 0) {
            let (start, end) = self.take(node, *extent, true)?;
            match parts.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => parts.push((start, end)),
            }
        }
        let part =
            |(start, end): (u64, u64)| Content::Part { source: self.image.clone(), offset: start, len: end - start };
        Ok(match parts[..] {
            [] => Content::bytes(Vec::new()),
            [one] => part(one),
            _ => {
                let len = parts.iter().map(|(start, end)| end - start).sum();
                let mut pieces = Pieces::new(len);
                let mut at = 0;
                for one in parts {
                    pieces.put(at, Source::Content(part(one)));
                    at += one.1 - one.0;
                }
                Content::Part { source: Arc::new(pieces), offset: 0, len }
            }
        })
    }

    /// Makes the bytes of `extent` those of `node`; returns where they begin
    /// and end.
    fn take(&mut self, node: u32, extent: Extent, is_file: bool) -> Result<(u64, u64), IsoError> {
        let start = u64::from(extent.block) * u64::from(self.volume.block);
        let end = start + u64::from(extent.len);
        if end > self.image.len() {
            return Err(IsoError::Beyond { path: self.nodes.path(node), start, end, len: self.image.len() });
        }
        self.taken.take(start, end, node, is_file).map_err(|(other, at)| IsoError::Overlap {
            path: self.nodes.path(node),
            other: self.nodes.path(other),
            at,
        })?;
        Ok((start, end))
    }
}

/// Kind of a record.
enum What {
    File,
    /// With the first block of its own record when it was moved.
    Dir(Option<u32>),
    Link(Vec<u8>),
    Special(&'static str),
    Compressed,
    /// Its place in the tree is another record's.
    Elsewhere,
}

impl What {
    fn plain(is_dir: bool) -> Self {
        if is_dir { Self::Dir(None) } else { Self::File }
    }
}
