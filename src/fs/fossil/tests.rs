//! What a tree becomes and what is read back.

use super::*;
use crate::fs::FileSystem;
pub use crate::fs::testing::{findings, read_all};
use crate::fs::testing::{listing_of_fs, listing_of_tree};
use crate::read_at::ReadAt;
use crate::tree::{Addition, Content, DMAPPEND, DMEXCL, DMTMP, EntryId, Meta, Mode, Tree, What};
use proptest::prelude::*;
use std::sync::Arc;

pub const MIB: u64 = 1 << 20;

pub fn options(len: u64) -> Options {
    let config = "fossil config\nfsys main config *\nfsys main open -V -c 3000\n".to_string();
    Options { len, config, name: "main".into(), epoch: 1_700_000_000 }
}

pub fn dir(perm: u32) -> Meta {
    Meta::new(Mode::dir(perm), "sys", "sys", 1_000_000)
}

pub fn file(perm: u32) -> Meta {
    Meta::new(Mode::file(perm), "sys", "sys", 1_000_001)
}

/// Bytes that differ from block to block.
pub fn bytes(len: usize, seed: u8) -> Content {
    let b: Vec<u8> = (0..len).map(|i| seed ^ (i / 8192) as u8 ^ (i % 251) as u8).collect();
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

pub fn volume(tree: &Arc<Tree>, len: u64) -> Fossil {
    let base = Arc::new(Base::layout(tree).unwrap());
    Fossil::layout(&base, tree, &options(len)).unwrap()
}

/// All bytes of a volume.
pub fn image(v: &Fossil) -> Vec<u8> {
    let mut b = vec![0; ReadAt::len(v) as usize];
    v.read_at(0, &mut b).unwrap();
    b
}

pub fn reader(bytes: Vec<u8>) -> FossilReader {
    open(Arc::new(bytes)).unwrap()
}

#[test]
fn a_small_volume_has_these_bytes() {
    let t = tree_of(&[("a", Content::bytes(*b"hello"))]);
    let v = volume(&t, 2 * MIB);
    let b = image(&v);
    assert_eq!(&b[127 * 1024..][..14], b"fossil config\n");
    // 256 blocks: 236 for data, one for their labels.
    let header = [0x37, 0x76, 0xae, 0x89, 0, 1, 0x20, 0, 0, 0, 0, 18, 0, 0, 0, 19, 0, 0, 0, 20, 0, 0, 1, 0];
    assert_eq!(b[131_072..][..24], header);
    assert_eq!(data_offset(2 * MIB), Some(20 * 8192));
    let sb = &b[18 * 8192..19 * 8192];
    assert_eq!(sb[..26], [0x23, 0x40, 0xa3, 0xb1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 12]);
    assert_eq!(sb[26..38], [255, 255, 255, 255, 255, 255, 255, 255, 0xda, 0x39, 0xa3, 0xee]);
    assert_eq!(&sb[54..59], b"main\0");
    // The file, its directory's two blocks; five free up to the node's area.
    let label = |i: usize| &b[19 * 8192 + 14 * i..][..14];
    assert_eq!(label(0), [1, 0, 0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 33]);
    assert_eq!(label(1), [1, 8, 0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 34]);
    assert_eq!(label(2), [1, 0, 0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 35]);
    assert!((3..8).all(|i| label(i) == [0; 14]));
    // Names of /, its entries, its own name, the three, and the root block.
    let kinds: Vec<_> = (8..14).map(|i| (label(i)[1], label(i)[13])).collect();
    assert_eq!(kinds, [(8, 36), (0, 37), (0, 38), (8, 39), (8, 1), (0, 0)]);
    assert_eq!(&b[20 * 8192..][..6], b"hello\0");
    assert_eq!(v.blocks_used(), 8);
}

#[test]
fn modes_owners_and_odd_names_come_back() {
    let mut t = Tree::new(Meta { muid: "b".into(), ..Meta::new(Mode::dir(0o555), "a", "c", 7) });
    let long = [0xff; 255];
    let modes = [0o600 | DMAPPEND, 0o640 | DMEXCL, 0o777 | DMTMP, 0];
    let names: [&[u8]; 4] = [b" sp a  ce ", b"~\x80", "日本".as_bytes(), &long];
    let mut both: Vec<_> = names.into_iter().zip(modes).collect();
    both.sort();
    for (name, mode) in both {
        t.push(EntryId::ROOT, name, Meta::new(Mode(mode), "u", "g", u32::MAX), Some(Content::bytes(name)));
    }
    let t = Arc::new(t);
    let fs = reader(image(&volume(&t, 2 * MIB)));
    assert_eq!(listing_of_fs(&fs), listing_of_tree(&t));
    assert_eq!(findings(&fs), [""; 0]);
    assert_eq!(fs.config().unwrap().unwrap(), options(0).config.as_bytes());
    let whole = fs.with_snapshots();
    let top: Vec<_> = whole.children(&whole.root().unwrap()).unwrap().into_iter().map(|n| n.name).collect();
    assert_eq!(top, [&b"active"[..], b"archive", b"snapshot"]);
}

fn any_tree() -> impl Strategy<Value = Vec<(Vec<String>, usize)>> {
    let name = "[a-c]{1,2}";
    let size = prop_oneof![Just(0usize), 1..20_000usize, Just(8192), Just(16_384), Just(5_000_000)];
    prop::collection::vec((prop::collection::vec(name, 1..4), size), 0..12)
}

fn additions(files: &[(Vec<String>, usize)], seed: u8) -> Vec<Addition> {
    let mut all = Vec::new();
    for (i, (path, len)) in files.iter().enumerate() {
        let path = path.join("/").into_bytes();
        let what = match len % 5 {
            3 => What::Dir(dir(0o700)),
            4 => What::Remove,
            _ => What::File(file(0o640), bytes(*len, seed ^ i as u8)),
        };
        all.push(Addition { path, what });
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read(medium in any_tree(), node in any_tree()) {
        let empty = Arc::new(Tree::new(dir(0o775)));
        let base_tree = flat(&Tree::overlay(&empty, &additions(&medium, 1), &dir(0o775)));
        let base = Arc::new(Base::layout(&base_tree).unwrap());
        let node = Arc::new(Tree::overlay(&base_tree, &additions(&node, 100), &dir(0o750)));
        let needed = needed_len(&base, &node).unwrap();
        let v = Fossil::layout(&base, &node, &options(needed)).unwrap();
        let whole = image(&v);
        // Extents cover every byte that is not zero.
        let mut sparse = vec![0; whole.len()];
        for e in v.extents() {
            let range = e.offset as usize..e.end() as usize;
            v.read_at(e.offset, &mut sparse[range]).unwrap();
        }
        prop_assert!(sparse == whole, "extents hold everything");
        let fs = reader(whole);
        prop_assert!(listing_of_fs(&fs) == listing_of_tree(&node));
        prop_assert_eq!(findings(&fs), Vec::<String>::new());
        if needed > 160 * 8192 {
            let short = Fossil::layout(&base, &node, &options(needed - 1)).err();
            prop_assert_eq!(short, Some(LayoutError::TooSmall { needed, available: needed - 1 }));
        }
    }
}
