//! Damage and what the checker calls it; hostile images and that they end.

use super::entry::Entry;
use super::format::{BLOCK, ENTRY_LEN, HEADER_AT, Header, LABEL_LEN, Label, SCORE_LEN, Super};
use super::meta;
use super::tests::*;
use super::*;
use crate::testing::remarks;
use crate::testing::trees::push_users;
use crate::testing::wounds::{self, Sound};
use crate::tree::{Content, EntryId, Meta, Mode, Tree};
use crate::{FileSystem, Node};
use proptest::prelude::*;
use std::io;
use std::sync::Arc;

/// A volume of 2 MiB. Its blocks: 0 to 2 data of /big, 3 its pointers; 4 data
/// of /d/x; 5, 6 entries and names of /d; 7, 8 those of /. After them 16, 17
/// entries and names above /, 18 its name, 19 the three, 20 the root block.
fn sample() -> Vec<u8> {
    image(&volume(&tree_of(&[("big", bytes(20_000, 1)), ("d/x", Content::bytes(*b"xyz"))]), 2 * MIB))
}

const HEADER: usize = HEADER_AT as usize;
const LABELS: usize = 19 * BLOCK;
const DATA: usize = 20 * BLOCK;
const SUPER: usize = 18 * BLOCK;
/// Offsets of the low bytes of fields: of 16, 32 and 64 bits.
const LOW_16: usize = 1;
const LOW_32: usize = 3;
const LOW_64: usize = 7;

/// Offset of the label of a data block.
fn label(block: usize) -> usize {
    LABELS + LABEL_LEN * block
}
/// Offset of a data block.
fn block(n: usize) -> usize {
    DATA + BLOCK * n
}
/// Offset of the `i`th entry of a block.
fn entry(n: usize, i: usize) -> usize {
    block(n) + ENTRY_LEN * i
}
/// Offset of the `i`th pointer of a block.
fn pointer(n: usize, i: usize) -> usize {
    block(n) + SCORE_LEN * i
}
/// Offset of the `i`th directory entry of a meta block.
fn name(b: &[u8], n: usize, i: usize) -> usize {
    let slot = block(n) + meta::slot_at(i);
    block(n) + usize::from(u16::from_be_bytes([b[slot], b[slot + 1]]))
}
/// Offsets in a directory entry, whose version and name come first.
const DIR_ENTRY_VERSION: usize = 4;
const DIR_ENTRY_NAME: usize = 8;
/// Offsets in a directory entry with a name of one byte: number of its entry, and
/// qid path.
const DIR_ENTRY_NUMBER: usize = DIR_ENTRY_NAME + 1;
const DIR_ENTRY_QID: usize = DIR_ENTRY_NUMBER + 16;
fn put(b: &mut [u8], at: usize, bytes: &[u8]) {
    b[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The kinds of finding in a damaged sample, in their order.
fn kinds(damage: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
    let mut b = sample();
    damage(&mut b);
    let all = findings(&reader(b));
    all.iter().map(|f| f[f.rfind('[').unwrap() + 1..f.len() - 1].to_string()).collect()
}

#[test]
fn every_damage_has_its_word() {
    let none: [&str; 0] = [];
    assert_eq!(kinds(|_| {}), none);
    // Labels.
    assert_eq!(kinds(|b| b[label(0) + Label::STATE_AT] = 0), ["label-state"]);
    assert_eq!(kinds(|b| b[label(0) + Label::STATE_AT] = 0xff), ["label-state"]);
    assert_eq!(kinds(|b| b[label(0) + Label::STATE_AT] = 0x11), ["label"]);
    assert_eq!(kinds(|b| b[label(0) + Label::STATE_AT] = 9), ["label"]);
    assert_eq!(kinds(|b| b[label(0) + Label::KIND_AT] = 17), ["label"]);
    assert_eq!(kinds(|b| b[label(0) + Label::KIND_AT] = 1), ["label-type"]);
    assert_eq!(kinds(|b| b[label(0) + Label::TAG_AT + LOW_32] = 34), ["label-tag"]);
    assert_eq!(kinds(|b| b[label(0) + Label::EPOCH_AT + LOW_32] = 2), ["epoch-order"]);
    assert_eq!(kinds(|b| put(b, label(0), &[9, 0, 0, 0, 0, 1, 0, 0, 0, 1])), ["epoch-order"]);
    assert_eq!(kinds(|b| put(b, label(0), &[9, 0, 0, 0, 0, 1, 0, 0, 0, 2])), ["closed"]);
    assert_eq!(kinds(|b| put(b, label(30), &[1, 0, 0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 50])), ["lost"]);
    // Pointers.
    assert_eq!(kinds(|b| b[pointer(3, 1) + SCORE_LEN - 1] = 0), ["epoch-join", "lost"]);
    assert_eq!(kinds(|b| b[pointer(3, 1) + SCORE_LEN - 2] = 99), ["address", "lost"]);
    // The way to the root.
    assert_eq!(kinds(|b| b[SUPER + Super::ACTIVE_AT + LOW_32] = 19), ["root", "root"]);
    assert_eq!(kinds(|b| b[SUPER + Super::ACTIVE_AT + 2] = 99), ["root", "root", "root"]);
    assert_eq!(kinds(|b| b[label(20) + Label::TAG_AT + LOW_32] = 2)[..2], ["root", "lost"]);
    assert_eq!(kinds(|b| b[entry(19, 0) + Entry::FLAGS_AT] = 0)[0], "lost");
    // Entries: big is entry 0 of block 7, d 1 and 2.
    let e = |i: usize| entry(7, i);
    assert_eq!(kinds(|b| b[e(0) + Entry::TAG_AT + LOW_32] = 31), ["entry-tag", "lost", "lost", "lost", "lost"]);
    assert_eq!(
        kinds(|b| b[e(0) + Entry::SNAP_AT + LOW_32] = 1),
        ["entry-snap", "lost", "lost", "lost", "lost", "entry-open"]
    );
    assert_eq!(kinds(|b| b[e(0) + Entry::FLAGS_AT] &= 0xfe), ["lost", "lost", "lost", "lost", "entry-open"]);
    assert_eq!(kinds(|b| b[e(0) + Entry::SIZE_AT + 2] = 1), ["entry-open"]);
    assert_eq!(kinds(|b| b[e(0) + Entry::GENERATION_AT + LOW_32] = 1), ["entry-generation"]);
    assert_eq!(kinds(|b| put(b, entry(5, 0) + Entry::FLAGS_AT, &[0x23])), ["label-type", "entry-dir"]);
    assert_eq!(kinds(|b| put(b, entry(5, 1), &Entry::empty(false).write())), none);
    assert_eq!(kinds(|b| b[entry(16, 0) + Entry::SIZE_AT + 5] += 40), none);
    assert_eq!(
        kinds(|b| {
            put(b, e(3), &Entry::empty(false).write());
            b[entry(16, 0) + Entry::SIZE_AT + 5] += 40;
        }),
        ["entry-unnamed"]
    );
    // Names.
    assert_eq!(kinds(|b| b[block(6)] = 0), ["meta-block", "entry-unnamed"]);
    assert_eq!(kinds(|b| b[block(6) + meta::COUNT_AT + LOW_16] = 99), ["meta-block", "entry-unnamed"]);
    assert_eq!(kinds(|b| b[block(6) + meta::FREE_AT + LOW_16] = 4), ["meta-packing"]);
    assert_eq!(kinds(|b| b[label(6) + Label::TAG_AT + LOW_32] = 99), ["label-tag", "source-block", "entry-unnamed"]);
    let n = |b: &[u8], i| name(b, 8, i);
    assert_eq!(
        kinds(|b| {
            let at = n(b, 0);
            b[at + DIR_ENTRY_VERSION + LOW_16] = 3;
        }),
        ["dir-entry", "entry-unnamed"]
    );
    assert_eq!(
        kinds(|b| {
            let at = n(b, 0);
            b[at + DIR_ENTRY_NAME] = b'z';
        }),
        ["name-order"]
    );
    assert_eq!(
        kinds(|b| {
            let at = n(b, 0);
            b[at + DIR_ENTRY_NAME] = b'/';
        }),
        ["name"]
    );
    assert_eq!(
        kinds(|b| {
            let at = n(b, 1);
            b[at + DIR_ENTRY_NUMBER + LOW_32] = 0;
        }),
        ["entry-reuse", "entry-unnamed", "entry-unnamed"]
    );
    assert_eq!(
        kinds(|b| {
            let at = n(b, 1);
            b[at + DIR_ENTRY_NUMBER + LOW_32] = 99;
        }),
        ["entry-range", "entry-unnamed", "entry-unnamed"]
    );
    assert_eq!(
        kinds(|b| {
            let at = n(b, 1);
            b[at + DIR_ENTRY_QID + 3] = 1;
        }),
        ["qid"]
    );
}

#[test]
fn bad_headers_are_refused_in_words() {
    let error = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut b = sample();
        damage(&mut b);
        open(Arc::new(b)).err().unwrap().to_string()
    };
    let header = |why: &str| format!("Not a fossil partition: bad header at byte 131072: {why}");
    assert_eq!(error(&|b| b[HEADER] = 0), header("magic 0076ae89 instead of 3776ae89"));
    assert_eq!(error(&|b| b[HEADER + Header::VERSION_AT + LOW_16] = 2), header("version 2 instead of 1"));
    assert_eq!(
        error(&|b| b[HEADER + Header::BLOCK_AT + LOW_16] = 1),
        header("block size 8193 is not a multiple of 512 up to 57344")
    );
    assert_eq!(
        error(&|b| b[HEADER + Header::LABEL_AT + LOW_32] = 18),
        header("regions are out of order: super 18, labels 18, data 20, end 256")
    );
    assert_eq!(
        error(&|b| b[HEADER + Header::END_AT + LOW_32] = 1),
        header("it ends at byte 2105344, but the partition has 2097152")
    );
    assert_eq!(
        error(&|b| b.truncate(1000)),
        "Not a fossil partition: 1000 bytes are too few, fossil starts at byte 131072"
    );
    assert_eq!(
        error(&|b| b[SUPER + Super::EPOCH_LOW_AT + LOW_32] = 2),
        "Bad fossil super block (block 18): epochs 2 to 1"
    );
    assert_eq!(error(&|b| b[SUPER + Super::QID_AT + LOW_64] = 0), "Bad fossil super block (block 18): next qid 0");
}

/// The sample after a snapshot: epoch 2 has a root of its own in block 21 and
/// a copy of the three in block 22; /active is still shared.
fn second_epoch(b: &mut [u8]) {
    put(b, SUPER + Super::EPOCH_HIGH_AT, &[0, 0, 0, 2]);
    put(b, SUPER + Super::ACTIVE_AT, &[0, 0, 0, 21]);
    b.copy_within(block(20)..block(21), block(21));
    b.copy_within(block(19)..block(20), block(22));
    b[entry(21, 0) + Entry::ADDRESS_AT + LOW_32] = 22;
    put(b, entry(21, 1), &[0, 0, 0, 0, 0, 0, 0, 0, 0x23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    put(b, entry(21, 1) + Entry::SNAP_AT, &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20]);
    for (n, close) in [(20, 2u8), (19, 2)] {
        put(b, label(n), &[11, 8, 0, 0, 0, 1, 0, 0, 0, close]);
    }
    put(b, label(21), &[1, 8, 0, 0, 0, 2, 255, 255, 255, 255, 0, 0, 0, 1]);
    put(b, label(22), &[1, 8, 0, 0, 0, 2, 255, 255, 255, 255, 0, 0, 0, 42]);
}

#[test]
fn earlier_epochs_are_walked() {
    let none: [&str; 0] = [];
    assert_eq!(kinds(|b| second_epoch(b)), none);
    assert_eq!(
        kinds(|b| {
            second_epoch(b);
            put(b, label(19), &[3, 8, 0, 0, 0, 1, 255, 255, 255, 255]);
        }),
        ["unclosed"]
    );
    // /archive/y leads into epoch 1: a second, legal way to the same blocks.
    let mut b = sample();
    second_epoch(&mut b);
    let fs = reader(b);
    let whole = fs.with_snapshots();
    assert_eq!(whole.find(b"active/d/x").unwrap().len, 3);
    // Two pointers of the active epoch to one older block.
    assert_eq!(
        kinds(|b| {
            second_epoch(b);
            put(b, label(16), &[1, 8, 0, 0, 0, 2]);
            b.copy_within(entry(16, 0)..entry(16, 1), entry(16, 2));
        })[0],
        "active-join"
    );
    // An epoch whose root is gone.
    assert_eq!(
        kinds(|b| {
            second_epoch(b);
            b[label(20)..label(21)].fill(0);
        }),
        ["root"]
    );
}

#[test]
fn a_directory_in_itself_is_refused() {
    let mut b = sample();
    // /d gets the sources of /.
    b.copy_within(entry(16, 0)..entry(16, 2), entry(7, 1));
    let fs = reader(b);
    assert_eq!(fs.find(b"d/d/d").unwrap_err().kind(), io::ErrorKind::InvalidData);
    let words: Vec<_> = findings(&fs);
    assert!(words.iter().any(|f| f.ends_with("[epoch-join]")), "{words:?}");
}

#[test]
fn blocks_in_venti_are_named_as_such() {
    let mut b = sample();
    put(&mut b, pointer(3, 0), &[7; SCORE_LEN]);
    let fs = reader(b);
    let big = fs.find(b"big").unwrap();
    let e = fs.read(&big, 0, &mut [0; 10]).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::Unsupported);
    assert!(e.to_string().contains("venti"), "{e}");
    assert_eq!(fs.read(&big, 8192, &mut [0; 10]).unwrap(), 10);
    // A hole reads as zeros, even one in the place of a pointer block.
    let mut b = sample();
    let hole: Vec<u8> = b[pointer(3, 4)..pointer(3, 5)].to_vec();
    put(&mut b, pointer(3, 1), &hole);
    let fs = reader(b);
    let big = fs.find(b"big").unwrap();
    let mut got = [1; 8194];
    assert_eq!(fs.read(&big, 8191, &mut got).unwrap(), 8194);
    assert!(got[0] != 0 && got[1..8193].iter().all(|b| *b == 0) && got[8193] != 0);
}

#[test]
fn labels_guard_what_is_read() {
    let mut b = sample();
    b[label(1) + Label::TAG_AT + LOW_32] = 77;
    let fs = reader(b);
    let e = fs.read(&fs.find(b"big").unwrap(), 0, &mut [0; 20_000]).unwrap_err();
    assert_eq!(e.to_string(), "Block 1: the label says type 0 tag 0x4d, but the pointer to it implies type 0 tag 0x21");
}

/// Goes through all that can be reached; every step must end.
fn use_everything(fs: &FossilReader) {
    let mut count = 0;
    for fs in [fs.with_snapshots(), fs.with_snapshots()] {
        let mut work: Vec<Node> = fs.root().into_iter().collect();
        while let Some(n) = work.pop() {
            count += 1;
            assert!(count < 10_000, "the sample has few files");
            let mut buf = [0; 100_000];
            let _ = fs.read(&n, 0, &mut buf);
            let _ = fs.read(&n, n.len / 2, &mut buf);
            work.extend(fs.children(&n).unwrap_or_default());
        }
    }
    fs.check(&mut |f| assert!(!f.message.is_empty())).unwrap();
    let _ = fs.dump(&mut io::sink());
    let _ = fs.config();
}

#[test]
fn dump_names_every_part() {
    let fs = reader(sample());
    let mut out = Vec::new();
    fs.dump(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in [
        "header: block size 8192, super 18, labels 19, data 20, end 256\n",
        "super: name \"main\"\n",
        "config: fsys main config *\n",
        "root: tree: 120 bytes, depth 0, tag 0x2a, block 19\n",
        "blocks 0-2: data, tag 0x21, epoch 1, allocated\n",
        "blocks 3-3: pointers 1, tag 0x21, epoch 1, allocated\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

/// A volume whose files hold zeros.
fn zeros() -> Sound {
    let mut t = Tree::new(dir(0o775));
    push_users(&mut t, "adm:adm:adm:sys\nsys:sys::\n");
    let e = t.push(EntryId::ROOT, b"d", dir(0o775), None);
    t.push(e, b"e", file(0o664), Some(Content::bytes(vec![0; 5000])));
    t.push(e, b"empty", file(0o664), Some(Content::bytes(vec![])));
    t.push(EntryId::ROOT, b"f", file(0o664), Some(Content::bytes(vec![0; 20_000])));
    Sound::new(image(&volume(&Arc::new(t), 2 * MIB)))
}

#[test]
fn no_bit_hides_what_cannot_be_read() {
    wounds::no_bit_hides_what_cannot_be_read(zeros().each_bit(61), open);
}

#[test]
fn sizes_and_shapes_stand_against_the_volume() {
    let said = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut b = sample();
        damage(&mut b);
        findings(&reader(b))
    };
    // /big is entry 0 of block 7: its length, and how its blocks are filled.
    let big = entry(7, 0);
    let long = "its length is 3034656 bytes, but the volume has 1933312, and nothing is at its end";
    assert_eq!(said(&|b| b[big + Entry::SIZE_AT + 3] = 0x2e), [format!("/active/big: {long} [entry-size]")]);
    // What nobody wrote is a hole.
    assert_eq!(said(&|b| b[big + Entry::SIZE_AT + 3] = 1), [""; 0]);
    assert_eq!(
        said(&|b| put(b, big + Entry::DSIZE_AT, &[0x1f, 0])),
        [
            "/active/big: its blocks hold 7936 bytes of data and 8180 of pointers, but fossil fills 8192 and 8180 [entry-shape]"
        ]
    );
    // A pointer that is neither an address nor a score, and one to a venti.
    let wounded = said(&|b| b[pointer(3, 1)] = 1);
    assert!(
        wounded[0].ends_with(" is neither an address of this volume nor a score of a venti [score]"),
        "{wounded:?}"
    );
    let mut b = sample();
    put(&mut b, pointer(3, 0), &[7; SCORE_LEN]);
    let away = remarks(&reader(b));
    assert!(away.contains(&"1 pointer leads to a venti, which was not checked [in-venti]".into()), "{away:?}");
}

#[test]
fn names_and_owners_are_looked_at() {
    let none: [&str; 0] = [];
    let meta = |uid: &str| Meta::new(Mode::file(0o664), uid, "sys", 1);
    let mut t = Tree::new(dir(0o775));
    let push = |t: &mut Tree, name: &[u8], uid| {
        t.push(EntryId::ROOT, name, meta(uid), Some(Content::bytes(*b"x")));
    };
    push(&mut t, b"..x", "bob");
    push_users(&mut t, "adm:adm:adm:sys\nsys:sys::\nbob:bob::\n");
    for (name, uid) in [(&b"one"[..], "eve"), (b"two", "eve"), (b"\xff", "bob")] {
        push(&mut t, name, uid);
    }
    let whole = image(&volume(&Arc::new(t), 2 * MIB));
    let fs = reader(whole.clone());
    assert_eq!(findings(&fs), none);
    assert_eq!(
        remarks(&fs),
        [
            "/active/\u{fffd}: the name is not UTF-8, but \\xff [name-text]",
            "Owner \"eve\" is not in /adm/users; 2 files name it, the first is /active/one [nobody]",
        ]
    );
    let said = |from: &[u8], to: &[u8]| {
        let mut b = whole.clone();
        let at = b.windows(from.len()).position(|w| w == from).unwrap();
        put(&mut b, at, to);
        findings(&reader(b))
    };
    let owner = said(b"\0\x03eve", b"\0\x03e\xff\xfe");
    assert_eq!(owner, ["/active/one: its owner is not UTF-8: e\\xff\\xfe [owner]"]);
    let twice = said(b"\0\x03two", b"\0\x03one");
    assert_eq!(twice[1], "/active/one: there are two files of this name [name]");
    let active = said(b"\0\x06active", b"\0\x06actove");
    assert_eq!(active, ["The directory above has no directory /active [root]"]);
    let mut b = whole.clone();
    let qid_of = |b: &[u8], name: &[u8]| b.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 16;
    let (one, two) = (qid_of(&b, b"\0\x03one"), qid_of(&b, b"\0\x03two"));
    b.copy_within(one..one + 8, two);
    let found = findings(&reader(b));
    assert!(found.len() == 1 && found[0].starts_with("/active/two: another file has its qid path "), "{found:?}");
    let control = said(b"\0\x03two", b"\0\x03t\x07o");
    assert_eq!(
        control,
        ["\"/active/t\\u{7}o\": the name is not possible: it contains a control character, which Plan 9's kernel \
             refuses [name]"]
    );
}

#[test]
fn what_cannot_be_read_is_found() {
    let sound = zeros();
    wounds::what_cannot_be_read_is_found(file!(), &wounds::some(), |wounds| open(sound.wounded(&wounds)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_panics_or_loops(hits in prop::collection::vec((0..7usize, any::<u16>(), any::<u8>()), 1..20)) {
        let mut b = sample();
        for (where_, at, v) in hits {
            let at = usize::from(at);
            let at = match where_ {
                0 => HEADER + at % 24,
                1 => SUPER + at % 54,
                2 => LABELS + at % 300,
                3 => block(3) + at % 100,
                4 => block([5, 7, 16, 19, 20][at % 5]) + at / 5 % 240,
                5 => block([6, 8, 17, 18][at % 4]) + at / 4 % 40,
                _ => block([6, 8, 17, 18][at % 4]) + 336 + at / 4 % 250,
            };
            b[at] = v;
        }
        if let Ok(fs) = open(Arc::new(b)) {
            use_everything(&fs);
        }
    }
}
