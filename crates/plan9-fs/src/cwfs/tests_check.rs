//! One wound, one finding; caches that hold something; and images that are no
//! cwfs64x at all.

use super::format::{
    BLOCK, BUCKET, DENTRY, DIRECT, Dentry, HEADER_AT, Header, Kind, PAYLOAD, SUPER_AT, State, Super, Tag, entry_at,
    free_at,
};
use super::tests::*;
use super::*;
use crate::read_at::ReadAt;
use crate::testing::trees::push_users;
use crate::testing::wounds::{self, Sound};
use crate::testing::{remarks, use_everything};
use crate::tree::{Content, EntryId, Meta, Mode, Tree};
use crate::{FileSystem, alone};
use proptest::prelude::*;
use std::io;
use std::sync::Arc;

/// Blocks of the worm: 16 of /a, 17 to 23 of /b, 24 its pointers, 25 of /d/e, 26
/// of /d, 27 of /; 28 is where the node's area would begin.
fn healthy() -> Parts {
    let t = tree_of(&[("a", bytes(10, 1)), ("b", bytes(6 * PAYLOAD + 1, 2)), ("d/e", bytes(5, 3))]);
    let parts = Parts::of(&volume(&t, MIB));
    assert_eq!(parts.findings(), [""; 0]);
    parts
}

fn put(b: &mut [u8], at: usize, bytes: &[u8]) {
    b[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put64(b: &mut [u8], at: usize, v: u64) {
    put(b, at, &v.to_le_bytes());
}

const A: usize = 27 * BLOCK;
const B: usize = A + DENTRY;
const E: usize = 26 * BLOCK;
/// Offsets of the worm's super block, and of the cache's header and bucket.
const SUPER: usize = SUPER_AT as usize * BLOCK;
const HEADER: usize = HEADER_AT as usize * BLOCK;
const BUCKET_0: usize = 3 * BLOCK;
/// Offset of an entry's first pointer, and of that to its pointers.
const POINTER: usize = Dentry::pointer_at(0);
const INDIRECT: usize = Dentry::pointer_at(DIRECT);

/// Puts a block into the cache: entry `i` of the only bucket.
fn cached(parts: &mut Parts, i: usize, state: State, address: u64, block: &[u8]) {
    let (state_at, address_at) = entry_at(i);
    put(&mut parts.cache, BUCKET_0 + state_at, &state.0.to_le_bytes());
    put64(&mut parts.cache, BUCKET_0 + address_at, address);
    put(&mut parts.cache, (4 + i) * BLOCK, block);
}

#[test]
fn every_wound_has_its_finding() {
    let whole = healthy();
    let worm = |wounds: &[(usize, &[u8])], expected: &[&str]| {
        let mut parts = whole.clone();
        wounds.iter().for_each(|(at, new)| put(&mut parts.worm, *at, new));
        assert_eq!(findings(&parts.main()), expected);
    };
    let kind = |n: usize| n * BLOCK + PAYLOAD + Tag::KIND_AT;
    let path = |n: usize| n * BLOCK + PAYLOAD + Tag::PATH_AT;
    worm(
        &[(A + POINTER, &99u64.to_le_bytes())],
        &["/a: it points to block 99, but addresses go from 2 to 27 [address]"],
    );
    worm(&[(A + POINTER, &17u64.to_le_bytes())], &["/a: block 17 belongs to something else, too [shared]"]);
    worm(
        &[(kind(16), &[11])],
        &["/a, block 16: its tag says directory of path 11, but the pointer to it says file of path 11 [tag]"],
    );
    worm(
        &[(kind(24), &[13])],
        &["/b, block 24: its tag says pointers of height 2 of path 12, but the pointer to it says pointers of \
             height 1 of path 12 [tag]"],
    );
    worm(
        &[(path(26), &[9])],
        &["/d, block 26: its tag says directory of path 9, but the pointer to it says directory of path 13 [tag]"],
    );
    worm(&[(A + Dentry::SIZE_AT, &[0])], &["/a: it ends after 0 blocks, but has 1 more after them [size]"]);
    worm(&[(B + Dentry::SIZE_AT, &[1, 0, 0])], &["/b: it ends after 1 block, but has 7 more after them [size]"]);
    worm(&[(A, b"x/y\0")], &["\"/x/y\": the name in slot 0 of block 27 is not possible: it contains a slash [name]"]);
    worm(&[(A, b"b\0")], &["/b: there are two files of this name [name]"]);
    worm(&[(A, &[b'n'; 144])], &[&format!("/{}: no zero ends the name in slot 0 of block 27 [name]", "n".repeat(144))]);
    worm(
        &[(A + Dentry::QID_AT, &[99]), (path(16), &[99])],
        &["/a: qid path 99 is above the last one given out, 14 [qid]"],
    );
    worm(&[(E + Dentry::QID_AT, &[11]), (path(25), &[11])], &["/d/e: another file has its qid path 11, too [qid]"]);
    worm(
        &[(path(3), &[7])],
        &["Block 3, the root: its tag says directory of path 7, but the pointer to it says directory of path 1 [root]"],
    );
    let not = "should be a directory in use with qid path 1 [root]";
    worm(&[(3 * BLOCK + Dentry::MODE_AT + 1, &[0])], &[&format!("Slot 0 of block 3, the root, {not}")]);
    worm(&[(4 * BLOCK + Dentry::QID_AT, &[2])], &[&format!("Slot 0 of block 4, the root of the dumps, {not}")]);
    // A directory's own block as its file's: a loop.
    worm(
        &[(E + Dentry::MODE_AT + 1, &[0xc0]), (E + Dentry::QID_AT + 3, &[0x80]), (E + POINTER, &[26])],
        &["/d/e: block 26 belongs to something else, too [shared]"],
    );
    worm(&[(SUPER + Super::CWRADDR_AT, &[9])], &["Super block 2: its root is at 9, but the cache says 3 [super]"]);
    worm(
        &[(SUPER + Super::NEXT_AT, &[200])],
        &["Super block 2: its next super block is at 200, not in 2 to 27 [super]"],
    );
    worm(
        &[(SUPER + Super::NEXT_AT, &[4])],
        &["Block 4, the next super block, belongs to something else, too [shared]"],
    );
    worm(
        &[(SUPER, &[3]), (SUPER + free_at(1), &[6]), (SUPER + free_at(2), &[16])],
        &["Block 2 lists 16 as free, which is in use or listed twice [free]"],
    );
    worm(&[(SUPER + free_at(0), &[6])], &["Block 6 should be a part of the free list, but is nothing [free]"]);
    worm(&[(SUPER, &[0, 8])], &["Block 2 says that it lists 2048 free blocks, more than fit [free]"]);
    worm(&[(SUPER + free_at(0), &[99])], &["Block 2 lists 99 as free, which is not in 2 to 27 [free]"]);
}

#[test]
fn every_wound_of_a_cache_has_its_finding() {
    let whole = healthy();
    let check = |state: i16, address: u64, wounds: &[(usize, &[u8])], expected: &str| {
        let mut parts = whole.clone();
        let a = parts.worm[16 * BLOCK..][..BLOCK].to_vec();
        cached(&mut parts, 5, State(state), address, &a);
        wounds.iter().for_each(|(at, new)| put(&mut parts.cache, *at, new));
        assert_eq!(findings(&parts.main()).join("; "), expected);
    };
    check(3, 16, &[], "");
    check(7, 99, &[], "Bucket 0 of the cache, entry 5: there is no state 7 [bucket]");
    check(3, 99, &[], "Bucket 0 of the cache, entry 5: block 99 is not in 2 to 27 [bucket]");
    let twice = [&[3, 0][..], &16u64.to_le_bytes()].concat();
    let six = BUCKET_0 + entry_at(6).0;
    check(3, 16, &[(six, &twice)], "Bucket 0 of the cache, entry 6: block 16 appears twice [bucket]");
    let said =
        "Block 3 of the cache: its tag says buckets of path 9, but the pointer to it says buckets of path 3 [bucket]";
    check(3, 16, &[(BUCKET_0 + PAYLOAD + Tag::PATH_AT, &[9])], said);
    // With more buckets than one, an address has its own.
    let t = tree_of(&[]);
    let large = Options { cache: 3000 * BLOCK as u64, ..options(MIB) };
    let mut parts = Parts::of(&Cwfs::layout(&base(&t), &t, &large).unwrap());
    put(&mut parts.cache, BUCKET_0 + BUCKET + entry_at(0).0, &[3, 0, 4]);
    let said = "Bucket 1 of the cache, entry 0: block 4 belongs to bucket 4 [bucket]";
    assert_eq!(findings(&parts.main()), [said]);
}

#[test]
fn the_chain_of_super_blocks_is_checked() {
    let whole = healthy();
    let second = 5 * BLOCK;
    let with = |wounds: &[(usize, u64)]| {
        let mut parts = whole.clone();
        let block = parts.worm[2 * BLOCK..][..BLOCK].to_vec();
        put(&mut parts.worm, 5 * BLOCK, &block);
        put64(&mut parts.worm, second + Super::NEXT_AT, 6);
        wounds.iter().for_each(|(at, v)| put64(&mut parts.worm, *at, *v));
        findings(&parts.open("fsworm").unwrap()).join("; ")
    };
    assert_eq!(with(&[]), "");
    assert_eq!(with(&[(second + Super::LAST_AT, 3)]), "Super block 5: the last was at 3, but 2 leads here [chain]");
    let said = "Super block 5: the next is to be at 4, which is not after it and before 64 [chain]";
    assert_eq!(with(&[(second + Super::NEXT_AT, 4)]), said);
    assert_eq!(
        with(&[(SUPER + Super::FSIZE_AT, 99)]),
        "Super block 2: blocks in use end at 99, but there are 64 [super]"
    );
    let mut other = whole.clone();
    put64(&mut other.other, SUPER, 59);
    assert_eq!(findings(&other.open("other").unwrap()), ["Block 5 is neither in use nor free [lost]"]);
    put64(&mut other.other, SUPER, 50);
    assert_eq!(findings(&other.open("other").unwrap()), ["Blocks 5 to 14 are neither in use nor free [lost]"]);
}

#[test]
fn a_cache_stands_before_its_worm() {
    let mut parts = healthy();
    // /a was changed since the dump, /d/e is new to the worm.
    let mut a = parts.worm[16 * BLOCK..][..BLOCK].to_vec();
    put(&mut a, 0, b"changed");
    cached(&mut parts, 0, State(4), 16, &a);
    let mut e = parts.worm[25 * BLOCK..][..BLOCK].to_vec();
    put(&mut parts.worm, 25 * BLOCK, &[0; BLOCK]);
    put(&mut e, 0, b"fresh");
    cached(&mut parts, 134, State::DUMP, 25, &e);
    let read = |fs: &CwfsReader, path: &str| read_all(fs, &fs.find(path.as_bytes()).unwrap()).unwrap();
    let fs = parts.main();
    assert_eq!((&read(&fs, "a")[..7], &read(&fs, "d/e")[..]), (&b"changed"[..], &b"fresh"[..]));
    assert_eq!(findings(&fs), [""; 0]);
    // A dump has what the worm has, or is to get: here / as of the only dump.
    let mut year = parts.worm[4 * BLOCK..][..BLOCK].to_vec();
    let mut day = parts.worm[3 * BLOCK..][..DENTRY].to_vec();
    put(&mut day, 0, b"2026\0");
    let mut block = vec![0; BLOCK];
    put(&mut block, 0, &day);
    Tag { kind: Kind::DIR, path: 1 }.write(&mut block);
    put(&mut parts.worm, 6 * BLOCK, &block);
    put64(&mut year, POINTER, 6);
    put(&mut parts.worm, 4 * BLOCK, &year);
    let fs = parts.main();
    let dumps = fs.dumps().unwrap();
    assert_eq!(read(&dumps, "2026/a"), bytes(10, 1).read_all().unwrap());
    assert_eq!(read(&dumps, "2026/d/e"), b"fresh");
    assert_eq!(findings(&fs), [""; 0]);
    // The old layout puts a bucket's blocks together: with one bucket, in the
    // same place.
    let mut old = parts.clone();
    let text = CONFIG.replace("newcache\n", "");
    put(&mut old.cache, 0, &[0; PAYLOAD]);
    put(&mut old.cache, 0, text.as_bytes());
    assert_eq!(read(&old.main(), "d/e"), b"fresh");
    let mut shown = Vec::new();
    parts.main().dump(&mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    for line in ["cache: 1 bucket from block 3, 135 blocks from block 4\n", "cached: 1 write\n", "cached: 133 none\n"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn what_is_no_cwfs_is_not_opened() {
    let error = |b: Vec<u8>| open(Arc::new(b), &alone).err().unwrap().to_string();
    let short = "Not a partition of a cwfs64x: 100 bytes are too few for its first blocks";
    assert_eq!(error(vec![1; 100]), short);
    let no = "Not a partition of a cwfs64x: block 0 is not a configuration, block 2 not a super block";
    assert_eq!(error(vec![1; 10 * BLOCK]), no);
    let whole = healthy();
    let missing = "/dev/sdC0/fsworm belongs to this cwfs64x, but there is no partition fsworm on its disk";
    assert_eq!(error(whole.cache.clone()), missing);
    let config = |text: &str| {
        let mut parts = whole.clone();
        put(&mut parts.cache, 0, text.as_bytes());
        parts.open("fscache").err().unwrap().to_string()
    };
    let bad = "Bad configuration of a cwfs64x (block 0): ";
    assert_eq!(config("junk"), format!("{bad}line 1: \"junkice\" is not a word of a configuration"));
    assert_eq!(config("service cwfs\nfilsys mein"), format!("{bad}it has no filsys main"));
    assert_eq!(config("service cwfs\nfilsys main o\n\0"), format!("{bad}filsys main is not a cached worm"));
    let mut boot = vec![0; 10 * BLOCK];
    put(&mut boot, 0, &[0xeb, 0x3c, 0x90]);
    boot[PAYLOAD..BLOCK].copy_from_slice(&whole.cache[PAYLOAD..BLOCK]);
    assert_eq!(error(boot), no);
    let no_tag = "its kind is nothing; a cache whose configuration is elsewhere cannot be read";
    let mut parts = whole.clone();
    put(&mut parts.cache, PAYLOAD + Tag::KIND_AT, &[0]);
    assert_eq!(parts.open("fscache").err().unwrap().to_string(), format!("{bad}{no_tag}"));
    let header = |field: usize, v: u64| {
        let mut parts = whole.clone();
        put64(&mut parts.cache, HEADER + field, v);
        parts.open("fscache").err().unwrap().to_string()
    };
    for (field, value, words) in [
        (Header::MADDR_AT, 2, "1 bucket from block 2 on cannot fit into a cache of 815 blocks"),
        (Header::MSIZE_AT, 0, "0 buckets from block 3 on cannot fit"),
        (Header::MSIZE_AT, u64::MAX, "buckets from block 3 on cannot fit"),
        (Header::CADDR_AT, 700, "135 cached blocks from block 700 on do not fit after 1 bucket"),
        (Header::CSIZE_AT, 136, "136 cached blocks from block 4 on do not fit after 1 bucket"),
        (Header::FSIZE_AT, 65, "blocks in use end at 65, but the worm has 64"),
        (Header::SBADDR_AT, 28, "its super block is at 28, but only 2 to 27 are possible"),
        (Header::CWRADDR_AT, 1, "its root is at 1, but only 2 to 27"),
        (Header::RORADDR_AT, 28, "its root of the dumps is at 28, but only 2 to 27"),
    ] {
        let e = header(field, value);
        assert!(e.starts_with("Bad cache of a cwfs64x: ") && e.contains(words), "{e}");
    }
    assert_eq!(header(Header::SBADDR_AT, 9), "Bad super block of a cwfs64x (block 9): it has the kind nothing");
    let superblock = |name: &str, field: usize, v: u64| {
        let mut parts = whole.clone();
        put64(&mut parts.worm, SUPER + field, v);
        put64(&mut parts.other, SUPER + field, v);
        parts.open(name).err().unwrap().to_string()
    };
    let bad = "Bad super block of a cwfs64x (block 2): ";
    assert_eq!(superblock("fscache", Super::FSTART_AT, 3), format!("{bad}blocks begin at 3, not at 2"));
    assert_eq!(superblock("fscache", Super::FSIZE_AT, 99), format!("{bad}blocks in use end at 99, but there are 28"));
    assert_eq!(superblock("other", Super::FSIZE_AT, 99), format!("{bad}blocks in use end at 99, but there are 64"));
    assert_eq!(
        superblock("other", Super::QIDGEN_AT, 1 << 31),
        format!("{bad}the last qid path is 2147483648, above 2147483647")
    );
    assert_eq!(superblock("fsworm", Super::CWRADDR_AT, 77), format!("{bad}a root is at 77, outside of what is in use"));
}

#[test]
fn damage_is_an_error_for_readers() {
    let whole = healthy();
    let read = |wounds: &[(usize, &[u8])], path: &str| -> io::Error {
        let mut parts = whole.clone();
        wounds.iter().for_each(|(at, new)| put(&mut parts.worm, *at, new));
        let fs = parts.main();
        fs.find(path.as_bytes()).and_then(|n| read_all(&fs, &n)).unwrap_err()
    };
    let e = read(&[(A + POINTER, &9999u64.to_le_bytes())], "a");
    assert_eq!(e.to_string(), "Block 9999 is after the last one, 63");
    let e = read(&[(A + POINTER, &[255; 8])], "a");
    assert_eq!(e.to_string(), "Block 18446744073709551615 is after the last one, 63");
    let e = read(&[(A + POINTER, &[26])], "a");
    let said = "its tag says directory of path 13, but the pointer to it says file of path 11";
    assert_eq!(e.to_string(), format!("Block 26: {said}"));
    let e = read(&[(B + INDIRECT, &[17])], "b");
    assert!(e.to_string().starts_with("Block 17: its tag says file of path 12, but"), "{e}");
    let e = read(&[(3 * BLOCK + Dentry::pointer_at(1), &[27])], "a");
    assert_eq!(e.to_string(), "Block 27 appears twice in one directory");
    // A hole reads as zeros.
    let mut holed = whole.clone();
    put64(&mut holed.worm, B + INDIRECT, 0);
    let fs = holed.main();
    assert_eq!(read_all(&fs, &fs.find(b"b").unwrap()).unwrap()[6 * PAYLOAD..], [0]);
    // A file without end does not fill the memory.
    let mut endless = whole.clone();
    put64(&mut endless.worm, A + Dentry::SIZE_AT, u64::MAX);
    let fs = endless.main();
    let n = fs.find(b"a").unwrap();
    assert_eq!(fs.read(&n, 5 * PAYLOAD as u64, &mut [7; 9]).unwrap(), 9);
    assert!(fs.read(&n, u64::MAX - 5, &mut [7; 9]).is_err());
}

/// A file system whose files hold zeros.
fn zeros() -> Parts {
    let mut t = Tree::new(dir(0o775));
    push_users(&mut t, "-1:adm:adm:\n0:none::\n10000:sys:sys:\n");
    let e = t.push(EntryId::ROOT, b"d", dir(0o775), None);
    t.push(e, b"e", file(0o664), Some(Content::bytes(vec![0; 5000])));
    t.push(e, b"empty", file(0o664), Some(Content::bytes(vec![])));
    t.push(EntryId::ROOT, b"f", file(0o664), Some(Content::bytes(vec![0; 8 * PAYLOAD])));
    Parts::of(&volume(&Arc::new(t), MIB))
}

const NAMES: [&str; 3] = ["fscache", "fsworm", "other"];

fn sound() -> [Sound; 3] {
    let parts = zeros();
    [parts.cache, parts.worm, parts.other].map(Sound::new)
}

/// Opens the file system that a partition is of, with the others sound.
fn beside(all: &[Sound; 3], which: usize, image: Arc<dyn ReadAt>) -> Result<CwfsReader, OpenError> {
    let find = |name: &str| {
        let i = NAMES.iter().position(|n| *n == name)?;
        Some(if i == which { image.clone() } else { all[i].wounded(&Vec::new()) })
    };
    open(find(if which == 2 { "other" } else { "fscache" }).unwrap(), &find)
}

#[test]
fn no_bit_hides_what_cannot_be_read() {
    let all = sound();
    for which in 0..3 {
        let named = all[which].each_bit(401).map(|(wound, image)| (format!("{}, {wound}", NAMES[which]), image));
        wounds::no_bit_hides_what_cannot_be_read(named, |image| beside(&all, which, image));
    }
}

#[test]
fn sizes_stand_against_the_volume_and_the_pointers() {
    let whole = healthy();
    let check = |wounds: &[(usize, &[u8])], expected: &[&str]| {
        let mut parts = whole.clone();
        wounds.iter().for_each(|(at, new)| put(&mut parts.worm, *at, new));
        assert_eq!(findings(&parts.main()), expected);
    };
    check(
        &[(A + Dentry::SIZE_AT + 4, &[123])],
        &["/a: its length is 528280977418 bytes, but the volume has 1048576, and nothing is at its end [size]"],
    );
    check(
        &[(A + Dentry::SIZE_AT + 7, &[0x80])],
        &["/a: its length is 9223372036854775818 bytes, but its pointers reach 287036132998029120 [size]"],
    );
    // What nobody wrote is a hole.
    check(&[(A + Dentry::SIZE_AT + 1, &[0xff])], &[]);
}

#[test]
fn owners_without_a_user_are_a_remark() {
    let mut t = Tree::new(dir(0o775));
    push_users(&mut t, "-1:adm:adm:\n7:bob:bob:\n10000:sys:sys:\n");
    for name in [&b"one"[..], b"two", b"\xff"] {
        let meta = Meta::new(Mode::file(0o664), "bob", "bob", 1);
        t.push(EntryId::ROOT, name, meta, Some(Content::bytes(*b"x")));
    }
    let mut parts = Parts::of(&volume(&Arc::new(t), MIB));
    let users = parts.worm.windows(5).position(|w| w == b"7:bob").unwrap();
    parts.worm[users] = b'8';
    put64(&mut parts.worm, SUPER + Super::TFREE_AT, 5);
    assert_eq!(findings(&parts.main()), [""; 0]);
    assert_eq!(
        remarks(&parts.main()),
        [
            "/\u{fffd}: the name is not UTF-8, but \\xff [name-text]",
            "Super block 2: it counts 5 free, but 0 blocks are in the free list [free-count]",
            "Owner \"7\" is not in /adm/users; 3 files name it, the first is /one [nobody]",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_found() {
    let all = sound();
    wounds::what_cannot_be_read_is_found(file!(), &(0usize..3, wounds::some()), |(which, wounds)| {
        beside(&all, which, all[which].wounded(&wounds))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_wound_is_a_panic(wounds in prop::collection::vec((0usize..8, any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut parts = healthy();
        for (what, at, new) in wounds {
            let (bytes, from, len) = match what {
                0 => (&mut parts.cache, 0, 300),
                1 => (&mut parts.cache, HEADER, 90),
                2 => (&mut parts.cache, BUCKET_0, 300),
                3 => (&mut parts.worm, SUPER + Super::FSTART_AT, 64),
                4 => (&mut parts.worm, SUPER, 40),
                5 => (&mut parts.other, SUPER + Super::FSTART_AT, 64),
                6 => (&mut parts.worm, 24 * BLOCK, 64),
                _ => (&mut parts.worm, A, 3 * DENTRY),
            };
            bytes[from + at.index(len)] = new;
        }
        for name in ["fscache", "fsworm", "other"] {
            let Ok(fs) = parts.open(name) else { continue };
            for fs in [fs.dumps(), Some(fs)].into_iter().flatten() {
                use_everything(&fs);
            }
        }
    }
}
