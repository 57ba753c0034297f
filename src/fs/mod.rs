//! File systems: each is written from a [`crate::tree::Tree`] as a volume that
//! answers [`crate::ReadAt::read_at`], and each is read back through
//! [`FileSystem`].

pub mod cwfs;
pub mod fat;
pub mod fossil;
pub mod gefs;
pub mod hjfs;
mod shared;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod venti;
mod walk;

pub use shared::refused::Refused;
pub use walk::walk;

use crate::read_at::ReadAt;
use crate::tree::Meta;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Why a volume cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(
        "No file system that p9img knows: neither FAT ({fat}) nor fossil ({fossil}) nor venti ({venti}) nor hjfs ({hjfs}) nor gefs ({gefs}) nor cwfs64x ({cwfs})"
    )]
    Unknown {
        fat: Box<fat::OpenError>,
        fossil: fossil::OpenError,
        venti: venti::OpenError,
        hjfs: Box<hjfs::OpenError>,
        gefs: Box<gefs::OpenError>,
        cwfs: Box<cwfs::OpenError>,
    },
    #[error("This was a FAT volume, but its boot sector is damaged")]
    Fat(#[source] fat::OpenError),
    #[error("This was a fossil volume, but it is damaged")]
    Fossil(#[source] fossil::OpenError),
    #[error("This was a partition of a venti, but it is damaged")]
    Venti(#[source] venti::OpenError),
    #[error("This was an hjfs volume, but it is damaged")]
    Hjfs(#[source] hjfs::OpenError),
    #[error("This was a gefs volume, but it is damaged")]
    Gefs(#[source] gefs::OpenError),
    #[error("This was a partition of a cwfs64x, but it is damaged, or another of its partitions is")]
    Cwfs(#[source] cwfs::OpenError),
}

/// Partitions that Plan 9's installers name after the file system in them: one
/// of these without any is damaged, or was never formatted.
pub const PARTITIONS: [&str; 6] = ["9fat", "fossil", "fs", "fscache", "fsworm", "other"];

/// Finds another partition of the same disk by its name.
pub type Beside<'a> = dyn Fn(&str) -> Option<Arc<dyn ReadAt>> + 'a;

/// For what lies on no disk, and has nothing beside it.
///
/// Returns `None` for every name.
pub fn alone(_name: &str) -> Option<Arc<dyn ReadAt>> {
    None
}

/// A number for what volumes share ([`crate::read_at::Origin`]); within this
/// process no two are the same.
pub(crate) fn base_number() -> u64 {
    static BASES: AtomicU64 = AtomicU64::new(0);
    BASES.fetch_add(1, Ordering::Relaxed)
}

/// Opens a volume of any kind. `partition_lba` is where it begins on its disk,
/// in sectors, if that is known; some checks need it. `beside` finds the disk's
/// other partitions, of which some file systems need one more ([`alone`]).
///
/// # Errors
/// When it is no file system that p9img knows, damaged, or unreadable.
pub fn open(
    source: Arc<dyn ReadAt>,
    partition_lba: Option<u64>,
    beside: &Beside<'_>,
) -> Result<Box<dyn FileSystem>, OpenError> {
    // Three blocks of a cwfs64x carry tags at their ends.
    let cwfs = match cwfs::open(source.clone(), beside) {
        Ok(cwfs) => return Ok(Box::new(cwfs)),
        Err(e) if e.was_cwfs() => return Err(OpenError::Cwfs(e)),
        Err(e) => Box::new(e),
    };
    // hjfs has its magic in the first bytes, where no boot sector has these.
    let hjfs = match hjfs::open(source.clone()) {
        Ok(hjfs) => return Ok(Box::new(hjfs)),
        Err(e @ hjfs::OpenError::Super { .. }) => return Err(OpenError::Hjfs(e)),
        Err(e) => Box::new(e),
    };
    // So has gefs.
    let gefs = match gefs::open(source.clone()) {
        Ok(gefs) => return Ok(Box::new(gefs)),
        Err(e @ gefs::OpenError::Super { .. }) => return Err(OpenError::Gefs(e)),
        Err(e) => Box::new(e),
    };
    // A fossil begins with 127 KiB that it does not use, where a boot sector
    // may be; a FAT volume seldom has fossil's magic at 128 KiB.
    let fossil = match fossil::open(source.clone()) {
        Ok(fossil) => return Ok(Box::new(fossil)),
        Err(e) => e,
    };
    // Venti leaves the place of a boot sector alone, too.
    let venti = match venti::open(source.clone()) {
        Ok(venti) => return Ok(Box::new(venti)),
        Err(e) => e,
    };
    match (fat::FatFs::open(source, partition_lba), fossil, venti) {
        (Ok(fat), ..) => Ok(Box::new(fat)),
        (_, fossil @ fossil::OpenError::Super { .. }, _) => Err(OpenError::Fossil(fossil)),
        (.., venti) if venti.was_venti() => Err(OpenError::Venti(venti)),
        (Err(fat), ..) if fat.was_fat() => Err(OpenError::Fat(fat)),
        (Err(fat), fossil, venti) => Err(OpenError::Unknown { fat: Box::new(fat), fossil, venti, hjfs, gefs, cwfs }),
    }
}

/// A file or directory of an opened file system.
#[derive(Clone, Debug)]
pub struct Node {
    /// Raw bytes of the last path element; empty for the root.
    pub name: Vec<u8>,
    pub meta: Meta,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
    /// Qid path where the format has one.
    pub qid: Option<u64>,
    /// The format's own way back to this node; means nothing elsewhere.
    pub handle: [u64; 4],
}

impl Node {
    /// Refuses a file where a directory is asked for.
    fn need_dir(&self) -> io::Result<()> {
        match self.meta.mode.is_dir() {
            true => Ok(()),
            false => Err(self.other(io::ErrorKind::NotADirectory, "a file")),
        }
    }

    /// Refuses a directory where a file is asked for.
    fn need_file(&self) -> io::Result<()> {
        match self.meta.mode.is_dir() {
            true => Err(self.other(io::ErrorKind::IsADirectory, "a directory")),
            false => Ok(()),
        }
    }

    fn other(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        io::Error::new(kind, format!("{} is {what}", String::from_utf8_lossy(&self.name)))
    }
}

/// Something wrong that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A short, stable word for the kind of damage, such as `label-tag`.
    pub kind: &'static str,
    /// What, where, expected and found, in one sentence without a full stop.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.kind)
    }
}

/// A file system opened for reading. Never panics and never uses memory
/// without bound, whatever the bytes.
pub trait FileSystem: Send + Sync {
    /// `fat`, `fossil`, `gefs`, `hjfs`, or which of the parts of a venti or of a
    /// cwfs64x it is.
    fn kind(&self) -> &'static str;
    /// The root directory.
    ///
    /// # Errors
    /// `InvalidData` for a damaged image.
    fn root(&self) -> io::Result<Node>;
    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// `InvalidData` for a damaged image; `NotADirectory` for a file.
    fn children(&self, dir: &Node) -> io::Result<Vec<Node>>;
    /// Reads up to `buf.len()` bytes at `offset` of a file; returns how many,
    /// 0 at the end.
    ///
    /// # Errors
    /// `InvalidData` for a damaged image; `IsADirectory` for a directory.
    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Verifies every invariant of the format and reports each violation.
    ///
    /// # Errors
    /// Only when the image itself cannot be read.
    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()>;
    /// Prints the format's structures as text, for people.
    ///
    /// # Errors
    /// When the image cannot be read or `out` not written.
    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()>;
    /// Finds a node by its path from the root.
    ///
    /// # Errors
    /// `NotFound` when there is none; else as [`FileSystem::children`].
    fn find(&self, path: &[u8]) -> io::Result<Node> {
        let mut node = self.root()?;
        for name in path.split(|b| *b == b'/').filter(|e| !e.is_empty()) {
            let children = self.children(&node)?;
            node = children.into_iter().find(|c| self.same_name(&c.name, name)).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("No {:?} in {}", String::from_utf8_lossy(name), String::from_utf8_lossy(path)),
                )
            })?;
        }
        Ok(node)
    }
    /// Whether two names mean the same file (FAT ignores case).
    fn same_name(&self, a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}
