//! Walking a whole hierarchy of an opened file system, also of a hostile one.
//!
//! No file system here has a directory in two places, so one that turns up
//! again is damage; without that rule a small image could describe a hierarchy
//! without end.

use super::{FileSystem, Node};
use crate::error::damaged;
use crate::shown;
use std::collections::BTreeSet;
use std::io;

/// Deeper than any real hierarchy.
const MAX_DEPTH: usize = 1000;

/// Callback for each entry: its path and itself.
pub(crate) type Visit<'a, E> = dyn FnMut(&[u8], &Node) -> Result<(), E> + 'a;

/// Calls `visit` for everything below `dir` with the path elements from `dir`
/// (names joined by `/`), parents before children, names ascending.
///
/// # Errors
/// Errors of `visit`; `InvalidData` for a directory that turns up twice or
/// lies too deep; else as [`FileSystem::children`].
pub fn walk<E: From<io::Error>>(fs: &dyn FileSystem, dir: &Node, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let mut seen = BTreeSet::from([dir.handle[0]]);
    below(fs, dir, &mut Vec::new(), &mut seen, 0, visit)
}

fn below<E: From<io::Error>>(
    fs: &dyn FileSystem,
    dir: &Node,
    path: &mut Vec<u8>,
    seen: &mut BTreeSet<u64>,
    depth: usize,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let damaged = |what: &str, path: &[u8]| damaged(format!("/{}: {what}", shown::name(path)));
    if depth > MAX_DEPTH {
        return Err(damaged("directories are nested deeper than 1000: the image is damaged", &[]).into());
    }
    let children = fs.children(dir).map_err(|e| io::Error::new(e.kind(), format!("/{}: {e}", shown::name(path))))?;
    for child in children {
        let keep = path.len();
        if keep > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(&child.name);
        visit(path, &child)?;
        if child.meta.mode.is_dir() {
            if !seen.insert(child.handle[0]) {
                return Err(damaged("this directory is in two places: the image is damaged", path).into());
            }
            below(fs, &child, path, seen, depth + 1, visit)?;
        }
        path.truncate(keep);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;
    use crate::tree::{Meta, Mode};

    /// Every directory holds `a` and `b`; `fresh` makes each a new one.
    struct Endless {
        fresh: bool,
    }

    impl FileSystem for Endless {
        fn kind(&self) -> &'static str {
            "endless"
        }
        fn root(&self) -> io::Result<Node> {
            let meta = Meta::new(Mode::dir(0o775), "sys", "sys", 0);
            Ok(Node { name: Vec::new(), meta, len: 0, qid: None, handle: [1, 0, 0, 0] })
        }
        fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
            let node = |name: &[u8], handle| Node { name: name.to_vec(), handle: [handle, 0, 0, 0], ..dir.clone() };
            let id = dir.handle[0];
            Ok(if self.fresh { vec![node(b"a", id + 1)] } else { vec![node(b"a", 2), node(b"b", 1)] })
        }
        fn read(&self, _: &Node, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
        fn check(&self, _: &mut dyn FnMut(Finding)) -> io::Result<()> {
            Ok(())
        }
        fn dump(&self, _: &mut dyn io::Write) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn loops_and_bottomless_hierarchies_end() {
        for (fresh, words) in [(false, "/a/a: this directory is in two places"), (true, "deeper than 1000")] {
            let fs = Endless { fresh };
            let root = fs.root().unwrap();
            let e = walk::<io::Error>(&fs, &root, &mut |_, _| Ok(())).unwrap_err();
            assert!(e.to_string().contains(words), "{e}");
        }
    }
}
