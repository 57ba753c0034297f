//! The layout: what nodes share, limits, sizes.

use super::tests::*;
use super::*;
use crate::FileSystem;
use crate::read_at::ReadAt;
use crate::testing::assert_parts;
use crate::testing::counted::{self, Counted};
use crate::testing::trees::{Long, assert_same_qids, two_nodes};
use crate::tree::{Addition, Content, EntryId, Mode, Tree};
use std::sync::Arc;

fn value(at: u64) -> u8 {
    (at / 8192).wrapping_mul(31).wrapping_add(at) as u8 | 1
}

fn counted(len: u64) -> (Arc<Counted>, Content) {
    counted::counted(len, |at, buf| buf.iter_mut().zip(at..).for_each(|(b, at)| *b = value(at)))
}

#[test]
fn nodes_share_what_the_medium_has() {
    let medium = tree_of(&[
        ("big", bytes(50_000, 1)),
        ("d/one", bytes(9000, 2)),
        ("d/two", bytes(9000, 3)),
        ("e/f/three", bytes(3, 4)),
        ("e/four", bytes(5, 5)),
    ]);
    let base = Arc::new(Base::layout(&medium).unwrap());
    let node = |changes: &[Addition]| {
        let tree = Arc::new(Tree::overlay(&medium, changes, &dir(0o775)));
        image(&Fossil::layout(&base, &tree, &options(4 * MIB)).unwrap())
    };
    let plain = image(&Fossil::layout(&base, &medium, &options(4 * MIB)).unwrap());
    assert_eq!(node(&[]), plain, "an overlay of nothing is the medium");
    let [a, b] = two_nodes(8192).map(|changes| node(&changes));
    // Runs of the base: big 0-7, one 8-10, two 11-13, three 14, four 15; then
    // entries and names of f, e, d and /.
    assert_eq!(base.blocks(), 24);
    let data = data_offset(4 * MIB).unwrap() as usize;
    let block = |image: &[u8], n: usize| image[data + n * 8192..][..8192].to_vec();
    let label = |image: &[u8], n: usize| image[19 * 8192 + n * 14..][..14].to_vec();
    let differs = |other: &[u8]| -> Vec<usize> {
        let same = |n: &usize| block(&plain, *n) == block(other, *n) && label(&plain, *n) == label(other, *n);
        (0..24).filter(|n| !same(n)).collect()
    };
    assert_eq!(differs(&a), [20, 21, 22, 23]);
    assert_eq!(differs(&b), [11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23]);
    for (image, free) in [(&a, differs(&a)), (&b, differs(&b))] {
        for n in free {
            assert!(label(image, n) == [0; 14] && block(image, n).iter().all(|b| *b == 0), "block {n} is free");
        }
    }
    let (plain, a, b) = (reader(plain), reader(a), reader(b));
    let qid = |fs: &FossilReader, path: &str| fs.find(path.as_bytes()).unwrap().qid.unwrap();
    assert_same_qids(&plain, [&a, &b], &["big", "d", "d/one", "e", "e/f", "e/f/three", "e/four", ""]);
    assert_eq!((qid(&a, "d/new"), qid(&b, "x"), qid(&b, "x/y")), (13, 13, 14));
    assert!(findings(&a).is_empty() && findings(&b).is_empty());
}

#[test]
fn a_large_directory_with_long_names() {
    let mut t = Tree::new(dir(0o775));
    let d = Long { files: 20_000, prefix: 245, content: |i| i.to_string().into_bytes() };
    d.push(&mut t);
    let t = Arc::new(t);
    let v = Arc::new(volume(&t, 256 * MIB));
    let fs = open(v).unwrap();
    d.assert_in(&fs);
    assert!(findings(&fs).is_empty());
}

#[test]
fn files_at_every_change_of_depth() {
    let (one, two) = (409u64, 409 * 409u64);
    let sizes: Vec<u64> = [1, one, one + 1, two, two + 1].iter().flat_map(|n| [n * 8192 - 1, n * 8192]).collect();
    let mut files: Vec<_> = sizes.iter().map(|len| (format!("{len}"), counted(*len).1)).collect();
    files.push(("0".into(), counted(0).1));
    let files: Vec<_> = files.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
    let t = tree_of(&files);
    let base = Arc::new(Base::layout(&t).unwrap());
    let needed = needed_len(&base, &t).unwrap();
    let v = Arc::new(Fossil::layout(&base, &t, &options(needed)).unwrap());
    assert_eq!(v.blocks(), v.blocks_used() + 7 - (u64::from(base.blocks()) + 7) % 8);
    let fs = open(v).unwrap();
    assert!(findings(&fs).is_empty());
    for len in sizes {
        let n = fs.find(len.to_string().as_bytes()).unwrap();
        assert_eq!(n.len, len);
        for at in [0, len / 2, len - 1, (409 * 8192).min(len - 1), (409 * 409 * 8192).min(len - 1)] {
            let mut b = [0; 3];
            let got = fs.read(&n, at, &mut b).unwrap();
            assert_eq!(b[..got], (at..len.min(at + 3)).map(value).collect::<Vec<_>>(), "{len} at {at}");
        }
    }
}

#[test]
fn neighbouring_blocks_are_read_at_once() {
    let (source, content) = counted(1 << 30);
    let t = tree_of(&[("giga", content), ("a", bytes(10, 1))]);
    let v = volume(&t, 2048 * MIB);
    let data = data_offset(2048 * MIB).unwrap();
    let mut b = vec![0; 65_536];
    // One block of /a lies before.
    v.read_at(data + 8192 + 10 * 65_536, &mut b).unwrap();
    assert_eq!(*source.reads.lock().unwrap(), [(655_360, 65_536)]);
    assert!(b.iter().zip(655_360..).all(|(b, at)| *b == value(at)));
    assert_parts(&v, data + 8192 + 655_360, &b, &[(123, 20_000)]);
}

#[test]
fn any_range_is_a_part_of_the_whole() {
    let t = tree_of(&[("big", bytes(50_000, 1)), ("d/one", bytes(9000, 2))]);
    let v = volume(&t, 2 * MIB + 1000);
    let whole = image(&v);
    let end = 2 * MIB as usize;
    let ranges = [(127 * 1024 - 5, 2000), (131_000, 40_000), (18 * 8192 + 1, 30_000), (end - 3, 1003)];
    assert_parts(&v, 0, &whole, &ranges);
    assert!(v.read_at(2 * MIB, &mut [0; 1001]).is_err());
}

#[test]
fn size_costs_nothing() {
    let t = tree_of(&[("big", bytes(50_000, 1))]);
    let base = Arc::new(Base::layout(&t).unwrap());
    let huge = Fossil::layout(&base, &t, &options(64 << 30)).unwrap();
    let small = Fossil::layout(&base, &t, &options(2 << 30)).unwrap();
    assert_eq!(huge.extents().len(), small.extents().len());
    let sum = |v: &Fossil| v.extents().iter().map(|e| e.len).sum::<u64>();
    assert_eq!(sum(&huge), sum(&small));
    assert_eq!((huge.blocks(), huge.blocks_used()), (8_374_274, small.blocks_used()));
    let fs = open(Arc::new(huge)).unwrap();
    assert_eq!(fs.find(b"big").unwrap().len, 50_000);
}

#[test]
fn what_does_not_fit_is_said() {
    let one = tree_of(&[("f", bytes(5, 1))]);
    let base = Arc::new(Base::layout(&one).unwrap());
    let layout = |o: &Options| Fossil::layout(&base, &one, o).err().map(|e| e.to_string());
    let with = |f: &dyn Fn(&mut Options)| {
        let mut o = options(2 * MIB);
        f(&mut o);
        layout(&o).unwrap()
    };
    assert_eq!(
        with(&|o| o.len = MIB),
        "The partition has 1048576 bytes, but its files need 1310720: make it 262144 bytes larger"
    );
    assert!(with(&|o| o.len = 1 << 60).ends_with("but a fossil has at most 17622258311168; make it smaller"));
    assert_eq!(
        with(&|o| o.config = format!("fossil config\n{}", "x".repeat(1011))),
        "The fossil configuration has 1025 bytes, but there is room for 1024; shorten it"
    );
    assert_eq!(
        with(&|o| o.config = "fsys main".into()),
        "The fossil configuration must start with the line `fossil config` and contain no zero byte"
    );
    assert_eq!(
        with(&|o| o.name = "n".repeat(128)),
        "The volume name has 128 bytes, but there is room for 127; shorten it"
    );
    let other = tree_of(&[("f", bytes(5, 1))]);
    assert_eq!(Fossil::layout(&base, &other, &options(2 * MIB)).err(), Some(LayoutError::OtherBase));

    let error = |name: &[u8], meta: crate::tree::Meta, len: u64| {
        let mut t = Tree::new(dir(0o775));
        let d = t.push(EntryId::ROOT, b"d", dir(0o775), None);
        t.push(d, name, meta, Some(counted(len).1));
        Base::layout(&Arc::new(t)).err().map(|e| e.to_string())
    };
    let long = [b'n'; 1024];
    assert_eq!(error(&long[..1023], file(0o600), 0), None);
    assert!(
        error(&long, file(0o600), 0)
            .unwrap()
            .ends_with("has 1024 bytes, but fossil stores at most 1023; use a shorter one")
    );
    assert_eq!(error(b"..", file(0o600), 0).unwrap(), "/d/..: fossil cannot store this name: it has a special meaning");
    for name in [&b"a/b"[..], b"a\0b", b"", b"a\n", b"\x7f"] {
        assert!(error(name, file(0o600), 0).unwrap().contains("cannot store this name: it "));
    }
    let mut owned = file(0o600);
    owned.gid = "g".repeat(1024).into();
    assert_eq!(error(b"x", owned, 0).unwrap(), "/d/x: the name of its group has more than 1023 bytes");
    assert_eq!(error(b"x", file(0o600), 1 << 44), None);
    assert_eq!(
        error(b"x", file(0o600), (1 << 44) + 1).unwrap(),
        "/d/x: 17592186044417 bytes are more than the 17592186044416 that a file may have"
    );
    let mut t = Tree::new(dir(0o775));
    for name in [b"a", b"b"] {
        t.push(EntryId::ROOT, name, file(0o600), Some(counted(1 << 44).1));
    }
    assert!(matches!(Base::layout(&Arc::new(t)), Err(LayoutError::TooManyBlocks { .. })));
    let mode = Mode::file(0o600);
    assert_eq!(mode.perm(), 0o600);
}
