//! Trees made for tests: media, and what nodes lay over them.

use super::read_all;
use crate::FileSystem;
use crate::tree::{Addition, Content, DMAPPEND, DMEXCL, DMTMP, EntryId, Meta, Mode, Tree, What};
use proptest::prelude::*;
use std::sync::Arc;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn dir(perm: u32) -> Meta {
    Meta::new(Mode::dir(perm), "sys", "sys", 1_000_000)
}

pub(crate) fn file(perm: u32) -> Meta {
    Meta::new(Mode::file(perm), "sys", "sys", 1_000_001)
}

/// Bytes that differ from block to block.
pub(crate) fn bytes(len: usize, seed: u8, block: usize) -> Content {
    let b: Vec<u8> = (0..len).map(|i| seed ^ (i / block) as u8 ^ (i % 251) as u8).collect();
    Content::bytes(b)
}

pub(crate) fn change(path: &str, what: What) -> Addition {
    Addition { path: path.as_bytes().to_vec(), what }
}

pub(crate) fn add(path: &str, content: Content) -> Addition {
    change(path, What::File(file(0o664), content))
}

/// An otherwise empty medium with these.
pub(crate) fn medium_of(additions: &[Addition]) -> Arc<Tree> {
    flat(&Tree::overlay(&Arc::new(Tree::new(dir(0o775))), additions, &dir(0o775)))
}

/// A medium with these files.
pub(crate) fn tree_of(files: &[(&str, Content)]) -> Arc<Tree> {
    let additions: Vec<_> = files.iter().map(|(p, c)| add(p, c.clone())).collect();
    medium_of(&additions)
}

/// The same tree as a medium of its own.
pub(crate) fn flat(from: &Tree) -> Arc<Tree> {
    let mut t = Tree::new(from.entry(EntryId::ROOT).meta.clone());
    copy(from, EntryId::ROOT, &mut t, EntryId::ROOT);
    Arc::new(t)
}

fn copy(from: &Tree, at: EntryId, to: &mut Tree, into: EntryId) {
    for child in from.entry(at).children() {
        let e = from.entry(*child);
        let id = to.push(into, &e.name, e.meta.clone(), e.content().cloned());
        copy(from, *child, to, id);
    }
}

/// Changes of two nodes to a medium with `d/two` and `e/f/three`.
pub(crate) fn two_nodes(block: usize) -> [Vec<Addition>; 2] {
    let b = [
        change("e/f/three", What::File(file(0o600), bytes(70_000, 8, block))),
        change("d/two", What::Remove),
        change("x/y", What::Dir(dir(0o700))),
    ];
    [vec![change("d/new", What::File(file(0o600), bytes(100_000, 9, block)))], b.into()]
}

/// Files that keep their qids: those of a medium and of two nodes of it.
pub(crate) fn assert_same_qids(medium: &dyn FileSystem, nodes: [&dyn FileSystem; 2], paths: &[&str]) {
    let qid = |fs: &dyn FileSystem, path: &str| fs.find(path.as_bytes()).unwrap().qid.unwrap();
    for path in paths {
        assert_eq!(nodes.map(|fs| qid(fs, path)), [qid(medium, path); 2], "{path}");
    }
}

/// Files and folders by their paths; the number is a file's length, or says
/// something else.
pub(crate) type Files = Vec<(Vec<String>, usize)>;

pub(crate) fn some_files(size: impl Strategy<Value = usize>) -> impl Strategy<Value = Files> {
    prop::collection::vec((prop::collection::vec("[a-c]{1,2}", 1..4), size), 0..12)
}

/// The same as additions, some of which are folders or take something away.
pub(crate) fn additions(files: &Files, seed: u8, block: usize) -> Vec<Addition> {
    let addition = |(i, (path, len)): (usize, &(Vec<String>, usize))| {
        let what = match len % 7 {
            3 => What::Dir(dir(0o700)),
            4 => What::Remove,
            _ => What::File(file(0o640), bytes(*len, seed ^ i as u8, block)),
        };
        change(&path.join("/"), what)
    };
    files.iter().enumerate().map(addition).collect()
}

/// Tree of a node: a medium with the node's own files.
pub(crate) fn node_of(medium: &Arc<Tree>, files: &Files, block: usize) -> Arc<Tree> {
    Arc::new(Tree::overlay(medium, &additions(files, 100, block), &dir(0o750)))
}

/// A medium of files with odd names, the longest of `longest` bytes, with all
/// modes, of the user `u` and `group`. `push` adds the entries whose names sort
/// after the first: `adm`, `usr` and the like.
pub(crate) fn odd_tree(root: Meta, longest: usize, group: &str, push: &dyn Fn(&mut Tree)) -> Arc<Tree> {
    let long = vec![0xff; longest];
    let modes = [0o600 | DMAPPEND, 0o640 | DMEXCL, 0o777 | DMTMP, 0];
    let names: [&[u8]; 4] = [b" sp a  ce ", b"~\x80", "日本".as_bytes(), &long];
    let mut both: Vec<_> = names.into_iter().zip(modes).collect();
    both.sort_unstable();
    let mut t = Tree::new(root);
    for (i, (name, mode)) in both.into_iter().enumerate() {
        if i == 1 {
            push(&mut t);
        }
        t.push(EntryId::ROOT, name, Meta::new(Mode(mode), "u", group, u32::MAX), Some(Content::bytes(name)));
    }
    Arc::new(t)
}

/// Adds `/adm/users`.
pub(crate) fn push_users(t: &mut Tree, text: &str) {
    let adm = t.push(EntryId::ROOT, b"adm", Meta::new(Mode::dir(0o775), "adm", "adm", 1), None);
    t.push(adm, b"users", Meta::new(Mode::file(0o664), "adm", "adm", 1), Some(Content::bytes(text.as_bytes())));
}

/// A directory of many files with long names.
pub(crate) struct Long {
    pub files: u32,
    /// Bytes of a name before its number.
    pub prefix: usize,
    /// Content of the file with a number.
    pub content: fn(u32) -> Vec<u8>,
}

impl Long {
    fn name(&self, i: u32) -> Vec<u8> {
        [&vec![0xfe; self.prefix][..], format!(" {i:09}").as_bytes()].concat()
    }

    /// Adds it as `/d`.
    pub(crate) fn push(&self, t: &mut Tree) {
        let d = t.push(EntryId::ROOT, b"d", dir(0o775), None);
        for i in 0..self.files {
            t.push(d, &self.name(i), file(0o444), Some(Content::bytes((self.content)(i))));
        }
    }

    /// Checks that the directory is there, and that some of its files have the
    /// right bytes.
    pub(crate) fn assert_in(&self, fs: &dyn FileSystem) {
        let all = fs.children(&fs.find(b"d").unwrap()).unwrap();
        assert_eq!(all.len(), self.files as usize);
        for (i, n) in (0..).zip(&all).step_by(all.len() / 20 + 1) {
            assert_eq!(n.name, self.name(i));
            assert_eq!(read_all(fs, n).unwrap(), (self.content)(i));
        }
    }
}
