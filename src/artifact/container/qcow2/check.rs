//! Verifying a qcow2 image: what its tables point to, and the counts of that.
//!
//! Memory: some bytes for each cluster of the file that something points to.

use super::format::{COMPRESSED, COPIED, DIRTY, HEADER_LEN_V2, OFFSET_MASK, ZERO, compressed_place};
use super::read::Qcow2;
use crate::artifact::container::findings::{FEW, Say, more};
use crate::count::either;
use crate::read_at::{ReadAt as _, check_range};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Most clusters of one table that are marked as used: more than any disk needs,
/// and few enough for whatever a header claims.
const MOST: usize = 1 << 20;

/// Use of a cluster of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Header,
    L1,
    L2,
    Counts,
    Data,
    Streams,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Header => "the header",
            Self::L1 => "the L1 table",
            Self::L2 => "an L2 table",
            Self::Counts => "refcounts",
            Self::Data => "data",
            Self::Streams => "compressed data",
        }
    }
}

struct Checker<'a> {
    image: &'a Qcow2,
    /// Use of each cluster of the file, and its pointers, by number.
    used: BTreeMap<u64, (What, u64)>,
    /// Data clusters that say that their count is one.
    copied: Vec<u64>,
    size: u64,
    say: Say<'a>,
    overlaps: u64,
}

impl Qcow2 {
    /// Verifies tables and counts; kinds of findings are listed in
    /// `doc/qcow2.md`.
    ///
    /// # Errors
    /// Only when the image itself cannot be read.
    pub(in crate::artifact) fn check(&self, say: Say<'_>) -> io::Result<()> {
        let mut c = Checker {
            image: self,
            used: BTreeMap::new(),
            copied: Vec::new(),
            size: self.cluster_size(),
            say,
            overlaps: 0,
        };
        let mut start = [0; HEADER_LEN_V2 + 8];
        let n = (self.file.len() as usize).min(start.len());
        self.file.read_at(0, &mut start[..n])?;
        let header = &self.header;
        c.take(0, c.size, What::Header);
        c.take(header.l1_offset, u64::from(header.l1_size) * 8, What::L1);
        c.tables()?;
        // Snapshots share clusters, and have tables of their own.
        let snapshots = u32::from_be_bytes([start[60], start[61], start[62], start[63]]);
        let is_dirty = header.version >= 3 && start[79] & DIRTY as u8 != 0;
        c.counts(snapshots == 0, is_dirty)?;
        if c.overlaps > FEW {
            (c.say)(
                "qcow2-overlap",
                either(c.overlaps - FEW, "more cluster of the file overlaps", "more clusters of the file overlap"),
            );
        }
        Ok(())
    }
}

impl Checker<'_> {
    /// Takes note of a pointer to bytes of the file.
    fn take(&mut self, offset: u64, len: u64, what: What) {
        if len == 0 {
            return;
        }
        let end = offset.saturating_add(len).min(self.image.file.len());
        for cluster in (offset / self.size..end.div_ceil(self.size)).take(MOST) {
            let Some((was, pointers)) = self.used.get_mut(&cluster) else {
                self.used.insert(cluster, (what, 1));
                continue;
            };
            *pointers += 1;
            // Several streams share a cluster; nothing else may.
            if *was != What::Streams || what != What::Streams {
                let at = cluster * self.size;
                let m = format!("The cluster at {at:#x} of the file is {}, but {}, too", was.name(), what.name());
                self.overlaps += 1;
                if self.overlaps <= FEW {
                    (self.say)("qcow2-overlap", m);
                }
            }
        }
    }

    /// Checks all clusters that the L1 table and the L2 tables point to.
    fn tables(&mut self) -> io::Result<()> {
        let per = self.size / 8;
        let (mut beyond, mut first) = (0, String::new());
        for index in 0..self.image.l1.len() {
            let table = match self.image.table(index) {
                Ok(Some(table)) => table,
                Ok(None) => continue,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    (self.say)("qcow2-table", e.to_string());
                    continue;
                }
                Err(e) => return Err(e),
            };
            self.take(self.image.l1[index] & OFFSET_MASK, self.size, What::L2);
            for (i, entry) in table.iter().enumerate() {
                let cluster = index as u64 * per + i as u64;
                let mut wrong = |why: String| {
                    beyond += 1;
                    if beyond == 1 {
                        first = why;
                    }
                };
                if entry & COMPRESSED != 0 {
                    let (at, most) = compressed_place(self.image.header.cluster_bits, *entry);
                    match at < self.image.file.len() {
                        true => self.take(at, most, What::Streams),
                        false => wrong(format!("Cluster {cluster} is at {at:#x}, after the end of the file")),
                    }
                    continue;
                }
                let at = entry & OFFSET_MASK;
                if at == 0 {
                    continue;
                }
                match at.is_multiple_of(self.size) && at < self.image.file.len() {
                    true => {
                        self.take(at, self.size, What::Data);
                        if entry & COPIED != 0 {
                            self.copied.push(at / self.size);
                        }
                    }
                    // An entry with the flag of zeros may have any offset.
                    false if entry & ZERO != 0 => {}
                    false => wrong(format!("Cluster {cluster} is at {at:#x}, which is not a cluster of the file")),
                }
            }
        }
        if beyond > 0 {
            let more = more(beyond - 1, "cluster is like that", "clusters are like that");
            (self.say)("qcow2-cluster", format!("{first}{more}"));
        }
        Ok(())
    }

    /// The counts of clusters against the pointers to them.
    fn counts(&mut self, is_whole: bool, is_dirty: bool) -> io::Result<()> {
        let header = &self.image.header;
        let mut order = [0; 4];
        if header.version >= 3 {
            self.image.file.read_at(96, &mut order)?;
        } else {
            order[3] = 4;
        }
        let order = u32::from_be_bytes(order);
        if order > 6 {
            (self.say)("qcow2-refcount", format!("Refcounts have 2^{order} bits, but 64 at most"));
            return Ok(());
        }
        let len = u64::from(header.refcount_clusters) * self.size;
        let range = check_range("qcow2 refcount table", header.refcount_offset, len as usize, self.image.file.len());
        if let Err(e) = range {
            (self.say)("qcow2-refcount", e.to_string());
            return Ok(());
        }
        self.take(header.refcount_offset, len, What::Counts);
        let mut counts = Counts { image: self.image, bits: 1 << order, blocks: BTreeMap::new(), last: None };
        let per = counts.per();
        // Later entries are those of clusters past the end of the file.
        let needed = self.image.file.len().div_ceil(self.size).div_ceil(per);
        let mut seen = BTreeSet::new();
        let mut table = vec![0; self.size as usize];
        for n in 0..u64::from(header.refcount_clusters).min(needed.div_ceil(self.size / 8)) {
            self.image.file.read_at(header.refcount_offset + n * self.size, &mut table)?;
            for (i, entry) in table.as_chunks::<8>().0.iter().enumerate() {
                let (at, index) = (u64::from_be_bytes(*entry), n * self.size / 8 + i as u64);
                if at == 0 || index >= needed {
                    continue;
                }
                if !at.is_multiple_of(self.size) || at >= self.image.file.len() {
                    let m = format!("Refcount block {index} is at {at:#x}, which is not a cluster of the file");
                    (self.say)("qcow2-refcount", m);
                    return Ok(());
                }
                self.take(at, self.size, What::Counts);
                if seen.insert(at) {
                    counts.blocks.insert(index, at);
                }
            }
        }
        // A writer that was cut off counts anew before it goes on.
        if is_dirty {
            return Ok(());
        }
        let (mut low, mut first) = (0, String::new());
        for (cluster, (what, pointers)) in &self.used {
            let said = counts.of(*cluster)?;
            if said < *pointers {
                low += 1;
                if low == 1 {
                    let (at, lead) = (cluster * self.size, either(*pointers, "pointer leads", "pointers lead"));
                    let what = what.name();
                    first = format!("The cluster at {at:#x} of the file, {what}, is counted {said}, but {lead} there");
                }
            }
        }
        if low > 0 {
            let more = more(low - 1, "cluster is like that", "clusters are like that");
            (self.say)("qcow2-refcount", format!("{first}{more}"));
            return Ok(());
        }
        self.copied.sort_unstable();
        let (mut wrong, mut first) = (0, String::new());
        for cluster in &self.copied {
            let said = counts.of(*cluster)?;
            if said != 1 {
                wrong += 1;
                if wrong == 1 {
                    let at = cluster * self.size;
                    first = format!("The cluster at {at:#x} of the file should be counted 1, but is {said}");
                }
            }
        }
        if wrong > 0 {
            let more = more(wrong - 1, "cluster is like that", "clusters are like that");
            (self.say)("qcow2-refcount", format!("{first}{more}"));
        }
        let mut lost = 0;
        for index in counts.blocks.keys().copied().collect::<Vec<_>>() {
            let (from, bits) = (index * per, counts.bits);
            let block = counts.block(index)?;
            let used = (0..per).filter(|i| refcount(block, *i, bits) > 0);
            lost += used.filter(|i| !self.used.contains_key(&(from + i))).count() as u64;
        }
        if is_whole && lost > 0 {
            let clusters = either(lost, "cluster of the file is", "clusters of the file are");
            (self.say)("qcow2-lost", format!("{clusters} counted as used, but no pointer leads there"));
        }
        Ok(())
    }
}

/// The counts of clusters, read when they are asked for.
struct Counts<'a> {
    image: &'a Qcow2,
    bits: u64,
    /// Offset of each block of them, by its number.
    blocks: BTreeMap<u64, u64>,
    /// The block that was read last.
    last: Option<(u64, Vec<u8>)>,
}

impl Counts<'_> {
    /// Counts in a block.
    fn per(&self) -> u64 {
        self.image.cluster_size() * 8 / self.bits
    }

    /// A block of counts; zeros where there is none.
    fn block(&mut self, index: u64) -> io::Result<&[u8]> {
        if self.last.as_ref().is_none_or(|(have, _)| *have != index) {
            let mut block = vec![0; self.image.cluster_size() as usize];
            if let Some(at) = self.blocks.get(&index) {
                let there = (block.len() as u64).min(self.image.file.len() - at) as usize;
                self.image.file.read_at(*at, &mut block[..there])?;
            }
            self.last = Some((index, block));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, block)| block))
    }

    fn of(&mut self, cluster: u64) -> io::Result<u64> {
        let (per, bits) = (self.per(), self.bits);
        Ok(refcount(self.block(cluster / per)?, cluster % per, bits))
    }
}

/// Count number `i` of a block, of so many bits.
fn refcount(block: &[u8], i: u64, bits: u64) -> u64 {
    let at = (i * bits / 8) as usize;
    if bits < 8 {
        let shift = i * bits % 8;
        return u64::from(block[at]) >> shift & ((1 << bits) - 1);
    }
    block[at..at + (bits / 8) as usize].iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_any_width_are_read() {
        let block = [0b1010_0001, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 9, 1];
        assert_eq!((0..8).map(|i| refcount(&block, i, 1)).collect::<Vec<_>>(), [1, 0, 0, 0, 0, 1, 0, 1]);
        assert_eq!((refcount(&block, 0, 2), refcount(&block, 3, 2), refcount(&block, 1, 4)), (1, 2, 10));
        assert_eq!(
            (refcount(&block, 1, 8), refcount(&block, 1, 16), refcount(&block, 1, 32)),
            (0x12, 0x3456, 0x7800_0000)
        );
    }
}
