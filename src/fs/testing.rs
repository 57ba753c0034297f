//! What the tests of all file systems compare: everything that a tree holds,
//! and everything that a reader finds.

use super::{FileSystem, Node};
use crate::tree::{Meta, Tree};
use std::collections::{BTreeMap, HashSet};
use std::io;

/// By path: metadata, and the bytes of what is no directory.
pub type Listing = BTreeMap<Vec<u8>, (Meta, Option<Vec<u8>>)>;

pub fn findings(fs: &dyn FileSystem) -> Vec<String> {
    let mut all = Vec::new();
    fs.check(&mut |f| all.push(f.to_string())).unwrap();
    all
}

pub fn listing_of_tree(t: &Tree) -> Listing {
    let mut out = Listing::new();
    t.walk(|path, _, e| {
        out.insert(path.to_vec(), (e.meta.clone(), e.content().map(|c| c.read_all().unwrap())));
    });
    out
}

pub fn read_all(fs: &dyn FileSystem, n: &Node) -> io::Result<Vec<u8>> {
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

pub fn listing_of_fs(fs: &dyn FileSystem) -> Listing {
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
