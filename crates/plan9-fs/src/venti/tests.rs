//! Fresh partitions byte by byte; damage and what the checker calls it;
//! hostile images and that they end. `store` writes blocks as venti does.

use super::format::{ArenaTail, BLANK, BLOCK, BloomHead, Clump, Entry, Stats};
use super::layout::*;
use super::offsets::{
    NAME, VERSION, arena_head, arena_tail, arenas_head, bloom_head, bucket, clump, entry, section_head,
};
use super::store::{Store, arenas, bloom, kinds, section};
use super::*;
use crate::FileSystem;
use crate::pieces::Pieces;
use crate::read_at::{ReadAt, Window};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

const MIB: u64 = 1 << 20;
const BASE: u64 = 794_624;
/// Offsets of the header and of the table of arenas and index sections.
const HEAD: usize = BLANK as usize;
const TABLE: usize = 270_336;
/// Offsets of the low bytes of fields: of 16, 32 and 64 bits.
const LOW_16: usize = 1;
const LOW_32: usize = 3;
const LOW_64: usize = 7;

fn bytes(p: &Pieces, at: u64, n: usize) -> Vec<u8> {
    let mut b = vec![0; n];
    p.read_at(at, &mut b).unwrap();
    b
}

fn opened(p: &Pieces) -> Venti {
    open(Arc::new(p.clone())).unwrap_or_else(|e| panic!("{e}"))
}

fn text(fs: &Venti, name: &str) -> String {
    let node = fs.find(name.as_bytes()).unwrap();
    let mut b = vec![0; node.len as usize];
    let n = fs.read(&node, 0, &mut b).unwrap();
    String::from_utf8(b[..n].to_vec()).unwrap()
}

#[test]
fn fresh_arenas_are_what_fmtarenas_writes() {
    let v = &layout(&[arenas("arenas", 512 * MIB)], "seed").unwrap()[0];
    assert_eq!(v.len(), 512 * MIB);
    let head = [0xa9, 0xe4, 0xa5, 0xe7, 0, 0, 0, 3, 0, 0, 0x20, 0, 0, 0x0c, 0x20, 0];
    assert_eq!(bytes(v, 262_144, 16), head);
    assert_eq!(bytes(v, 270_336, 29), b"1\narenas0\t794624\t536870912\n\0\0");
    let head = bytes(v, BASE, 92);
    assert_eq!(head[..15], *b"\xd1\x5c\x4e\xad\0\0\0\x05arenas0");
    assert_eq!(head[72..84], [0, 0, 0x20, 0, 0, 0, 0, 0, 0x1f, 0xf3, 0xe0, 0]);
    let tail = bytes(v, 512 * MIB - 8192, 8192);
    assert_eq!(tail[..15], *b"\xf2\xa1\x4e\xad\0\0\0\x05arenas0");
    assert_eq!(tail[88..92], head[84..88], "one clump magic");
    assert!(head[84..88] != [0; 4] && head[84..88] != *b"\xd1\x5c\xb1\x0c");
    assert_eq!((&tail[72..88], &tail[92..]), (&[0; 16][..], &[0; 8100][..]));
    let used: u64 = v.extents().iter().map(|e| e.len).sum();
    assert!(used < 300, "{:?}", v.extents());
}

#[test]
fn arenas_are_cut_as_fmtarenas_cuts_them() {
    let cut = |len: u64| {
        let v = &layout(&[arenas("a", len)], "seed").unwrap()[0];
        opened(v).children(&opened(v).root().unwrap()).unwrap().iter().map(|n| n.len).collect::<Vec<_>>()
    };
    let (arena, b) = (512 * MIB, 8192);
    assert_eq!(cut(BASE + MIB), [MIB]);
    assert_eq!(cut(BASE + arena + MIB - 1), [arena + MIB - b]);
    assert_eq!(cut(BASE + arena + MIB), [arena, MIB]);
    assert_eq!(cut(BASE + 2 * arena + 8191), [arena, arena]);
    assert_eq!(cut(BASE + 2 * arena + b), [arena, arena + b]);
}

#[test]
fn an_index_joins_the_sections_in_order() {
    let parts = [section("is1", 26 * MIB), arenas("b", 600 * MIB), section("is0", 5 * MIB), arenas("a", 100 * MIB)];
    let v = layout(&parts, "seed").unwrap();
    // 3328 - 97 blocks and 640 - 97; 4294967296 / 3774 rounded up twice.
    let sections = "2\nis1\t0\t3231\nis0\t3231\t3774\n";
    let (b0, b1) = (MIB + 512 * MIB - 16384, MIB + 600 * MIB - BASE - 2 * 16384);
    let arenas = format!("3\nb0\t1048576\t{b0}\nb1\t{b0}\t{b1}\na0\t{b1}\t{}\n", b1 + 100 * MIB - BASE - 16384);
    let expected = format!("venti index configuration\n1\nmain\n8192\n{sections}{arenas}");
    for at in [0, 2] {
        assert_eq!(text(&opened(&v[at]), "index"), expected);
    }
    let head = bytes(&v[2], 262_144, 160);
    assert_eq!(head[..12], *b"\xd1\x5c\x5e\xc7\0\0\0\x02is0\0");
    assert_eq!(head[72..77], *b"main\0");
    assert_eq!(head[136..156], *b"\0\0\x20\0\0\x0c\x20\0\0\0\x02\x1f\0\0\x0c\x9f\0\0\x0e\xbe");
    assert_ne!(head[156..160], [0; 4]);
    assert_ne!(head[156..160], bytes(&v[0], 262_300, 4), "each section has a magic of its own");
}

#[test]
fn bloom_filters_are_powers_of_two() {
    for (len, size) in [(MIB, MIB), (5 * MIB - 512, 4 * MIB), (512 * MIB, 512 * MIB), (3000 * MIB, 512 * MIB)] {
        let v = &layout(&[bloom("bloom", len)], "seed").unwrap()[0];
        let head = [0xb100_4ead, 1, 32, size as u32].map(u32::to_be_bytes).concat();
        assert_eq!((v.len(), bytes(v, 0, 17)), (len, [&head[..], &[0]].concat()));
        assert_eq!(opened(v).kind(), "venti bloom filter");
    }
}

#[test]
fn names_and_seeds_alone_decide_the_magics() {
    let magic = |name: &str, seed: &str| bytes(&layout(&[arenas(name, 2 * MIB)], seed).unwrap()[0], BASE + 84, 4);
    assert_eq!(magic("a", "s"), magic("a", "s"));
    assert_ne!(magic("a", "s"), magic("a", "t"));
    assert_ne!(magic("a", "s"), magic("b", "s"));
}

#[test]
fn what_cannot_be_is_refused() {
    let said = |parts: &[Wanted]| layout(parts, "s").map(|_| ()).unwrap_err().to_string();
    assert_eq!(said(&[arenas("a", MIB)]), "Partition a has 1048576 bytes, but arenas need 1843200 at the least");
    let least = "Partition is has 802816 bytes, but index sections need 811008 at the least";
    assert_eq!(said(&[arenas("a", 2 * MIB), section("is", BASE + 8192)]), least);
    assert_eq!(
        said(&[bloom("b", MIB - 1)]),
        "Partition b has 1048575 bytes, but bloom filters need 1048576 at the least"
    );
    assert!(
        said(&[section("is", MIB)]).starts_with("Partition is is to be an index section, but there is no partition")
    );
    assert!(said(&[bloom("a", MIB), bloom("b", MIB)]).starts_with("Partitions a and b are both to be a bloom"));
    assert!(said(&[arenas("a b", 2 * MIB)]).starts_with("Venti cannot name anything after partition \"a b\""));
    let eleven = 11 * 512 * MIB + 2 * MIB;
    assert!(said(&[arenas("a", eleven), arenas("a1", 2 * MIB)]).starts_with("Two arenas would have the name a10"));
    let uneven = [arenas("a", 2 * MIB), section("x", 3 << 40), section("y", MIB)];
    assert!(
        said(&uneven).starts_with("Partition y has 1048576 bytes, which is too little compared"),
        "{}",
        said(&uneven)
    );
    let large = [arenas("a", 2 * MIB), section("x", 33 << 40)];
    assert!(said(&large).starts_with("Partition x has 36283883716608 bytes, more than an index section can use"));
    assert!(said(&[arenas("a", 20 << 40)]).ends_with("more than one table of arenas can use: split it into several"));
}

#[test]
fn fresh_and_filled_stores_are_sound_and_full_of_it() {
    let none: [&str; 0] = [];
    let fresh = layout(&[arenas("a", 2 * MIB), section("is", MIB), bloom("b", MIB)], "s").unwrap();
    for v in &fresh {
        assert_eq!(kinds(&opened(v)), none);
    }
    let store = Store::sample();
    for v in store.opened() {
        assert_eq!(kinds(&v), none);
    }
    let mut out = Vec::new();
    store.opened()[0].dump(&mut out).unwrap();
    let dump = String::from_utf8(out).unwrap();
    assert!(dump.contains("arena a0: stored 400 clumps (1 compressed), "), "{dump}");
    assert!(dump.contains("\narena a0: indexed 399 clumps (0 compressed), "), "{dump}");
    let mut out = Vec::new();
    store.opened()[1].dump(&mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().ends_with("section: 399 entries\n"));
}

#[test]
fn an_arena_reads_as_rdarena_copies_it() {
    let store = Store::sample();
    let fs = &store.opened()[0];
    let node = fs.find(b"a0").unwrap();
    assert_eq!((node.len, node.meta.mtime), (2 * MIB / 8192 * 8192 - BASE, 20));
    let mut b = vec![0; node.len as usize];
    assert_eq!(fs.read(&node, 0, &mut b).unwrap(), b.len());
    assert_eq!(b, store.bytes[0][BASE as usize..2 * MIB as usize]);
    assert_eq!(fs.read(&node, node.len - 3, &mut b).unwrap(), 3);
    assert_eq!(fs.read(&node, u64::MAX, &mut b).unwrap(), 0);
    assert!(fs.read(&fs.root().unwrap(), 0, &mut b).is_err());
    assert_eq!(fs.children(&node).unwrap_err().kind(), std::io::ErrorKind::NotADirectory);
}

/// The kinds of findings of a part of the sample after damage to its bytes.
fn damaged(part: usize, damage: impl FnOnce(&mut Store)) -> Vec<String> {
    let mut store = Store::sample();
    damage(&mut store);
    match open(Arc::new(store.bytes[part].clone())) {
        Ok(v) => kinds(&v),
        Err(e) => vec![format!("open: {e}")],
    }
}

#[test]
fn every_damage_of_arenas_has_its_word() {
    let tail = (2 * MIB - 8192) as usize;
    let with = |at: usize, value: u8| damaged(0, move |s| s.bytes[0][at] = value);
    assert_eq!(with(tail, 0), ["arena-tail"]);
    assert_eq!(with(tail + NAME, b'b'), ["arena-name", "arena-head"]);
    assert_eq!(with(BASE as usize, 0), ["arena-head"]);
    assert_eq!(with(BASE as usize + VERSION + LOW_32, 4), ["arena-head", "arena-head"], "version and clump magic");
    assert_eq!(with(BASE as usize + arena_head::SIZE, 1), ["arena-head"]);
    // The second set of numbers: what is stored.
    assert_eq!(with(tail + arena_tail::STORED_CLUMPS + 1, 1), ["arena-stats"], "more clumps than fit");
    assert_eq!(with(tail + arena_tail::STORED_CLUMPS + 2, 2), ["arena-stats"], "more clumps than there are");
    assert_eq!(
        with(tail + arena_tail::STORED_CLUMPS + LOW_32, 0x8f),
        ["arena-stats", "unrecorded"],
        "fewer clumps than there are"
    );
    assert_eq!(with(tail + arena_tail::STORED_USED, 1), ["arena-stats"], "too much used");
    assert_eq!(with(tail + arena_tail::STORED_UNCOMPRESSED + LOW_64, 0), ["arena-stats"], "uncompressed");
    assert_eq!(
        with(tail + arena_tail::INDEXED_CLUMPS, 1),
        ["arena-stats", "arena-stats"],
        "more indexed than stored, and than fit"
    );
    let hit = |i: usize, at: usize| {
        move |s: &mut Store| {
            let at = s.clump_at(i) + at;
            s.bytes[0][at] ^= 0x40;
        }
    };
    assert_eq!(damaged(0, hit(7, clump::MAGIC)), ["clump-magic"]);
    assert_eq!(damaged(0, hit(7, clump::ENCODING)), ["clump"], "encoding");
    assert_eq!(damaged(0, hit(7, clump::LEN + LOW_16)), ["clump"], "length");
    assert_eq!(damaged(0, hit(7, clump::SCORE)), ["clump-score", "clump-info"]);
    assert_eq!(damaged(0, hit(7, Clump::LEN)), ["clump-score"], "data");
    assert_eq!(damaged(0, hit(399, Clump::LEN)), ["clump-score"], "compressed data");
    assert_eq!(damaged(0, hit(399, Clump::LEN + 5)), ["clump-data"], "a copy of nothing");
    let lost = |s: &mut Store| {
        let at = s.clump_at(3) + clump::KIND;
        s.bytes[0][at] = 0;
    };
    assert_eq!(damaged(0, lost), ["clump-lost", "clump-info"]);
    assert_eq!(damaged(0, |s| s.bytes[0][tail - 8192] ^= 1), ["clump-info"], "directory");
    assert_eq!(damaged(0, |s| s.set_end(0x1234_5678)), ["clump-end"]);
    assert_eq!(damaged(0, |s| s.set_end(s.clump_magic())), ["unrecorded"]);
    assert_eq!(damaged(0, |s| s.seal([7; 20])), ["arena-seal"]);
    let none: [&str; 0] = [];
    assert_eq!(damaged(0, |s| s.seal(s.right_seal())), none);
    assert_eq!(damaged(0, |s| s.seal([0; 20])), none, "not sealed yet");
}

#[test]
fn every_damage_of_index_sections_has_its_word() {
    let with = |at: usize, value: u8| damaged(1, move |s| s.bytes[1][at] = value);
    assert_eq!(with(HEAD + section_head::INDEX, b'n'), ["section"], "another index");
    assert_eq!(with(HEAD + NAME, b'x'), ["section"], "another name");
    assert_eq!(with(HEAD + section_head::STOP + LOW_32, 28), ["section"], "another range");
    assert_eq!(with(HEAD + section_head::BLOCKS + LOW_32, 60), ["section-size"]);
    assert_eq!(with(TABLE, b'V'), ["index-table"]);
    assert_eq!(with(TABLE + 40, b'x').len(), 1);
    let none: [&str; 0] = [];
    assert_eq!(with(HEAD + section_head::INDEX, 0), none, "formatted, but of no index");
    let first = |at: usize, value: u8| {
        damaged(1, move |s| {
            let b = s.bucket_at(0);
            s.bytes[1][b + at] = value;
        })
    };
    assert_eq!(first(bucket::COUNT, 1), ["bucket"]);
    assert_eq!(first(bucket::MAGIC, 0x77), none, "another magic: empty");
    assert_eq!(first(Entry::BUCKET_HEAD + entry::SCORE, 0xff), ["bucket-entry", "bucket-order"]);
    assert_eq!(first(Entry::BUCKET_HEAD + entry::ADDRESS, 1), ["bucket-address"]);
}

#[test]
fn every_disagreement_of_the_partitions_has_its_word() {
    let with = |damage: &dyn Fn(&mut Store)| {
        let mut store = Store::sample();
        damage(&mut store);
        let parts: Vec<_> = store.opened().into_iter().enumerate().map(|(i, v)| (format!("p{i}"), v)).collect();
        let mut out = Vec::new();
        check_together(&parts, &mut |f| out.push(f.kind)).unwrap();
        out
    };
    let none: [&str; 0] = [];
    assert_eq!(with(&|_| {}), none);
    assert_eq!(with(&|s| s.bytes[1][TABLE + 51] = b'b'), ["index-arenas", "index-arenas"], "a0 is called ab");
    // Every entry of the first bucket gone.
    let gone = with(&|s| {
        let b = s.bucket_at(0);
        s.bytes[1][b + bucket::COUNT + LOW_16] = 0;
    });
    assert!(gone.len() > 5 && gone.iter().all(|k| *k == "index-missing"), "{gone:?}");
    let hit = |at: usize| {
        with(&move |s| {
            let b = s.bucket_at(3);
            s.bytes[1][b + Entry::BUCKET_HEAD + at] ^= 1;
        })
    };
    assert_eq!(hit(entry::SCORE + 19), ["index-extra", "index-missing"], "score");
    assert_eq!(hit(entry::ADDRESS + LOW_64), ["index-wrong"], "address");
    assert_eq!(hit(entry::BLOCKS), ["index-wrong"], "blocks");
    let bits = with(&|s| s.bytes[2][BloomHead::LEN..4096].fill(0));
    assert!(bits.len() > 5 && bits.iter().all(|k| *k == "bloom-missing"), "{bits:?}");
}

#[test]
fn what_is_no_venti_says_so() {
    let said = |part: usize, at: usize, bytes: &[u8]| {
        let mut store = Store::sample();
        store.bytes[part][at..at + bytes.len()].copy_from_slice(bytes);
        open(Arc::new(store.bytes[part].clone())).map(|_| ()).unwrap_err().to_string()
    };
    let head = |rest: &str| format!("Bad header of a partition of arenas (byte 262144): {rest}");
    assert_eq!(said(0, HEAD, &[0]), head("it has no magic, but the rest is a bloom filter"));
    assert_eq!(said(0, HEAD + VERSION + LOW_32, &[2]), head("its version is 2, expected 3"));
    assert_eq!(
        said(0, HEAD + arenas_head::BLOCK + 2, &[0x21]),
        head("its block size is 8448, expected a power of two from 512 to 65536")
    );
    assert_eq!(
        said(0, HEAD + arenas_head::BASE, &[0, 4, 0, 0]),
        head("its data begins at byte 262144, in or before its table at 270336")
    );
    let table = |rest: &str| format!("Bad table of arenas (byte 270336): {rest}");
    assert_eq!(said(0, TABLE, b"3"), table("it ends before line 2 of 3"));
    assert_eq!(said(0, TABLE, b"x"), table("the number of its lines is \"x\", expected a number"));
    assert_eq!(said(0, TABLE + 4, b" "), table("\"a0 794624\\t2097152\" is not a name, a start and a stop"));
    assert_eq!(
        said(0, TABLE + 5, b"6"),
        table("\"a0\\t694624\\t2097152\" overlaps the range before 794624, or itself")
    );
    assert_eq!(said(0, TABLE + 12, b"3"), table("a0 ends at byte 3097152, but the last whole block at 2097152"));
    let section = |rest: &str| format!("Bad header of an index section (byte 262144): {rest}");
    assert_eq!(said(1, HEAD, &[0]), section("it has no magic, but the rest is a bloom filter"));
    assert_eq!(said(1, HEAD + section_head::START, &[1]), section("its buckets begin with 16777216 and end before 31"));
    assert_eq!(said(1, HEAD + section_head::STOP, &[1]), section("it has 16777247 buckets, but 31 blocks for them"));
    assert_eq!(said(2, VERSION + LOW_32, &[2]), "Bad header of a bloom filter (byte 0): its version is 2, expected 1");
    assert_eq!(
        said(2, bloom_head::SIZE, &[4]),
        "Bad header of a bloom filter (byte 0): it has 68157440 bytes, expected a power of two up to 536870912"
    );
    assert!(said(2, 0, &[0]).starts_with("Not a venti partition"));
}

#[test]
fn a_configuration_in_the_partition_is_shown() {
    let mut store = Store::sample();
    assert_eq!(store.opened()[0].config().unwrap(), None);
    store.bytes[0][248 * 1024..][..24].copy_from_slice(b"venti config\nindex main\n");
    assert_eq!(store.opened()[0].config().unwrap().as_deref(), Some(&b"index main\n"[..]));
}

#[test]
fn tails_of_either_version_read_back() {
    let some = Stats { clumps: 5, compressed: 2, used: 999, uncompressed: 1234, sealed: true };
    for version in [4, 5] {
        for indexed in [some, Stats::default()] {
            let clump_magic = if version == 4 { 0xd15c_b10c } else { 3 };
            let name = b"x".to_vec();
            let t = ArenaTail { version, name, created: 1, written: 2, clump_magic, indexed, stored: some };
            assert_eq!(ArenaTail::parse(&t.encode()), Ok(t));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sizes_make_sound_partitions(
        sizes in prop::collection::vec((4u64..4000, 0u8..3), 1..6),
        seed in "[a-z]{0,4}",
    ) {
        let wanted: Vec<Wanted> = sizes.iter().enumerate().map(|(i, (len, kind))| {
            let kind = [Kind::Arenas, Kind::Section, Kind::Bloom][usize::from(*kind)];
            Wanted { name: format!("p{i}x"), len: len * 512 * 997, kind }
        }).collect();
        match layout(&wanted, &seed) {
            Ok(volumes) => for (w, v) in wanted.iter().zip(&volumes) {
                let fs = opened(v);
                prop_assert_eq!(fs.holds(), w.kind);
                prop_assert_eq!(kinds(&fs), Vec::<String>::new());
                prop_assert_eq!(v.len(), w.len);
            },
            Err(LayoutError::NoArenas(_)) => prop_assert!(wanted.iter().all(|w| w.kind != Kind::Arenas)),
            Err(LayoutError::Blooms { .. }) => prop_assert!(wanted.iter().filter(|w| w.kind == Kind::Bloom).count() > 1),
            Err(LayoutError::Uneven { .. }) => prop_assert!(wanted.iter().filter(|w| w.kind == Kind::Section).count() > 1),
            Err(LayoutError::TooSmall { len, .. }) => prop_assert!(len < 3 * MIB),
            Err(e) => prop_assert!(false, "{e}"),
        }
    }

    #[test]
    fn wounds_never_hang_or_panic(
        part in 0usize..3,
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static SAMPLE: LazyLock<[(Vec<u8>, Vec<usize>); 3]> = LazyLock::new(|| {
            let spots = |b: &Vec<u8>| (0..b.len()).filter(|i| b[*i] != 0).collect();
            Store::sample().bytes.map(|b| { let s = spots(&b); (b, s) })
        });
        let (mut b, spots) = (SAMPLE[part].0.clone(), &SAMPLE[part].1);
        for (at, value) in wounds {
            b[spots[at.index(spots.len())]] = value;
        }
        let len = cut.map_or(b.len(), |c| c.index(b.len()));
        if let Ok(fs) = open(Arc::new(Window::new(b, 0, len as u64).unwrap())) {
            prop_assert_eq!(crate::testing::wounds::found(&fs), Ok(()));
            let _ = kinds(&fs);
            let _ = fs.dump(&mut Vec::new());
            for node in fs.children(&fs.root().unwrap()).unwrap_or_default() {
                let _ = fs.read(&node, 0, &mut [0; 100]);
            }
        }
    }
}

#[test]
fn block_size_is_that_of_fmtarenas() {
    assert_eq!(BLOCK, 8192);
}
