//! State of each block by the arenas' logs: allocated, free, or in no arena.

use super::format::{ALLOC, ALLOC1, ARENA, BLOCK64, FREE, FREE1, Header, LOG, SYNC, get16, get64};
use super::hash::hash;
use super::volume::{Volume, block_name};
use crate::Finding;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Free bytes: where they begin, and end.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The range that has a byte.
    fn at(&self, byte: u64) -> Option<(u64, u64)> {
        self.0.range(..=byte).next_back().map(|(a, b)| (*a, *b)).filter(|(_, b)| byte < *b)
    }

    /// Adds a range; false when some of it is there.
    fn give(&mut self, mut start: u64, mut end: u64) -> bool {
        if self.at(start).is_some() || self.0.range(start..end).next().is_some() {
            return false;
        }
        if let Some((a, _)) = self.0.range(..start).next_back().map(|(a, b)| (*a, *b)).filter(|(_, b)| *b == start) {
            self.0.remove(&a);
            start = a;
        }
        if let Some(b) = self.0.remove(&end) {
            end = b;
        }
        self.0.insert(start, end);
        true
    }

    /// Takes a range away; false when not all of it is there.
    fn take(&mut self, start: u64, end: u64) -> bool {
        let Some((a, b)) = self.at(start).filter(|(_, b)| end <= *b) else { return false };
        self.0.remove(&a);
        self.0.extend([(a, start), (end, b)].into_iter().filter(|(a, b)| a < b));
        true
    }
}

/// One arena.
pub(super) struct Arena {
    /// Address of its first header.
    pub address: u64,
    pub header: Header,
    /// Addresses of its log's blocks.
    pub log: Vec<u64>,
    free: Ranges,
}

impl Arena {
    /// The addresses that it hands out.
    fn from(&self) -> u64 {
        self.address + 2 * BLOCK64
    }
    fn to(&self) -> u64 {
        self.from() + self.header.size
    }
    /// Free ranges in bytes, ascending.
    pub(super) fn free(&self) -> impl Iterator<Item = (u64, u64)> {
        self.free.0.iter().map(|(a, b)| (*a, *b))
    }
}

/// All arenas that can be read, ascending.
pub(super) struct Space {
    pub arenas: Vec<Arena>,
}

impl Space {
    /// Reads headers and logs. `Err` only when the image cannot be read.
    pub(super) fn read(volume: &Volume, report: &mut dyn FnMut(Finding)) -> io::Result<Self> {
        let mut arenas: Vec<Arena> = Vec::new();
        for (i, (address, sum)) in volume.superblock.arenas.iter().enumerate() {
            let mut find = |kind, message: String| report(Finding { kind, message: format!("Arena {i}: {message}") });
            let Some(header) = header(volume, *address, *sum, &mut find)? else { continue };
            let end = volume.blocks * BLOCK64;
            let whole = header.size.is_multiple_of(BLOCK64)
                && address.checked_add(2 * BLOCK64).and_then(|a| a.checked_add(header.size)).is_some_and(|a| a <= end);
            if !whole || arenas.last().is_some_and(|last| *address < last.to()) {
                let before = arenas.last().map_or(0, Arena::to);
                find(
                    "arena",
                    format!("{:x} bytes from {address:x} on are not between {before:x} and {end:x}", header.size),
                );
                continue;
            }
            let mut arena = Arena { address: *address, header, log: Vec::new(), free: Ranges::default() };
            replay(volume, &mut arena, &mut find)?;
            arenas.push(arena);
        }
        Ok(Self { arenas })
    }

    fn arena(&self, address: u64) -> Option<&Arena> {
        let i = self.arenas.partition_point(|a| a.address <= address).checked_sub(1)?;
        Some(&self.arenas[i]).filter(|a| (a.from()..a.to()).contains(&address))
    }

    /// Whether an arena hands out this address.
    pub(super) fn has(&self, address: u64) -> bool {
        address.is_multiple_of(BLOCK64) && self.arena(address).is_some()
    }

    /// Blocks of all arenas that are not free, and no headers.
    pub(super) fn blocks_used(&self) -> u64 {
        let used = |a: &Arena| a.header.size - a.free().map(|(from, to)| to - from).sum::<u64>();
        self.arenas.iter().map(used).sum::<u64>() / BLOCK64
    }

    pub(super) fn is_free(&self, address: u64) -> bool {
        self.arena(address).is_some_and(|a| a.free.at(address).is_some())
    }
}

/// The header of an arena: the first, or its copy.
fn header(
    volume: &Volume,
    address: u64,
    sum: u64,
    find: &mut dyn FnMut(&'static str, String),
) -> io::Result<Option<Header>> {
    let mut good = None;
    for (at, what) in [(Some(address), "its header"), (address.checked_add(BLOCK64), "the copy of its header")] {
        let there = at.filter(|at| at.is_multiple_of(BLOCK64) && at / BLOCK64 < volume.blocks);
        let Some(at) = there else {
            find("arena", format!("{address:x} cannot be the address of {what}"));
            continue;
        };
        let block = volume.block(at)?;
        let found = hash(&block);
        if found != sum {
            let m = format!("{what} at {at:x} has the hash {found:016x}, but the super block says {sum:016x}");
            find("arena", m);
        } else if get16(&block, 0) != ARENA {
            find("arena", format!("{what} at {at:x} has type {}, not {ARENA}", get16(&block, 0)));
        } else {
            good = good.or(Some(Header::parse(&block)));
        }
    }
    Ok(good)
}

/// Goes through the log of an arena. Each block is looked into once, so
/// hostile images end.
fn replay(volume: &Volume, arena: &mut Arena, find: &mut dyn FnMut(&'static str, String)) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    let mut at = arena.header.log.0;
    while at != u64::MAX {
        if !at.is_multiple_of(BLOCK64) || !(arena.from()..arena.to()).contains(&at) || !seen.insert(at) {
            find("log", format!("its log continues at {at:x}, which is not a block for it"));
            break;
        }
        let records = match volume.records(at, LOG)? {
            Ok(records) => records,
            Err(why) => {
                find("log", why);
                break;
            }
        };
        arena.log.push(at);
        let mut rest = &records.bytes[..];
        while let Some((first, more)) = rest.split_first_chunk::<8>() {
            let record = u64::from_be_bytes(*first);
            let kind = (record & 0xff) as u8;
            rest = more;
            let len = match kind {
                ALLOC1 | FREE1 => BLOCK64,
                // Later records are newer than the super block.
                SYNC if record >> 8 >= volume.superblock.queue => return Ok(()),
                SYNC => continue,
                ALLOC | FREE if rest.len() >= 8 => {
                    let len = get64(rest, 0);
                    rest = &rest[8..];
                    len
                }
                _ => {
                    find("log", format!("{}: a record {record:x} is not possible", block_name(at)));
                    return Ok(());
                }
            };
            let start = record & !0xff;
            let end = start.checked_add(len).filter(|end| *end <= arena.to());
            let whole = len > 0 && len.is_multiple_of(BLOCK64) && start.is_multiple_of(BLOCK64);
            let Some(end) = end.filter(|_| whole && start >= arena.from()) else {
                find(
                    "log",
                    format!(
                        "{}: a record about {len:x} bytes at {start:x}, which are in another arena",
                        block_name(at)
                    ),
                );
                continue;
            };
            let (done, what) = match kind {
                ALLOC | ALLOC1 => (arena.free.take(start, end), "taken, but were not free"),
                _ => (arena.free.give(start, end), "given back, but were free"),
            };
            if !done {
                find("log", format!("{}: {len:x} bytes at {start:x} are {what}", block_name(at)));
            }
        }
        at = records.next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_part() {
        let mut r = Ranges::default();
        assert!(r.give(10, 20) && r.give(30, 40) && r.give(20, 30));
        assert_eq!(r.0, BTreeMap::from([(10, 40)]));
        assert!(!r.give(5, 11) && !r.give(39, 50) && !r.give(15, 16) && !r.give(0, 100));
        assert!(r.take(15, 20) && !r.take(19, 25) && !r.take(35, 41) && r.take(10, 15));
        assert_eq!(r.0, BTreeMap::from([(20, 40)]));
        assert!(r.take(20, 40) && r.0.is_empty() && !r.take(20, 21));
    }
}
