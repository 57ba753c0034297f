//! The headers of a venti's partitions, arenas and blocks, to bytes and back;
//! `doc/venti.md` has their tables. All integers are big-endian, and a name
//! takes 64 bytes of which the last is zero.

use super::fields::{Get, Put};
use crate::count;

/// Bytes at the start of arenas and index sections that venti leaves alone.
pub(super) const BLANK: u64 = 256 * 1024;
/// Offset of a configuration within them, and its length in bytes.
pub(super) const CONFIG_AT: u64 = 248 * 1024;
pub(super) const CONFIG_LEN: usize = 8192;
/// Bytes of a partition's header.
pub(super) const HEAD_LEN: usize = 512;
/// Bytes of the table after the header, as p9img writes it.
pub(super) const TABLE_LEN: u64 = 512 * 1024;
/// Block size of what p9img writes, in bytes.
pub(super) const BLOCK: u32 = 8192;
/// Largest block size.
const MAX_BLOCK: u32 = 64 * 1024;
/// Most bytes of one stored block.
pub(super) const MAX_LUMP: u16 = 56 * 1024;
/// First address of an index.
pub(super) const INDEX_BASE: u64 = 1024 * 1024;
/// Smallest arena, in bytes.
pub(super) const MIN_ARENA: u64 = 1024 * 1024;
/// Bytes of a name, its zero included.
pub(super) const NAME_LEN: usize = 64;
pub(super) const SCORE_LEN: usize = 20;
/// Largest and smallest bloom filter, in bytes.
pub(super) const BLOOM: std::ops::RangeInclusive<u64> = 1 << 20..=512 << 20;
/// Hashes of a score for the bloom filter.
pub(super) const MAX_HASHES: u32 = 32;

pub(super) const ARENAS_MAGIC: u32 = 0xA9E4_A5E7;
pub(super) const ARENA_HEAD_MAGIC: u32 = 0xD15C_4EAD;
const ARENA_TAIL_MAGIC: u32 = 0xF2A1_4EAD;
pub(super) const SECTION_MAGIC: u32 = 0xD15C_5EC7;
pub(super) const BLOOM_MAGIC: u32 = 0xB100_4EAD;
/// The clump magic of all arenas of version 4.
pub(super) const OLD_CLUMP_MAGIC: u32 = 0xD15C_B10C;

pub(super) type Score = [u8; SCORE_LEN];

/// Parsed header, or the reason why it is none: the value found and the one
/// expected.
type Parsed<T> = Result<T, String>;

fn magic(get: &mut Get<'_>, expected: u32) -> Parsed<()> {
    match get.u32() {
        found if found == expected => Ok(()),
        found => Err(format!("its magic is {found:08x}, expected {expected:08x}")),
    }
}

fn block_size(block: u32) -> Parsed<u32> {
    match block.is_power_of_two() && (HEAD_LEN as u32..=MAX_BLOCK).contains(&block) {
        true => Ok(block),
        false => Err(format!("its block size is {block}, expected a power of two from 512 to 65536")),
    }
}

/// Offset of the table in a partition of that block size.
pub(super) fn table_at(block: u32) -> u64 {
    (BLANK + HEAD_LEN as u64).next_multiple_of(block.into())
}

/// Offset of the first arena or bucket in partitions that p9img writes.
pub(super) fn base_at(block: u32) -> u64 {
    (table_at(block) + TABLE_LEN).next_multiple_of(block.into())
}

fn base(block: u32, base: u32) -> Parsed<u32> {
    match u64::from(base) > table_at(block) {
        true => Ok(base),
        false => Err(format!("its data begins at byte {base}, in or before its table at {}", table_at(block))),
    }
}

/// Header of a partition of arenas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArenasHead {
    pub block: u32,
    /// First byte of the first arena.
    pub base: u32,
}

impl ArenasHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut put = Put::default();
        put.u32(ARENAS_MAGIC).u32(3).u32(self.block).u32(self.base);
        put.0
    }

    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut get = Get(bytes);
        magic(&mut get, ARENAS_MAGIC)?;
        match get.u32() {
            3 => {}
            v => return Err(format!("its version is {v}, expected 3")),
        }
        let block = block_size(get.u32())?;
        Ok(Self { block, base: base(block, get.u32())? })
    }
}

/// The first block of an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArenaHead {
    pub version: u32,
    pub name: Vec<u8>,
    pub block: u32,
    /// Bytes of the arena, head and tail included.
    pub size: u64,
    pub clump_magic: u32,
}

/// Versions of arenas: the older one has no clump magic of its own.
fn arena_version(version: u32) -> Parsed<u32> {
    match version {
        4 | 5 => Ok(version),
        v => Err(format!("its version is {v}, expected 4 or 5")),
    }
}

impl ArenaHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut put = Put::default();
        put.u32(ARENA_HEAD_MAGIC).u32(self.version).text(&self.name, NAME_LEN).u32(self.block).u64(self.size);
        if self.version > 4 {
            put.u32(self.clump_magic);
        }
        put.0
    }

    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut get = Get(bytes);
        magic(&mut get, ARENA_HEAD_MAGIC)?;
        let version = arena_version(get.u32())?;
        let (name, block, size) = (get.text(NAME_LEN), get.u32(), get.u64());
        let clump_magic = if version > 4 { get.u32() } else { OLD_CLUMP_MAGIC };
        Ok(Self { version, name, block, size, clump_magic })
    }
}

/// Counts of an arena's contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub clumps: u32,
    pub compressed: u32,
    /// Bytes of the log.
    pub used: u64,
    /// Bytes of the blocks before compression.
    pub uncompressed: u64,
    pub sealed: bool,
}

/// The last block of an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArenaTail {
    pub version: u32,
    pub name: Vec<u8>,
    /// Seconds since 1970 of the first and the last write; 0: none yet.
    pub created: u32,
    pub written: u32,
    pub clump_magic: u32,
    /// Contents that are in the index.
    pub indexed: Stats,
    /// Contents that are in the arena.
    pub stored: Stats,
}

impl ArenaTail {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (i, s) = (&self.indexed, &self.stored);
        let mut put = Put::default();
        put.u32(ARENA_TAIL_MAGIC).u32(self.version).text(&self.name, NAME_LEN);
        put.u32(i.clumps).u32(i.compressed).u32(self.created).u32(self.written);
        if self.version > 4 {
            put.u32(self.clump_magic);
        }
        put.u64(i.used).u64(i.uncompressed).u8(i.sealed.into());
        if i != s {
            put.u8(1).u32(s.clumps).u32(s.compressed).u64(s.used).u64(s.uncompressed).u8(s.sealed.into());
        }
        put.0
    }

    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut get = Get(bytes);
        magic(&mut get, ARENA_TAIL_MAGIC)?;
        let version = arena_version(get.u32())?;
        let name = get.text(NAME_LEN);
        let (clumps, compressed, created, written) = (get.u32(), get.u32(), get.u32(), get.u32());
        let clump_magic = if version > 4 { get.u32() } else { OLD_CLUMP_MAGIC };
        let (used, uncompressed, sealed) = (get.u64(), get.u64(), get.u8() != 0);
        let indexed = Stats { clumps, compressed, used, uncompressed, sealed };
        let mut stored = indexed;
        if get.u8() == 1 {
            let (clumps, compressed, used, uncompressed) = (get.u32(), get.u32(), get.u64(), get.u64());
            // As venti does: a sealed arena that forgot it is still sealed.
            stored = Stats { clumps, compressed, used, uncompressed, sealed: get.u8() != 0 || sealed };
        }
        Ok(Self { version, name, created, written, clump_magic, indexed, stored })
    }
}

/// Fields of a clump that log and directory both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClumpInfo {
    /// Type as it is on disk.
    pub kind: u8,
    /// Bytes stored, and before compression.
    pub stored: u16,
    pub len: u16,
    pub score: Score,
}

impl ClumpInfo {
    pub(super) const LEN: usize = 25;

    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut get = Get(bytes);
        Self { kind: get.u8(), stored: get.u16(), len: get.u16(), score: get.array() }
    }

    /// Whether the type says that the block is lost.
    pub(super) fn is_lost(&self) -> bool {
        !matches!(self.kind, 1..=9 | 13)
    }

    /// Bytes of the clump.
    pub(super) fn clump_len(&self) -> u64 {
        Clump::LEN as u64 + u64::from(self.stored)
    }
}

/// Header of a clump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clump {
    pub magic: u32,
    pub info: ClumpInfo,
    pub compressed: bool,
}

impl Clump {
    pub(super) const LEN: usize = 38;

    /// # Errors
    /// Fails when sizes and encoding do not fit; the magic is for the caller to
    /// check.
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut get = Get(bytes);
        let magic = get.u32();
        let info = ClumpInfo::parse(get.take(ClumpInfo::LEN));
        let (stored, len) = (info.stored, info.len);
        let compressed = match get.u8() {
            1 if stored == len => false,
            1 => {
                return Err(format!(
                    "it is not compressed, but {stored} of {len} are stored",
                    stored = count::of(stored, "byte")
                ));
            }
            2 if stored < len => true,
            2 => return Err(format!("it is compressed from {len} to {stored}", len = count::of(len, "byte"))),
            e => return Err(format!("its encoding is {e}, expected 1 or 2")),
        };
        if len > MAX_LUMP {
            return Err(format!("its block has {len}, more than {MAX_LUMP}", len = count::of(len, "byte")));
        }
        Ok(Self { magic, info, compressed })
    }
}

/// Header of an index section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SectionHead {
    pub version: u32,
    pub name: Vec<u8>,
    /// Name of the index that it is part of; empty: of none yet.
    pub index: Vec<u8>,
    pub block: u32,
    /// First byte of the first bucket.
    pub base: u32,
    /// Blocks from there to the end of the partition.
    pub blocks: u32,
    /// Buckets of the index that are in this section, the last one excluded.
    pub start: u32,
    pub stop: u32,
    pub bucket_magic: u32,
}

impl SectionHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut put = Put::default();
        put.u32(SECTION_MAGIC).u32(self.version).text(&self.name, NAME_LEN).text(&self.index, NAME_LEN);
        put.u32(self.block).u32(self.base).u32(self.blocks).u32(self.start).u32(self.stop);
        if self.version > 1 {
            put.u32(self.bucket_magic);
        }
        put.0
    }

    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut get = Get(bytes);
        magic(&mut get, SECTION_MAGIC)?;
        let version = match get.u32() {
            v @ (1 | 2) => v,
            v => return Err(format!("its version is {v}, expected 1 or 2")),
        };
        let (name, index) = (get.text(NAME_LEN), get.text(NAME_LEN));
        let block = block_size(get.u32())?;
        let base = base(block, get.u32())?;
        let (blocks, start, stop) = (get.u32(), get.u32(), get.u32());
        let bucket_magic = if version > 1 { get.u32() } else { 0 };
        match stop.checked_sub(start) {
            Some(n) if n <= blocks => {}
            Some(n) => {
                return Err(format!(
                    "it has {n}, but {blocks} for them",
                    n = count::of(n, "bucket"),
                    blocks = count::of(blocks, "block")
                ));
            }
            None => return Err(format!("its buckets begin with {start} and end before {stop}")),
        }
        Ok(Self { version, name, index, block, base, blocks, start, stop, bucket_magic })
    }

    /// Most entries of a bucket.
    pub(super) fn bucket_max(&self) -> usize {
        (self.block as usize - Entry::BUCKET_HEAD) / Entry::LEN
    }
}

/// An entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub score: Score,
    pub address: u64,
    pub len: u16,
    pub kind: u8,
    /// Units of 512 bytes that the clump takes.
    pub blocks: u8,
}

impl Entry {
    pub(super) const LEN: usize = 38;
    /// Bytes before the entries of a bucket.
    pub(super) const BUCKET_HEAD: usize = 6;

    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut get = Get(bytes);
        let score = get.array();
        get.take(6);
        Self { score, address: get.u64(), len: get.u16(), kind: get.u8(), blocks: get.u8() }
    }
}

/// Header of a bloom filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BloomHead {
    pub hashes: u32,
    /// Bytes of the filter, the header included.
    pub size: u32,
}

impl BloomHead {
    pub(super) const LEN: usize = 16;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut put = Put::default();
        put.u32(BLOOM_MAGIC).u32(1).u32(self.hashes).u32(self.size);
        put.0
    }

    /// The bits that a score sets, counted from the lowest of the first byte.
    pub(super) fn bits(&self, score: &Score) -> impl Iterator<Item = u64> + use<> {
        let word = |at: usize| u32::from_le_bytes([score[at], score[at + 1], score[at + 2], score[at + 3]]);
        let (first, step) = (word(4) ^ word(12), word(8) ^ word(16));
        let (head, bits) = (8 * Self::LEN as u32, 8 * u64::from(self.size));
        (0..self.hashes).map(move |i| u64::from(first.wrapping_add(i.wrapping_mul(step)).max(head)) % bits)
    }

    /// # Errors
    /// Also when the filter is longer than its partition of `len` bytes.
    pub(super) fn parse(bytes: &[u8], len: u64) -> Parsed<Self> {
        let mut get = Get(bytes);
        magic(&mut get, BLOOM_MAGIC)?;
        match get.u32() {
            1 => {}
            v => return Err(format!("its version is {v}, expected 1")),
        }
        let (hashes, size) = (get.u32(), get.u32());
        if !(1..=MAX_HASHES).contains(&hashes) {
            return Err(format!(
                "it has {hashes} for a score, expected 1 to {MAX_HASHES}",
                hashes = count::of(hashes, "hash")
            ));
        }
        // Venti reads smaller ones than it makes.
        if !size.is_power_of_two() || size < Self::LEN as u32 || u64::from(size) > *BLOOM.end() {
            return Err(format!(
                "it has {size}, expected a power of two up to {}",
                BLOOM.end(),
                size = count::of(size, "byte")
            ));
        }
        if u64::from(size) > len {
            return Err(format!("it has {size}, but its partition {len}", size = count::of(size, "byte")));
        }
        Ok(Self { hashes, size })
    }
}
