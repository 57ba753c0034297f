//! A way to start a node from its disk, and the facts and files that it can ask for.

use super::super::error::AssembleError;
use crate::fs::fat::{self, Fat, FatFile};
use crate::lab::words::Word as _;
use crate::lab::{Arch, Node};
use crate::media::Medium;
use crate::media::firmware::Firmware;
use crate::read_at::{Origin, ReadAt};
use crate::render::{Catalog, Rendered};
use crate::root::Bases;
use crate::tree::Content;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

/// A way to start from a disk.
pub(in crate::assemble) struct BootKind {
    /// Name of the FAT partition that it starts from.
    pub name: &'static str,
    /// Entry of that partition in the MBR; none: it is the first in Plan 9's
    /// partition, 9fat.
    pub in_mbr: Option<InMbr>,
    pub lay_out: fn(&BootJob<'_>, Sectors) -> Result<Fat, AssembleError>,
    /// Code that firmware runs from the MBR, if it runs any.
    pub mbr_code: Option<MbrCode>,
}

/// Reads a node's code for the MBR.
pub(in crate::assemble) type MbrCode = fn(&BootJob<'_>) -> Result<Vec<u8>, AssembleError>;

/// A partition in the MBR.
#[derive(Clone, Copy)]
pub(in crate::assemble) struct InMbr {
    /// Type of the partition.
    pub kind: u8,
    /// Whether firmware starts from the active partition, so that this must be it.
    pub active: bool,
}

/// Sectors of the whole disk that a partition has.
#[derive(Clone, Copy)]
pub(in crate::assemble) struct Sectors {
    pub start: u32,
    pub count: u32,
}

impl Sectors {
    /// `count` sectors from `start` on. Numbers that FAT and the MBR cannot hold become
    /// the largest that they can.
    pub fn new(start: u64, count: u64) -> Self {
        let address = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: address(start), count: address(count) }
    }
}

/// A file of the medium, which all nodes that start from it have.
struct OfMedium {
    content: Content,
    number: u64,
}

impl ReadAt for OfMedium {
    fn len(&self) -> u64 {
        self.content.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.content.read_at(offset, buf)
    }
    fn origin(&self, offset: u64, _len: u64) -> Option<Origin> {
        Some(Origin { base: self.number, offset })
    }
}

/// One node that is to start.
pub(in crate::assemble) struct BootJob<'a> {
    pub node: &'a Node,
    pub rendered: &'a Rendered,
    /// The whole medium: boot files come from it, even if the lab's patterns leave
    /// them out.
    pub medium: &'a Medium,
    pub catalog: &'a Catalog,
    /// Firmware for the lab's Pis.
    pub firmware: Option<&'a Firmware>,
    /// Numbers of the files of the medium.
    pub bases: &'a Bases,
    /// Time of the files that p9img makes, in seconds since 1970.
    pub epoch: u32,
}

impl BootJob<'_> {
    pub fn node_name(&self) -> String {
        self.node.name.clone()
    }

    /// Kernel of the node as a file of the partition, where the distribution has
    /// kernels.
    pub fn kernel(&self) -> Result<Option<FatFile>, AssembleError> {
        self.rendered.boot.kernel.as_ref().map(|path| self.file(path)).transpose()
    }

    pub fn plan9_ini(&self) -> FatFile {
        self.text("plan9.ini", &self.rendered.plan9_ini)
    }

    /// A rendered file of the partition.
    pub fn text(&self, name: &str, text: &str) -> FatFile {
        FatFile::new(name, Content::bytes(text.as_bytes()), self.epoch)
    }

    /// File of the medium under the last part of its path.
    pub fn file(&self, path: &str) -> Result<FatFile, AssembleError> {
        let (mtime, content) = self.content(path)?;
        let last = path.rsplit('/').next().unwrap_or(path);
        let Ok(number) =
            self.bases.once(&self.medium.tree, &format!("file {path}"), || Ok::<_, Infallible>(Origin::unique().base));
        let len = content.len();
        let content = Content::Part { source: Arc::new(OfMedium { content, number: *number }), offset: 0, len };
        Ok(FatFile::new(last, content, mtime))
    }

    /// Modification time and content of a file of the medium.
    pub fn content(&self, path: &str) -> Result<(u32, Content), AssembleError> {
        let tree = &self.medium.tree;
        let entry = tree.find(path.as_bytes()).map(|id| tree.entry(id));
        entry.and_then(|e| Some((e.meta.mtime, e.content()?.clone()))).ok_or_else(|| AssembleError::NoBootFile {
            medium: self.medium.name.clone(),
            path: path.into(),
            node: self.node_name(),
            instead: self.instead(path),
        })
    }

    /// Bytes of a file of the medium, which is at `path`.
    pub fn read(&self, path: &str, content: &Content) -> Result<Vec<u8>, AssembleError> {
        content.read_all().map_err(|source| AssembleError::Read { path: path.into(), source })
    }

    /// A FAT partition of the MBR, which no boot sector starts from.
    pub fn plain_fat(&self, files: &[FatFile], at: Sectors) -> Result<Fat, fat::LayoutError> {
        let options = fat::Options { reserved: 1, ..fat::Options::hard_disk(at.count, at.start, self.epoch) };
        Fat::layout(files, &options)
    }

    /// Ways out for a boot file that the medium lacks.
    fn instead(&self, path: &str) -> String {
        let Self { node, medium, catalog, .. } = self;
        let mut ways = Vec::new();
        let kind = catalog.kernel(node).ok().flatten();
        let kernel = |machine: &str| {
            let distribution = medium.distribution.name();
            kind.and_then(|kind| catalog.kernel_file(distribution, kind, machine).ok().flatten())
        };
        let has = |path: &str| medium.tree.find(path.as_bytes()).is_some();
        if kernel(node.kernel_name()) == Some(path) {
            let others =
                Arch::WORDS.iter().filter(|(_, arch)| node.board.spec().fixed.arch.is_none() && *arch != node.arch);
            for (word, there) in others.filter_map(|(word, _)| Some((word, kernel(word).filter(|p| has(p))?))) {
                ways.push(format!("set arch = \"{word}\", for which it has {there}"));
            }
            if has("sys/src/9") {
                ways.push("build it from its sys/src/9".into());
            }
        }
        ways.push("take a medium that has it, such as a release's ISO or disk image".into());
        ways.join(", or ")
    }
}
