//! How a partition is divided into arenas, and where in them p9img puts what
//! it writes.
//!
//! What arenas hand out is one row of *places* for p9img, counted from 0, of
//! which each arena takes a run: from a multiple of 64 KiB to a multiple of
//! 64 KiB, so that equal rows give equal clusters in partitions of any length.

use super::format::{BLOCK64, FREE, Header, LOG_SPACE, Records};

/// Blocks of 64 KiB.
pub const ALIGN: u64 = 4;
/// The server hands out at least so many, and not more than fit 4 TiB each.
const MIN_ARENAS: u64 = 8;
const MAX_ARENAS: u64 = 32;
const MAX_BYTES: u64 = 4 << 40;
/// The shortest partition that `ream.c` takes.
pub const MIN_LEN: u64 = (128 << 20) + BLOCK64;
/// Places of 4 EiB: more than any disk has.
const MOST_PLACES: u64 = 1 << 48;
/// Bytes in a record of a range.
const RANGE: usize = 16;
/// What the server wants free in a block of a log (`Logslop` in `dat.h`).
const SLOP: usize = 40;

/// The arenas of a partition, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arenas {
    /// Whole blocks of the partition.
    pub blocks: u64,
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
    /// The block behind the last one that an arena hands out.
    pub fn end(&self, i: u64) -> u64 {
        self.header(i) + self.size
    }

    /// Blocks of each arena that stay free: what the server keeps back, and a
    /// 32nd for its log and for what it writes before it can free anything.
    fn margin(&self) -> u64 {
        let reserve = (self.size * BLOCK64 / 1024).clamp(512 << 10, 8 << 20);
        reserve.div_ceil(BLOCK64) + self.size / 32
    }

    /// The run of an arena that is filled: first block, and the one behind.
    fn run(&self, i: u64) -> (u64, u64) {
        let first = (self.first(i) + 1).next_multiple_of(ALIGN);
        let end = self.end(i).saturating_sub(self.margin()) / ALIGN * ALIGN;
        (first, end.max(first))
    }

    /// Blocks that there are places for.
    pub fn places(&self) -> u64 {
        (0..self.count).map(|i| self.run(i)).map(|(a, b)| b - a).sum()
    }

    /// The block of a place, and how many follow it in the same arena, itself
    /// included. `None` behind the last place.
    pub fn block(&self, place: u64) -> Option<(u64, u64)> {
        let mut left = place;
        for i in 0..self.count {
            let (first, end) = self.run(i);
            if left < end - first {
                return Some((first + left, end - first - left));
            }
            left -= end - first;
        }
        None
    }

    /// The place of a block, and how many follow it in the same arena, itself
    /// included; or, when it is none, the next place behind it.
    pub fn place(&self, block: u64) -> Result<(u64, u64), Option<u64>> {
        let mut before = 0;
        for i in 0..self.count {
            let (first, end) = self.run(i);
            if block < first {
                return Err((end > first).then_some(before));
            }
            if block < end {
                return Ok((before + block - first, end - block));
            }
            before += end - first;
        }
        Err(None)
    }

    /// The shortest partition with so many places, in bytes.
    pub fn needed(places: u64) -> u64 {
        if places > MOST_PLACES {
            return u64::MAX;
        }
        let has = |blocks: u64| Self::new(blocks * BLOCK64).is_some_and(|a| a.places() >= places);
        let (mut low, mut high) = (MIN_LEN / BLOCK64, (MIN_LEN / BLOCK64).max(places).saturating_mul(2));
        while low < high {
            let middle = low + (high - low) / 2;
            if has(middle) { high = middle } else { low = middle + 1 }
        }
        low.saturating_mul(BLOCK64)
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
        // What the margin leaves is more than a log ever needs.
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
    fn places_and_blocks_are_each_others_and_keep_their_place_in_a_cluster() {
        let a = Arenas::new(MIN_LEN + (3 << 20) + 5 * BLOCK64).unwrap();
        let mut last = 0;
        for place in 0..a.places() {
            let (block, run) = a.block(place).unwrap();
            assert_eq!(a.place(block), Ok((place, run)));
            assert!(block > last && block % ALIGN == place % ALIGN);
            last = block;
        }
        assert_eq!(a.block(a.places()), None);
        assert_eq!((a.place(0), a.place(last + 1)), (Err(Some(0)), Err(None)));
        assert_eq!(a.place(a.header(1)), Err(Some(a.place(a.block(0).unwrap().0).unwrap().1)));
    }

    #[test]
    fn the_needed_length_is_the_shortest() {
        for places in [1, 5000, 100_000] {
            let len = Arenas::needed(places);
            assert!(Arenas::new(len).unwrap().places() >= places);
            assert!(Arenas::new(len - BLOCK64).is_none_or(|a| a.places() < places));
        }
        assert!(Arenas::needed(1 << 46) > 1 << 60);
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
