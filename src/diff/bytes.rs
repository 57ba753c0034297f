//! Bytes that differ, as ranges.

use super::{Difference, MOST, Sink};
use crate::read_at::{Extent, ReadAt};
use std::io;

/// Bytes compared at a time.
pub const STEP: usize = 64 << 10;
/// Differing bytes this close to each other are one range.
const JOIN: u64 = 16;

/// A run of bytes of which the first and the last differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub at: u64,
    pub len: u64,
    /// Both values of the first byte.
    pub a: u8,
    pub b: u8,
}

impl Range {
    pub fn end(&self) -> u64 {
        self.at + self.len
    }
}

/// Ranges that differ, the first of them one by one.
#[derive(Debug, Default)]
pub struct Ranges {
    pub first: Vec<Range>,
    pub count: u64,
    /// The range under way.
    last: Option<Range>,
}

impl Ranges {
    /// Takes up two equally long pieces that lie at `at`.
    pub fn add(&mut self, at: u64, a: &[u8], b: &[u8]) {
        if a == b {
            return;
        }
        for (i, (x, y)) in a.iter().zip(b).enumerate().filter(|(_, (x, y))| x != y) {
            let here = at + i as u64;
            match &mut self.last {
                Some(last) if here.saturating_sub(last.end()) < JOIN && here >= last.at => {
                    last.len = here + 1 - last.at
                }
                _ => {
                    self.end();
                    self.last = Some(Range { at: here, len: 1, a: *x, b: *y });
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some(range) = self.last.take() {
            self.count += 1;
            if self.first.len() < MOST {
                self.first.push(range);
            }
        }
    }

    /// Says what differs in `what`, at offsets that count from `base`.
    pub fn report(
        mut self,
        place: &str,
        kind: &'static str,
        what: &str,
        base: u64,
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        self.end();
        for r in &self.first {
            let at = r.at - base;
            let extent = if r.len == 1 { format!("byte {at}") } else { format!("bytes {at} to {}", at + r.len - 1) };
            let values = (format!("{:02x}", r.a), format!("{:02x}", r.b));
            let what = format!("{what}, {extent}{}", if r.len == 1 { "" } else { ", the first" });
            sink(Difference::new(place, kind, what).values(values.0, values.1).at(at))?;
        }
        rest(place, kind, what, self.count, self.first.len(), "ranges of bytes", sink)
    }
}

/// Says how many more there are than were named.
pub fn rest(
    place: &str,
    kind: &'static str,
    what: &str,
    count: u64,
    named: usize,
    noun: &str,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    match count.saturating_sub(named as u64) {
        0 => Ok(()),
        n => sink(Difference::new(place, kind, format!("{what}: {n} more {noun} differ"))),
    }
}

/// Extents within the range where either side may have something other than
/// zeros.
pub fn extents(a: &dyn ReadAt, b: &dyn ReadAt, start: u64, end: u64) -> Vec<Extent> {
    let mut all: Vec<Extent> = a.extents();
    all.extend(b.extents());
    all.sort_by_key(|e| (e.offset, e.len));
    let mut out: Vec<Extent> = Vec::new();
    for e in all {
        let (from, to) = (e.offset.max(start), e.end().min(end));
        match out.last_mut() {
            _ if from >= to => {}
            Some(last) if from <= last.end() => last.len = to.max(last.end()) - last.offset,
            _ => out.push(Extent { offset: from, len: to - from }),
        }
    }
    out
}

/// Is called with an offset and the two pieces there.
pub type VisitPieces<'a> = dyn FnMut(u64, &[u8], &[u8]) -> io::Result<()> + 'a;

/// Calls `visit` with each pair of pieces of the range that differ. Pieces
/// begin and end at multiples of `unit` bytes from `start`.
///
/// # Errors
/// Fails when either side cannot be read; else the error of `visit`.
pub fn pieces(
    (a, b): (&dyn ReadAt, &dyn ReadAt),
    (start, end): (u64, u64),
    unit: usize,
    visit: &mut VisitPieces<'_>,
) -> io::Result<()> {
    let end = end.min(a.len()).min(b.len());
    let step = (STEP / unit).max(1) * unit;
    let (mut left, mut right) = (vec![0; step], vec![0; step]);
    let mut at = start;
    for e in extents(a, b, start, end) {
        // From the unit's beginning, and no unit twice.
        at = at.max(start + (e.offset - start) / unit as u64 * unit as u64);
        while at < e.end() {
            let n = (end - at).min(step as u64) as usize;
            a.read_at(at, &mut left[..n])?;
            b.read_at(at, &mut right[..n])?;
            if left[..n] != right[..n] {
                for (i, (x, y)) in left[..n].chunks(unit).zip(right[..n].chunks(unit)).enumerate() {
                    if x != y {
                        visit(at + (i * unit) as u64, x, y)?;
                    }
                }
            }
            at += n as u64;
        }
    }
    Ok(())
}

/// Compares a range of bytes that no format describes; `what` says what
/// they are, offsets in the report count from `base`.
///
/// # Errors
/// Error of `sink`; bytes that cannot be read are a difference.
pub fn compare(
    place: &str,
    kind: &'static str,
    what: &str,
    sides: (&dyn ReadAt, &dyn ReadAt),
    range: (u64, u64),
    base: u64,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    let mut ranges = Ranges::default();
    let read = pieces(sides, range, 512, &mut |at, a, b| {
        ranges.add(at, a, b);
        Ok(())
    });
    ranges.report(place, kind, what, base, sink)?;
    match read {
        Ok(()) => Ok(()),
        Err(e) => sink(Difference::new(place, "unreadable", format!("{what}: {e}"))),
    }
}

/// Whether both have the same length and bytes.
///
/// # Errors
/// Fails when either cannot be read.
pub fn equal(a: &dyn ReadAt, b: &dyn ReadAt) -> io::Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let mut same = true;
    let stop = || io::Error::from(io::ErrorKind::Interrupted);
    let read = pieces((a, b), (0, a.len()), STEP, &mut |_, _, _| {
        same = false;
        Err(stop())
    });
    match read {
        Err(e) if same => Err(e),
        _ => Ok(same),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_bytes_are_one_range_and_far_ones_two() {
        let a = vec![0u8; 4096];
        let mut b = a.clone();
        for at in [10, 11, 20, 100, 4095] {
            b[at] = 7;
        }
        let mut found = Vec::new();
        compare("p", "bytes", "space", (&a, &b), (0, 4096), 0, &mut |d| {
            found.push(d.to_string());
            Ok(())
        })
        .unwrap();
        let want = [
            "p: space, bytes 10 to 20, the first: 00 → 07 [bytes]",
            "p: space, byte 100: 00 → 07 [bytes]",
            "p: space, byte 4095: 00 → 07 [bytes]",
        ];
        assert_eq!(found, want);
        assert!(equal(&a, &a).unwrap() && !equal(&a, &b).unwrap());
    }

    #[test]
    fn many_ranges_are_counted() {
        let a = vec![0u8; 64 * 50];
        let b: Vec<u8> = (0..a.len()).map(|i| u8::from(i % 64 == 0)).collect();
        let mut found = Vec::new();
        compare("p", "bytes", "space", (&a, &b), (0, 3200), 0, &mut |d| {
            found.push(d.what);
            Ok(())
        })
        .unwrap();
        assert_eq!((found.len(), found[MOST].as_str()), (MOST + 1, "space: 30 more ranges of bytes differ"));
    }
}
