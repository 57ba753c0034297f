//! One wound, one finding; and images that are no hjfs at all.

use super::format::{BLOCK, COUNTS_AT, DENTRY, DIRECT, Dentry, Super, count_offset};
use super::tests::*;
use super::*;
use crate::FileSystem;
use crate::testing::trees::push_users;
use crate::testing::wounds::{self, Sound};
use crate::testing::{remarks, use_everything};
use crate::tree::{Content, EntryId, Meta, Mode, Tree};
use proptest::prelude::*;
use std::io;
use std::sync::Arc;

/// Blocks: 512 of /a, 513 to 529 of /b and its indirect one, 530 of /d/e, 531
/// of /d, 532 of /, 544 the roots.
fn healthy() -> Vec<u8> {
    let t = tree_of(&[("a", bytes(10, 1)), ("b", bytes(15 * 4095 + 1, 2)), ("d/e", bytes(5, 3))]);
    let bytes = image(&volume(&t, 3 * MIB));
    assert_eq!(findings(&reader(bytes.clone())), [""; 0]);
    bytes
}

fn put(b: &mut [u8], at: usize, bytes: &[u8]) {
    b[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Offset of the count of a block.
fn count(block: usize) -> usize {
    COUNTS_AT as usize * BLOCK + count_offset(block)
}

/// Offset of the type of a block.
fn kind(block: usize) -> usize {
    block * BLOCK
}

/// Offset of a slot of a block.
fn slot(block: usize, slot: usize) -> usize {
    block * BLOCK + 1 + slot * DENTRY
}

/// Offsets in a dentry: of its first and second pointer, and of that to its
/// indirect block.
const POINTER: usize = Dentry::pointer_at(0);
const SECOND: usize = Dentry::pointer_at(1);
const INDIRECT: usize = Dentry::pointer_at(DIRECT);

#[test]
fn every_wound_has_its_finding() {
    let whole = healthy();
    let fs = reader(whole.clone());
    let at = |path: &str| fs.find(path.as_bytes()).unwrap().handle[0] as usize;
    let (root, d) = (at("a") >> 4, at("d/e") >> 4);
    let top = fs.root().unwrap().handle[0] as usize >> 4;
    let (a, b) = (slot(root, at("a") & 15), slot(root, at("b") & 15));
    let e = slot(d, 0);
    let check = |wounds: &[(usize, &[u8])], expected: &[&str]| {
        let mut bytes = whole.clone();
        wounds.iter().for_each(|(at, new)| put(&mut bytes, *at, new));
        let found = findings(&reader(bytes));
        assert_eq!(found, expected);
    };
    check(&[(count(512), &[0])], &["Block 512: counted as free, but 1 pointer leads there [free]"]);
    check(&[(count(512), &[2])], &["Block 512: counted 2, but 1 pointer leads there [lost]"]);
    check(&[(count(600), &[1, 0, 0, 1])], &["Blocks 600 to 601: counted 1, but 0 pointers lead there [lost]"]);
    check(&[(count(768), &[0, 0, 0])], &["Block 768: after the last one, counted 0 and not 16777215 [sentinel]"]);
    check(
        &[(a + POINTER, &600u64.to_le_bytes())],
        &[
            "Block 512: counted 1, but 0 pointers lead there [lost]",
            "Block 600: counted as free, but 1 pointer leads there [free]",
        ],
    );
    check(
        &[(a + POINTER, &768u64.to_le_bytes())],
        &[
            "/a: it points to block 768, but addresses go from 2 to 767 [address]",
            "Block 512: counted 1, but 0 pointers lead there [lost]",
        ],
    );
    check(
        &[(a + POINTER, &513u64.to_le_bytes())],
        &[
            "/a: block 513 belongs to something else, too [shared]",
            "Block 512: counted 1, but 0 pointers lead there [lost]",
            "Block 513: counted 1, but 2 pointers lead there [refs]",
        ],
    );
    check(&[(kind(512), &[3])], &["Block 512 is a file's, but has type indirect [type]"]);
    check(&[(a + Dentry::SIZE_AT, &[0])], &["/a: it has 0 blocks by its size, but 1 more after them [size]"]);
    check(
        &[(b + Dentry::SIZE_AT, &(15 * 4095u64).to_le_bytes())],
        &["/b: it has 15 blocks by its size, but 2 more after them [size]"],
    );
    check(&[(a, b"x/y\0")], &["\"/x/y\": the name in slot 0 of block 532 is not possible: it contains a slash [name]"]);
    check(&[(a, b"b\0")], &["/b: there are two files of this name [name]"]);
    check(
        &[(a, &[b'n'; 256])],
        &[&format!("{}: no zero ends the name in slot 0 of block 532 [name]", "…".to_owned() + &"n".repeat(200))],
    );
    check(&[(a + Dentry::QID_AT, &[99])], &["/a: qid path 99 is not below the next one to give out, 7 [qid]"]);
    check(&[(e + Dentry::QID_AT, &[3])], &["/d/e: another file has its qid path 3, too [qid]"]);
    check(
        &[(a + Dentry::MODE_AT, &[0, 0x40])],
        &["/a: it was removed while it was open, and its space was never freed [gone]"],
    );
    check(
        &[(slot(top, 1) + Dentry::KIND_AT, &[0])],
        &[&format!(
            "Slot 1 of block {top}, the root of the dumps, should be a directory in use with qid path 1 [root]"
        )],
    );
    // The directory's own block as its entry's: a loop.
    check(
        &[(e + POINTER, &(d as u64).to_le_bytes())],
        &[
            &format!("/d/e: block {d} should be raw, but other pointers say dentries [type]"),
            "Block 530: counted 1, but 0 pointers lead there [lost]",
            &format!("Block {d}: counted 1, but 2 pointers lead there [refs]"),
        ],
    );
    let mut bytes = whole.clone();
    put(&mut bytes, kind(top), &[0]);
    let found = findings(&reader(bytes));
    assert_eq!(found[0], format!("Block {top} should have the roots, but has type raw [root]"));
}

#[test]
fn a_dump_shares_blocks_until_they_change() {
    // What fsdump does: a year with a copy of the root's dentry, counted twice.
    let mut b = healthy();
    let fs = reader(b.clone());
    let top = fs.root().unwrap().handle[0] as usize >> 4;
    let live = b[slot(top, 0)..][..DENTRY].to_vec();
    let (year, first) = (700usize, u64::from_le_bytes(live[POINTER..][..8].try_into().unwrap()) as usize);
    put(&mut b, kind(year), &[2]);
    put(&mut b, slot(year, 0), &live);
    put(&mut b, slot(year, 0), b"0102\0");
    put(&mut b, slot(year, 0) + Dentry::QID_AT, &[20]);
    put(&mut b, kind(701), &[2]);
    let mut dir = live.clone();
    put(&mut dir, 0, b"2026\0");
    put(&mut dir, Dentry::QID_AT, &[21]);
    put(&mut dir, POINTER, &700u64.to_le_bytes());
    put(&mut b, slot(701, 0), &dir);
    put(&mut b, slot(top, 1) + Dentry::SIZE_AT, &[1]);
    put(&mut b, slot(top, 1) + POINTER, &701u64.to_le_bytes());
    put(&mut b, Super::QID_AT, &[30]);
    for (block, n) in [(700, 1), (701, 1), (first, 2)] {
        put(&mut b, count(block), &[n]);
    }
    let fs = reader(b.clone());
    assert_eq!(findings(&fs), [""; 0]);
    let dumps = fs.dumps();
    let file = dumps.find(b"2026/0102/d/e").unwrap();
    assert_eq!(read_all(&dumps, &file).unwrap(), bytes(5, 3).read_all().unwrap());
    // Only a dump may share.
    put(&mut b, count(first), &[1]);
    assert_eq!(findings(&reader(b)), [format!("Block {first}: counted 1, but 2 pointers lead there [refs]")]);
}

#[test]
fn what_is_no_hjfs_is_not_opened() {
    let error = |b: Vec<u8>| open(Arc::new(b)).err().unwrap().to_string();
    assert_eq!(error(vec![1; 100]), "Not an hjfs partition: 100 bytes are too few for its super block");
    assert_eq!(error(vec![1; BLOCK]), "Not an hjfs partition: no 01 1c e5 0d 6e at its start");
    let whole = healthy();
    let mut cut = whole.clone();
    cut.truncate(700 * BLOCK);
    assert_eq!(error(cut), "Bad hjfs super block (block 0): it says 768 blocks, but there are only 700");
    for (at, value, words) in [
        (Super::BLOCKS_AT, 0, "it says 0 blocks, but there may be 1 to 2147483647"),
        (Super::FSTART_AT, 2, "counts begin at block 2, not at 1"),
        (Super::FEND_AT, 9, "counts end at block 9, not at 2 as 768 blocks need"),
        (Super::ROOT_AT, 1, "the roots are in block 1, but only 2 to 767 are possible"),
    ] {
        let mut b = whole.clone();
        put(&mut b, at, &u64::to_le_bytes(value));
        assert_eq!(error(b), format!("Bad hjfs super block (block 0): {words}"));
    }
}

#[test]
fn damage_is_an_error_for_readers() {
    let whole = healthy();
    let fs = reader(whole.clone());
    let at = |path: &str| fs.find(path.as_bytes()).unwrap().handle[0] as usize;
    let (b, d) = (slot(at("b") >> 4, at("b") & 15), slot(at("d") >> 4, at("d") & 15));
    let read = |wounds: &[(usize, &[u8])], path: &str| -> io::Error {
        let mut bytes = whole.clone();
        wounds.iter().for_each(|(at, new)| put(&mut bytes, *at, new));
        let fs = reader(bytes);
        fs.find(path.as_bytes()).and_then(|n| read_all(&fs, &n)).unwrap_err()
    };
    let e = read(&[(b + POINTER, &9999u64.to_le_bytes())], "b");
    assert_eq!(e.to_string(), "Block 9999 is after the last one, 767");
    let e = read(&[(b + POINTER, &[255; 16])], "b");
    assert_eq!(e.to_string(), "Block 18446744073709551615 is after the last one, 767");
    let e = read(&[(b + INDIRECT, &512u64.to_le_bytes())], "b");
    assert_eq!(e.to_string(), "Block 512 has type raw, but the pointer to it says indirect");
    let e = read(&[(d + Dentry::SIZE_AT, &[200, 200, 200])], "d/e");
    assert_eq!(e.to_string(), "A directory of 13158600 blocks is larger than the volume, which has 768");
    let twice = u64::from_le_bytes(whole[d + POINTER..][..8].try_into().unwrap()).to_le_bytes();
    let e = read(&[(d + Dentry::SIZE_AT, &[2]), (d + SECOND, &twice)], "d/e");
    assert!(e.to_string().ends_with("appears twice in one directory"), "{e}");
    // A hole reads as zeros.
    let mut holed = whole.clone();
    put(&mut holed, b + INDIRECT, &[0; 8]);
    let fs = reader(holed);
    assert_eq!(read_all(&fs, &fs.find(b"b").unwrap()).unwrap()[15 * 4095..], [0]);
}

/// A volume whose files hold zeros.
fn zeros() -> Sound {
    let mut t = Tree::new(dir(0o775));
    push_users(&mut t, "-1:adm:adm:\n0:none::\n10000:sys:sys:\n");
    let e = t.push(EntryId::ROOT, b"d", dir(0o775), None);
    t.push(e, b"e", file(0o664), Some(Content::bytes(vec![0; 5000])));
    t.push(e, b"empty", file(0o664), Some(Content::bytes(vec![])));
    t.push(EntryId::ROOT, b"f", file(0o664), Some(Content::bytes(vec![0; 17 * 4095])));
    Sound::new(image(&volume(&Arc::new(t), 3 * MIB)))
}

#[test]
fn no_bit_hides_what_cannot_be_read() {
    wounds::no_bit_hides_what_cannot_be_read(zeros().each_bit(61), open);
}

#[test]
fn sizes_stand_against_the_volume_and_the_pointers() {
    let whole = healthy();
    let fs = reader(whole.clone());
    let at = |path: &str| fs.find(path.as_bytes()).unwrap().handle[0] as usize;
    let (a, d) = (slot(at("a") >> 4, at("a") & 15), slot(at("d") >> 4, at("d") & 15));
    let check = |wounds: &[(usize, &[u8])], expected: &[&str]| {
        let mut bytes = whole.clone();
        wounds.iter().for_each(|(at, new)| put(&mut bytes, *at, new));
        assert_eq!(findings(&reader(bytes)), expected);
    };
    check(
        &[(d + Dentry::SIZE_AT + 7, &[0x80])],
        &["/d: it has 9223372036854775809 blocks by its size, but the volume has 768 [size]"],
    );
    check(
        &[(a + Dentry::SIZE_AT + 5, &[0x80])],
        &["/a: its length is 140737488355338 bytes, but its pointers reach 55532456420805 [size]"],
    );
    check(
        &[(a + Dentry::SIZE_AT + 3, &[1])],
        &["/a: its length is 16777226 bytes, but the volume has 3145728, and nothing is at its end [size]"],
    );
    // What nobody wrote is a hole.
    check(&[(a + Dentry::SIZE_AT + 2, &[1])], &[]);
}

#[test]
fn owners_without_a_user_are_a_remark() {
    let mut t = Tree::new(dir(0o775));
    push_users(&mut t, "-1:adm:adm:\n7:bob:bob:\n10000:sys:sys:\n9:e\u{e9}::\n");
    for name in [&b"one"[..], b"two", b"\xff"] {
        let meta = Meta::new(Mode::file(0o664), "12", "bob", 1);
        t.push(EntryId::ROOT, name, meta, Some(Content::bytes(*b"x")));
    }
    let mut bytes = image(&volume(&Arc::new(t), 3 * MIB));
    let at = bytes.windows(2).position(|w| w == "\u{e9}".as_bytes()).unwrap();
    bytes[at] = 0xff;
    let fs = reader(bytes);
    assert_eq!(findings(&fs), [""; 0]);
    assert_eq!(
        remarks(&fs),
        [
            "/adm/users: line 4 is not UTF-8, but 9:e\\xff\\xa9:: [name-text]",
            "/\u{fffd}: the name is not UTF-8, but \\xff [name-text]",
            "Owner \"12\" is not in /adm/users; 3 files name it, the first is /one [nobody]",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_found() {
    let sound = zeros();
    wounds::what_cannot_be_read_is_found(file!(), &wounds::some(), |wounds| open(sound.wounded(&wounds)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_wound_is_a_panic(wounds in prop::collection::vec((0usize..8192, any::<u8>()), 1..6)) {
        let mut bytes = healthy();
        for (at, new) in wounds {
            // The super block, or the node's blocks.
            let at = if at < 64 { at } else { 543 * BLOCK + at * 2 };
            bytes[at] = new;
        }
        if let Ok(fs) = open(Arc::new(bytes)) {
            use_everything(&fs);
        }
    }
}
