//! Fresh partitions for one venti: what fmtarenas(8), fmtisect, fmtbloom and
//! fmtindex write, but the same for the same names and sizes every time.
//!
//! Only headers and tables hold data, some kilobytes whatever the size. All
//! index sections of a node make one index over all of its arenas, both in
//! the order in which they are given.

use super::format::{
    ArenaHead, ArenaTail, ArenasHead, BLANK, BLOCK, BLOOM, BloomHead, INDEX_BASE, MAX_HASHES, MIN_ARENA,
    OLD_CLUMP_MAGIC, SectionHead, Stats, TABLE_LEN, base_at, table_at,
};
use super::table::{self, Index, MAX_RANGES, Range};
use crate::ErrorKind;
use crate::count;
use crate::pieces::Pieces;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use thiserror::Error;

/// Name of the index.
pub const INDEX: &str = "main";
/// Bytes of an arena.
const ARENA: u64 = 512 << 20;
/// Bytes of a block.
const B: u64 = BLOCK as u64;
/// Scores are spread by their first 32 bits.
const SCORES: u64 = 1 << 32;
/// Fewest of those that share a bucket.
const MIN_SHARE: u64 = 100;

/// Kind of a partition of a venti.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data log: blocks in the order in which they came.
    Arenas,
    /// Piece of the index, from scores to places in arenas.
    Section,
    /// Filter that spares most look-ups of what is not there.
    Bloom,
}

/// A partition to be formatted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Name of the partition, which its arenas or index section are called after.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// Use of the partition.
    pub kind: Kind,
}

/// Reason why partitions do not make a venti.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum LayoutError {
    /// Partition that is too small for its use.
    #[error("Partition {name} has {len}, but {what} need {needed} at the least", len = count::of(len, "byte"))]
    TooSmall { name: String, len: u64, what: &'static str, needed: u64 },
    /// Partition that is larger than its use can make use of.
    #[error("Partition {name} has {len}, more than {what} can use: split it into several", len = count::of(len, "byte"))]
    TooLarge { name: String, len: u64, what: &'static str },
    /// Name that venti's configuration cannot hold.
    #[error(
        "Venti cannot name anything after partition {0:?}: names have 1 to 60 printable characters, no blank and no #"
    )]
    Name(String),
    /// Names that give two arenas one name.
    #[error(
        "Two arenas would have the name {0}: they are called after their partition and a number, so give the \
         partitions other names"
    )]
    Twice(String),
    /// Index section without arenas.
    #[error("Partition {0} is to be an index section, but there is no partition of arenas")]
    NoArenas(String),
    /// More than one bloom filter.
    #[error("Partitions {first} and {second} are both to be a bloom filter, but a venti has one")]
    Blooms { first: String, second: String },
    /// Index section that is too small compared with the others.
    #[error("Partition {name} has {len}, which is too little compared with the other index sections: give them more \
             similar sizes", len = count::of(len, "byte"))]
    Uneven { name: String, len: u64 },
}

impl LayoutError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooSmall { .. } | Self::Uneven { .. } => ErrorKind::TooSmall,
            _ => ErrorKind::Unsupported,
        }
    }
}

/// Formats the partitions of one venti; `seed` stands for the node in what
/// would be random. The volumes come in the order of `parts`.
///
/// # Errors
/// Fails when a size or name is impossible, or parts do not belong together.
pub fn layout(parts: &[Wanted], seed: &str) -> Result<Vec<Pieces>, LayoutError> {
    let mut arenas = Vec::new();
    let mut names = BTreeSet::new();
    let of = |kind| parts.iter().filter(move |p| p.kind == kind);
    for p in of(Kind::Arenas) {
        let ranges = cut(p)?;
        for r in &ranges {
            if !names.insert(r.name.clone()) {
                return Err(LayoutError::Twice(r.name.clone()));
            }
        }
        arenas.push((p, ranges));
    }
    let sections: Vec<_> = of(Kind::Section).collect();
    let addresses = addresses(arenas.iter().flat_map(|a| &a.1));
    let (index, heads) = index(&sections, addresses, seed)?;
    let mut blooms = of(Kind::Bloom);
    if let (Some(first), Some(second)) = (blooms.next(), blooms.next()) {
        return Err(LayoutError::Blooms { first: first.name.clone(), second: second.name.clone() });
    }
    let mut arenas = arenas.iter();
    let mut heads = heads.iter();
    parts
        .iter()
        .map(|p| match p.kind {
            Kind::Arenas => Ok(arenas.next().map_or(Pieces::new(p.len), |(_, ranges)| arenas_volume(p, ranges, seed))),
            Kind::Section => Ok(heads.next().map_or(Pieces::new(p.len), |head| section_volume(p, head, &index))),
            Kind::Bloom => bloom_volume(p),
        })
        .collect()
}

/// Four bytes that venti would draw at random; none of `not`.
fn magic(seed: &str, kind: &str, name: &str, not: &[u32]) -> u32 {
    let draw = |n: u32| {
        let digest = Sha256::digest(format!("p9img venti\n{seed}\n{kind}\n{name}\n{n}\n"));
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    };
    (0..=u32::MAX).map(draw).find(|m| !not.contains(m)).unwrap_or(1)
}

/// The arenas of a partition.
fn cut(p: &Wanted) -> Result<Vec<Range>, LayoutError> {
    let (base, end) = (base_at(BLOCK), p.len / B * B);
    if end < base + MIN_ARENA {
        let needed = base + MIN_ARENA;
        return Err(LayoutError::TooSmall { name: p.name.clone(), len: p.len, what: "arenas", needed });
    }
    let mut out = Vec::new();
    let mut start = base;
    while start < end {
        let stop = if end - start < ARENA + MIN_ARENA { end } else { start + ARENA };
        let name = format!("{}{}", p.name, out.len());
        if !table::is_name(&name) {
            return Err(LayoutError::Name(p.name.clone()));
        }
        out.push(Range { name, start, stop });
        start = stop;
    }
    if out.len() > MAX_RANGES || table::print(&out).len() as u64 > TABLE_LEN {
        return Err(LayoutError::TooLarge { name: p.name.clone(), len: p.len, what: "one table of arenas" });
    }
    Ok(out)
}

fn arenas_volume(p: &Wanted, arenas: &[Range], seed: &str) -> Pieces {
    let mut out = Pieces::new(p.len);
    let base = base_at(BLOCK);
    out.put_bytes(BLANK, ArenasHead { block: BLOCK, base: base as u32 }.encode());
    out.put_bytes(table_at(BLOCK), table::print(arenas).into_bytes());
    for a in arenas {
        let name = a.name.clone().into_bytes();
        let clump_magic = magic(seed, "clump", &a.name, &[0, OLD_CLUMP_MAGIC]);
        let head = ArenaHead { version: 5, name: name.clone(), block: BLOCK, size: a.stop - a.start, clump_magic };
        out.put_bytes(a.start, head.encode());
        let none = Stats::default();
        let tail = ArenaTail { version: 5, name, created: 0, written: 0, clump_magic, indexed: none, stored: none };
        out.put_bytes(a.stop - B, tail.encode());
    }
    out
}

/// Addresses of the arenas in an index.
fn addresses<'a>(arenas: impl Iterator<Item = &'a Range>) -> Vec<Range> {
    let mut at = INDEX_BASE;
    arenas
        .map(|a| {
            let start = at;
            at += a.stop - a.start - 2 * B;
            Range { name: a.name.clone(), start, stop: at }
        })
        .collect()
}

/// The index over all sections, and their headers.
fn index(sections: &[&Wanted], arenas: Vec<Range>, seed: &str) -> Result<(Index, Vec<SectionHead>), LayoutError> {
    let base = base_at(BLOCK);
    let mut blocks = Vec::new();
    for p in sections {
        let name = || p.name.clone();
        if arenas.is_empty() {
            return Err(LayoutError::NoArenas(name()));
        }
        if !table::is_name(&p.name) {
            return Err(LayoutError::Name(name()));
        }
        let needed = base + 2 * B;
        match u32::try_from((p.len / B).saturating_sub(base / B)) {
            Ok(n @ 2..) => blocks.push(n),
            Ok(_) => {
                return Err(LayoutError::TooSmall { name: name(), len: p.len, what: "index sections", needed });
            }
            Err(_) => return Err(LayoutError::TooLarge { name: name(), len: p.len, what: "an index section" }),
        }
    }
    let mut index = Index { name: INDEX.into(), block: BLOCK, sections: Vec::new(), arenas };
    let mut heads = Vec::new();
    let n = blocks.len() as u64;
    let (buckets, spare) = buckets(blocks.iter().copied().map(u64::from).sum());
    let mut start = 0;
    for (i, (p, blocks)) in sections.iter().zip(blocks).enumerate() {
        let last = i as u64 + 1 == n;
        let stop = if last { Some(buckets) } else { (start + u64::from(blocks)).checked_sub(spare / n) };
        let fits = |stop: &u64| (start..=start + u64::from(blocks)).contains(stop);
        let Some(stop) = stop.filter(fits) else {
            return Err(LayoutError::Uneven { name: p.name.clone(), len: p.len });
        };
        let name = || p.name.clone();
        index.sections.push(Range { name: name(), start, stop });
        heads.push(SectionHead {
            version: 2,
            name: name().into_bytes(),
            index: INDEX.into(),
            block: BLOCK,
            base: base as u32,
            blocks,
            start: start as u32,
            stop: stop as u32,
            bucket_magic: magic(seed, "bucket", &p.name, &[0]),
        });
        start = stop;
    }
    if let Some(p) = sections.first().filter(|_| index.print().len() as u64 > TABLE_LEN) {
        return Err(LayoutError::TooLarge { name: p.name.clone(), len: p.len, what: "one table of the index" });
    }
    Ok((index, heads))
}

/// Number of blocks that become buckets, and of those that do not.
fn buckets(blocks: u64) -> (u64, u64) {
    if blocks == 0 {
        return (0, 0);
    }
    let blocks = blocks.min(SCORES - 1);
    let share = SCORES.div_ceil(blocks);
    let (share, blocks) = if share < MIN_SHARE { (MIN_SHARE, (SCORES - 1) / (MIN_SHARE - 1)) } else { (share, blocks) };
    let used = (SCORES - 1) / share + 1;
    (used, blocks - used)
}

fn section_volume(p: &Wanted, head: &SectionHead, index: &Index) -> Pieces {
    let mut out = Pieces::new(p.len);
    out.put_bytes(BLANK, head.encode());
    out.put_bytes(table_at(BLOCK), index.print().into_bytes());
    out
}

fn bloom_volume(p: &Wanted) -> Result<Pieces, LayoutError> {
    let needed = *BLOOM.start();
    if p.len < needed {
        return Err(LayoutError::TooSmall { name: p.name.clone(), len: p.len, what: "bloom filters", needed });
    }
    let size = 1u32 << p.len.min(*BLOOM.end()).ilog2();
    let mut out = Pieces::new(p.len);
    out.put_bytes(0, BloomHead { hashes: MAX_HASHES, size }.encode());
    Ok(out)
}
