//! One wound, one finding; and images that are no gefs at all.

use super::arenas::MIN_LEN;
use super::format::{
    BLOCK, BLOCK64, Dir, Header, K_SNAP, LEAF_HEAD, LOG_HEAD, Label, MESSAGE_SPACE, PIVOT_HEAD, PIVOT_SPACE, Pointer,
    Records, Snap, Super, VERSION, data_key, entry_key, get16, get64, number_key, text_key,
};
use super::hash::hash;
use super::node::{BYTES_AT, COUNT_AT, MESSAGE_BYTES_AT, MESSAGE_COUNT_AT};
use super::tests::*;
use super::*;
use crate::FileSystem;
use crate::testing::use_everything;
use proptest::prelude::*;
use std::io;
use std::sync::Arc;

/// Blocks: 4 of /a, 5 of the base's users, 6 and 7 of /d/e, then 8 of the
/// users, the leaves of empty 9, adm 10, other 11. In the second arena 1028, the
/// base's leaf, is free; 1032 is main's, 1033 has the snapshots.
fn healthy() -> Sparse {
    let t = tree_of(&[("a", bytes(10, 1)), ("d/e", bytes(20_000, 3))]);
    let image = Sparse::of(&volume(&t, MIN_LEN));
    assert_eq!(findings(&open(Arc::new(image.clone())).unwrap()), [""; 0]);
    image
}

/// Offset of the value of a key in a leaf, and its length.
fn value_at(image: &Sparse, block: u64, key: &[u8]) -> (u64, usize) {
    let b = &image.blocks[&block];
    for i in 0..usize::from(get16(b, COUNT_AT)) {
        let cell = LEAF_HEAD + usize::from(get16(b, LEAF_HEAD + 2 * i));
        let (k, len) = (cell + 2, usize::from(get16(b, cell)));
        if b[k..k + len] == *key {
            return (block * BLOCK64 + (k + len + 2) as u64, usize::from(get16(b, k + len)));
        }
    }
    panic!("no such key in block {block}");
}

/// Offset of a byte of a field in a block of the partition.
fn at(block: u64, field: usize) -> u64 {
    block * BLOCK64 + field as u64
}

/// Low bytes of fields of 32 and 64 bits, and of an address.
const LOW_32: u64 = 3;
const LOW_64: u64 = 7;

const MAIN: u64 = 1032;
const SNAPS: u64 = 1033;
/// Logs of the first two arenas.
const LOG_0: u64 = 3;
const LOG_1: u64 = 1026;
const ADM: u64 = 10;

#[test]
fn what_is_damaged_is_found() {
    let whole = healthy();
    let check = |wounds: &[(u64, &[u8])], expected: &[&str]| {
        let mut image = whole.clone();
        wounds.iter().for_each(|(at, new)| image.put(*at, new));
        let found = findings(&open(Arc::new(image)).unwrap());
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected.split('…').next().unwrap()), "{found}\nnot {expected}");
            assert!(found.ends_with(expected.split('…').next_back().unwrap()), "{found}\nnot {expected}");
        }
    };
    check(&[(at(0, Super::NEXT_QID_AT), &[1])], &["The super block: its hash is …[super]"]);
    check(
        &[(8192 * BLOCK64, b"GEFS")],
        &["The copy of the super block: it says \"GEFS9.00\", but p9img reads gefs9.00 alone [super]"],
    );
    check(&[(at(1, Header::USED_AT + 4), &[7])], &["Arena 0: its header at 4000 has the hash …[arena]"]);
    check(&[(at(2, Header::USED_AT + 4), &[7])], &["Arena 0: the copy of its header at 8000 has the hash …[arena]"]);
    check(&[(4 * BLOCK64, b"x")], &["The file 3 at 0: Block 10000 has the hash …[hash]"]);
    check(&[(MAIN * BLOCK64 + 9000, &[1])], &["main: Block 1020000 has the hash …[hash]"]);
    check(&[(SNAPS * BLOCK64 + 9000, &[1])], &["The snapshot tree: Block 1024000 has the hash …[hash]"]);
    let log = |field| at(LOG_1, field);
    check(&[(log(LOG_HEAD), &[1])], &["Arena 1: Block 1008000: the hash of its records is …[log]"]);
    check(
        &[(log(Records::LEN_AT), &[255, 255])],
        &["Arena 1: Block 1008000: it says 65535 bytes of records, but has room for 16348 [log]"],
    );
    check(&[(log(0), &[0, 4])], &["Arena 1: Block 1008000: it has type 4, not 3 [log]"]);
    check(
        &[(log(Records::NEXT_AT), &[0])],
        &["Arena 1: its log continues at ffffffffffffff, which is not a block for it [log]"],
    );
}

#[test]
fn what_cannot_be_is_found() {
    let whole = healthy();
    let check = |wounds: &[(u64, &[u8])], expected: &[&str]| {
        let mut image = whole.clone();
        wounds.iter().for_each(|(at, new)| image.put(*at, new));
        let right = mend(&image).unwrap();
        image.blocks.extend(right);
        let found = findings(&open(Arc::new(image)).unwrap());
        assert_eq!(found, expected, "{wounds:?}");
    };
    let main = |key: &[u8]| value_at(&whole, MAIN, key).0;
    let snaps = |key: &[u8]| value_at(&whole, SNAPS, key).0;
    let address = |block: u64| (block * BLOCK64).to_be_bytes();
    check(&[], &[]);
    // Logs. Arena 1 begins at block 1024; its first five are free after the log.
    let log = at(LOG_1, LOG_HEAD);
    check(&[(log + LOW_64, &[9])], &["Arena 1: Block 1008000: a record 100c009 is not possible [log]"]);
    check(
        &[(log + 8, &address(4000))],
        &["Arena 1: Block 1008000: a record about 3e80000 bytes at 100c000, which are in another arena [log]"],
    );
    let twice = whole.blocks[&LOG_1][LOG_HEAD..][..16].repeat(2);
    check(
        &[(log, &twice), (at(LOG_1, Records::LEN_AT), &[0, 32])],
        &["Arena 1: Block 1008000: 14000 bytes at 100c000 are given back, but were free [log]"],
    );
    // Pointers.
    let a = main(&data_key(3, 0));
    check(
        &[(a, &address(9000))],
        &["main: Block 1020000: 8ca0000 is not the address of a block that an arena allocates [address]"],
    );
    check(
        &[(a + LOW_64, &[1])],
        &["main: Block 1020000: 10001 is not the address of a block that an arena allocates [address]"],
    );
    check(&[(a, &address(100))], &["main: Block 1020000: Block 190000 is in use, but marked as free [free]"]);
    check(&[(a, &address(6))], &["Block 18000 is of the file 3 at 0, and of 7 at 0, or with two hashes [shared]"]);
    check(&[(a, &address(3))], &["main: Block 1020000: Block c000 is a file's, but a log's, too [shared]"]);
    // Snapshots.
    let label = snaps(&text_key(3, b"main"));
    check(
        &[(label + Label::SNAP_AT as u64 + LOW_64, &[9])],
        &["The label main is of the snapshot 9, which does not exist [label]"],
    );
    let snap = |field: usize| snaps(&number_key(4, 2)) + field as u64;
    check(&[(snap(Snap::HEIGHT_AT) + LOW_32, &[0])], &["main: the tree at 1020000 has height 0, not 1 to 50 [height]"]);
    check(&[(snap(Snap::HEIGHT_AT) + LOW_32, &[2])], &["main: Block 1020000: it is a leaf, but at height 2 [height]"]);
    check(&[(snap(Snap::LABELS_AT) + LOW_32, &[0])], &["The snapshot 2 has 1 label, but counts 0 [snap]"]);
    check(&[(snap(Snap::GENERATION_AT) + LOW_64, &[7])], &["The snapshot 2 says that it is 7 [snap]"]);
    check(
        &[(at(0, Super::DEAD_AT), &address(1028))],
        &[
            "The snapshot tree: Block 1010000 is in use, but marked as free [free]",
            "The snapshot tree: Block 1010000: it has type 0, not 4 [dead]",
        ],
    );
    // Nodes.
    let node = |field: usize, bytes: &[u8], expected: &[&str]| check(&[(at(MAIN, field), bytes)], expected);
    node(
        BYTES_AT,
        &[0, 9],
        &[&format!(
            "main: Block 1020000: its values have {} bytes, but it says 9 [node]",
            get16(&whole.blocks[&MAIN], BYTES_AT)
        )],
    );
    node(0, &[0, 3], &["main: Block 1020000: it has type 3, neither leaf (2) nor pivot (1) [node]"]);
    let second = usize::from(get16(&whole.blocks[&MAIN], LEAF_HEAD + 2));
    node(
        LEAF_HEAD + second + 2,
        &[6],
        &["main: Block 1020000: the key of value 2 is not after that of value 1 [node]"],
    );
    // Files.
    let e = |field: usize| main(&entry_key(6, b"e")) + field as u64;
    check(&[(e(Dir::QID_AT) + LOW_64, &[3])], &["main: /d/e: another file has its qid path 3, too [qid]"]);
    check(
        &[(e(Dir::QID_AT) + LOW_64, &[99])],
        &["main: /d/e: qid path 63 is not below the next one to give out, 8 [qid]"],
    );
    check(&[(e(Dir::KIND_AT), &[0x80])], &["main: /d/e: its mode 1b4 and its qid's type 80 disagree [entry]"]);
    check(
        &[(e(Dir::LENGTH_AT) + 2, &[1])],
        &[
            "main: /d/e: its length is 1099511647776 bytes, but the volume has 134234112, and nothing is at its end [size]",
        ],
    );
    check(&[(e(Dir::LENGTH_AT), &[0x80])], &["main: /d/e: its length 8000000000004e20 is negative [entry]"]);
    let d = main(&entry_key(0, b"d"));
    // Before a value are its length and the end of its key, which is a zero.
    check(&[(e(0) - 2 - 1 - 1, b"/")], &["main: \"/d//\": the name is not possible: it contains a slash [name]"]);
    check(
        &[(d + Dir::QID_AT as u64 + LOW_64, &[5])],
        &[
            "main: /d: it has no record of its parent [up]",
            "main: 1 file (e) in the directory 6, which no entry leads to [orphan]",
            "main: 6 has a record of its parent, but is not a directory [up]",
        ],
    );
    let root = main(&entry_key(u64::MAX, b""));
    let mut none = Dir::parse(&whole.blocks[&MAIN][(root - MAIN * BLOCK64) as usize..][..Dir::LEN]).unwrap();
    none.mode = 0o775;
    check(&[(root, &none.write())], &["main: there is no root directory [root]"]);
    let users = value_at(&whole, ADM, &entry_key(1, b"users")).0;
    check(&[(8 * BLOCK64, b"x")], &["adm: /users: line 1: \"x1\" is not a number [users]"]);
    let users = |field: usize| users + field as u64;
    check(
        &[(users(Dir::MODE_AT), &[0x80]), (users(Dir::KIND_AT), &[0x80])],
        &["adm: /users: it has no record of its parent [up]"],
    );
}

/// Says something in a pivot.
fn say(image: &mut Sparse, block: u64, kind: u8, key: &[u8], value: &[u8]) {
    let b = &image.blocks[&block];
    let (count, bytes) =
        (get16(b, MESSAGE_COUNT_AT), get16(b, MESSAGE_BYTES_AT) + (5 + key.len() + value.len()) as u16);
    let area = block * BLOCK64 + (PIVOT_HEAD + PIVOT_SPACE) as u64;
    let offset = MESSAGE_SPACE as u16 - bytes;
    image.put(area + 2 * u64::from(count), &offset.to_be_bytes());
    let (k, v) = (key.len() as u16, value.len() as u16);
    let cell = [&[kind][..], &k.to_be_bytes(), key, &v.to_be_bytes(), value].concat();
    image.put(area + u64::from(offset), &cell);
    image.put(at(block, MESSAGE_COUNT_AT), &[(count + 1).to_be_bytes(), bytes.to_be_bytes()].concat());
}

#[test]
fn pivots_and_their_messages_are_looked_at() {
    let names: Vec<String> = (0..500).map(|i| format!("m{i:04}")).collect();
    let files: Vec<_> = names.iter().map(|n| (n.as_str(), bytes(0, 0))).collect();
    let whole = Sparse::of(&volume(&tree_of(&files), MIN_LEN));
    let snaps = get64(&whole.blocks[&0], Super::ROOT_AT) / BLOCK64;
    let (snap, _) = value_at(&whole, snaps, &number_key(4, 2));
    let main = get64(&whole.blocks[&snaps], (snap - snaps * BLOCK64) as usize + Snap::ROOT_AT) / BLOCK64;
    assert_eq!(get16(&whole.blocks[&main], 0), 1, "a pivot");
    let mended = |change: &dyn Fn(&mut Sparse)| {
        let mut image = whole.clone();
        change(&mut image);
        let right = mend(&image).unwrap();
        image.blocks.extend(right);
        open(Arc::new(image)).unwrap()
    };
    let file = |name: &str| entry_key(0, name.as_bytes());
    let (near, far) = (file("m0001"), file("m0499"));
    let dir = |fs: &GefsReader, name: &str| fs.find(name.as_bytes()).map(|n| (n.len, n.meta.mode.0)).ok();
    // Messages in their order: a longer file, one away, one more.
    let fs = mended(&|i| {
        say(i, main, 5, &near, &[&[3][..], &7u64.to_be_bytes(), &0o600u32.to_be_bytes()].concat());
        say(i, main, 2, &far, &[]);
    });
    assert_eq!((dir(&fs, "m0001"), dir(&fs, "m0499"), dir(&fs, "m0002")), (Some((7, 0o600)), None, Some((0, 0o664))));
    assert_eq!(findings(&fs), [""; 0]);
    let shown = format!("main: Block {:x}", main * BLOCK64);
    let one = |change: &dyn Fn(&mut Sparse), expected: &str| assert_eq!(findings(&mended(change)), [expected]);
    one(&|i| say(i, main, 9, &near, &[]), &format!("{shown}: there is a message of unknown kind 9 [message]"));
    let gone = file("nobody");
    one(
        &|i| say(i, main, 5, &gone, &[0]),
        &format!("main: Block {:x}: a message changes a value that does not exist [message]", main * BLOCK64),
    );
    one(
        &|i| say(i, main, 5, &near, &[1]),
        &format!("main: Block {:x}: a message of kind 5 is not possible here [message]", main * BLOCK64),
    );
    one(
        &|i| say(i, main, 1, &near, &[1]),
        &format!("{shown}: a key of kind 1 and {} bytes with 1 cannot be here [node]", near.len()),
    );
    // The first of the pivot's values: its key begins after its length, and
    // its fill is at its end.
    let cell = main * BLOCK64 + (PIVOT_HEAD + usize::from(get16(&whole.blocks[&main], PIVOT_HEAD))) as u64;
    let key = u64::from(get16(&whole.blocks[&main], (cell - main * BLOCK64) as usize));
    let child = get64(&whole.blocks[&main], (cell - main * BLOCK64 + 4 + key) as usize);
    let fill = get16(&whole.blocks[&main], (cell - main * BLOCK64 + 4 + key) as usize + Pointer::LEN);
    one(
        &|i| i.put(cell + 4 + key + Pointer::LEN as u64, &[0, 9]),
        &format!("{shown}: it says the fill 9 of Block {child:x}, which has {fill} [fill]"),
    );
    let order = mended(&|i| i.put(cell + 2 + key - 2, b"z"));
    assert_eq!(
        findings(&order)[0],
        format!("main: Block {child:x}: its keys are out of the range that the pivot above gives [order]")
    );
}

#[test]
fn lists_of_dead_blocks_are_looked_at() {
    let whole = healthy();
    // Block 100 is taken, and begins a list that names block `of`.
    let listed = |of: u64, next: u64| {
        let mut image = whole.clone();
        let len = get16(&image.blocks[&LOG_0], Records::LEN_AT);
        image.put(at(LOG_0, LOG_HEAD) + u64::from(len), &(100 * BLOCK64 + 1).to_be_bytes());
        image.put(at(LOG_0, Records::LEN_AT), &(len + 8).to_be_bytes());
        let address = (of * BLOCK64).to_be_bytes();
        image.put(100 * BLOCK64, &[&[0, 4, 0, 8][..], &hash(&address).to_be_bytes(), &next.to_be_bytes()].concat());
        image.put(at(100, LOG_HEAD), &address);
        image.put(at(0, Super::DEAD_AT), &(100 * BLOCK64).to_be_bytes());
        let right = mend(&image).unwrap();
        image.blocks.extend(right);
        findings(&open(Arc::new(image)).unwrap())
    };
    assert_eq!(listed(10, u64::MAX), [""; 0]);
    let names = "The snapshot tree: Block 190000 names";
    assert_eq!(listed(200, u64::MAX), [format!("{names} 320000, which is not a block in use [dead]")]);
    assert_eq!(listed(9000, u64::MAX), [format!("{names} 8ca0000, which is not a block in use [dead]")]);
    assert_eq!(listed(10, 100 * BLOCK64), ["The snapshot tree: Block 190000 is in two lists, or twice in one [dead]"]);
}

#[test]
fn what_is_no_gefs_is_not_opened() {
    let error = |b: Sparse| open(Arc::new(b)).err().unwrap().to_string();
    let mut image = healthy();
    image.len = 3 * BLOCK64 / 2;
    assert_eq!(error(image.clone()), "Not a gefs partition: 24576 bytes are too few for its super blocks");
    image.len = MIN_LEN;
    // The copy does for the first.
    image.put(at(0, Super::NEXT_QID_AT), &[1]);
    assert!(open(Arc::new(image.clone())).is_ok());
    image.put(at(8192, VERSION.len() - 1), b"1");
    let said = error(image.clone());
    assert!(said.starts_with("Bad gefs super block (block 0): its hash is "), "{said}");
    assert!(said.ends_with("its copy (block 8192): it says \"gefs9.01\", but p9img reads gefs9.00 alone"), "{said}");
    image.put(0, b"hefs");
    assert_eq!(error(image), "Not a gefs partition: it does not begin with \"gefs\"");
}

#[test]
fn damage_is_an_error_for_readers() {
    let whole = healthy();
    let read = |wounds: &[(u64, &[u8])], path: &str| -> io::Error {
        let mut image = whole.clone();
        wounds.iter().for_each(|(at, new)| image.put(*at, new));
        let fs = open(Arc::new(image)).unwrap();
        fs.find(path.as_bytes()).and_then(|n| read_all(&fs, &n)).unwrap_err()
    };
    let e = read(&[(4 * BLOCK64 + 9, &[9])], "a");
    assert!(e.to_string().starts_with("Block 10000 has the hash "), "{e}");
    assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    let e = read(&[(MAIN * BLOCK64, &[9])], "a");
    assert!(e.to_string().starts_with("Block 1020000 has the hash "), "{e}");
    // Another snapshot is as good as ever.
    let mut image = whole.clone();
    image.put(MAIN * BLOCK64, &[9]);
    let adm = open(Arc::new(image)).unwrap().snapshot("adm").unwrap();
    assert_eq!(read_all(&adm, &adm.find(b"users").unwrap()).unwrap(), USERS.as_bytes());
    // A hole reads as zeros.
    let (at, _) = value_at(&whole, MAIN, &data_key(7, BLOCK64));
    let mut image = whole.clone();
    image.put(at - 3, &[1]);
    let right = mend(&image).unwrap();
    image.blocks.extend(right);
    let fs = open(Arc::new(image)).unwrap();
    let all = read_all(&fs, &fs.find(b"d/e").unwrap()).unwrap();
    assert_eq!((&all[..3], &all[BLOCK..]), (&bytes(3, 3).read_all().unwrap()[..], &[0; 20_000 - BLOCK][..]));
}

#[test]
fn a_key_without_what_belongs_in_it_is_no_panic() {
    let whole = healthy();
    let (value, _) = value_at(&whole, SNAPS, &number_key(K_SNAP, 0));
    let length = value - 2 - 9 - 2;
    for (wound, said) in [
        (&[0, 0, 0, 0][..], "The snapshot tree: Block 1024000: value 4 has an empty key [node]"),
        // The kind alone, and then a value as long as that of a snapshot.
        (
            &[0, 1, 4, 0, Snap::LEN as u8],
            "The snapshot tree: Block 1024000: a key of kind 4 and 1 byte with 72 cannot be here [node]",
        ),
    ] {
        let mut image = whole.clone();
        image.put(length, wound);
        let right = mend(&image).unwrap();
        image.blocks.extend(right);
        let fs = open(Arc::new(image)).unwrap();
        let found = findings(&fs);
        assert!(found.iter().any(|f| f == said), "{found:#?}");
        use_everything(&fs);
    }
}

/// Those that are in use.
const BLOCKS: [u64; 14] = [0, 1, 2, 3, 4, 8, 9, 10, 11, 1024, 1026, 1032, 1033, 8192];

#[test]
fn what_cannot_be_read_is_found() {
    let whole = healthy();
    let used = |b: &&u64| whole.blocks.contains_key(*b);
    let of = |b: &u64| -> Vec<u64> {
        let lines = whole.blocks[b].chunks(16).enumerate().filter(|(_, line)| line.iter().any(|b| *b != 0));
        lines.flat_map(|(i, _)| (0..16).map(move |j| b * BLOCK64 + 16 * i as u64 + j)).collect()
    };
    // The nodes count twice. Of the files' blocks, bytes are as good as any others.
    let blocks = [0, LOG_0, 1024, LOG_1, MAIN, SNAPS, MAIN, ADM, SNAPS, 8192];
    let spots: Vec<u64> = blocks.iter().filter(used).flat_map(of).collect();
    let wounds = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let images = (wounds, prop::bool::weighted(0.8));
    crate::testing::wounds::what_cannot_be_read_is_found(file!(), &images, |(wounds, mended)| {
        let mut image = whole.clone();
        for (at, new) in wounds {
            image.put(spots[at.index(spots.len())], &[new]);
        }
        if mended && let Ok(right) = mend(&image) {
            image.blocks.extend(right);
        }
        open(Arc::new(image))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_wound_is_a_panic(
        wounds in prop::collection::vec((0usize..BLOCKS.len(), 0usize..BLOCK, any::<u8>(), any::<bool>()), 1..6),
        mended in any::<bool>(),
    ) {
        let mut image = healthy();
        for (block, at, new, end) in wounds {
            // The structures are at the beginning of a block, and at its end.
            let at = if end { BLOCK - 1 - at % 700 } else { at % 300 };
            image.put(BLOCKS[block] * BLOCK64 + at as u64, &[new]);
        }
        if mended {
            let right = mend(&image).unwrap();
            image.blocks.extend(right);
        }
        if let Ok(fs) = open(Arc::new(image)) {
            use_everything(&fs);
        }
    }
}

#[test]
fn an_image_of_any_length_is_read_without_much_memory() {
    let mut image = healthy();
    image.len = 1 << 62;
    let fs = open(Arc::new(image)).unwrap();
    let found = findings(&fs);
    assert_eq!(found.len(), 1, "the copy of the super block is elsewhere: {found:?}");
}
