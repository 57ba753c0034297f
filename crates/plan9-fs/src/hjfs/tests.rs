//! Tests of writing a tree and of reading it back.

use super::format::{BLOCK, DENTRY};
use super::*;
use crate::FileSystem;
use crate::read_at::ReadAt;
use crate::shared::refused::Refused;
use crate::testing::counted::{self, Counted};
use crate::testing::trees::{
    self, Files, Long, additions, assert_same_qids, medium_of, node_of, odd_tree, push_users, some_files, two_nodes,
};
pub(super) use crate::testing::trees::{MIB, dir, file, tree_of};
use crate::testing::{assert_parts, assert_shared_or_free, image_by_extents, listing_of_fs, listing_of_tree};
pub(super) use crate::testing::{findings, image, read_all};
use crate::tree::{Addition, Content, EntryId, Meta, Mode, Tree};
use proptest::prelude::*;
use std::sync::Arc;

/// Bytes that differ from block to block.
pub(super) fn bytes(len: usize, seed: u8) -> Content {
    trees::bytes(len, seed, 4095)
}

pub(super) fn base(tree: &Arc<Tree>, len: u64) -> Arc<Base> {
    Arc::new(Base::layout(tree, &users(tree).unwrap(), base_start(len)).unwrap())
}

pub(super) fn volume(tree: &Arc<Tree>, len: u64) -> Hjfs {
    Hjfs::layout(&base(tree, len), tree, &Options { len, epoch: 1_700_000_000 }).unwrap()
}

pub(super) fn reader(bytes: Vec<u8>) -> HjfsReader {
    open(Arc::new(bytes)).unwrap()
}

#[test]
fn a_small_volume_has_these_bytes() {
    let t = tree_of(&[("a", Content::bytes(*b"hello"))]);
    let v = volume(&t, 3 * MIB);
    let b = image(&v);
    let word = |at: usize| u64::from_le_bytes(b[at..at + 8].try_into().unwrap());
    assert_eq!(b[..5], [1, 0x1c, 0xe5, 0x0d, 0x6e]);
    // 768 blocks, one of counts; the base in 512 and 513, the roots in 528.
    assert_eq!([5, 13, 21, 29, 37].map(word), [768, 1, 2, 528, 4]);
    let counts: Vec<_> = (0..1365).filter(|i| b[4097 + 3 * i..][..3] != [0; 3]).collect();
    let used: Vec<_> = [0, 1, 512, 513, 528].into_iter().chain(768..1365).collect();
    assert_eq!((b[4096], counts), (4, used));
    assert_eq!(b[4097..4100], [1, 0, 0]);
    assert_eq!(b[4097 + 3 * 768..][..3], [255; 3]);
    assert_eq!(&b[512 * BLOCK..][..7], b"\0hello\0");
    let root = &b[528 * BLOCK..][..BLOCK];
    assert_eq!((root[0], &root[1..3]), (2, &b"/\0"[..]));
    // sys is 10000; mode in use and 775; qid path 1, type directory; one block, 513.
    assert_eq!(root[1 + 256..][..8], [0x10, 0x27, 0x10, 0x27, 0x10, 0x27, 0xfd, 0x81]);
    assert_eq!(root[1 + 264..][..21], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(word(528 * BLOCK + 1 + 285), 513);
    assert_eq!(root[1 + DENTRY + 256..][..6], [255; 6]);
    assert_eq!(v.blocks_used(), 5);
    assert_eq!(data_offset(3 * MIB), 2 * MIB);
}

#[test]
fn modes_owners_and_odd_names_come_back() {
    let users = "-1:adm:adm:\n7:u:u:\n8:g::\n9:b:b:\n";
    let root = Meta { muid: "b".into(), ..Meta::new(Mode::dir(0o555), "u", "g", 7) };
    let t = odd_tree(root, MAX_NAME, "12", &|t| push_users(t, users));
    let fs = reader(image(&volume(&t, 3 * MIB)));
    assert_eq!(listing_of_fs(&fs), listing_of_tree(&t));
    assert_eq!(findings(&fs), [""; 0]);
    let dumps = fs.dumps();
    let root = dumps.root().unwrap();
    assert_eq!((dumps.children(&root).unwrap().len(), &*root.meta.uid), (0, "adm"));
}

#[test]
fn what_hjfs_cannot_hold_is_refused() {
    let refuse = |name: &[u8], meta: Meta| {
        let mut t = Tree::new(dir(0o775));
        t.push(EntryId::ROOT, name, meta, Some(Content::bytes(*b"x")));
        let t = Arc::new(t);
        Base::layout(&t, &users(&t).unwrap(), 512).err().unwrap().to_string()
    };
    let bob = Meta { gid: "bob".into(), ..file(0o664) };
    for (message, words) in [
        (refuse(&[b'n'; 256], file(0o664)), "the name has 256 bytes, but hjfs stores at most 255"),
        (refuse(b"a\tb", file(0o664)), "hjfs cannot store this name: it contains a control character"),
        (refuse(b"f", bob), "/f: its group \"bob\" is not in /adm/users"),
    ] {
        assert!(message.contains(words), "{message}");
    }
    let endless = Content::Part { source: Arc::new(vec![0; 1]), offset: 0, len: 1 << 60 };
    let t = tree_of(&[("f", endless)]);
    assert!(matches!(Base::layout(&t, &users(&t).unwrap(), 512), Err(LayoutError::Entry(Refused::FileTooBig { .. }))));
    let t = tree_of(&[("f", bytes(4096, 0))]);
    let small = Hjfs::layout(&base(&t, 3 * MIB), &t, &Options { len: 528 * 4096, epoch: 0 }).err();
    assert_eq!(small, Some(LayoutError::TooSmall { needed: 529 * 4096, available: 528 * 4096 }));
    let huge = Hjfs::layout(&base(&t, 3 * MIB), &t, &Options { len: 1 << 43, epoch: 0 }).err();
    assert_eq!(huge, Some(LayoutError::PartitionTooBig { len: 1 << 43, max: (1 << 43) - 4096 }));
    let other = Hjfs::layout(&base(&t, 3 * MIB), &tree_of(&[]), &Options { len: 3 * MIB, epoch: 0 }).err();
    assert_eq!(other, Some(LayoutError::OtherBase));
}

fn value(at: u64) -> u8 {
    counted::value(at, 4095)
}

fn counted(len: u64) -> (Arc<Counted>, Content) {
    counted::counted(len, |at, buf| counted::fill(at, buf, 4095))
}

#[test]
fn files_at_every_change_of_depth() {
    let (one, two) = (15 + 341u64, 15 + 341 + 341 * 341u64);
    let blocks = [1, 15, 16, one, one + 1, one + 341, one + 342];
    let mut sizes: Vec<u64> = blocks.iter().flat_map(|n| [n * 4095 - 1, n * 4095]).collect();
    sizes.extend([two * 4095, two * 4095 + 1]);
    let mut files: Vec<_> = sizes.iter().map(|len| (format!("{len}"), counted(*len).1)).collect();
    files.push(("0".into(), counted(0).1));
    let files: Vec<_> = files.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
    let v = Arc::new(volume(&tree_of(&files), 1024 * MIB));
    let fs = open(v).unwrap();
    assert_eq!(findings(&fs), [""; 0]);
    for len in sizes {
        let n = fs.find(len.to_string().as_bytes()).unwrap();
        assert_eq!(n.len, len);
        for at in [0, len / 2, len - 1, (15 * 4095).min(len) - 1, (one * 4095).min(len) - 1, (two * 4095).min(len) - 1]
        {
            let mut b = [0; 3];
            let got = fs.read(&n, at, &mut b).unwrap();
            assert_eq!(b[..got], (at..len.min(at + got as u64)).map(value).collect::<Vec<_>>(), "{len} at {at}");
        }
        let mut most = vec![0; 100_000.min(len as usize)];
        let got = fs.read(&n, 0, &mut most).unwrap();
        assert!(got > 0 && most[..got].iter().zip(0..).all(|(b, at)| *b == value(at)));
    }
}

#[test]
fn a_large_directory_with_long_names() {
    let mut t = Tree::new(dir(0o775));
    let d = Long { files: 20_000, prefix: 245, content: |i| i.to_string().into_bytes() };
    d.push(&mut t);
    let v = Arc::new(volume(&Arc::new(t), 256 * MIB));
    let fs = open(v).unwrap();
    d.assert_in(&fs);
    assert_eq!(findings(&fs), [""; 0]);
}

#[test]
fn neighbouring_blocks_are_read_at_once() {
    let (source, content) = counted(1 << 30);
    let t = tree_of(&[("giga", content), ("a", bytes(10, 1))]);
    let v = volume(&t, 2048 * MIB);
    let mut b = vec![0; 65_536];
    // One block of /a lies before.
    let at = data_offset(2048 * MIB) + 4096 + 10 * 65_536;
    v.read_at(at, &mut b).unwrap();
    assert_eq!(*source.reads.lock().unwrap(), [(160 * 4095, 16 * 4095)]);
    for (i, block) in b.chunks(4096).enumerate() {
        assert!(block[0] == 0 && block[1..].iter().zip((160 + i as u64) * 4095..).all(|(b, at)| *b == value(at)));
    }
    assert_parts(&v, at, &b, &[(123, 20_000), (4095, 2), (4096, 1), (4097, 3)]);
}

#[test]
fn nodes_share_what_the_medium_has() {
    let medium = tree_of(&[
        ("big", bytes(70_000, 1)),
        ("d/one", bytes(5000, 2)),
        ("d/two", bytes(5000, 3)),
        ("e/f/three", bytes(3, 4)),
        ("e/four", bytes(5, 5)),
    ]);
    let base = base(&medium, 4 * MIB);
    let node = |changes: &[Addition]| {
        let tree = Arc::new(Tree::overlay(&medium, changes, &dir(0o775)));
        let v = Hjfs::layout(&base, &tree, &Options { len: 4 * MIB, epoch: 5 }).unwrap();
        let origin = |n: u64| v.origin(n * 4096, 4096).map(|o| (o.base == base.number(), o.offset / 4096));
        let shared: Vec<_> = (500..560).filter(|n| origin(*n) == Some((true, *n))).collect();
        (image(&v), shared)
    };
    let (plain, shared) = node(&[]);
    // big 512-530 (with one indirect block), one 531-532, two 533-534, three
    // 535, four 536; then f, e, d and /.
    assert_eq!(shared, (512..541).collect::<Vec<_>>());
    let [(a, shared_a), (b, shared_b)] = two_nodes(4095).map(|changes| node(&changes));
    assert_eq!(shared_a, (512..539).collect::<Vec<_>>());
    assert_eq!(shared_b, (512..533).chain([536]).collect::<Vec<_>>());
    assert_shared_or_free(&plain, &a, BLOCK, 512..541, &shared_a);
    assert_shared_or_free(&plain, &b, BLOCK, 512..541, &shared_b);
    let (plain, a, b) = (reader(plain), reader(a), reader(b));
    assert_same_qids(&plain, [&a, &b], &["big", "d", "d/one", "e", "e/f", "e/f/three", "e/four", ""]);
    assert!(findings(&a).is_empty() && findings(&b).is_empty());
}

fn any_files() -> impl Strategy<Value = Files> {
    some_files(prop_oneof![Just(0usize), 1..20_000usize, Just(4095), Just(61_425), Just(61_426), Just(2_000_000)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read(medium in any_files(), node in any_files()) {
        let medium = medium_of(&additions(&medium, 1, 4095));
        let len = 48 * MIB + 1000;
        let base = base(&medium, len);
        let node = node_of(&medium, &node, 4095);
        let v = Hjfs::layout(&base, &node, &Options { len, epoch: 1 }).unwrap();
        let whole = image(&v);
        prop_assert!(image_by_extents(&v) == whole, "extents hold everything");
        let fs = reader(whole);
        prop_assert!(listing_of_fs(&fs) == listing_of_tree(&node));
        prop_assert_eq!(findings(&fs), Vec::<String>::new());
    }
}
