//! Comparisons for the tests of all file systems: everything in a tree,
//! everything that a reader finds, and the bytes of volumes. [`trees`] makes
//! what they are made of, [`counted`] files that tell who reads them,
//! [`wounds`] images with damage.

pub(crate) mod counted;
pub(crate) mod trees;
pub(crate) mod wounds;

use super::{FileSystem, Node};
use crate::read_at::ReadAt;
use crate::tree::{Meta, Tree};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;

/// Metadata by path, and the bytes of files.
pub(crate) type Listing = BTreeMap<Vec<u8>, (Meta, Option<Vec<u8>>)>;

/// Damage that a check finds.
pub(crate) fn findings(fs: &dyn FileSystem) -> Vec<String> {
    all_findings(fs, false)
}

/// Findings of a check that are not damage.
pub(crate) fn remarks(fs: &dyn FileSystem) -> Vec<String> {
    all_findings(fs, true)
}

fn all_findings(fs: &dyn FileSystem, remarks: bool) -> Vec<String> {
    let mut all = Vec::new();
    fs.check(&mut |f| {
        if f.is_remark() == remarks {
            all.push(f.to_string());
        }
    })
    .unwrap();
    all
}

pub(crate) fn listing_of_tree(t: &Tree) -> Listing {
    let mut out = Listing::new();
    t.walk(|path, _, e| {
        out.insert(path.to_vec(), (e.meta.clone(), e.content().map(|c| c.read_all().unwrap())));
    });
    out
}

pub(crate) fn read_all(fs: &dyn FileSystem, n: &Node) -> io::Result<Vec<u8>> {
    let mut b = vec![0; n.len as usize];
    let mut at = 0;
    while at < b.len() {
        let got = fs.read(n, at as u64, &mut b[at..])?;
        assert!(got > 0, "a file ends where its length says");
        at += got;
    }
    assert_eq!(fs.read(n, n.len, &mut [0])?, 0);
    Ok(b)
}

pub(crate) fn listing_of_fs(fs: &dyn FileSystem) -> Listing {
    let mut out = Listing::new();
    let mut work = vec![(Vec::new(), fs.root().unwrap())];
    let mut qids = HashSet::new();
    while let Some((path, n)) = work.pop() {
        assert!(qids.insert(n.qid.unwrap()), "qids are unique");
        let content = if n.meta.mode.is_dir() { None } else { Some(read_all(fs, &n).unwrap()) };
        if n.meta.mode.is_dir() {
            for c in fs.children(&n).unwrap() {
                let mut p = path.clone();
                if !p.is_empty() {
                    p.push(b'/');
                }
                p.extend_from_slice(&c.name);
                work.push((p, c));
            }
        }
        out.insert(path, (n.meta, content));
    }
    out
}

/// Asks for all that can be reached of an image with damage; every step must
/// end, and nothing may panic.
pub(crate) fn use_everything(fs: &dyn FileSystem) {
    if let Ok(root) = fs.root() {
        let _ = super::walk::<io::Error>(fs, &root, &mut |_, n| {
            for at in [0, n.len / 2, u64::MAX / 2] {
                let _ = fs.read(n, at, &mut [0; 5000]);
            }
            Ok(())
        });
    }
    let _ = fs.check(&mut |f| drop(f.to_string()));
    let _ = fs.dump(&mut io::sink());
}

/// All bytes of a volume.
pub(crate) fn image(v: &dyn ReadAt) -> Vec<u8> {
    let mut b = vec![0; v.len() as usize];
    v.read_at(0, &mut b).unwrap();
    b
}

/// The same, of which only extents are read.
pub(crate) fn image_by_extents(v: &dyn ReadAt) -> Vec<u8> {
    let mut b = vec![0; v.len() as usize];
    for e in v.extents() {
        v.read_at(e.offset, &mut b[e.offset as usize..e.end() as usize]).unwrap();
    }
    b
}

/// Odd ranges, each an offset and a length, are parts of the bytes `whole` that
/// lie at `at`.
pub(crate) fn assert_parts(v: &dyn ReadAt, at: u64, whole: &[u8], ranges: &[(usize, usize)]) {
    for (from, len) in ranges {
        let mut some = vec![9; *len];
        v.read_at(at + *from as u64, &mut some).unwrap();
        assert!(some == whole[*from..][..*len], "{len} at {from}");
    }
}

/// Checks that the blocks in `shared` are equal in `node` and `plain`, and that
/// the medium's other blocks are free.
pub(crate) fn assert_shared_or_free(plain: &[u8], node: &[u8], block: usize, blocks: Range<u64>, shared: &[u64]) {
    for n in blocks {
        let range = n as usize * block..(n as usize + 1) * block;
        match shared.contains(&n) {
            true => assert!(node[range.clone()] == plain[range], "block {n} is shared"),
            false => assert!(node[range].iter().all(|b| *b == 0), "block {n} is free"),
        }
    }
}
