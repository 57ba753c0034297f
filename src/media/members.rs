//! Members of an archive, with links among them, and the listing that comes of
//! it once every link is followed.
//!
//! Plan 9 has no links: a link to a file is that file a second time, one to a
//! directory is all that is below it a second time, as when a folder of the
//! host is read. A link that leaves the archive, or leads back to something it
//! lies in, is refused.

use super::error::MediumError;
use super::listing::{Attributes, Listing, MOST, MOST_BYTES, PathError, split};
use crate::leftovers::Leftovers;
use crate::tree::Content;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Links followed one after another; Linux stops there, too.
const MAX_HOPS: usize = 40;
/// Files and directories that links to directories may add.
const MOST_LINKED: usize = 1 << 16;
/// Bytes of what a link says: `PATH_MAX` of Linux.
const MAX_TARGET: usize = 4096;

/// Members of an archive by path.
#[derive(Debug, Default)]
pub struct Members {
    root: Option<Attributes>,
    top: Dir,
    count: usize,
    bytes: usize,
    leftovers: Leftovers,
}

#[derive(Debug, Default)]
struct Dir {
    attributes: Option<Attributes>,
    children: BTreeMap<Vec<u8>, Member>,
}

#[derive(Debug)]
enum Member {
    Dir(Dir),
    File(Attributes, Content),
    /// A symbolic link: what it says.
    Link(Vec<u8>),
}

/// Reason why a link leads nowhere.
enum Nowhere {
    Leaves,
    Loop,
}

impl Members {
    /// Gives the directory that all others are in attributes.
    pub fn root(&mut self, attributes: Attributes) {
        self.root = Some(attributes);
    }

    /// Adds a directory, or gives one that is there other attributes.
    ///
    /// # Errors
    /// Fails when Plan 9 cannot hold the path, or something else is there.
    pub fn dir(&mut self, path: &[u8], attributes: Attributes) -> Result<(), PathError> {
        if self.leftover(path)? {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        match parent.children.entry(name.to_vec()).or_insert_with(|| Member::Dir(Dir::default())) {
            Member::Dir(dir) => dir.attributes = Some(attributes),
            _ => return Err(PathError::Twice),
        }
        Ok(())
    }

    /// Adds a file; a file or link of that path that came earlier is replaced.
    ///
    /// # Errors
    /// Fails when Plan 9 cannot hold the path, or a directory is there.
    pub fn file(&mut self, path: &[u8], attributes: Attributes, content: Content) -> Result<(), PathError> {
        self.put(path, Member::File(attributes, content))
    }

    /// Adds a symbolic link, as [`Members::file`].
    ///
    /// # Errors
    /// As [`Members::file`].
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), PathError> {
        self.bytes += target.len();
        self.put(path, Member::Link(target.to_vec()))
    }

    /// Adds a second name for the file or link `target`. Says whether that is
    /// there: a hard link names what came before it.
    ///
    /// # Errors
    /// As [`Members::file`], for either path.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<bool, PathError> {
        let (parent, name) = self.parent(target)?;
        let same = match parent.children.get(name) {
            Some(Member::File(attributes, content)) => Member::File(attributes.clone(), content.clone()),
            Some(Member::Link(to)) => Member::Link(to.clone()),
            _ => return Ok(false),
        };
        self.put(path, same).map(|()| true)
    }

    /// Whether it is a leftover of another system, which is left out. It counts
    /// like a member, so that an archive of nothing else is bounded as well.
    fn leftover(&mut self, path: &[u8]) -> Result<bool, PathError> {
        let takes = self.leftovers.takes(path);
        if takes {
            self.counted(path)?;
        }
        Ok(takes)
    }

    fn counted(&mut self, path: &[u8]) -> Result<(), PathError> {
        self.count += 1;
        self.bytes += path.len();
        if self.count > MOST || self.bytes > MOST_BYTES { Err(PathError::Many) } else { Ok(()) }
    }

    fn put(&mut self, path: &[u8], member: Member) -> Result<(), PathError> {
        let link = matches!(member, Member::Link(_));
        if self.leftover(path)? || link && self.leftovers.takes_link(path) {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        match parent.children.get(name) {
            Some(Member::Dir(_)) => Err(PathError::Twice),
            _ => {
                parent.children.insert(name.to_vec(), member);
                Ok(())
            }
        }
    }

    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(&mut Dir, &'p [u8]), PathError> {
        let (above, last) = split(path)?;
        self.counted(path)?;
        let mut dir = &mut self.top;
        for name in above {
            match dir.children.entry(name.to_vec()).or_insert_with(|| Member::Dir(Dir::default())) {
                Member::Dir(below) => dir = below,
                _ => return Err(PathError::BelowFile),
            }
        }
        Ok((dir, last))
    }

    /// The listing; `archive` is where it all comes from, for messages.
    ///
    /// # Errors
    /// Fails when a link leaves the archive or loops.
    pub fn list(mut self, archive: &Path) -> Result<Listing, MediumError> {
        let mut listing = Listing::default();
        listing.leave_out(std::mem::take(&mut self.leftovers));
        if let Some(attributes) = self.root.clone() {
            listing.root(attributes);
        }
        let mut walk = Walk { members: &self, archive, listing, count: 0, path: Vec::new(), above: Vec::new() };
        walk.dir(&self.top, &mut Vec::new())?;
        Ok(walk.listing)
    }

    /// Member at `path` (with no links in it); the root for an empty one.
    fn find(&self, path: &[&[u8]]) -> Option<Found<'_>> {
        let Some((last, above)) = path.split_last() else { return Some(Found::Dir(&self.top)) };
        let dir = above.iter().try_fold(&self.top, |dir, name| match dir.children.get(*name) {
            Some(Member::Dir(below)) => Some(below),
            _ => None,
        })?;
        Some(match dir.children.get(*last)? {
            Member::Dir(dir) => Found::Dir(dir),
            Member::File(attributes, content) => Found::File(attributes, content),
            Member::Link(target) => Found::Link(target),
        })
    }

    /// Target of a link in the directory `at` with the text `target`.
    fn follow<'m>(
        &'m self,
        mut at: Vec<&'m [u8]>,
        target: &'m [u8],
        hops: &mut usize,
    ) -> Result<Vec<&'m [u8]>, Nowhere> {
        *hops += 1;
        if *hops > MAX_HOPS {
            return Err(Nowhere::Loop);
        }
        if target.starts_with(b"/") || target.len() > MAX_TARGET {
            return Err(Nowhere::Leaves);
        }
        for name in target.split(|b| *b == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => {
                    at.pop().ok_or(Nowhere::Leaves)?;
                    continue;
                }
                name => at.push(name),
            }
            match self.find(&at) {
                Some(Found::Link(next)) => {
                    at.pop();
                    at = self.follow(at, next, hops)?;
                }
                Some(_) => {}
                None => return Err(Nowhere::Leaves),
            }
        }
        Ok(at)
    }
}

enum Found<'m> {
    Dir(&'m Dir),
    File(&'m Attributes, &'m Content),
    Link(&'m [u8]),
}

struct Walk<'m> {
    members: &'m Members,
    archive: &'m Path,
    listing: Listing,
    count: usize,
    /// Path in the listing.
    path: Vec<u8>,
    /// The directories that lead here.
    above: Vec<&'m Dir>,
}

impl<'m> Walk<'m> {
    fn here(&self) -> PathBuf {
        self.archive.join(OsStr::from_bytes(&self.path))
    }

    fn wrong(&self, why: PathError) -> MediumError {
        MediumError::Path { path: self.here(), why }
    }

    /// Lists what is in `dir`, whose own path in the archive is `at`.
    fn dir(&mut self, dir: &'m Dir, at: &mut Vec<&'m [u8]>) -> Result<(), MediumError> {
        self.above.push(dir);
        for (name, member) in &dir.children {
            let keep = self.path.len();
            if keep > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            self.count += 1;
            // Links to directories multiply what is below them.
            if self.count > self.members.count + MOST_LINKED {
                return Err(self.wrong(PathError::Many));
            }
            match member {
                Member::Dir(below) => {
                    at.push(name);
                    self.enter(below, at)?;
                    at.pop();
                }
                Member::File(attributes, content) => self.file(attributes, content)?,
                Member::Link(target) => self.link(target, at)?,
            }
            self.path.truncate(keep);
        }
        self.above.pop();
        Ok(())
    }

    fn enter(&mut self, dir: &'m Dir, at: &mut Vec<&'m [u8]>) -> Result<(), MediumError> {
        let attributes = dir.attributes.clone().unwrap_or(Attributes::Unix { executable: true });
        self.listing.dir(&self.path, attributes).map_err(|why| self.wrong(why))?;
        self.dir(dir, at)
    }

    fn file(&mut self, attributes: &Attributes, content: &Content) -> Result<(), MediumError> {
        self.listing.file(&self.path, attributes.clone(), content.clone()).map_err(|why| self.wrong(why))
    }

    fn link(&mut self, target: &'m [u8], at: &[&'m [u8]]) -> Result<(), MediumError> {
        let leaves = |walk: &Self| MediumError::LinkLeaves {
            path: walk.here(),
            target: PathBuf::from(OsStr::from_bytes(target)),
        };
        let mut real = self.members.follow(at.to_vec(), target, &mut 0).map_err(|nowhere| match nowhere {
            Nowhere::Leaves => leaves(self),
            Nowhere::Loop => MediumError::LinkLoop { path: self.here(), ancestor: self.here() },
        })?;
        match self.members.find(&real) {
            Some(Found::File(attributes, content)) => self.file(attributes, content),
            Some(Found::Dir(dir)) if self.above.iter().any(|above| std::ptr::eq(*above, dir)) => {
                let ancestor = self.archive.join(OsStr::from_bytes(&real.join(&b'/')));
                Err(MediumError::LinkLoop { path: self.here(), ancestor })
            }
            Some(Found::Dir(dir)) => self.enter(dir, &mut real),
            Some(Found::Link(_)) | None => Err(leaves(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: Attributes = Attributes::Unix { executable: false };

    fn members(files: &[&str], links: &[(&str, &str)]) -> Members {
        let mut m = Members::default();
        for path in files {
            m.file(path.as_bytes(), UNIX, Content::bytes(path.as_bytes())).unwrap();
        }
        for (path, target) in links {
            m.link(path.as_bytes(), target.as_bytes()).unwrap();
        }
        m
    }

    #[test]
    fn links_are_what_they_lead_to() {
        let links = [
            ("a/same", "b"),
            ("a/up", "../c/d"),
            ("dir", "c"),
            ("twice", "dir/./e/.."),
            ("via", "dir/d"),
            ("l", "via"),
        ];
        let m = members(&["a/b", "c/d", "c/e/f"], &links);
        let listing = m.list(Path::new("x.tar")).unwrap();
        let text = |path| String::from_utf8(listing.content(path).unwrap().read_all().unwrap()).unwrap();
        for (path, is) in [("a/same", "a/b"), ("a/up", "c/d"), ("dir/e/f", "c/e/f"), ("twice/d", "c/d"), ("l", "c/d")] {
            assert_eq!(text(path), is, "{path}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_refused() {
        let leaves = ["/a/b", "../x", "nothing", "../../a/b", "b/c", ""];
        for target in leaves {
            let e = members(&["a/b"], &[("a/l", target)]).list(Path::new("x.tar"));
            // An empty link is the directory that it lies in.
            match e.unwrap_err() {
                MediumError::LinkLoop { .. } if target.is_empty() => {}
                MediumError::LinkLeaves { path, .. } if !target.is_empty() => assert_eq!(path, Path::new("x.tar/a/l")),
                e => panic!("{target}: {e}"),
            }
        }
        for links in [&[("a/l", "l")][..], &[("a/l", "m"), ("a/m", "l")], &[("a/l", "..")], &[("a/l", ".")]] {
            let e = members(&["a/b"], links).list(Path::new("x.tar")).unwrap_err();
            assert!(matches!(e, MediumError::LinkLoop { .. }), "{links:?}: {e}");
        }
        // Each directory names the next one twice: 2^40 files without a bound.
        let mut many = Members::default();
        many.file(b"d40/f", UNIX, Content::bytes(*b"")).unwrap();
        for i in 0..40 {
            for name in ["a", "b"] {
                many.link(format!("d{i}/{name}").as_bytes(), format!("../d{}", i + 1).as_bytes()).unwrap();
            }
        }
        let e = many.list(Path::new("x.tar")).unwrap_err();
        assert!(matches!(e, MediumError::Path { why: PathError::Many, .. }), "{e}");
    }

    #[test]
    fn later_members_replace_earlier_ones_and_hard_links_name_earlier_ones() {
        let mut m = members(&["a", "d/x"], &[]);
        assert_eq!(m.hard_link(b"h", b"a"), Ok(true));
        m.file(b"a", UNIX, Content::bytes(*b"new")).unwrap();
        assert_eq!(m.hard_link(b"self", b"self"), Ok(false));
        assert_eq!(m.hard_link(b"dir", b"d"), Ok(false));
        assert_eq!(m.file(b"d", UNIX, Content::bytes(*b"")), Err(PathError::Twice));
        assert_eq!(m.dir(b"a", UNIX), Err(PathError::Twice));
        m.link(b"l", b"d").unwrap();
        assert_eq!(m.file(b"l/x", UNIX, Content::bytes(*b"")), Err(PathError::BelowFile), "not through a link");
        let listing = m.list(Path::new("x.tar")).unwrap();
        assert_eq!(listing.content("a").unwrap().read_all().unwrap(), b"new");
        assert_eq!(listing.content("h").unwrap().read_all().unwrap(), b"a");
    }
}
