//! Listing of a container, and the tree that is made from it.
//!
//! Every reader of a medium (folder, archive, image) fills a [`Listing`] in
//! whatever order its container has; the tree depends on the paths alone.

use super::Distribution;
use super::metadata::Database;
use crate::leftovers::{Leftovers, twin};
use crate::tree::{Content, EntryId, Meta, Mode, Tree};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Longest name of one file in bytes; Plan 9's kernel sends names in a 9P
/// message with a 16-bit length, fossil and host file systems hold 255.
const MAX_NAME: usize = 255;
/// Deepest path in elements: more than any real tree has.
const MAX_DEPTH: usize = 256;

/// Reason why a path cannot be in a Plan 9 tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("it has a name longer than {MAX_NAME} bytes")]
    Long,
    #[error("a name in it has a control character")]
    Control,
    #[error("a name in it is not UTF-8")]
    NotUtf8,
    #[error("it leads out of the tree with `.` or `..` or begins with a slash")]
    Leaves,
    #[error("it is nested deeper than {MAX_DEPTH} directories")]
    Deep,
    #[error("it appears twice")]
    Twice,
    #[error("a folder in it is a file")]
    BelowFile,
    #[error("with it, the medium has more than {MOST} files, or more than {MOST_BYTES} bytes of names")]
    Many,
}

/// Files and directories of one medium: fifty times what real ones have. With
/// [`MOST_BYTES`] it bounds the memory that a hostile archive can claim.
pub const MOST: usize = 1 << 20;
/// Bytes of all their paths.
pub const MOST_BYTES: usize = 64 << 20;

/// Owner, mode and times of an entry, as far as its container has them.
#[derive(Clone, Debug)]
pub enum Attributes {
    /// Plan 9's own, complete: nothing else is asked.
    Plan9(Meta),
    /// A Unix archive's: complete, but the release's records know better. Where
    /// it has any, this is as [`Attributes::Unix`].
    Archive(Meta),
    /// A Unix container's: whether the owner may execute it. The release's
    /// records say the rest.
    Unix { executable: bool },
}

impl From<Meta> for Attributes {
    fn from(meta: Meta) -> Self {
        Self::Plan9(meta)
    }
}

impl Attributes {
    /// Whether the owner may execute it, as far as a Unix container knows.
    fn executable(&self) -> bool {
        match self {
            Self::Plan9(meta) | Self::Archive(meta) => meta.mode.perm() & 0o100 != 0,
            Self::Unix { executable } => *executable,
        }
    }

    /// Metadata that is complete even with no records of the release.
    fn own(self, database: Option<&Database>) -> Option<Meta> {
        match self {
            Self::Plan9(meta) => Some(meta),
            Self::Archive(meta) if database.is_none() => Some(meta),
            _ => None,
        }
    }
}

/// Files and directories by path, collected in any order.
#[derive(Debug, Default)]
pub struct Listing {
    root: Option<Attributes>,
    top: Dir,
    /// Files of other systems, which are not listed.
    leftovers: Leftovers,
}

#[derive(Debug, Default)]
struct Dir {
    children: BTreeMap<Vec<u8>, Slot>,
}

impl Dir {
    fn find(&self, path: &str) -> Option<&Slot> {
        let mut names = path.split('/');
        let last = names.next_back()?;
        let dir = names.try_fold(self, |dir, name| match dir.children.get(name.as_bytes()) {
            Some(Slot::Dir(_, below)) => Some(below),
            _ => None,
        })?;
        dir.children.get(last.as_bytes())
    }
}

impl Dir {
    /// Whether a file of it, or below, is executable, as far as the medium
    /// tells.
    fn any_executable(&self) -> bool {
        self.children.values().any(|slot| match slot {
            Slot::Dir(_, below) => below.any_executable(),
            Slot::File(attributes, _) => attributes.executable(),
        })
    }

    /// Removes empty files that macOS names after another file of the folder.
    fn drop_twins(&mut self, path: &mut Vec<u8>, leftovers: &mut Leftovers) {
        let empty = |slot: &Slot| matches!(slot, Slot::File(Attributes::Unix { .. } | Attributes::Archive(_), c) if c.is_empty());
        let is_twin =
            |name: &[u8], slot: &Slot| empty(slot) && twin(name).is_some_and(|of| self.children.contains_key(of));
        let gone: Vec<_> =
            self.children.iter().filter(|(name, slot)| is_twin(name, slot)).map(|(n, _)| n.clone()).collect();
        for name in gone {
            self.children.remove(&name);
            leftovers.insert([&path[..], &name].concat());
        }
        for (name, slot) in &mut self.children {
            if let Slot::Dir(_, below) = slot {
                let keep = path.len();
                path.extend_from_slice(name);
                path.push(b'/');
                below.drop_twins(path, leftovers);
                path.truncate(keep);
            }
        }
    }

    fn restore(&mut self) -> usize {
        self.children.values_mut().map(Slot::restore).sum()
    }
}

impl Slot {
    /// Whether it is a directory, and whether it is an executable file.
    fn kind(&self) -> (bool, bool) {
        match self {
            Self::Dir(..) => (true, false),
            Self::File(attributes, _) => (false, attributes.executable()),
        }
    }

    /// Makes files executable of which only a Unix container knew that bit.
    fn restore(&mut self) -> usize {
        match self {
            Self::Dir(_, below) => below.restore(),
            Self::File(Attributes::Unix { executable: bit @ false }, _) => {
                *bit = true;
                1
            }
            Self::File(Attributes::Archive(meta), _) if meta.mode.perm() & 0o111 == 0 => {
                meta.mode = Mode(meta.mode.0 | 0o111);
                1
            }
            Self::File(..) => 0,
        }
    }
}

#[derive(Debug)]
enum Slot {
    /// `None`: only named by what is below it.
    Dir(Option<Attributes>, Dir),
    File(Attributes, Content),
}

impl Listing {
    /// Gives the root directory attributes of its own.
    pub fn root(&mut self, attributes: impl Into<Attributes>) {
        self.root = Some(attributes.into());
    }

    /// Adds a directory; `path` has no leading slash. One that is there
    /// already, because of what is below it, gets these attributes.
    ///
    /// # Errors
    /// Fails when Plan 9 cannot hold the path, or a file is there.
    pub fn dir(&mut self, path: &[u8], attributes: Attributes) -> Result<(), PathError> {
        if !matches!(attributes, Attributes::Plan9(_)) && self.leftovers.takes(path) {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        match parent.children.entry(name).or_insert_with(|| Slot::Dir(None, Dir::default())) {
            Slot::Dir(known @ None, _) => *known = Some(attributes),
            Slot::Dir(Some(_), _) => {}
            Slot::File(..) => return Err(PathError::Twice),
        }
        Ok(())
    }

    /// Adds a file; `path` has no leading slash.
    ///
    /// # Errors
    /// Fails when Plan 9 cannot hold the path, or something is there already.
    pub fn file(&mut self, path: &[u8], attributes: Attributes, content: Content) -> Result<(), PathError> {
        let foreign = !matches!(attributes, Attributes::Plan9(_));
        if foreign && (self.leftovers.takes(path) || self.leftovers.takes_file(path, &content)) {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        match parent.children.entry(name) {
            Entry::Vacant(v) => v.insert(Slot::File(attributes, content)),
            Entry::Occupied(_) => return Err(PathError::Twice),
        };
        Ok(())
    }

    /// Takes over what a reader has left out on its own.
    pub(super) fn leave_out(&mut self, leftovers: Leftovers) {
        self.leftovers.add(leftovers);
    }

    /// Files of other systems that were left out, in a sentence without a full
    /// stop, if there are any.
    pub(crate) fn leftovers(&self) -> Option<String> {
        self.leftovers.note()
    }

    /// The bytes of a file that was added.
    pub fn content(&self, path: &str) -> Option<&Content> {
        match self.top.find(path) {
            Some(Slot::File(_, content)) => Some(content),
            _ => None,
        }
    }

    /// Names in a directory, whether each is one itself, and whether its owner
    /// may execute it; nothing for what is no directory.
    pub(super) fn children(&self, dir: &str) -> impl Iterator<Item = (String, bool, bool)> {
        let found = match dir {
            "" => Some(&self.top),
            dir => match self.top.find(dir) {
                Some(Slot::Dir(_, below)) => Some(below),
                _ => None,
            },
        };
        found.into_iter().flat_map(|d| &d.children).map(|(name, slot)| {
            let (dir, executable) = slot.kind();
            (String::from_utf8_lossy(name).into_owned(), dir, executable)
        })
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.find_kind(path).is_some_and(|(dir, _)| dir)
    }

    /// Whether there is a directory or a file, and whether that is executable.
    pub(super) fn find_kind(&self, path: &str) -> Option<(bool, bool)> {
        self.top.find(path).map(Slot::kind)
    }

    /// Whether something is at each of these paths.
    pub(super) fn has(&self, path: &str) -> bool {
        self.top.find(path).is_some()
    }

    /// Makes every program of a machine executable, and `init` next to its
    /// folder `bin`, where nothing in `bin` is: a container has lost that.
    /// Returns how many files it was.
    pub(super) fn restore_executables(&mut self) -> usize {
        let mut count = 0;
        for slot in self.top.children.values_mut() {
            let Slot::Dir(_, machine) = slot else { continue };
            let Some(Slot::Dir(_, bin)) = machine.children.get_mut(&b"bin"[..]) else { continue };
            if bin.any_executable() {
                continue;
            }
            count += bin.restore();
            count += machine.children.get_mut(&b"init"[..]).map_or(0, Slot::restore);
        }
        count
    }

    /// Makes a directory that is alone at the top the root, if and only if a
    /// system lies in it: archives often have everything in `plan9-1.0/`.
    /// Leftovers of other systems do not count, and from here on are gone.
    pub fn strip_top(&mut self) {
        self.top.drop_twins(&mut Vec::new(), &mut self.leftovers);
        if self.top.children.len() != 1 {
            return;
        }
        let Some(mut only) = self.top.children.first_entry() else { return };
        if let Slot::Dir(attributes, below) = only.get_mut()
            && Distribution::recognise_by(|path| below.find(path).is_some()).is_some()
        {
            self.root = attributes.take();
            self.top = std::mem::take(below);
        }
    }

    fn parent(&mut self, path: &[u8]) -> Result<(&mut Dir, Vec<u8>), PathError> {
        let (above, last) = split(path)?;
        let mut dir = &mut self.top;
        for name in above {
            match dir.children.entry(name.to_vec()).or_insert_with(|| Slot::Dir(None, Dir::default())) {
                Slot::Dir(_, below) => dir = below,
                Slot::File(..) => return Err(PathError::BelowFile),
            }
        }
        Ok((dir, last.to_vec()))
    }

    /// The tree. Metadata that the container does not have come from
    /// `database`; a file that is in neither belongs to sys and was changed at
    /// `epoch` (seconds since 1970). Directories that only the database has are
    /// made: copies and version control lose empty ones.
    pub fn tree(mut self, database: Option<&Database>, epoch: u32) -> Tree {
        for (path, meta) in database.iter().flat_map(|db| db.iter()) {
            if meta.mode.is_dir() {
                // A file that the container has there stays as it is.
                let _ = self.dir(path, Attributes::Unix { executable: true });
            }
        }
        let root = self.root.and_then(|a| a.own(database));
        // As flfmt(8) makes it, which no tool of an installation changes
        // (`/sys/src/cmd/fossil/flfmt.c`, `rootMetaInit`).
        let root = root.unwrap_or_else(|| Meta::new(Mode::dir(0o555), "adm", "adm", epoch));
        let mut tree = Tree::new(root);
        emit(self.top, database, epoch, &mut tree, EntryId::ROOT, &mut Vec::new());
        tree
    }
}

/// The names of a path without leading slash: those above, and the last.
///
/// # Errors
/// Fails when Plan 9 cannot hold it.
pub fn split(path: &[u8]) -> Result<(Vec<&[u8]>, &[u8]), PathError> {
    if path.iter().filter(|b| **b == b'/').count() >= MAX_DEPTH {
        return Err(PathError::Deep);
    }
    let mut names: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    names.iter().try_for_each(|name| check_name(name))?;
    let last = names.pop().ok_or(PathError::Leaves)?;
    Ok((names, last))
}

/// Whether Plan 9 can hold the name of one file: the kernel refuses control
/// characters (`/sys/src/9/port/chan.c`), and names are UTF-8.
fn check_name(name: &[u8]) -> Result<(), PathError> {
    if matches!(name, b"" | b"." | b"..") {
        Err(PathError::Leaves)
    } else if name.len() > MAX_NAME {
        Err(PathError::Long)
    } else if name.iter().any(|b| *b < 0x20 || *b == 0x7f) {
        Err(PathError::Control)
    } else if std::str::from_utf8(name).is_err() {
        Err(PathError::NotUtf8)
    } else {
        Ok(())
    }
}

fn emit(dir: Dir, database: Option<&Database>, epoch: u32, tree: &mut Tree, at: EntryId, path: &mut Vec<u8>) {
    for (name, slot) in dir.children {
        let keep = path.len();
        if keep > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let is_dir = matches!(slot, Slot::Dir(..));
        let known = || database.and_then(|db| db.get(path)).filter(|m| m.mode.is_dir() == is_dir).cloned();
        let plain = |mode| known().unwrap_or_else(|| Meta::new(mode, "sys", "sys", epoch));
        match slot {
            Slot::File(attributes, content) => {
                let perm = if attributes.executable() { 0o775 } else { 0o664 };
                let meta = attributes.own(database).unwrap_or_else(|| plain(Mode::file(perm)));
                tree.push(at, &name, meta, Some(content));
            }
            Slot::Dir(attributes, below) => {
                let meta = attributes.and_then(|a| a.own(database)).unwrap_or_else(|| plain(Mode::dir(0o775)));
                let id = tree.push(at, &name, meta, None);
                emit(below, database, epoch, tree, id, path);
            }
        }
        path.truncate(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: Attributes = Attributes::Unix { executable: false };

    #[test]
    fn order_does_not_show_and_own_attributes_win() {
        let own = Meta::new(Mode::file(0o640), "glenda", "upas", 7);
        let mut db = b"a/x - 600 adm adm 5 1\na/y - 664 bob bob 6 1\n".to_vec();
        db.extend_from_slice(b"empty - 20000000755 glenda sys 6 0\n");
        let db = Database::parse(&db).unwrap();
        let tree = |order: &[usize]| {
            let mut l = Listing::default();
            for i in order {
                match i {
                    0 => l.file(b"a/x", Attributes::Plan9(own.clone()), Content::bytes(*b"x")).unwrap(),
                    1 => l.file(b"a/y", UNIX, Content::bytes(*b"y")).unwrap(),
                    _ => l.dir(b"a", UNIX).unwrap(),
                }
            }
            l.tree(Some(&db), 99)
        };
        let (one, two) = (tree(&[0, 1, 2]), tree(&[2, 1, 0]));
        assert_eq!(one.paths(), ["", "a", "a/x", "a/y", "empty"]);
        assert_eq!(format!("{:?}", one.entries()), format!("{:?}", two.entries()));
        let meta = |p: &str| one.entry(one.find(p.as_bytes()).unwrap()).meta.clone();
        assert_eq!(meta("a/x"), own);
        assert_eq!((&*meta("a/y").uid, meta("a/y").mtime), ("bob", 6));
        assert_eq!(&*meta("empty").uid, "glenda");
    }

    #[test]
    fn paths_that_plan9_cannot_hold_are_refused() {
        let mut l = Listing::default();
        let mut add = |path: &[u8]| l.file(path, UNIX, Content::bytes(*b""));
        add(b"a/b").unwrap();
        let long = [b'n'; 256];
        let deep = b"d/".repeat(300);
        let wrong: [(&[u8], PathError); 10] = [
            (b"a/b", PathError::Twice),
            (b"a", PathError::Twice),
            (b"a/b/c", PathError::BelowFile),
            (b"/etc", PathError::Leaves),
            (b"../x", PathError::Leaves),
            (b"a//c", PathError::Leaves),
            (b"a\nb", PathError::Control),
            (b"\xff", PathError::NotUtf8),
            (&long, PathError::Long),
            (&deep, PathError::Deep),
        ];
        for (path, why) in wrong {
            assert_eq!(add(path), Err(why), "{}", String::from_utf8_lossy(path));
        }
    }
}
