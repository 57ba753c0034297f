//! What a tree becomes and what is read back.

use super::format::{BLOCK, DENTRY};
use super::*;
use crate::fs::FileSystem;
use crate::fs::shared::refused::Refused;
pub use crate::fs::testing::{findings, read_all};
use crate::fs::testing::{listing_of_fs, listing_of_tree};
use crate::read_at::ReadAt;
use crate::tree::{Addition, Content, DMAPPEND, DMEXCL, DMTMP, EntryId, Meta, Mode, Tree, What};
use proptest::prelude::*;
use std::io;
use std::sync::{Arc, Mutex};

pub const MIB: u64 = 1 << 20;

pub fn dir(perm: u32) -> Meta {
    Meta::new(Mode::dir(perm), "sys", "sys", 1_000_000)
}

pub fn file(perm: u32) -> Meta {
    Meta::new(Mode::file(perm), "sys", "sys", 1_000_001)
}

/// Bytes that differ from block to block.
pub fn bytes(len: usize, seed: u8) -> Content {
    let b: Vec<u8> = (0..len).map(|i| seed ^ (i / 4095) as u8 ^ (i % 251) as u8).collect();
    Content::bytes(b)
}

/// Adds files by path to an otherwise empty medium.
pub fn tree_of(files: &[(&str, Content)]) -> Arc<Tree> {
    let empty = Arc::new(Tree::new(dir(0o775)));
    let additions: Vec<_> = files
        .iter()
        .map(|(p, c)| Addition { path: p.as_bytes().to_vec(), what: What::File(file(0o664), c.clone()) })
        .collect();
    flat(&Tree::overlay(&empty, &additions, &dir(0o775)))
}

/// The same tree as a medium of its own.
pub fn flat(from: &Tree) -> Arc<Tree> {
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

pub fn base(tree: &Arc<Tree>, len: u64) -> Arc<Base> {
    Arc::new(Base::layout(tree, &users(tree).unwrap(), base_start(len)).unwrap())
}

pub fn volume(tree: &Arc<Tree>, len: u64) -> Hjfs {
    Hjfs::layout(&base(tree, len), tree, &Options { len, epoch: 1_700_000_000 }).unwrap()
}

/// All bytes of a volume.
pub fn image(v: &Hjfs) -> Vec<u8> {
    let mut b = vec![0; ReadAt::len(v) as usize];
    v.read_at(0, &mut b).unwrap();
    b
}

pub fn reader(bytes: Vec<u8>) -> HjfsReader {
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
    let mut t = Tree::new(Meta { muid: "b".into(), ..Meta::new(Mode::dir(0o555), "u", "g", 7) });
    let long = [0xff; 255];
    let modes = [0o600 | DMAPPEND, 0o640 | DMEXCL, 0o777 | DMTMP, 0];
    let names: [&[u8]; 4] = [b" sp a  ce ", b"~\x80", "日本".as_bytes(), &long];
    let mut both: Vec<_> = names.into_iter().zip(modes).collect();
    both.sort();
    let mut both = both.into_iter().peekable();
    let push = |t: &mut Tree, (name, mode): (&[u8], u32)| {
        t.push(EntryId::ROOT, name, Meta::new(Mode(mode), "u", "12", u32::MAX), Some(Content::bytes(name)));
    };
    push(&mut t, both.next().unwrap());
    let adm = t.push(EntryId::ROOT, b"adm", Meta::new(Mode::dir(0o775), "adm", "adm", 1), None);
    t.push(adm, b"users", Meta::new(Mode::file(0o664), "adm", "adm", 1), Some(Content::bytes(users.as_bytes())));
    both.for_each(|f| push(&mut t, f));
    let t = Arc::new(t);
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
        (refuse(&[b'n'; 256], file(0o664)), "the name has 256 bytes, but hjfs holds at most 255"),
        (refuse(b"a\tb", file(0o664)), "hjfs cannot hold this name: it contains a control character"),
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

/// Bytes that depend on the offset, and a list of the reads they were asked
/// for.
struct Counted {
    len: u64,
    reads: Mutex<Vec<(u64, usize)>>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reads.lock().unwrap().push((offset, buf.len()));
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let n = rest.len().min((4095 - at % 4095) as usize);
            let (piece, more) = rest.split_at_mut(n);
            piece.fill(value(at));
            (rest, at) = (more, at + n as u64);
        }
        Ok(())
    }
}

fn value(at: u64) -> u8 {
    (at / 4095).wrapping_mul(31) as u8 | 1
}

fn counted(len: u64) -> (Arc<Counted>, Content) {
    let source = Arc::new(Counted { len, reads: Mutex::default() });
    (source.clone(), Content::Part { source, offset: 0, len })
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
    let d = t.push(EntryId::ROOT, b"d", dir(0o775), None);
    let name = |i: u32| [&[0xfe; 245][..], format!(" {i:09}").as_bytes()].concat();
    for i in 0..20_000 {
        t.push(d, &name(i), file(0o444), Some(Content::bytes(i.to_string().into_bytes())));
    }
    let v = Arc::new(volume(&Arc::new(t), 256 * MIB));
    let fs = open(v).unwrap();
    let all = fs.children(&fs.find(b"d").unwrap()).unwrap();
    assert_eq!(all.len(), 20_000);
    for (i, n) in all.iter().enumerate().step_by(997) {
        assert_eq!(n.name, name(i as u32));
        assert_eq!(read_all(&fs, n).unwrap(), i.to_string().into_bytes());
    }
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
    // Odd ranges are parts of the same bytes.
    for (from, len) in [(123, 20_000), (4095, 2), (4096, 1), (4097, 3)] {
        let mut odd = vec![9; len];
        v.read_at(at + from, &mut odd).unwrap();
        assert_eq!(odd, b[from as usize..][..len]);
    }
}

#[test]
fn nodes_share_what_the_medium_has() {
    let change = |path: &str, what| Addition { path: path.as_bytes().to_vec(), what };
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
    let (a, shared_a) = node(&[change("d/new", What::File(file(0o600), bytes(100_000, 9)))]);
    let (b, shared_b) = node(&[
        change("e/f/three", What::File(file(0o600), bytes(70_000, 8))),
        change("d/two", What::Remove),
        change("x/y", What::Dir(dir(0o700))),
    ]);
    assert_eq!(shared_a, (512..539).collect::<Vec<_>>());
    assert_eq!(shared_b, (512..533).chain([536]).collect::<Vec<_>>());
    let block = |image: &[u8], n: u64| image[n as usize * 4096..][..4096].to_vec();
    for (image, shared) in [(&a, &shared_a), (&b, &shared_b)] {
        for n in 512..541 {
            match shared.contains(&n) {
                true => assert!(block(image, n) == block(&plain, n)),
                false => assert!(block(image, n).iter().all(|b| *b == 0), "block {n} is free"),
            }
        }
    }
    let (plain, a, b) = (reader(plain), reader(a), reader(b));
    let qid = |fs: &HjfsReader, path: &str| fs.find(path.as_bytes()).unwrap().qid.unwrap();
    for path in ["big", "d", "d/one", "e", "e/f", "e/f/three", "e/four", ""] {
        assert_eq!((qid(&a, path), qid(&b, path)), (qid(&plain, path), qid(&plain, path)), "{path}");
    }
    assert!(findings(&a).is_empty() && findings(&b).is_empty());
}

fn any_tree() -> impl Strategy<Value = Vec<(Vec<String>, usize)>> {
    let name = "[a-c]{1,2}";
    let size = prop_oneof![Just(0usize), 1..20_000usize, Just(4095), Just(61_425), Just(61_426), Just(2_000_000)];
    prop::collection::vec((prop::collection::vec(name, 1..4), size), 0..12)
}

fn additions(files: &[(Vec<String>, usize)], seed: u8) -> Vec<Addition> {
    let mut all = Vec::new();
    for (i, (path, len)) in files.iter().enumerate() {
        let what = match len % 7 {
            3 => What::Dir(dir(0o700)),
            4 => What::Remove,
            _ => What::File(file(0o640), bytes(*len, seed ^ i as u8)),
        };
        all.push(Addition { path: path.join("/").into_bytes(), what });
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read(medium in any_tree(), node in any_tree()) {
        let empty = Arc::new(Tree::new(dir(0o775)));
        let base_tree = flat(&Tree::overlay(&empty, &additions(&medium, 1), &dir(0o775)));
        let len = 48 * MIB + 1000;
        let base = base(&base_tree, len);
        let node = Arc::new(Tree::overlay(&base_tree, &additions(&node, 100), &dir(0o750)));
        let v = Hjfs::layout(&base, &node, &Options { len, epoch: 1 }).unwrap();
        let whole = image(&v);
        // Extents cover every byte that is not zero.
        let mut sparse = vec![0; whole.len()];
        for e in v.extents() {
            v.read_at(e.offset, &mut sparse[e.offset as usize..e.end() as usize]).unwrap();
        }
        prop_assert!(sparse == whole, "extents hold everything");
        let fs = reader(whole);
        prop_assert!(listing_of_fs(&fs) == listing_of_tree(&node));
        prop_assert_eq!(findings(&fs), Vec::<String>::new());
    }
}
