//! Tests of writing a tree and of reading it back.

use super::*;
use crate::FileSystem;
use crate::testing::trees::{self, Files, additions, medium_of, node_of, odd_tree, some_files};
pub(super) use crate::testing::trees::{MIB, dir, file, tree_of};
pub(super) use crate::testing::{findings, image};
use crate::testing::{image_by_extents, listing_of_fs, listing_of_tree};
use crate::tree::{Content, Meta, Mode, Tree};
use proptest::prelude::*;
use std::sync::Arc;

pub(super) fn options(len: u64) -> Options {
    let config = "fossil config\nfsys main config *\nfsys main open -V -c 3000\n".to_string();
    Options { len, config, name: "main".into(), epoch: 1_700_000_000 }
}

/// Bytes that differ from block to block.
pub(super) fn bytes(len: usize, seed: u8) -> Content {
    trees::bytes(len, seed, 8192)
}

pub(super) fn volume(tree: &Arc<Tree>, len: u64) -> Fossil {
    let base = Arc::new(Base::layout(tree).unwrap());
    Fossil::layout(&base, tree, &options(len)).unwrap()
}

pub(super) fn reader(bytes: Vec<u8>) -> FossilReader {
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
    let root = Meta { muid: "b".into(), ..Meta::new(Mode::dir(0o555), "a", "c", 7) };
    let t = odd_tree(root, 255, "g", &|_| {});
    let fs = reader(image(&volume(&t, 2 * MIB)));
    assert_eq!(listing_of_fs(&fs), listing_of_tree(&t));
    assert_eq!(findings(&fs), [""; 0]);
    assert_eq!(fs.config().unwrap().unwrap(), options(0).config.as_bytes());
    let whole = fs.with_snapshots();
    let top: Vec<_> = whole.children(&whole.root().unwrap()).unwrap().into_iter().map(|n| n.name).collect();
    assert_eq!(top, [&b"active"[..], b"archive", b"snapshot"]);
}

fn any_files() -> impl Strategy<Value = Files> {
    some_files(prop_oneof![Just(0usize), 1..20_000usize, Just(8192), Just(16_384), Just(5_000_000)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read(medium in any_files(), node in any_files()) {
        let medium = medium_of(&additions(&medium, 1, 8192));
        let base = Arc::new(Base::layout(&medium).unwrap());
        let node = node_of(&medium, &node, 8192);
        let needed = needed_len(&base, &node).unwrap();
        let v = Fossil::layout(&base, &node, &options(needed)).unwrap();
        let whole = image(&v);
        prop_assert!(image_by_extents(&v) == whole, "extents hold everything");
        let fs = reader(whole);
        prop_assert!(listing_of_fs(&fs) == listing_of_tree(&node));
        prop_assert_eq!(findings(&fs), Vec::<String>::new());
        if needed > 160 * 8192 {
            let short = Fossil::layout(&base, &node, &options(needed - 1)).err();
            prop_assert_eq!(short, Some(LayoutError::TooSmall { needed, available: needed - 1 }));
        }
    }
}
