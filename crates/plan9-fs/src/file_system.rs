//! The interface of every opened file system.

use crate::tree::Meta;
use crate::{Finding, shown};
use std::io;

/// A file or directory of an opened file system.
#[derive(Clone, Debug)]
pub struct Node {
    /// Raw bytes of the last path element; empty for the root.
    pub name: Vec<u8>,
    /// Mode, owners and time.
    pub meta: Meta,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
    /// Qid path where the format has one.
    pub qid: Option<u64>,
    /// The format's own way back to this node; means nothing elsewhere. Within
    /// one file system, directories differ in the first number.
    pub handle: [u64; 4],
}

impl Node {
    /// Refuses a file where a directory is asked for.
    pub(crate) fn need_dir(&self) -> io::Result<()> {
        match self.meta.mode.is_dir() {
            true => Ok(()),
            false => Err(self.other(io::ErrorKind::NotADirectory, "a file")),
        }
    }

    /// Refuses a directory where a file is asked for.
    pub(crate) fn need_file(&self) -> io::Result<()> {
        match self.meta.mode.is_dir() {
            true => Err(self.other(io::ErrorKind::IsADirectory, "a directory")),
            false => Ok(()),
        }
    }

    fn other(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        io::Error::new(kind, format!("{} is {what}", shown::name(&self.name)))
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
    /// Reads a part of a file, all of `buf`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; else as [`FileSystem::read`].
    fn read_exact(&self, file: &Node, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(file, offset, buf)? {
                0 => {
                    let text = format!("the file ends at byte {offset}");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
    /// Whether [`FileSystem::check`] verifies the files' contents, too, which it
    /// can where the format has digests of them.
    fn verifies_contents(&self) -> bool {
        false
    }
    /// Verifies every invariant of the format and reports each violation.
    ///
    /// # Errors
    /// Only when the image itself cannot be read.
    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()>;
    /// Prints the format's structures as text, for people.
    ///
    /// # Errors
    /// Fails when the image cannot be read or `out` not written.
    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()>;
    /// Finds a node by its path from the root.
    ///
    /// # Errors
    /// `NotFound` when there is none; else as [`FileSystem::children`].
    fn find(&self, path: &[u8]) -> io::Result<Node> {
        let mut node = self.root()?;
        let mut above = String::new();
        for name in path.split(|b| *b == b'/').filter(|e| !e.is_empty()) {
            let children = self.children(&node)?;
            let shown = shown::name(name);
            node = children.into_iter().find(|c| self.same_name(&c.name, name)).ok_or_else(|| {
                let above = if above.is_empty() { "/" } else { &above };
                io::Error::new(io::ErrorKind::NotFound, format!("There is no {shown:?} in {above}"))
            })?;
            above = format!("{above}/{shown}");
        }
        Ok(node)
    }
    /// Whether two names mean the same file (FAT ignores case).
    fn same_name(&self, a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}
