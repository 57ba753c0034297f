//! A medium that lies as one file in an archive or a folder: found when nothing
//! else is, so that its name can be said.

use super::{deb, iso, tar};
use crate::artifact::{self, zip};
use crate::compression::Compression;
use crate::foreign;
use crate::lab::Format;
use crate::read_at::ReadAt;
use crate::tree::{Content, EntryId, Tree};
use std::io;

/// Files that are looked at.
const MOST: usize = 200;

/// The first file of a tree that might be a medium itself, and what it is.
pub fn find(tree: &Tree) -> Option<(String, String)> {
    let mut left = MOST;
    search(tree, EntryId::ROOT, "", &mut left)
}

fn search(tree: &Tree, dir: EntryId, above: &str, left: &mut usize) -> Option<(String, String)> {
    for id in tree.entry(dir).children() {
        *left = left.checked_sub(1)?;
        let entry = tree.entry(*id);
        let name = String::from_utf8_lossy(&entry.name);
        let path = if above.is_empty() { name.into_owned() } else { format!("{above}/{name}") };
        let found = match entry.content() {
            Some(content) => what(&path, content).map(|what| (path, what)),
            None => search(tree, *id, &path, left),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Kind of a file, with an article.
fn what(path: &str, content: &Content) -> Option<String> {
    let bytes = Bytes(content);
    let mut start = vec![0; bytes.len().min(512) as usize];
    bytes.read_at(0, &mut start).ok()?;
    if start.len() < 512 {
        return None;
    }
    // An OVA is a tar archive, too.
    if let Some(container) = artifact::reader(&start) {
        return Some(container.of.into());
    }
    let own = match () {
        () if tar::matches(&start) => "a tar archive",
        () if zip::matches(&start) => "a zip archive",
        () if deb::matches(&start) => "a Debian package",
        () if iso::matches(&bytes) => "an ISO 9660 image",
        () if Compression::of(&start).is_some() => "a compressed file",
        () if Format::Raw.spec().is_name(path) => "a disk image",
        () => {
            let refused = foreign::refuse(&bytes).err()?;
            return foreign::Foreign::of(&refused).map(|found| found.name.clone());
        }
    };
    Some(own.into())
}

struct Bytes<'a>(&'a Content);

impl ReadAt for Bytes<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::{Attributes, Listing};
    use super::*;

    #[test]
    fn the_medium_in_an_archive_is_named() {
        let mut iso = vec![0; 40_000];
        iso[32769..32774].copy_from_slice(b"CD001");
        let found = |name: &str, bytes: &[u8]| {
            let mut listing = Listing::default();
            let unix = || Attributes::Unix { executable: false };
            listing.file(b"dir/README", unix(), Content::bytes(*b"read me")).unwrap();
            listing.file(name.as_bytes(), unix(), Content::bytes(bytes)).unwrap();
            find(&listing.tree(None, 0))
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(found("dir/9front.iso", &iso), pair("dir/9front.iso", "an ISO 9660 image"));
        assert_eq!(found("x.img", &[0; 512]), pair("x.img", "a disk image"));
        let mut vdi = vec![0; 512];
        vdi[64..68].copy_from_slice(b"\x7f\x10\xda\xbe");
        assert_eq!(found("x", &vdi), pair("x", "a disk image of VirtualBox (VDI)"));
        assert_eq!(found("x", &[0; 512]), None);
    }
}
