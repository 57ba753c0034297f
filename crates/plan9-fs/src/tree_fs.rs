//! A tree as a file system: so that a medium can be looked into like an image.

use super::{FileSystem, Finding, Node};
use crate::tree::{Entry, EntryId, Tree};
use std::io;
use std::sync::Arc;

/// A [`Tree`] with the interface of an opened file system.
pub struct TreeFs {
    tree: Arc<Tree>,
}

impl TreeFs {
    /// File system with the entries of a tree.
    pub fn new(tree: Arc<Tree>) -> Self {
        Self { tree }
    }

    fn entry(&self, node: &Node) -> (EntryId, &Entry) {
        let id = EntryId(node.handle[0] as u32);
        (id, self.tree.entry(id))
    }

    fn node(&self, id: EntryId) -> Node {
        let e = self.tree.entry(id);
        let handle = [u64::from(id.0), 0, 0, 0];
        Node { name: e.name.to_vec(), meta: e.meta.clone(), len: e.len(), qid: None, handle }
    }
}

impl FileSystem for TreeFs {
    fn kind(&self) -> &'static str {
        "tree"
    }
    fn root(&self) -> io::Result<Node> {
        Ok(self.node(EntryId::ROOT))
    }
    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        let (_, entry) = self.entry(dir);
        if !entry.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(entry.children().iter().map(|c| self.node(*c)).collect())
    }
    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let content = self.entry(file).1.content().ok_or(io::ErrorKind::IsADirectory)?;
        let n = content.len().saturating_sub(offset).min(buf.len() as u64) as usize;
        content.read_at(offset, &mut buf[..n]).map(|()| n)
    }
    fn check(&self, _report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        // A tree has no bytes of its own that could be damaged.
        Ok(())
    }
    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        for (id, e) in self.tree.paths().iter().zip(self.tree.entries()) {
            writeln!(out, "{} {} {} {} {} {id}", e.meta.mode, e.meta.uid, e.meta.gid, e.meta.mtime, e.len())?;
        }
        Ok(())
    }
}
