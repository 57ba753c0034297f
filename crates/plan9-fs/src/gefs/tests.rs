//! Tests of writing a tree and of reading it back.

use super::arenas::MIN_LEN;
use super::format::{BLOCK, BLOCK64};
use super::*;
use crate::FileSystem;
use crate::read_at::{ReadAt, check_range};
use crate::shared::refused::Refused;
use crate::testing::counted::{self, Counted};
use crate::testing::trees::{
    self, Files, Long, additions, assert_same_qids, change, flat, medium_of, node_of, odd_tree, push_users, some_files,
};
pub(super) use crate::testing::trees::{MIB, add, dir, file};
use crate::testing::{self, Listing, assert_parts, listing_of_fs};
pub(super) use crate::testing::{findings, read_all};
use crate::tree::{Addition, Content, EntryId, Meta, Mode, Tree, What};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub(super) const USERS: &str = "-1:adm:adm:u\n0:none::\n2:u:u:\n10000:sys::u\n";

/// Bytes that differ from block to block.
pub(super) fn bytes(len: usize, seed: u8) -> Content {
    trees::bytes(len, seed, BLOCK)
}

/// A medium with these files and one of users.
pub(super) fn tree_of(files: &[(&str, Content)]) -> Arc<Tree> {
    let mut additions: Vec<_> = files.iter().map(|(p, c)| add(p, c.clone())).collect();
    additions.push(add("adm/users", Content::bytes(USERS.as_bytes())));
    medium_of(&additions)
}

pub(super) fn base(tree: &Arc<Tree>, len: u64) -> Arc<Base> {
    let data = Arc::new(Data::new(tree));
    Arc::new(Base::layout(&data, &users(tree).unwrap(), arenas(len).unwrap()).unwrap_or_else(|e| panic!("{e}")))
}

pub(super) fn volume(tree: &Arc<Tree>, len: u64) -> Gefs {
    Gefs::layout(&base(tree, len), tree, &Options { len }).unwrap_or_else(|e| panic!("{e}"))
}

/// An image in memory, without its blocks of zeros.
#[derive(Clone)]
pub(super) struct Sparse {
    pub len: u64,
    pub blocks: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    pub(super) fn of(v: &Gefs) -> Self {
        let mut blocks = BTreeMap::new();
        for e in v.extents() {
            for at in (e.offset..e.end()).step_by(BLOCK) {
                let mut b = vec![0; BLOCK];
                v.read_at(at, &mut b).unwrap();
                blocks.insert(at / BLOCK64, b);
            }
        }
        Self { len: v.len(), blocks }
    }

    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            self.blocks.entry(at / BLOCK64).or_insert_with(|| vec![0; BLOCK])[(at % BLOCK64) as usize] = *byte;
        }
    }
}

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("sparse", offset, buf.len(), self.len)?;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let within = (at % BLOCK64) as usize;
            let (piece, more) = rest.split_at_mut(rest.len().min(BLOCK - within));
            match self.blocks.get(&(at / BLOCK64)) {
                Some(b) => piece.copy_from_slice(&b[within..within + piece.len()]),
                None => piece.fill(0),
            }
            at += piece.len() as u64;
            rest = more;
        }
        Ok(())
    }
}

/// Everything but the users, which are in a snapshot of their own.
fn listing_of_tree(t: &Tree) -> Listing {
    let mut out = testing::listing_of_tree(t);
    out.remove(&b"adm/users"[..]);
    out
}

#[test]
fn a_small_volume_has_these_bytes() {
    let t = tree_of(&[("a", Content::bytes(*b"hello"))]);
    let v = volume(&t, MIN_LEN);
    let b = Sparse::of(&v);
    let word = |block: u64, at: usize| u64::from_be_bytes(b.blocks[&block][at..at + 8].try_into().unwrap());
    // Super blocks; headers and logs of eight arenas of 1021 blocks; /a, first
    // of the base's four in the first arena (/adm/users and their leaf are not
    // used); the users and three leaves after it; in the second arena, after
    // four indices that nobody needs, main's leaf and the snapshots.
    let headers: Vec<u64> = (0..8).map(|i| 1 + 1023 * i).collect();
    let mut used: Vec<u64> = headers.iter().flat_map(|h| [*h, h + 1, h + 2]).collect();
    used.extend([0, 8192, 4, 8, 9, 10, 11, 1032, 1033]);
    used.sort_unstable();
    assert_eq!(b.blocks.keys().copied().collect::<Vec<_>>(), used);
    assert_eq!(b.blocks[&0], b.blocks[&8192]);
    assert_eq!(&b.blocks[&0][..8], b"gefs9.00");
    // Blocks of 16384 with 8187 for messages, 8 arenas, one leaf of snapshots.
    assert_eq!(b.blocks[&0][8..24], [0, 0, 64, 0, 0, 0, 31, 251, 0, 0, 0, 8, 0, 0, 0, 1]);
    assert_eq!(word(0, 24), 1033 * BLOCK64);
    // Qids: / 0, users 2, a 3, adm 4, its users 5. Generations 0 to 3.
    assert_eq!((word(0, 80), word(0, 88), word(0, 96)), (6, 4, 0));
    assert_eq!([word(0, 104), word(0, 136)], [BLOCK64, 2047 * BLOCK64]);
    // What is in use, and ream's two blocks, of an arena without files.
    assert_eq!(
        (b.blocks[&2047][1], word(2047, 2), word(2047, 18), word(2047, 26)),
        (5, 2049 * BLOCK64, 1021 * BLOCK64, 3 * BLOCK64)
    );
    assert_eq!(&b.blocks[&4][..6], b"hello\0");
    assert_eq!(&b.blocks[&8][..7], b"-1:adm:");
    let leaf = &b.blocks[&1032];
    // /a's block, the entries adm, a and /, and the ways up of both directories.
    assert_eq!(leaf[..4], [0, 2, 0, 6]);
    let cell = 6 + usize::from(leaf[6]) * 256 + usize::from(leaf[7]);
    assert_eq!(leaf[cell..cell + 19], [0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut pointer = vec![0, 24, 0, 0, 0, 0, 0, 1, 0, 0];
    pointer.extend(super::hash::hash(&b.blocks[&4]).to_be_bytes());
    pointer.extend(2u64.to_be_bytes());
    assert_eq!(leaf[cell + 19..cell + 45], pointer);
    assert_eq!(v.used(), (8 * 3 + 7) * BLOCK64);
}

#[test]
fn modes_owners_and_odd_names_come_back() {
    let root = Meta { muid: "sys".into(), ..Meta::new(Mode::dir(0o555), "u", "adm", 7) };
    let t = odd_tree(root, MAX_NAME, "12", &|t| push_users(t, USERS));
    let fs = open(Arc::new(volume(&t, MIN_LEN))).unwrap();
    assert_eq!(listing_of_fs(&fs), listing_of_tree(&t));
    assert_eq!(findings(&fs), [""; 0]);
}

#[test]
fn the_other_snapshots_are_the_installers() {
    let t = tree_of(&[("usr/u/tmp/x", bytes(3, 1)), ("usr/sys/lib/x", bytes(3, 1))]);
    let fs = open(Arc::new(volume(&t, MIN_LEN))).unwrap();
    assert_eq!(fs.labels().unwrap(), ["adm", "empty", "main", "other"]);
    let adm = fs.snapshot("adm").unwrap();
    let users = adm.find(b"users").unwrap();
    assert_eq!(read_all(&adm, &users).unwrap(), USERS.as_bytes());
    assert_eq!((&*users.meta.uid, &*users.meta.muid, users.meta.mode), ("adm", "none", Mode::file(0o664)));
    let other = fs.snapshot("other").unwrap();
    let all: Vec<_> = listing_of_fs(&other).into_keys().map(|p| String::from_utf8(p).unwrap()).collect();
    assert_eq!(all, ["", "usr", "usr/u", "usr/u/tmp"]);
    assert_eq!(other.find(b"usr/u/tmp").unwrap().meta.mode, Mode::dir(0o700));
    let empty = fs.snapshot("empty").unwrap();
    assert_eq!(empty.children(&empty.root().unwrap()).unwrap().len(), 0);
    assert_eq!(fs.snapshot("nobody").err().unwrap().to_string(), "No snapshot has the label nobody");
    assert_eq!(findings(&fs), [""; 0]);
}

#[test]
fn what_gefs_cannot_hold_is_refused() {
    let refuse = |name: &[u8], meta: Meta| {
        let mut t = Tree::new(dir(0o775));
        t.push(EntryId::ROOT, name, meta, Some(Content::bytes(*b"x")));
        let data = Arc::new(Data::new(&Arc::new(t)));
        let users = Users::parse(USERS.as_bytes()).unwrap();
        Base::layout(&data, &users, arenas(MIN_LEN).unwrap()).err().unwrap().to_string()
    };
    let bob = Meta { gid: "bob".into(), ..file(0o664) };
    for (message, words) in [
        (refuse(&[b'n'; 245], file(0o664)), "the name has 245 bytes, but gefs stores at most 244"),
        (refuse(b"a\tb", file(0o664)), "gefs cannot store this name: it contains a control character"),
        (refuse(b"f", bob), "/f: its group \"bob\" is not in /adm/users"),
    ] {
        assert!(message.contains(words), "{message}");
    }
    let nobody = Tree::new(dir(0o775));
    assert_eq!(users(&nobody), Err(LayoutError::NoUsers));
    let bad = tree_of(&[]);
    let bad = Tree::overlay(&bad, &[add("adm/users", Content::bytes(*b"1:a:b:\n"))], &dir(0o775));
    assert_eq!(
        users(&bad).unwrap_err().to_string(),
        "/adm/users: line 1: the leader b does not exist; gefs would not start with it"
    );
    assert_eq!(arenas(1000), Err(LayoutError::TooSmall { needed: MIN_LEN, available: 1000 }));
    let part = |len| Content::Part { source: Arc::new(vec![0; 1]), offset: 0, len };
    let big = |len| {
        let t = tree_of(&[("f", part(len))]);
        let data = Arc::new(Data::new(&t));
        Base::layout(&data, &users(&t).unwrap(), arenas(MIN_LEN).unwrap()).err().unwrap()
    };
    let LayoutError::TooSmall { needed, available } = big(1 << 30) else { panic!("too small") };
    assert!((1 << 30..1200 << 20).contains(&needed) && available == MIN_LEN);
    assert!(matches!(big(1 << 62), LayoutError::TooSmall { .. }));
    assert!(matches!(big(1 << 63), LayoutError::Entry(Refused::FileTooBig { .. })));
    let t = tree_of(&[("f", bytes(40, 0))]);
    let other = Gefs::layout(&base(&t, MIN_LEN), &tree_of(&[]), &Options { len: MIN_LEN }).err();
    assert_eq!(other, Some(LayoutError::OtherBase));
}

fn value(at: u64) -> u8 {
    counted::value(at, BLOCK64)
}

fn counted(len: u64) -> (Arc<Counted>, Content) {
    counted::counted(len, |at, buf| counted::fill(at, buf, BLOCK64))
}

#[test]
fn files_are_read_once_for_all_nodes_and_not_before_a_tree_is() {
    let (source, content) = counted(100 * MIB + 5);
    let medium = tree_of(&[("big", content)]);
    let data = Arc::new(Data::new(&medium));
    let users = users(&medium).unwrap();
    let lens = [512 * MIB, 700 * MIB];
    let node = |len: u64| {
        let base = Arc::new(Base::layout(&data, &users, arenas(len).unwrap()).unwrap());
        let trees = ["a", "b"].map(|n| Arc::new(Tree::overlay(&medium, &[add(n, bytes(9, 9))], &dir(0o775))));
        trees.map(|t| Gefs::layout(&base, &t, &Options { len }).unwrap())
    };
    let volumes: Vec<Gefs> = lens.into_iter().flat_map(node).collect();
    assert!(source.reads.lock().unwrap().is_empty(), "a layout reads nothing");
    for v in &volumes {
        let mut b = [0; 100];
        v.read_at(0, &mut b).unwrap();
        assert_eq!(&b[..8], b"gefs9.00");
    }
    let mut reads = std::mem::take(&mut *source.reads.lock().unwrap());
    reads.sort_unstable();
    assert_eq!(reads.len(), 101, "each megabyte once");
    assert!(reads.iter().enumerate().all(|(i, (at, n))| *at == i as u64 * MIB && *n as u64 <= MIB));
    let fs = open(Arc::new(volumes.into_iter().next_back().unwrap())).unwrap();
    assert_eq!(findings(&fs), [""; 0]);
    assert_eq!(read_all(&fs, &fs.find(b"b").unwrap()).unwrap(), bytes(9, 9).read_all().unwrap());
}

#[test]
fn neighbouring_blocks_are_read_at_once() {
    let (source, content) = counted(200 * MIB);
    let t = tree_of(&[("big", content)]);
    let v = volume(&t, 512 * MIB);
    v.read_at(0, &mut [0]).unwrap();
    source.reads.lock().unwrap().clear();
    let mut b = vec![0; 1 << 20];
    // /adm/users has the first index.
    v.read_at(4 * BLOCK64, &mut b).unwrap();
    assert_eq!(*source.reads.lock().unwrap(), [(0, (1 << 20) - BLOCK)]);
    assert!(b[BLOCK..].iter().zip(0..).all(|(b, at)| *b == value(at)));
    assert_parts(&v, 4 * BLOCK64, &b, &[(123, 20_000), (16_383, 2), (16_384, 1), (16_385, 40_000)]);
}

#[test]
fn a_tree_of_many_files_has_pivots() {
    let mut t = Tree::new(dir(0o775));
    push_users(&mut t, USERS);
    let content = |i: u32| if i.is_multiple_of(3) { i.to_string().into_bytes() } else { Vec::new() };
    let d = Long { files: 6000, prefix: 200, content };
    d.push(&mut t);
    let v = Arc::new(volume(&Arc::new(t), 256 * MIB));
    let fs = open(v).unwrap();
    d.assert_in(&fs);
    assert_eq!(findings(&fs), [""; 0]);
}

#[test]
fn nodes_share_what_the_medium_has() {
    let names: Vec<String> = (0..900).map(|i| format!("many/{i:04}")).collect();
    let mut files = vec![("big", bytes(600_000, 1)), ("d/one", bytes(50_000, 2)), ("d/two", bytes(5000, 3))];
    files.extend(names.iter().map(|n| (n.as_str(), bytes(0, 0))));
    let medium = tree_of(&files);
    let node = |len: u64, changes: &[Addition]| {
        let base = base(&medium, len);
        let tree = Arc::new(Tree::overlay(&medium, changes, &dir(0o775)));
        let v = Gefs::layout(&base, &tree, &Options { len }).unwrap();
        let origin = |block: u64| v.origin(block * BLOCK64, BLOCK64).map(|o| o.offset / BLOCK64);
        let shared: Vec<_> = (0..len / BLOCK64).filter_map(|n| Some((n, origin(n)?))).collect();
        (Sparse::of(&v), shared)
    };
    let (plain, shared) = node(MIN_LEN, &[]);
    // Places 0 to 42: adm/users, big, d/one, d/two; then leaves, of which the
    // first and the last have something of adm/users.
    let indices = |shared: &[(u64, u64)]| shared.iter().map(|s| s.1).collect::<Vec<_>>();
    assert_eq!(indices(&shared)[..43], (1..43).chain([44]).collect::<Vec<_>>());
    let (a, shared_a) = node(MIN_LEN, &[change("d/new", What::File(file(0o600), bytes(100_000, 9)))]);
    let (b, shared_b) = node(MIN_LEN, &[change("d/two", What::Remove), change("many/0500", What::Dir(dir(0o700)))]);
    assert!(shared_a.len() > 40 && shared_b.len() > 40);
    for (image, shared) in [(&a, &shared_a), (&b, &shared_b)] {
        for (block, _) in shared {
            assert!(image.blocks.get(block) == plain.blocks.get(block), "{block}");
        }
    }
    // A partition of another length has the same clusters elsewhere.
    let (longer, shared_longer) = node(300 * MIB, &[]);
    assert_eq!(indices(&shared_longer), indices(&shared));
    for ((x, _), (y, _)) in shared.iter().zip(&shared_longer).take(42) {
        assert!(plain.blocks[x] == longer.blocks[y] && x % 4 == y % 4);
    }
    let (plain, a, b) = (open(Arc::new(plain)).unwrap(), open(Arc::new(a)).unwrap(), open(Arc::new(b)).unwrap());
    assert_same_qids(&plain, [&a, &b], &["big", "d", "d/one", "many", "many/0001", "adm", ""]);
    assert_eq!((findings(&a), findings(&b)), (Vec::new(), Vec::new()));
}

fn any_files() -> impl Strategy<Value = Files> {
    some_files(prop_oneof![Just(0usize), 1..60_000usize, Just(16_384), Just(16_385), Just(2_000_000)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read(medium in any_files(), node in any_files()) {
        let medium = flat(&Tree::overlay(&tree_of(&[]), &additions(&medium, 1, BLOCK), &dir(0o775)));
        let len = MIN_LEN + 1000;
        let base = base(&medium, len);
        let node = node_of(&medium, &node, BLOCK);
        let v = Gefs::layout(&base, &node, &Options { len }).unwrap();
        let sparse = Sparse::of(&v);
        // Extents cover every byte that is not zero.
        let mut buf = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            let n = (len - at).min(1 << 20) as usize;
            v.read_at(at, &mut buf[..n]).unwrap();
            let mut other = vec![0; n];
            sparse.read_at(at, &mut other).unwrap();
            prop_assert!(buf[..n] == other[..], "extents hold everything");
            at += n as u64;
        }
        let fs = open(Arc::new(sparse)).unwrap();
        prop_assert!(listing_of_fs(&fs) == listing_of_tree(&node));
        prop_assert_eq!(findings(&fs), Vec::<String>::new());
    }
}
