//! Verifying the partitions of one venti against each other, as checkindex(8)
//! does: every clump in the index, nothing else in it, and the bits of the
//! bloom filter set.
//!
//! Memory: the clumps of one pass, about 32 MiB, whatever the store's size;
//! a pass takes those whose scores fall into a range of buckets.

use super::arena::Arena;
use super::format::{BloomHead, Entry};
use super::read::{Part, Section, Venti, tail};
use super::section::buckets;
use super::table::Index;
use crate::Finding;
use crate::count;
use crate::hex::hex;
use crate::read_at::ReadAt;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Clumps looked at in one pass.
const PASS: u64 = 1 << 20;
/// Bytes of the bloom filter read at a time.
const PAGE: u64 = 64 << 10;

type Say<'a> = &'a mut dyn FnMut(&'static str, String);

/// Checks what partitions of one disk, by name, say about each other. Kinds
/// of findings are listed in `doc/venti.md`.
///
/// # Errors
/// Only when the image itself cannot be read.
pub fn check_together(parts: &[(String, Venti)], report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let mut say = |kind, message| report(Finding { kind, message });
    let sections: Vec<(&Venti, &Section, &Index)> = parts
        .iter()
        .filter_map(|(_, v)| match &v.part {
            Part::Section(s) if !s.head.index.is_empty() => Some((v, s, s.index.as_ref().ok()?)),
            _ => None,
        })
        .collect();
    let blooms: Vec<_> = parts.iter().filter_map(|(_, v)| Some((&*v.dev, v.bloom()?))).collect();
    let names: BTreeSet<&str> = sections.iter().map(|(.., index)| index.name.as_str()).collect();
    for name in &names {
        let of: Vec<_> = sections.iter().filter(|(.., index)| index.name == *name).copied().collect();
        let set = Set { sections: &of, index: of[0].2, clumps: clumps(parts, of[0].2, &mut say)? };
        set.check_sections(&mut say);
        // Only the configuration says which filter belongs to which index.
        let bloom = blooms.first().filter(|_| blooms.len() == 1 && names.len() == 1);
        set.check_entries(bloom.map(|(dev, head)| Filter::new(*dev, head)), &mut say)?;
    }
    Ok(())
}

/// An arena and where its addresses begin, and how many clumps are indexed.
type Source<'a> = (&'a dyn ReadAt, Arena, u64, u32);

/// The arenas of the index, as far as they are there.
fn clumps<'a>(parts: &'a [(String, Venti)], index: &Index, say: Say<'_>) -> io::Result<Vec<Source<'a>>> {
    let mut there = BTreeMap::new();
    for (_, v) in parts {
        let Part::Arenas(a) = &v.part else { continue };
        for range in &a.arenas {
            there.insert(range.name.as_str(), (v, a, range));
        }
    }
    let mut out = Vec::new();
    for listed in &index.arenas {
        let Some((v, a, range)) = there.remove(listed.name.as_str()) else {
            let message = format!("The index {} lists arena {:?}, which is not on this disk", index.name, listed.name);
            say("index-arenas", message);
            continue;
        };
        // A tail that is damaged was reported with its partition.
        let Ok(t) = tail(&*v.dev, &a.head, range)? else { continue };
        let arena = Arena::new(a.head.block, range);
        if listed.stop - listed.start != arena.len() {
            let message = format!(
                "Arena {:?} has {}, but {} in the index {}",
                listed.name,
                count::of(arena.len(), "byte"),
                listed.stop - listed.start,
                index.name
            );
            say("index-arenas", message);
        }
        if arena.holds(&t.indexed) {
            out.push((&*v.dev as &dyn ReadAt, arena, listed.start, t.indexed.clumps));
        }
    }
    for name in there.keys() {
        say("index-arenas", format!("Arena {name:?} is not in the index {}", index.name));
    }
    Ok(out)
}

/// One index and what it is of.
struct Set<'a> {
    sections: &'a [(&'a Venti, &'a Section, &'a Index)],
    index: &'a Index,
    clumps: Vec<Source<'a>>,
}

impl Set<'_> {
    fn check_sections(&self, say: Say<'_>) {
        let index = self.index;
        for (_, section, other) in self.sections {
            if *other != index {
                let name = String::from_utf8_lossy(&section.head.name).into_owned();
                say("index-sections", format!("Section {name:?} has another table of the index {}", index.name));
            }
        }
        for listed in &index.sections {
            if !self.sections.iter().any(|(_, s, _)| s.head.name == listed.name.as_bytes()) {
                let message =
                    format!("The index {} lists section {:?}, which is not on this disk", index.name, listed.name);
                say("index-sections", message);
            }
        }
    }

    fn check_entries(&self, mut bloom: Option<Filter<'_>>, say: Say<'_>) -> io::Result<()> {
        let count: u64 = self.clumps.iter().map(|c| u64::from(c.3)).sum();
        let passes = count.div_ceil(PASS).max(1);
        let total = self.index.buckets();
        let edge = |pass: u64| (u128::from(total) * u128::from(pass) / u128::from(passes)) as u64;
        for pass in 0..passes {
            self.check_pass(edge(pass)..edge(pass + 1), &mut bloom, say)?;
        }
        Ok(())
    }

    /// Checks the entries of some buckets.
    fn check_pass(&self, within: std::ops::Range<u64>, bloom: &mut Option<Filter<'_>>, say: Say<'_>) -> io::Result<()> {
        let mut expected: Vec<Entry> = Vec::new();
        for (dev, arena, start, clumps) in &self.clumps {
            let mut address = *start;
            arena.directory(*dev, *clumps, &mut |info| {
                let at = address;
                address = address.saturating_add(info.clump_len());
                if !info.is_lost() && within.contains(&self.index.bucket(&info.score)) {
                    let blocks = info.clump_len().div_ceil(512) as u8;
                    expected.push(Entry { score: info.score, address: at, len: info.len, kind: info.kind, blocks });
                }
            })?;
        }
        expected.sort_by_key(|e| (e.score, e.kind, e.address));
        let same = |a: &Entry, b: &Entry| (a.score, a.kind) == (b.score, b.kind);
        let mut found = vec![false; expected.len()];
        for (v, section, _) in self.sections {
            buckets(&*v.dev, &section.head, within.clone(), &mut |_, entries| {
                for e in entries.unwrap_or_default().chunks_exact(Entry::LEN).map(Entry::parse) {
                    let from = expected.partition_point(|x| (x.score, x.kind) < (e.score, e.kind));
                    let group = expected[from..].iter().take_while(|x| same(x, &e)).count();
                    match expected[from..from + group].iter().position(|x| *x == e) {
                        Some(i) => found[from + i] = true,
                        None => {
                            let place = format!("Score {} of type {} is in the index", hex(&e.score), e.kind);
                            let place = format!("{place} at address {}, {}", e.address, count::of(e.len, "byte"));
                            match expected.get(from).filter(|_| group > 0) {
                                Some(x) => {
                                    found[from] = true;
                                    let right = format!("expected {}, {}", x.address, count::of(x.len, "byte"));
                                    say("index-wrong", format!("{place}; {right}"));
                                }
                                None if self.knows(e.address) => {
                                    say("index-extra", format!("{place}, but in no arena"))
                                }
                                None => {}
                            }
                        }
                    }
                }
            })?;
        }
        let mut at = 0;
        for group in expected.chunk_by(same) {
            let e = &group[0];
            let name = format!("Score {} of type {} at address {}", hex(&e.score), e.kind, e.address);
            if !found[at..at + group.len()].contains(&true) && self.is_there(e) {
                say("index-missing", format!("{name} is not in the index"));
            }
            if let Some(filter) = bloom
                && !filter.has(e)?
            {
                say("bloom-missing", format!("{name} is not in the bloom filter"));
            }
            at += group.len();
        }
        Ok(())
    }

    /// Whether the arena that an address is in can be looked into.
    fn knows(&self, address: u64) -> bool {
        let start = self.index.arena(address).map(|a| a.start);
        start.is_some_and(|start| self.clumps.binary_search_by_key(&start, |c| c.2).is_ok())
    }

    /// Whether the section that an entry belongs to is on this disk.
    fn is_there(&self, e: &Entry) -> bool {
        let bucket = self.index.bucket(&e.score);
        self.sections.iter().any(|(_, s, _)| (s.head.start..s.head.stop).contains(&(bucket as u32)))
    }
}

/// A bloom filter, with a cache of the pages that were asked for.
struct Filter<'a> {
    dev: &'a dyn ReadAt,
    head: &'a BloomHead,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl<'a> Filter<'a> {
    fn new(dev: &'a dyn ReadAt, head: &'a BloomHead) -> Self {
        Self { dev, head, pages: BTreeMap::new() }
    }

    fn has(&mut self, e: &Entry) -> io::Result<bool> {
        for bit in self.head.bits(&e.score) {
            let (at, bit) = (bit / 8, bit % 8);
            let page = at / PAGE * PAGE;
            if !self.pages.contains_key(&page) {
                let mut bytes = vec![0; (u64::from(self.head.size) - page).min(PAGE) as usize];
                self.dev.read_at(page, &mut bytes)?;
                self.pages.insert(page, bytes);
            }
            if self.pages[&page][(at - page) as usize] >> bit & 1 == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
