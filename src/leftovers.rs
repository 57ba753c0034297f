//! Leftovers of other systems: what macOS, Windows, file servers and editors
//! add to people's files, and which is no part of a tree of Plan 9.
//!
//! They are told by names that these systems give to nothing else; macOS' `._`
//! files also by what they hold, or by the file that they belong to, because
//! Plan 9 may have such names. What Plan 9 itself has stored (a fossil, a disc
//! with its own fields) is never a leftover. `doc/media.md` has the list.

use crate::tree::Content;
use std::collections::BTreeSet;

/// First bytes of an AppleDouble file: HFS's metadata of another file.
const APPLE_DOUBLE: [u8; 4] = 0x0005_1607_u32.to_be_bytes();
/// First bytes of vim's swap files.
const VIM: &[u8] = b"b0VIM";

/// Names of files and folders that are leftovers wherever they are.
const NAMES: [&[u8]; 24] = [
    // macOS
    b".DS_Store",
    b"__MACOSX",
    b".AppleDB",
    b".AppleDesktop",
    b".AppleDouble",
    b".DocumentRevisions-V100",
    b".LSOverride",
    b".Spotlight-V100",
    b".TemporaryItems",
    b".Trashes",
    b".VolumeIcon.icns",
    b".apdisk",
    b".com.apple.timemachine.donotpresent",
    b".fseventsd",
    b".localized",
    b"Icon\r",
    // Windows
    b"$RECYCLE.BIN",
    b"System Volume Information",
    // File servers
    b"#recycle",
    b".@__thumb",
    b"@eaDir",
    b"Network Trash Folder",
    b"Temporary Items",
    // KDE
    b".directory",
];
/// The same, in upper or lower case: Windows writes both.
const ANY_CASE: [&str; 4] = ["desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "thumbs.db"];
/// Ends of names: an alternate data stream of NTFS as WSL copies it.
const ENDS: [&[u8]; 1] = [b":Zone.Identifier"];
/// Beginnings of names: a trash of freedesktop.org, files that were removed
/// while a program had them open (FUSE, NFS).
const STARTS: [&[u8]; 3] = [b".Trash-", b".fuse_hidden", b".nfs00000000"];
/// A folder at the top of an ext file system.
const TOP: &[u8] = b"lost+found";

/// Files that were left out.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Paths; of a folder with all that is in it, its own.
    paths: BTreeSet<Vec<u8>>,
}

impl Leftovers {
    /// Whether the file or folder at `path` is a leftover, or lies in one; then
    /// it is counted.
    pub fn takes(&mut self, path: &[u8]) -> bool {
        let mut from = 0;
        for name in path.split(|b| *b == b'/') {
            let end = from + name.len();
            if is_leftover(name) || from == 0 && name == TOP {
                self.paths.insert(path[..end].to_vec());
                return true;
            }
            from = end + 1;
        }
        false
    }

    /// Whether a file is a leftover by its name and its bytes; then it is counted.
    pub fn takes_file(&mut self, path: &[u8], content: &Content) -> bool {
        let name = last(path);
        let magic: &[u8] = match () {
            () if name.starts_with(b"._") => &APPLE_DOUBLE,
            () if name.starts_with(b".") && name.ends_with(b".swp") => VIM,
            () => return false,
        };
        let mut start = vec![0; magic.len()];
        let is = content.len() >= magic.len() as u64 && content.read_at(0, &mut start).is_ok() && start == magic;
        if is {
            self.paths.insert(path.to_vec());
        }
        is
    }

    /// Whether a symbolic link is an editor's lock, which leads nowhere; then it
    /// is counted.
    pub fn takes_link(&mut self, path: &[u8]) -> bool {
        let is = last(path).starts_with(b".#");
        if is {
            self.paths.insert(path.to_vec());
        }
        is
    }

    /// Adds what somebody else has left out.
    pub fn add(&mut self, other: Self) {
        self.paths.extend(other.paths);
    }

    /// Counts one more.
    pub fn insert(&mut self, path: Vec<u8>) {
        self.paths.insert(path);
    }

    /// Note for the user: the number of files and the name of one.
    pub fn note(&self) -> Option<String> {
        let first = self.paths.first()?;
        let name: String =
            String::from_utf8_lossy(first).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Some(match self.paths.len() {
            1 => format!("left out {name}, which another system added"),
            n => format!("left out {n} files and folders that other systems added, such as {name}"),
        })
    }
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

fn is_leftover(name: &[u8]) -> bool {
    NAMES.contains(&name)
        || ANY_CASE.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
        || ENDS.iter().any(|end| name.ends_with(end))
        || STARTS.iter().any(|start| name.starts_with(start))
}

/// The file or folder that macOS' file of this name belongs to.
pub fn twin(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b"._").filter(|twin| !twin.is_empty())
}

/// Whether a name in a zip archive, whose parts may be separated by either
/// slash, is a leftover by its name alone.
pub fn in_zip(name: &str) -> bool {
    name.split(['/', '\\']).any(|part| is_leftover(part.as_bytes()) || twin(part.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Attributes, Listing};
    use crate::tree::{Meta, Mode};

    const UNIX: Attributes = Attributes::Unix { executable: false };

    fn listed(files: &[(&str, &[u8])], attributes: &Attributes) -> (Vec<String>, Option<String>) {
        let mut listing = Listing::default();
        for (path, bytes) in files {
            listing.file(path.as_bytes(), attributes.clone(), Content::bytes(*bytes)).unwrap();
        }
        listing.strip_top();
        let note = listing.leftovers();
        (listing.tree(None, 0).paths().split_off(1), note)
    }

    const DOUBLE: &[u8] = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ";

    #[test]
    fn what_other_systems_leave_does_not_count() {
        let system = ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc"].map(|p| (format!("plan9/{p}"), &b"x"[..]));
        let left = [
            ("._plan9", DOUBLE),
            (".DS_Store", b"x"),
            ("__MACOSX/._plan9", DOUBLE),
            ("__MACOSX/plan9/._x", DOUBLE),
            ("plan9/386/._9load", DOUBLE),
            ("plan9/386/._mbr", b""),
            ("plan9/lib/Thumbs.db", b"x"),
            ("plan9/lib/Desktop.ini", b"x"),
            ("plan9/lib/Icon\r", b"x"),
            ("plan9/lib/x:Zone.Identifier", b"x"),
            ("plan9/@eaDir/y/z", b"x"),
            ("System Volume Information/tracking.log", b"x"),
            ("plan9/lib/.x.swp", b"b0VIM 9.1"),
            ("plan9/.Trash-1000/files/a", b"x"),
        ];
        let kept = [("plan9/lib/._rules", &b"text"[..]), ("plan9/lib/.y.swp", b"text"), ("plan9/sys/lost+found", b"x")];
        let mut files: Vec<_> = left.into_iter().chain(kept).collect();
        files.extend(system.iter().map(|(p, b)| (&**p, *b)));
        let (paths, note) = listed(&files, &UNIX);
        let want = [
            "386",
            "386/9load",
            "386/mbr",
            "386/pbslba",
            "lib",
            "lib/._rules",
            "lib/.y.swp",
            "rc",
            "rc/bin",
            "rc/bin/cpurc",
            "sys",
            "sys/lost+found",
        ];
        assert_eq!(paths, want);
        // A folder counts once.
        let note = note.unwrap();
        assert!(note.starts_with("left out 13 files and folders") && note.ends_with("such as .DS_Store"), "{note}");
        // Nothing that Plan 9 stored is touched, whatever it is called.
        let plan9 = Attributes::Plan9(Meta::new(Mode::file(0o664), "sys", "sys", 1));
        let (paths, note) = listed(&[("a/.DS_Store", b"x"), ("a/._b", DOUBLE), ("a/b", b"")], &plan9);
        assert_eq!((paths.len(), note), (4, None));
    }
}
