//! Division of a partition into arenas, and of the arenas into p9img's blocks.
//!
//! p9img gives its blocks *indices* from 0: first those of what nodes share, then
//! a node's own. Each arena has an equal share of both, as the server itself spreads what
//! it writes: it takes an arena that is full for the end of all room, when that
//! arena's log cannot grow. Shares are multiples of 64 KiB and begin at one, so
//! that equal indices give equal clusters in partitions of any length.

use super::format::{BLOCK64, FREE, Header, LOG_SPACE, Records};

/// Blocks of 64 KiB.
pub(super) const ALIGN: u64 = 4;
/// The server hands out at least so many, and not more than fit 4 TiB each.
const MIN_ARENAS: u64 = 8;
const MAX_ARENAS: u64 = 32;
const MAX_BYTES: u64 = 4 << 40;
/// The shortest partition that `ream.c` takes.
pub(super) const MIN_LEN: u64 = (128 << 20) + BLOCK64;
/// Blocks of 4 EiB: more than any disk has.
const MOST_BLOCKS: u64 = 1 << 48;
/// Bytes in a record of a range.
const RANGE: usize = 16;
/// Bytes that the server leaves free in a block of a log (`Logslop` in
/// `dat.h`).
const SLOP: usize = 40;

/// The arenas of a partition, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arenas {
    /// Whole blocks of the partition.
    pub blocks: u64,
    /// Number of arenas.
    pub count: u64,
    /// Blocks of each besides its headers.
    pub size: u64,
}

impl Arenas {
    /// As ream divides a partition of `len` bytes; `None` when it is too short.
    pub fn new(len: u64) -> Option<Self> {
        if len < MIN_LEN {
            return None;
        }
        let blocks = len / BLOCK64;
        let room = blocks - 2;
        let count = (room * BLOCK64).div_ceil(MAX_BYTES).clamp(MIN_ARENAS, MAX_ARENAS);
        Some(Self { blocks, count, size: room / count - 2 })
    }

    /// The block of an arena's first header.
    pub fn header(&self, i: u64) -> u64 {
        1 + i * (self.size + 2)
    }
    /// The first block that an arena hands out, where its log begins.
    pub fn first(&self, i: u64) -> u64 {
        self.header(i) + 2
    }
    /// The block after the last one that an arena hands out.
    pub fn end(&self, i: u64) -> u64 {
        self.header(i) + self.size
    }

    /// Blocks of each arena that stay free: what the server keeps back, and a
    /// 32nd for its log and for what it writes before it can free anything.
    fn margin(&self) -> u64 {
        let reserve = (self.size * BLOCK64 / 1024).clamp(512 << 10, 8 << 20);
        reserve.div_ceil(BLOCK64) + self.size / 32
    }

    /// The first block of an arena that is filled.
    fn start(&self, i: u64) -> u64 {
        (self.first(i) + 1).next_multiple_of(ALIGN)
    }

    /// Blocks that are filled in each arena, at most.
    fn room(&self) -> u64 {
        let room = |i| (self.end(i).saturating_sub(self.margin())).saturating_sub(self.start(i)) / ALIGN * ALIGN;
        (0..self.count).map(room).min().unwrap_or(0)
    }

    /// Header and log of an arena in which the blocks in `used` are in use:
    /// ranges, ascending and disjoint. The log's first block is
    /// [`Self::first`]; others are taken from the end. Returned with their
    /// numbers.
    pub fn log(&self, i: u64, used: &[(u64, u64)]) -> (Header, Vec<(u64, Vec<u8>)>) {
        let mut free = Vec::new();
        let mut at = self.first(i) + 1;
        for (start, end) in used {
            if at < *start {
                free.push((at, *start));
            }
            at = *end;
        }
        let mut end = self.end(i);
        // The margin leaves more than a log ever needs.
        let most = (LOG_SPACE - SLOP) / RANGE;
        let more = (free.len() + 1).div_ceil(most) as u64 - 1;
        let blocks: Vec<u64> = std::iter::once(self.first(i)).chain(end - more..end).collect();
        end -= more;
        free.push((at, end));
        let taken = self.size - free.iter().map(|(a, b)| b - a).sum::<u64>();
        let mut log = Vec::new();
        for (n, some) in free.chunks(most).enumerate() {
            let mut bytes = Vec::new();
            for (start, end) in some {
                bytes.extend((start * BLOCK64 + u64::from(FREE)).to_be_bytes());
                bytes.extend(((end - start) * BLOCK64).to_be_bytes());
            }
            let next = blocks.get(n + 1).map_or(u64::MAX, |b| b * BLOCK64);
            log.push((blocks[n], Records { next, bytes }.write()));
        }
        let first = (blocks[0] * BLOCK64, super::hash::hash(&log[0].1));
        (Header { log: first, size: self.size * BLOCK64, used: taken * BLOCK64 }, log)
    }
}

/// Index of a block in p9img's own order, from 0: pointers hold it until the length
/// of the partition is known, and with it the addresses.
pub(super) type BlockIndex = u64;

/// Mapping of block indices to arenas: those of the base fill equally many blocks of
/// each arena, and those of a node equally many after them. The node's indices
/// begin at the first number that no index of the base can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub arenas: Arenas,
    /// Blocks of each arena.
    shared: u64,
    own: u64,
}

/// Share of `n` indices in each of `count` arenas.
fn share(n: u64, count: u64) -> u64 {
    n.div_ceil(count).div_ceil(ALIGN).saturating_mul(ALIGN)
}

impl Map {
    /// The map of so many indices; `None` when the arenas have no room for them.
    pub(super) fn new(arenas: Arenas, shared: u64, own: u64) -> Option<Self> {
        let map = Self { arenas, shared: share(shared, arenas.count), own: share(own, arenas.count) };
        (map.shared.saturating_add(map.own) <= arenas.room()).then_some(map)
    }

    /// The first index of a node, when so many are shared.
    pub(super) fn own_start(arenas: &Arenas, shared: u64) -> BlockIndex {
        share(shared, arenas.count).saturating_mul(arenas.count)
    }

    /// The indices of an arena: those that are shared, and the node's.
    pub(super) fn indices(&self, i: u64) -> [(BlockIndex, BlockIndex); 2] {
        let own = self.shared * self.arenas.count;
        [(i * self.shared, (i + 1) * self.shared), (own + i * self.own, own + (i + 1) * self.own)]
    }

    /// The block of an index, and how many follow it, itself included. `None`
    /// past the last index.
    pub(super) fn block(&self, index: BlockIndex) -> Option<(u64, u64)> {
        let all = self.shared * self.arenas.count;
        let (i, within, skip, share) = match index.checked_sub(all) {
            None => (index / self.shared, index % self.shared, 0, self.shared),
            Some(own) => (own.checked_div(self.own)?, own % self.own, self.shared, self.own),
        };
        (i < self.arenas.count).then(|| (self.arenas.start(i) + skip + within, share - within))
    }

    /// The index of a block, and how many follow it, itself included; `None`
    /// for a block that is none.
    pub(super) fn index(&self, block: u64) -> Option<(BlockIndex, u64)> {
        let i = block.checked_sub(1)? / (self.arenas.size + 2);
        let within = block.checked_sub(self.arenas.start(i)).filter(|_| i < self.arenas.count)?;
        let [shared, own] = self.indices(i);
        match within.checked_sub(self.shared) {
            None => Some((shared.0 + within, self.shared - within)),
            Some(within) => (within < self.own).then(|| (own.0 + within, self.own - within)),
        }
    }

    /// The shortest partition for so many indices, in bytes.
    pub(super) fn needed(shared: u64, own: u64) -> u64 {
        if shared.saturating_add(own) > MOST_BLOCKS {
            return u64::MAX;
        }
        let has = |blocks: u64| Arenas::new(blocks * BLOCK64).is_some_and(|a| Self::new(a, shared, own).is_some());
        let least = MIN_LEN / BLOCK64;
        let (mut low, mut high) = (least, least.max(shared + own).saturating_mul(2));
        while low < high {
            let middle = low + (high - low) / 2;
            if has(middle) { high = middle } else { low = middle + 1 }
        }
        low.saturating_mul(BLOCK64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_divided_as_ream_does_it() {
        assert_eq!(Arenas::new(MIN_LEN - 1), None);
        let a = Arenas::new(MIN_LEN).unwrap();
        // 8193 blocks, less two, in eight.
        assert_eq!((a.blocks, a.count, a.size, a.header(1), a.end(7)), (8193, 8, 1021, 1024, 8183));
        let big = Arenas::new(40 << 40).unwrap();
        assert_eq!(big.count, 10);
        for len in [MIN_LEN, 1 << 31, 40 << 40] {
            let a = Arenas::new(len).unwrap();
            assert!(a.end(a.count - 1) + 2 < a.blocks);
            assert!((1..a.count).all(|i| a.end(i - 1) + 2 == a.header(i)));
        }
    }

    #[test]
    fn indices_and_blocks_are_each_others_and_keep_their_position_in_a_cluster() {
        let a = Arenas::new(MIN_LEN + (3 << 20) + 5 * BLOCK64).unwrap();
        let (shared, own) = (3001, 700);
        let map = Map::new(a, shared, own).unwrap();
        let start = Map::own_start(&a, shared);
        assert_eq!(start, 3008);
        let mut seen = std::collections::BTreeSet::new();
        for index in (0..shared).chain(start..start + own) {
            let (block, run) = map.block(index).unwrap();
            assert_eq!(map.index(block), Some((index, run)));
            assert!(seen.insert(block) && block % ALIGN == index % ALIGN);
            let i = (block - 1) / (a.size + 2);
            assert!(block > a.first(i) && block < a.end(i) - 32, "the server has room left");
        }
        // All arenas have as much to hold, or the server finds one of them full.
        let held = |i: u64| seen.range(a.header(i)..a.header(i) + a.size).count() as u64;
        assert!((0..8).all(|i| held(i) <= (shared + own) / 8 + 2 * ALIGN));
        assert_eq!((map.index(0), map.index(a.header(1)), map.index(a.blocks - 1)), (None, None, None));
        assert_eq!(map.block(start + 8 * 88), None);
        assert_eq!(Map::new(a, 0, 0).unwrap().block(0), None);
    }

    #[test]
    fn the_needed_length_is_the_shortest() {
        for (shared, own) in [(1, 0), (5000, 77), (100_000, 5000)] {
            let has = |len| Arenas::new(len).is_some_and(|a| Map::new(a, shared, own).is_some());
            let len = Map::needed(shared, own);
            assert!(has(len) && !has(len - BLOCK64));
        }
        assert!(Map::needed(1 << 46, 0) > 1 << 60);
        assert_eq!(Map::needed(1 << 60, 1 << 60), u64::MAX);
    }

    #[test]
    fn a_log_says_what_is_free() {
        let a = Arenas::new(MIN_LEN).unwrap();
        let (header, log) = a.log(1, &[]);
        // The log's block, and what ream leaves out at the end.
        assert_eq!((header.used, log.len()), (3 * BLOCK64, 1));
        let records = Records::parse(&log[0].1, super::super::format::LOG).unwrap();
        assert_eq!(records.bytes[..8], (1027 * BLOCK64 + 5).to_be_bytes());
        assert_eq!(records.bytes[8..], (1018 * BLOCK64).to_be_bytes());
        let used: Vec<_> = (0..500).map(|i| (1030 + 2 * i, 1031 + 2 * i)).collect();
        let many = Arenas::new(1 << 30).unwrap();
        let holes: Vec<_> = (0..2000).map(|i| (many.first(0) + 4 + 2 * i, many.first(0) + 5 + 2 * i)).collect();
        assert_eq!(a.log(1, &used).1.len(), 1);
        let (header, log) = many.log(0, &holes);
        let chained = [many.first(0), many.end(0) - 1];
        assert_eq!(log.iter().map(|l| l.0).collect::<Vec<_>>(), chained);
        // What is in use, both of the log's, and ream's two.
        assert_eq!(header.used, (2000 + 2 + 2) * BLOCK64);
    }
}
