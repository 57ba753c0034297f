//! Tests of writing a tree and of reading it back.

use super::format::{BLOCK, DENTRY, FREES, PAYLOAD};
use super::*;
use crate::read_at::ReadAt;
use crate::shared::refused::Refused;
use crate::testing::trees::{
    self, Files, Long, additions, assert_same_qids, medium_of, node_of, odd_tree, push_users, some_files, two_nodes,
};
pub(super) use crate::testing::trees::{MIB, dir, file, tree_of};
use crate::testing::{assert_parts, assert_shared_or_free, image, image_by_extents, listing_of_fs, listing_of_tree};
pub(super) use crate::testing::{findings, read_all};
use crate::tree::{Addition, Content, EntryId, Meta, Mode, Tree};
use crate::{FileSystem, alone};
use proptest::prelude::*;
use std::sync::Arc;

/// A cache and a plain device that are large enough, and no larger.
pub(super) const CACHE: u64 = 815 * BLOCK as u64;
pub(super) const OTHER: u64 = MIB;
pub(super) const CONFIG: &str = "service cwfs\nfilsys main c(/dev/sdC0/fscache)(/dev/sdC0/fsworm)\nfilsys dump o\n\
    filsys other (/dev/sdC0/other)\nnewcache\nblocksize 16384\ndaddrbits 64\nindirblks 4\ndirblks 6\nnamelen 144\n";

/// Bytes that differ from block to block.
pub(super) fn bytes(len: usize, seed: u8) -> Content {
    trees::bytes(len, seed, PAYLOAD)
}

pub(super) fn base(tree: &Arc<Tree>) -> Arc<Base> {
    Arc::new(Base::layout(tree, &users(tree).unwrap()).unwrap())
}

pub(super) fn options(worm: u64) -> Options {
    Options { cache: CACHE, worm, other: OTHER, config: CONFIG.into(), epoch: 1_700_000_000 }
}

pub(super) fn volume(tree: &Arc<Tree>, worm: u64) -> Cwfs {
    Cwfs::layout(&base(tree), tree, &options(worm)).unwrap()
}

/// The bytes of the three partitions.
#[derive(Clone)]
pub(super) struct Parts {
    pub cache: Vec<u8>,
    pub worm: Vec<u8>,
    pub other: Vec<u8>,
}

impl Parts {
    pub(super) fn of(v: &Cwfs) -> Self {
        Self { cache: image(&v.cache), worm: image(&v.worm), other: image(&v.other) }
    }

    /// Opens one, which finds the others by name.
    pub(super) fn open(&self, name: &str) -> Result<CwfsReader, OpenError> {
        let find = |name: &str| -> Option<Arc<dyn ReadAt>> {
            match name {
                "fscache" => Some(Arc::new(self.cache.clone())),
                "fsworm" => Some(Arc::new(self.worm.clone())),
                "other" => Some(Arc::new(self.other.clone())),
                _ => None,
            }
        };
        open(find(name).unwrap(), &find)
    }

    pub(super) fn main(&self) -> CwfsReader {
        self.open("fscache").unwrap()
    }

    /// Findings of all three.
    pub(super) fn findings(&self) -> Vec<String> {
        ["fscache", "fsworm", "other"].iter().flat_map(|name| findings(&self.open(name).unwrap())).collect()
    }
}

#[test]
fn a_small_volume_has_these_bytes() {
    let t = tree_of(&[("a", Content::bytes(*b"hello"))]);
    let v = volume(&t, MIB);
    let Parts { cache, worm, other } = Parts::of(&v);
    let word = |b: &[u8], at: usize| u64::from_le_bytes(b[at..at + 8].try_into().unwrap());
    let tag = |b: &[u8], n: usize| b[n * BLOCK + PAYLOAD..(n + 1) * BLOCK].to_vec();
    let tagged = |kind: u8, path: u8| vec![0, 0, kind, 0, path, 0, 0, 0, 0, 0, 0, 0];
    // The configuration, the header, one block of buckets.
    assert!(cache.starts_with(CONFIG.as_bytes()) && cache[CONFIG.len()..PAYLOAD].iter().all(|b| *b == 0));
    let front: Vec<_> = [0, 2, 3].iter().map(|n| tag(&cache, *n)).collect();
    assert_eq!(front, [tagged(10, 0), tagged(9, 2), tagged(7, 3)]);
    let header: Vec<_> = (0..11).map(|i| word(&cache, 2 * BLOCK + 8 * i)).collect();
    assert_eq!(header, [3, 1, 4, 135, 20, 64, 19, 2, 3, 4, 0]);
    assert!(
        cache[4 * BLOCK..].iter().all(|b| *b == 0) && cache[3 * BLOCK..3 * BLOCK + PAYLOAD].iter().all(|b| *b == 0)
    );
    // The worm: super block, roots, a in 16, / in 17. The node's area begins at 20,
    // and has nothing.
    assert_eq!(
        [2, 3, 4, 16, 17].map(|n| tag(&worm, n)),
        [tagged(1, 2), tagged(11, 1), tagged(11, 1), tagged(5, 11), tagged(11, 1)]
    );
    assert_eq!((word(&worm, 2 * BLOCK), word(&worm, 2 * BLOCK + 8)), (1, 0));
    let s: Vec<_> = (0..8).map(|i| word(&worm, 2 * BLOCK + 16_304 + 8 * i)).collect();
    assert_eq!(s, [2, 20, 0, 11, 3, 4, 2, 5]);
    assert_eq!(&worm[16 * BLOCK..][..6], b"hello\0");
    let root = &worm[3 * BLOCK..][..DENTRY];
    // sys is 10000; in use, a directory, 775; bit 31 and path 1.
    assert_eq!((&root[..2], &root[144..152]), (&b"/\0"[..], &[0x10, 0x27, 0x10, 0x27, 0xfd, 0xc1, 0x10, 0x27][..]));
    assert_eq!((word(root, 152), word(root, 164), word(root, 172)), (0x8000_0001, 0, 17));
    let a = &worm[17 * BLOCK..][..DENTRY];
    assert_eq!((&a[..2], word(a, 152), word(a, 164), word(a, 172)), (&b"a\0"[..], 11, 5, 16));
    let dumps = &worm[4 * BLOCK..][..DENTRY];
    assert_eq!(dumps[144..152], [255, 255, 255, 255, 0xfd, 0xc1, 0, 0]);
    assert!(dumps[172..252].iter().all(|b| *b == 0));
    // The plain device: usr in block 4, 59 blocks free, all listed in block 2.
    assert_eq!([2, 3, 4].map(|n| tag(&other, n)), [tagged(1, 2), tagged(11, 1), tagged(11, 1)]);
    let s: Vec<_> = (0..8).map(|i| word(&other, 2 * BLOCK + 16_304 + 8 * i)).collect();
    assert_eq!(s, [2, 64, 59, 11, 0, 0, 0, 0]);
    let free: Vec<_> = (0..61).map(|i| word(&other, 2 * BLOCK + 8 * i)).collect();
    assert_eq!(free, [60, 0].into_iter().chain((5..64).rev()).collect::<Vec<_>>());
    assert_eq!((v.worm.blocks_used(), v.worm.blocks()), (5, 64));
}

#[test]
fn modes_owners_and_odd_names_come_back() {
    let list = "-1:adm:adm:\n0:none::\n7:u:u:\n8:g::\n9:b:b:\n10000:sys::\n";
    let root = Meta { muid: "b".into(), ..Meta::new(Mode::dir(0o555), "u", "g", 7) };
    let t = odd_tree(root, MAX_NAME, "none", &|t| {
        push_users(t, list);
        let usr = t.push(EntryId::ROOT, b"usr", Meta::new(Mode::dir(0o775), "u", "g", 1), None);
        for (home, has) in [("b", false), ("u", true)] {
            let home = t.push(usr, home.as_bytes(), Meta::new(Mode::dir(0o770), home, "g", 2), None);
            if has {
                t.push(home, b"tmp", Meta::new(Mode::dir(0o700), "u", "u", 3), None);
            }
        }
    });
    let parts = Parts::of(&volume(&t, 2 * MIB));
    assert_eq!(listing_of_fs(&parts.main()), listing_of_tree(&t));
    assert_eq!(listing_of_fs(&parts.open("fsworm").unwrap()), listing_of_tree(&t));
    assert_eq!(parts.findings(), [""; 0]);
    let dumps = parts.main().dumps().unwrap();
    let root = dumps.root().unwrap();
    assert_eq!((dumps.children(&root).unwrap().len(), &*root.meta.uid, &*root.meta.muid), (0, "adm", "none"));
    // Homes with a tmp have a place on the plain device, under the same users.
    let other = listing_of_fs(&parts.open("other").unwrap());
    let names: Vec<_> = other.keys().map(|n| String::from_utf8_lossy(n).into_owned()).collect();
    assert_eq!(names, ["", "usr", "usr/u", "usr/u/tmp"]);
    assert_eq!(other[&b"usr/u/tmp"[..]].0, Meta::new(Mode::dir(0o700), "u", "u", 3));
    assert!(parts.open("other").unwrap().dumps().is_none());
}

#[test]
fn what_cwfs_cannot_hold_is_refused() {
    let refuse = |name: &[u8], meta: Meta| {
        let mut t = Tree::new(dir(0o775));
        t.push(EntryId::ROOT, name, meta, Some(Content::bytes(*b"x")));
        let t = Arc::new(t);
        Base::layout(&t, &users(&t).unwrap()).err().unwrap().to_string()
    };
    let bob = Meta { gid: "bob".into(), ..file(0o664) };
    for (message, words) in [
        (refuse(&[b'n'; 144], file(0o664)), "the name has 144 bytes, but cwfs64x stores at most 143"),
        (refuse(b"a\tb", file(0o664)), "cwfs64x cannot store this name: it contains a control character"),
        (refuse(b"f", bob), "/f: its group \"bob\" is not in /adm/users"),
    ] {
        assert!(message.contains(words), "{message}");
    }
    let endless = Content::Part { source: Arc::new(vec![0; 1]), offset: 0, len: 1 << 63 };
    let t = tree_of(&[("f", endless)]);
    assert!(matches!(Base::layout(&t, &users(&t).unwrap()), Err(LayoutError::Entry(Refused::FileTooBig { .. }))));
    let t = tree_of(&[("f", bytes(PAYLOAD + 1, 0))]);
    let refuse = |o: Options| Cwfs::layout(&base(&t), &t, &o).err().unwrap();
    let block = BLOCK as u64;
    assert_eq!(refuse(options(19 * block)), LayoutError::TooSmall { needed: 20 * block, available: 19 * block });
    let least = CACHE;
    let small = |name, len, least| LayoutError::PartTooSmall { name, len, least };
    assert_eq!(refuse(Options { cache: CACHE - 512, ..options(MIB) }), small("fscache", CACHE - 512, least));
    assert_eq!(refuse(Options { cache: 0, ..options(MIB) }), small("fscache", 0, least));
    assert_eq!(refuse(Options { other: 4 * block, ..options(MIB) }), small("other", 4 * block, 5 * block));
    for (config, words) in [
        (CONFIG.replace("fsworm", "worm"), "main must be the partitions fscache and fsworm"),
        (CONFIG.replace("newcache\n", ""), "it must have newcache"),
        (format!("{CONFIG}junk\n"), "line 11: \"junk\" is not a word"),
        (format!("{CONFIG}#{}\n", "x".repeat(250)), "but fstype(8) reads 512"),
        (CONFIG.replace("filsys other (/dev/sdC0/other)\n", ""), "it has no filsys other"),
    ] {
        let config = if words.contains("512") { format!("{config}{}", "# more\n".repeat(20)) } else { config };
        let e = refuse(Options { config, ..options(MIB) }).to_string();
        assert!(e.starts_with("The configuration is not possible: ") && e.contains(words), "{e}");
    }
    let elsewhere = Cwfs::layout(&base(&t), &tree_of(&[]), &options(MIB)).err();
    assert_eq!(elsewhere, Some(LayoutError::OtherBase));
}

#[test]
fn many_entries_and_pointers_are_found() {
    let mut t = Tree::new(dir(0o775));
    // 62 to a block: 8 blocks, two of them reached through pointers.
    let d = Long { files: 480, prefix: 60, content: |i| i.to_string().into_bytes() };
    d.push(&mut t);
    let long = bytes(8 * PAYLOAD + 5, 3);
    t.push(EntryId::ROOT, b"long", file(0o444), Some(long.clone()));
    let parts = Parts::of(&volume(&Arc::new(t), 16 * MIB));
    let fs = parts.main();
    d.assert_in(&fs);
    assert!(read_all(&fs, &fs.find(b"long").unwrap()).unwrap() == long.read_all().unwrap());
    assert_eq!(parts.findings(), [""; 0]);
}

#[test]
fn a_large_plain_device_has_its_free_blocks_on_a_list_of_blocks() {
    let t = tree_of(&[]);
    // The list's blocks are full at 2036 addresses, then at every 2037th.
    for blocks in [2041, 2042, 2043, 2 * FREES as u64 + 5, 2 * FREES as u64 + 6, 5000] {
        let o = Options { other: blocks * BLOCK as u64, ..options(MIB) };
        let v = Cwfs::layout(&base(&t), &t, &o).unwrap();
        let fs = open(Arc::new(image(&v.other)), &alone).unwrap();
        assert_eq!(findings(&fs), [""; 0], "{blocks}");
        let used: u64 = v.other.extents().iter().map(|e| e.len / BLOCK as u64).sum();
        assert_eq!(used, 3 + (blocks - 5) / FREES as u64, "{blocks}");
    }
}

#[test]
fn nodes_share_what_the_medium_has() {
    let medium = tree_of(&[
        ("big", bytes(8 * PAYLOAD, 1)),
        ("d/one", bytes(PAYLOAD + 9, 2)),
        ("d/two", bytes(PAYLOAD + 9, 3)),
        ("e/f/three", bytes(3, 4)),
        ("e/four", bytes(5, 5)),
    ]);
    let base = base(&medium);
    let node = |changes: &[Addition]| {
        let tree = Arc::new(Tree::overlay(&medium, changes, &dir(0o775)));
        let v = Cwfs::layout(&base, &tree, &options(4 * MIB)).unwrap();
        let block = BLOCK as u64;
        let origin = |n: u64| v.worm.origin(n * block, block).map(|o| (o.base == base.number(), o.offset / block));
        let shared: Vec<_> = (10..60).filter(|n| origin(*n) == Some((true, *n))).collect();
        (Parts::of(&v), shared)
    };
    let (plain, shared) = node(&[]);
    // big 16-24 (with one block of pointers), one 25-26, two 27-28, three 29,
    // four 30; then f, e, d and /.
    assert_eq!(shared, (16..35).collect::<Vec<_>>());
    let [(a, shared_a), (b, shared_b)] = two_nodes(PAYLOAD).map(|changes| node(&changes));
    assert_eq!(shared_a, (16..33).collect::<Vec<_>>());
    assert_eq!(shared_b, (16..27).chain([30]).collect::<Vec<_>>());
    for (parts, shared) in [(&a, &shared_a), (&b, &shared_b)] {
        assert_shared_or_free(&plain.worm, &parts.worm, BLOCK, 16..35, shared);
        assert_eq!(parts.findings(), [""; 0]);
    }
    let (plain, a, b) = (plain.main(), a.main(), b.main());
    assert_same_qids(&plain, [&a, &b], &["big", "d", "d/one", "e", "e/f", "e/f/three", "e/four", ""]);
}

fn any_files() -> impl Strategy<Value = Files> {
    some_files(prop_oneof![
        Just(0usize),
        1..60_000usize,
        Just(PAYLOAD),
        Just(6 * PAYLOAD),
        Just(6 * PAYLOAD + 1),
        Just(200_000)
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_written_is_read(medium in any_files(), node in any_files(), odd in 0usize..BLOCK) {
        let medium = medium_of(&additions(&medium, 1, PAYLOAD));
        let base = base(&medium);
        let node = node_of(&medium, &node, PAYLOAD);
        let v = Cwfs::layout(&base, &node, &options(12 * MIB)).unwrap();
        let parts = Parts::of(&v);
        for (part, whole) in [(&v.cache as &dyn ReadAt, &parts.cache), (&v.worm, &parts.worm), (&v.other, &parts.other)] {
            prop_assert!(image_by_extents(part) == *whole, "extents hold everything");
            assert_parts(part, 0, whole, &[(2 * BLOCK + odd, BLOCK - odd.div_ceil(2))]);
        }
        prop_assert!(listing_of_fs(&parts.main()) == listing_of_tree(&node));
        prop_assert_eq!(parts.findings(), Vec::<String>::new());
    }
}
