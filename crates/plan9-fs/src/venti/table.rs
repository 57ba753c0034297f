//! The tables in arenas and index sections: text with a name and a range in
//! each line. Bounded: a table ends at its first zero, at the partition's
//! data, or at 4 MiB, which the most arenas that venti takes do not fill.

use super::format::NAME_LEN;
use crate::count;
use crate::read_at::ReadAt;
use std::fmt::Write as _;
use std::io;

/// Most lines of a table (`MaxAMap` of `dat.h`).
pub(super) const MAX_RANGES: usize = 31 * 1024;
/// Bytes read of a table.
const MOST: u64 = 4 << 20;
const INDEX_MAGIC: &str = "venti index configuration";

/// A name and its range: of bytes, of buckets or of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub name: String,
    pub start: u64,
    /// First number after the range.
    pub stop: u64,
}

/// Whether p9img writes the name: tables cannot hold all that venti allows.
pub(super) fn is_name(name: &str) -> bool {
    (1..NAME_LEN).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// The table of ranges as text.
pub(super) fn print(ranges: &[Range]) -> String {
    let mut out = format!("{}\n", ranges.len());
    for r in ranges {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}\t{}\t{}", r.name, r.start, r.stop);
    }
    out
}

/// Reads the text that begins at byte `from` and ends before `to`.
pub(super) fn read(dev: &dyn ReadAt, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let end = to.min(dev.len()).min(from.saturating_add(MOST));
    let mut out = Vec::new();
    let mut at = from;
    while at < end {
        let mut chunk = vec![0; (end - at).min(16 << 10) as usize];
        dev.read_at(at, &mut chunk)?;
        at += chunk.len() as u64;
        match chunk.iter().position(|b| *b == 0) {
            Some(zero) => {
                out.extend_from_slice(&chunk[..zero]);
                break;
            }
            None => out.extend(chunk),
        }
    }
    Ok(out)
}

/// Lines as venti reads them: without comments, white space in front, and
/// lines with nothing else.
pub(super) struct Lines<'a>(std::str::Lines<'a>);

impl<'a> Lines<'a> {
    /// # Errors
    /// Fails when the text is not UTF-8.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|e| format!("byte {} is not text", e.valid_up_to()))?;
        Ok(Self(text.lines()))
    }

    fn next(&mut self, wanted: &str) -> Result<&'a str, String> {
        let clean = |l: &'a str| l.split('#').next().unwrap_or(l).trim_start_matches([' ', '\t', '\r']);
        self.0.by_ref().map(clean).find(|l| !l.is_empty()).ok_or_else(|| format!("it ends before {wanted}"))
    }

    fn number<T: std::str::FromStr>(&mut self, wanted: &str) -> Result<T, String> {
        let line = self.next(wanted)?;
        line.parse().map_err(|_| format!("{wanted} is {line:?}, expected a number"))
    }

    /// A table of ranges, ascending, each at or after `from`.
    ///
    /// # Errors
    /// Flaw of the table, in words that follow "the table: ".
    pub(super) fn ranges(&mut self, from: u64) -> Result<Vec<Range>, String> {
        let n: usize = self.number("the number of its lines")?;
        if n > MAX_RANGES {
            return Err(format!("it has {n}, more than {MAX_RANGES}", n = count::of(n, "line")));
        }
        let mut out: Vec<Range> = Vec::new();
        for i in 0..n {
            let line = self.next(&format!("line {} of {n}", i + 1))?;
            let range = match line.split('\t').collect::<Vec<_>>()[..] {
                [name, start, stop] if !name.is_empty() && name.len() < NAME_LEN => start
                    .parse()
                    .ok()
                    .zip(stop.parse().ok())
                    .map(|(start, stop)| Range { name: name.into(), start, stop }),
                _ => None,
            };
            let Some(range) = range else {
                return Err(format!("{line:?} is not a name, a start and a stop"));
            };
            let least = out.last().map_or(from, |r| r.stop);
            if range.start < least || range.stop < range.start {
                return Err(format!("{line:?} overlaps the range before {least}, or itself"));
            }
            out.push(range);
        }
        Ok(out)
    }
}

/// Table of an index, equal in all of its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub name: String,
    pub block: u32,
    /// Ranges of buckets, one for each section.
    pub sections: Vec<Range>,
    /// Ranges of addresses, one for each arena.
    pub arenas: Vec<Range>,
}

impl Index {
    pub(super) fn print(&self) -> String {
        let Self { name, block, sections, arenas } = self;
        format!("{INDEX_MAGIC}\n1\n{name}\n{block}\n{}{}", print(sections), print(arenas))
    }

    /// # Errors
    /// Flaw of the table, in words that follow "the table: ".
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut lines = Lines::new(text)?;
        match lines.next("its title")? {
            INDEX_MAGIC => {}
            other => return Err(format!("it begins with {other:?}, expected {INDEX_MAGIC:?}")),
        }
        match lines.number("its version")? {
            1u32 => {}
            v => return Err(format!("its version is {v}, expected 1")),
        }
        let name = lines.next("the name of the index")?.to_owned();
        let block = lines.number("the block size")?;
        Ok(Self { name, block, sections: lines.ranges(0)?, arenas: lines.ranges(0)? })
    }

    /// Whether bytes begin as such a table does.
    pub(super) fn begins(text: &[u8]) -> bool {
        text.starts_with(INDEX_MAGIC.as_bytes())
    }

    /// Buckets of the index.
    pub(super) fn buckets(&self) -> u64 {
        self.sections.last().map_or(0, |s| s.stop)
    }

    /// The arena that an address is in.
    pub(super) fn arena(&self, address: u64) -> Option<&Range> {
        let behind = self.arenas.partition_point(|a| a.stop <= address);
        self.arenas.get(behind).filter(|a| a.start <= address)
    }

    /// The bucket for a score.
    pub(super) fn bucket(&self, score: &[u8]) -> u64 {
        let head = score.iter().take(4).fold(0, |n, b| n << 8 | u64::from(*b));
        head / (1u64 << 32).div_ceil(self.buckets().max(1))
    }
}
