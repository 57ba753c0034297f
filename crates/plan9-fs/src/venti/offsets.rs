//! Offsets of the fields in the structures of `format`, which reads and writes them
//! one after the other, for tests that damage one field. Arenas are of version 5,
//! and the names of fields are those of the structures.

use super::format::NAME_LEN;

/// Offset of the version, after the magic, in every header.
pub(super) const VERSION: usize = 4;
/// Offset of the name in arenas and index sections.
pub(super) const NAME: usize = 8;
const AFTER_NAME: usize = NAME + NAME_LEN;

pub(super) mod arenas_head {
    pub(in super::super) const BLOCK: usize = 8;
    pub(in super::super) const BASE: usize = 12;
}

pub(super) mod arena_head {
    pub(in super::super) const SIZE: usize = super::AFTER_NAME + 4;
}

/// Of the counts, those of the index come first, and the clump magic is among them.
pub(super) mod arena_tail {
    pub(in super::super) const INDEXED_CLUMPS: usize = super::AFTER_NAME;
    const STORED: usize = super::AFTER_NAME + 38;
    pub(in super::super) const STORED_CLUMPS: usize = STORED;
    pub(in super::super) const STORED_USED: usize = STORED + 8;
    pub(in super::super) const STORED_UNCOMPRESSED: usize = STORED + 16;
}

/// The data come after it.
pub(super) mod clump {
    pub(in super::super) const MAGIC: usize = 0;
    pub(in super::super) const KIND: usize = 4;
    pub(in super::super) const LEN: usize = 7;
    pub(in super::super) const SCORE: usize = 9;
    pub(in super::super) const ENCODING: usize = 29;
}

pub(super) mod section_head {
    pub(in super::super) const INDEX: usize = super::AFTER_NAME;
    const BLOCK: usize = INDEX + super::NAME_LEN;
    pub(in super::super) const BLOCKS: usize = BLOCK + 8;
    pub(in super::super) const START: usize = BLOCK + 12;
    pub(in super::super) const STOP: usize = BLOCK + 16;
}

pub(super) mod bucket {
    pub(in super::super) const COUNT: usize = 0;
    pub(in super::super) const MAGIC: usize = 2;
}

/// An entry of the index.
pub(super) mod entry {
    pub(in super::super) const SCORE: usize = 0;
    pub(in super::super) const ADDRESS: usize = 26;
    pub(in super::super) const BLOCKS: usize = 37;
}

pub(super) mod bloom_head {
    pub(in super::super) const SIZE: usize = 12;
}

#[test]
fn the_fields_are_at_these_offsets() {
    use super::format::{ArenaHead, ArenaTail, BloomHead, Clump, Entry, SectionHead, Stats};
    let word = |b: &[u8], at: usize| u32::from_be_bytes(b[at..at + 4].try_into().unwrap());
    let long = |b: &[u8], at: usize| u64::from(word(b, at)) << 32 | u64::from(word(b, at + 4));
    let stats = |n: u32| Stats {
        clumps: n,
        compressed: n + 1,
        used: u64::from(n) + 2,
        uncompressed: u64::from(n) + 3,
        sealed: false,
    };
    let head = ArenaHead { version: 5, name: b"a".into(), block: 8192, size: 77, clump_magic: 1 }.encode();
    assert_eq!((word(&head, VERSION), head[NAME], long(&head, arena_head::SIZE)), (5, b'a', 77));
    let (indexed, stored) = (stats(10), stats(20));
    let tail =
        ArenaTail { version: 5, name: b"a".into(), created: 1, written: 2, clump_magic: 3, indexed, stored }.encode();
    assert_eq!((word(&tail, arena_tail::INDEXED_CLUMPS), word(&tail, arena_tail::STORED_CLUMPS)), (10, 20));
    assert_eq!((long(&tail, arena_tail::STORED_USED), long(&tail, arena_tail::STORED_UNCOMPRESSED)), (22, 23));
    let section = SectionHead {
        version: 2,
        name: b"s".into(),
        index: b"i".into(),
        block: 1,
        base: 2,
        blocks: 3,
        start: 4,
        stop: 5,
        bucket_magic: 6,
    }
    .encode();
    assert_eq!((section[NAME], section[section_head::INDEX]), (b's', b'i'));
    let words = [section_head::BLOCKS, section_head::START, section_head::STOP].map(|at| word(&section, at));
    assert_eq!(words, [3, 4, 5]);
    assert_eq!(word(&BloomHead { hashes: 1, size: 9 }.encode(), bloom_head::SIZE), 9);
    let bytes: Vec<u8> = (0..64).collect();
    let e = Entry::parse(&bytes);
    assert_eq!((e.score[0] as usize, e.address >> 56, e.blocks as usize), (entry::SCORE, 26, entry::BLOCKS));
    let mut bytes = bytes[..Clump::LEN].to_vec();
    bytes[clump::ENCODING] = 2;
    let c = Clump::parse(&bytes).unwrap();
    assert_eq!((c.magic >> 24, c.info.kind, c.info.len >> 8), (0, clump::KIND as u8, clump::LEN as u16));
    assert_eq!((c.info.score[0], c.compressed), (clump::SCORE as u8, true));
}
