//! A qcow2 image over another disk: it has what was written, the disk below has the
//! rest.
//!
//! Nothing of it is only in memory. Each write is in the file, with the tables that lead
//! to it, when [`Overlay::write_at`] returns, in an order in which a process that is killed
//! at any moment leaves a sound image: the data first, then the counts, then the
//! table. So all that was written is there afterwards, in the order in which it was, and
//! a few clusters at most are counted and used by nothing. QEMU itself keeps
//! tables in memory until the guest asks for a flush, which Plan 9 does not.
//!
//! ```text
//! header | L1 | refcount table | first refcount blocks | clusters and L2 tables
//! ```
//!
//! The clusters are small, so that little is copied from below when a part of one is
//! written: 4 KiB. The refcount table has room for the whole disk. A refcount block is the
//! first free cluster of those that it counts.

use super::format::{
    COMPRESSED, COPIED, Compression, HEADER_LEN, Header, MOST_L1, MOST_NAME, OFFSET_MASK, ZERO, backing_format, bad,
    be64, unsupported, words,
};
use super::read::{read_or_zeros, union};
use crate::artifact::container::mapped::{Extents, read_units};
use crate::count;
use crate::poison::IgnorePoison as _;
use crate::read_at::{Extent, ReadAt, check_range};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

const BITS: u32 = 12;
/// Bytes of a cluster.
const SIZE: u64 = 1 << BITS;
/// Entries of an L2 table, and of a cluster of any table of 64-bit entries.
const ENTRIES: u64 = SIZE / 8;
/// Counts of 16 bits in a refcount block.
const COUNTS: u64 = SIZE / 2;
/// Bytes of the header that are looked at when an image is opened.
const START: usize = 104;

/// A qcow2 image over another disk, open for writing.
pub struct Overlay {
    file: File,
    base: Arc<dyn ReadAt>,
    size: u64,
    /// First cluster of the file after the header and the tables that were there from the beginning.
    first: u64,
    refcount_offset: u64,
    /// Entries of the refcount table.
    blocks: u64,
    l1_offset: u64,
    state: Mutex<State>,
    /// Writes to the file until they fail.
    #[cfg(test)]
    left: std::sync::atomic::AtomicUsize,
}

/// What changes.
struct State {
    l1: Vec<u64>,
    /// First cluster of the file that nothing uses.
    end: u64,
}

/// Sizes of the tables of an image, in clusters.
struct Tables {
    /// Entries of the L1 table.
    entries: u64,
    l1: u64,
    refcounts: u64,
    /// Refcount blocks for the clusters before the first of data.
    blocks: u64,
}

impl Tables {
    /// Tables of a disk of `size` bytes; none if it is too large for them.
    fn of(size: u64) -> Option<Self> {
        let entries = size.div_ceil(SIZE * ENTRIES).max(1);
        if entries * 8 > MOST_L1 {
            return None;
        }
        let l1 = entries.div_ceil(ENTRIES);
        // Twice what the whole disk takes: a process that is killed leaves clusters unused.
        let most = 2 * (size.div_ceil(SIZE) + entries + l1);
        let refcounts = (most / COUNTS + 2).div_ceil(ENTRIES);
        let mut blocks = 1;
        while blocks * COUNTS < 1 + l1 + refcounts + blocks {
            blocks += 1;
        }
        Some(Self { entries, l1, refcounts, blocks })
    }

    /// Clusters of all of them, and of the header.
    fn clusters(&self) -> u64 {
        1 + self.l1 + self.refcounts + self.blocks
    }
}

impl Overlay {
    /// Writes an image of `size` bytes to an empty file, over the disk in the file `backing`,
    /// a name in the same folder, which has the format `format` (QEMU's word).
    ///
    /// # Errors
    /// Error of the operating system; `InvalidInput` for a disk that is too large, or
    /// a name that is too long.
    pub fn create(file: &File, size: u64, backing: &str, format: &str) -> io::Result<()> {
        let refused = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let tables = Tables::of(size)
            .ok_or_else(|| refused(format!("A disk of {} is too large for an overlay", count::of(size, "byte"))))?;
        let (l1_offset, refcount_offset) = (SIZE, SIZE * (1 + tables.l1));
        let first_block = refcount_offset + SIZE * tables.refcounts;
        let extension = backing_format(format);
        let name_at = HEADER_LEN + extension.len();
        let header = Header {
            version: 3,
            cluster_bits: BITS,
            size,
            l1_size: tables.entries as u32,
            l1_offset,
            refcount_offset,
            refcount_clusters: tables.refcounts as u32,
            compression: Compression::Zlib,
            backing: Some((name_at as u64, backing.len() as u32)),
        };
        let first = [&header.encode()[..], &extension, backing.as_bytes()].concat();
        if first.len() as u64 > SIZE || backing.len() > MOST_NAME as usize {
            return Err(refused(format!("The name of the disk below has {}", count::of(backing.len(), "byte"))));
        }
        let blocks = be64(&(0..tables.blocks).map(|i| first_block + i * SIZE).collect::<Vec<_>>());
        let counts: Vec<u8> = (0..tables.clusters()).flat_map(|_| 1_u16.to_be_bytes()).collect();
        file.set_len(SIZE * tables.clusters())?;
        file.write_all_at(&blocks, refcount_offset)?;
        file.write_all_at(&counts, first_block)?;
        file.write_all_at(&first, 0)
    }

    /// Opens an image that [`Overlay::create`] has made, over the disk that it was made for.
    ///
    /// # Errors
    /// `InvalidData` for damage, `Unsupported` for an image of another form.
    pub fn open(file: File, base: Arc<dyn ReadAt>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut first = [0; START];
        file.read_exact_at(&mut first, 0).map_err(|e| bad(format!("qcow2 header cannot be read: {e}")))?;
        let header = Header::decode(&first)?;
        let word = |at: usize| u32::from_be_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
        let features = u64::from(word(72)) << 32 | u64::from(word(76));
        let tables = Tables::of(header.size);
        let is_ours = header.version == 3 && header.cluster_bits == BITS && word(96) == 4 && features == 0;
        let Some(tables) = tables.filter(|_| is_ours && header.backing.is_some()) else {
            return Err(unsupported("qcow2 image, which is none that p9img writes to".into()));
        };
        if word(60) != 0 {
            return Err(unsupported(
                "qcow2 image with snapshots, which p9img would damage; delete them with `qemu-img snapshot -d`".into(),
            ));
        }
        if u64::from(header.l1_size) < tables.entries || u64::from(header.refcount_clusters) < tables.refcounts {
            return Err(bad("qcow2 tables are smaller than the disk needs".into()));
        }
        let outside = |e: io::Error| bad(e.to_string());
        check_range("qcow2 L1 table", header.l1_offset, (tables.entries * 8) as usize, len).map_err(outside)?;
        let refcounts = tables.refcounts * SIZE;
        check_range("qcow2 refcount table", header.refcount_offset, refcounts as usize, len).map_err(outside)?;
        let l1 = table(&file, header.l1_offset, tables.entries)?;
        Ok(Self {
            file,
            base,
            size: header.size,
            first: tables.clusters(),
            refcount_offset: header.refcount_offset,
            blocks: tables.refcounts * ENTRIES,
            l1_offset: header.l1_offset,
            state: Mutex::new(State { l1, end: len.div_ceil(SIZE).max(tables.clusters()) }),
            #[cfg(test)]
            left: std::sync::atomic::AtomicUsize::new(usize::MAX),
        })
    }

    /// Writes bytes. When this returns, they are in the file for every process that reads it.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end of the disk; error of the operating system, after which
    /// each cluster has the old bytes or the new ones.
    pub fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        check_range("qcow2 disk", offset, bytes.len(), self.size)?;
        let mut state = self.state.lock().ignore_poison();
        while !bytes.is_empty() {
            // What one L2 table leads to.
            let rest = (SIZE * ENTRIES - offset % (SIZE * ENTRIES)).min(bytes.len() as u64) as usize;
            let (piece, after) = bytes.split_at(rest);
            self.write_piece(&mut state, offset, piece)?;
            offset += rest as u64;
            bytes = after;
        }
        Ok(())
    }

    /// Brings what was written to the platter.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes to the file; all writes after the first go through here.
    fn put(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::Relaxed;
            let left = self.left.load(Relaxed);
            if left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.left.store(left - 1, Relaxed);
        }
        self.file.write_all_at(bytes, offset)
    }

    /// Reads bytes that one L2 table leads to.
    fn read_piece(&self, offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let (first, last) = (offset / SIZE, (offset + buf.len() as u64 - 1) / SIZE);
        let (entries, end) = {
            let state = self.state.lock().ignore_poison();
            (self.entries(&state, first, last - first + 1)?, state.end)
        };
        let mut i = 0;
        while i < entries.len() {
            let run = run(&entries[i..], end);
            let from = (first + i as u64) * SIZE;
            let start = from.max(offset);
            let len = (from + run as u64 * SIZE - start).min(buf.len() as u64) as usize;
            let (now, later) = std::mem::take(&mut buf).split_at_mut(len);
            buf = later;
            match self.place(entries[i], end)? {
                Place::Below => read_or_zeros(&*self.base, start, now)?,
                Place::Zeros => now.fill(0),
                Place::Own(at) => self.file.read_exact_at(now, at + (start - from))?,
            }
            i += run;
        }
        Ok(())
    }

    /// Writes bytes that one L2 table leads to.
    fn write_piece(&self, state: &mut State, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = offset / SIZE;
        let last = (offset + bytes.len() as u64 - 1) / SIZE;
        let entries = self.entries(state, first, last - first + 1)?;
        let mut i = 0;
        while i < entries.len() {
            // A run of clusters that are all in the file, one after another, or all not.
            let run = run(&entries[i..], state.end);
            let from = (first + i as u64) * SIZE;
            let (start, end) = (from.max(offset), (from + run as u64 * SIZE).min(offset + bytes.len() as u64));
            let piece = &bytes[(start - offset) as usize..(end - offset) as usize];
            match self.place(entries[i], state.end)? {
                Place::Own(at) => self.put(piece, at + (start - from))?,
                place => {
                    let is_zeros = matches!(place, Place::Zeros);
                    self.write_new(state, first + i as u64, run as u64, is_zeros, (start - from) as usize, piece)?;
                }
            }
            i += run;
        }
        Ok(())
    }

    /// Writes bytes, from `within` on, to clusters that are not in the file.
    fn write_new(
        &self,
        state: &mut State,
        mut cluster: u64,
        n: u64,
        is_zeros: bool,
        within: usize,
        piece: &[u8],
    ) -> io::Result<()> {
        let mut whole = vec![0; (n * SIZE) as usize];
        let (head, tail) = (within, within + piece.len());
        whole[head..tail].copy_from_slice(piece);
        if !is_zeros {
            let (from, end) = (cluster * SIZE, (cluster + n) * SIZE);
            read_or_zeros(&*self.base, from, &mut whole[..head])?;
            read_or_zeros(&*self.base, end - (whole.len() - tail) as u64, &mut whole[tail..])?;
        }
        let mut rest = &whole[..];
        while !rest.is_empty() {
            let (at, clusters) = self.room(state, rest.len() as u64 / SIZE)?;
            let (now, after) = rest.split_at((clusters * SIZE) as usize);
            self.put(now, at * SIZE)?;
            self.count(at, clusters, state.end)?;
            // From here on they are taken, whatever happens.
            state.end = at + clusters;
            self.lead(state, cluster, at, clusters)?;
            cluster += clusters;
            rest = after;
        }
        Ok(())
    }

    /// Room for up to `n` clusters that one refcount block counts: the first of them, and
    /// how many. They are not taken yet.
    fn room(&self, state: &mut State, n: u64) -> io::Result<(u64, u64)> {
        loop {
            let block = state.end / COUNTS;
            let left = COUNTS - state.end % COUNTS;
            if self.block(block, state.end)? != 0 {
                return Ok((state.end, n.min(left)));
            }
            // The block is the first of the clusters that it counts.
            let at = state.end;
            let mut counts = vec![0; SIZE as usize];
            counts[(at % COUNTS * 2) as usize + 1] = 1;
            self.put(&counts, at * SIZE)?;
            state.end += 1;
            self.put(&(at * SIZE).to_be_bytes(), self.refcount_offset + block * 8)?;
        }
    }

    /// Offset of a refcount block in a file of `end` clusters; 0 where there is none.
    fn block(&self, index: u64, end: u64) -> io::Result<u64> {
        if index >= self.blocks {
            let why = "The overlay has no room for more: its refcount table is full";
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        let at = table(&self.file, self.refcount_offset + index * 8, 1)?[0] & OFFSET_MASK;
        inside(at, end).ok_or_else(|| {
            bad(format!("qcow2 refcount block {index} is at {at:#x}, which is not a cluster of the file"))
        })
    }

    /// Counts `n` clusters as used once, which one block of a file of `end` clusters counts.
    fn count(&self, at: u64, n: u64, end: u64) -> io::Result<()> {
        let counts: Vec<u8> = (0..n).flat_map(|_| 1_u16.to_be_bytes()).collect();
        self.put(&counts, self.block(at / COUNTS, end)? + at % COUNTS * 2)
    }

    /// Makes clusters of the disk lead to clusters of the file.
    fn lead(&self, state: &mut State, cluster: u64, at: u64, n: u64) -> io::Result<()> {
        let entries = be64(&(at..at + n).map(|at| COPIED | (at * SIZE)).collect::<Vec<_>>());
        let (index, within) = (cluster / ENTRIES, (cluster % ENTRIES * 8) as usize);
        let table = self.l1(state, index)?;
        if table != 0 {
            return self.put(&entries, table + within as u64);
        }
        let (at, _) = self.room(state, 1)?;
        let mut new = vec![0; SIZE as usize];
        new[within..within + entries.len()].copy_from_slice(&entries);
        self.put(&new, at * SIZE)?;
        self.count(at, 1, state.end)?;
        state.end = at + 1;
        let entry = COPIED | (at * SIZE);
        self.put(&entry.to_be_bytes(), self.l1_offset + index * 8)?;
        state.l1[index as usize] = entry;
        Ok(())
    }

    /// Offset of an L2 table; 0 where there is none.
    fn l1(&self, state: &State, index: u64) -> io::Result<u64> {
        let at = state.l1[index as usize] & OFFSET_MASK;
        inside(at, state.end)
            .filter(|at| *at == 0 || *at / SIZE >= self.first)
            .ok_or_else(|| bad(format!("qcow2 L1 entry {index} points to {at:#x}, which is not a cluster of the file")))
    }

    /// The place that an L2 entry says, in a file of `end` clusters.
    fn place(&self, entry: u64, end: u64) -> io::Result<Place> {
        let at = entry & OFFSET_MASK;
        match () {
            () if entry & COMPRESSED != 0 => {
                Err(unsupported("qcow2 image with compressed clusters over another".into()))
            }
            () if entry & !(COPIED | OFFSET_MASK | ZERO) != 0 => {
                Err(bad(format!("qcow2 L2 entry {entry:#x} has unknown bits")))
            }
            () if entry & ZERO != 0 => Ok(Place::Zeros),
            () if at == 0 => Ok(Place::Below),
            () if inside(at, end).is_none_or(|at| at / SIZE < self.first) => {
                Err(bad(format!("qcow2 cluster at {at:#x} is none of data")))
            }
            () if entry & COPIED == 0 => Err(unsupported("qcow2 image whose clusters are used twice".into())),
            () => Ok(Place::Own(at)),
        }
    }

    /// The L2 entries of clusters that one table leads to.
    fn entries(&self, state: &State, first: u64, n: u64) -> io::Result<Vec<u64>> {
        match self.l1(state, first / ENTRIES)? {
            0 => Ok(vec![0; n as usize]),
            at => table(&self.file, at + first % ENTRIES * 8, n),
        }
    }
}

/// Place of a cluster of the disk.
enum Place {
    Below,
    Zeros,
    /// Offset in the file.
    Own(u64),
}

/// Offset of a cluster, or 0, if it is in a file of `end` clusters.
fn inside(at: u64, end: u64) -> Option<u64> {
    (at.is_multiple_of(SIZE) && at / SIZE < end).then_some(at)
}

/// Whether an entry `n` after `first` can be read or written with it in one step.
const fn follows(first: u64, entry: u64, n: u64) -> bool {
    let at = first & OFFSET_MASK;
    if first & !OFFSET_MASK == COPIED && at != 0 { entry == first + n * SIZE } else { entry == first }
}

/// How many entries can be read or written in one step, in a file of `end` clusters.
fn run(entries: &[u64], end: u64) -> usize {
    let first = entries[0];
    let run = entries.iter().zip(0..).take_while(|(entry, n)| follows(first, **entry, *n)).count();
    match (first & OFFSET_MASK) / SIZE {
        0 => run,
        at => run.min(end.saturating_sub(at).max(1) as usize),
    }
}

/// Entries of a table in the file.
fn table(file: &File, offset: u64, n: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; (n * 8) as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(words(&bytes))
}

impl ReadAt for Overlay {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("qcow2 disk", offset, buf.len(), self.size)?;
        let covered = SIZE * ENTRIES;
        read_units(covered, offset, buf, |table, within, piece| self.read_piece(table * covered + within as u64, piece))
    }

    /// Extents of the disk below, and of the clusters in the file. A table that cannot be
    /// read counts as data, so that reading it reports the damage.
    fn extents(&self) -> Vec<Extent> {
        let mut own = Extents::new(self.size);
        let state = self.state.lock().ignore_poison();
        for index in 0..state.l1.len() as u64 {
            let start = index * ENTRIES;
            match self.entries(&state, start, ENTRIES) {
                Ok(entries) => {
                    for (entry, i) in entries.iter().zip(start..) {
                        if *entry != 0 && *entry & ZERO == 0 {
                            own.add(i * SIZE, SIZE);
                        }
                    }
                }
                Err(_) => own.add(start * SIZE, SIZE * ENTRIES),
            }
        }
        union(own.finish(), self.base.extents(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Qcow2;
    use super::*;
    use crate::fs::Finding;
    use crate::read_at::HostFile;
    use proptest::prelude::*;

    /// Bytes that differ from place to place.
    fn base(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i / 7 % 251) as u8 + 1).collect()
    }

    fn overlay(size: u64, base: Vec<u8>) -> (tempfile::NamedTempFile, Overlay) {
        let file = tempfile::NamedTempFile::new().unwrap();
        Overlay::create(file.as_file(), size, "base.img", "raw").unwrap();
        let overlay = Overlay::open(file.reopen().unwrap(), Arc::new(base)).unwrap();
        (file, overlay)
    }

    fn findings(file: &tempfile::NamedTempFile, base: &[u8]) -> Vec<Finding> {
        let mut found = Vec::new();
        let bytes = Arc::new(HostFile::new(file.reopen().unwrap()).unwrap());
        let base = base.to_vec();
        let image = Qcow2::open_over(bytes, &|name| {
            assert_eq!(name, "base.img");
            Ok(Arc::new(base.clone()))
        });
        image.unwrap().check(&mut |kind, message| found.push(Finding { kind, message })).unwrap();
        found
    }

    fn read(disk: &dyn ReadAt) -> Vec<u8> {
        let mut out = vec![0; disk.len() as usize];
        disk.read_at(0, &mut out).unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Against a plain array of bytes, read by this code, by the reader of all qcow2 images,
        /// and after it was opened again.
        #[test]
        fn what_is_written_is_read(
            below in 0_usize..5 << 20,
            writes in prop::collection::vec((0_u64..5 << 20, 1_usize..100_000, any::<u8>(), any::<bool>()), 1..24),
        ) {
            let size = 5 << 20;
            let bytes = base(below);
            let (file, mut overlay) = overlay(size, bytes.clone());
            let mut expected = bytes.clone();
            expected.resize(size as usize, 0);
            for (offset, len, byte, again) in writes {
                let len = len.min((size - offset) as usize);
                overlay.write_at(offset, &vec![byte; len]).unwrap();
                expected[offset as usize..offset as usize + len].fill(byte);
                if again {
                    overlay = Overlay::open(file.reopen().unwrap(), Arc::new(bytes.clone())).unwrap();
                }
            }
            prop_assert!(read(&overlay) == expected);
            let image = Arc::new(HostFile::new(file.reopen().unwrap()).unwrap());
            let image = Qcow2::open_over(image, &|_| Ok(Arc::new(bytes.clone()))).unwrap();
            prop_assert!(read(&image) == expected);
            prop_assert_eq!(overlay.extents(), image.extents());
            let mut covered = expected.clone();
            overlay.extents().iter().for_each(|e| covered[e.offset as usize..e.end() as usize].fill(0));
            prop_assert!(covered.iter().all(|b| *b == 0));
            prop_assert!(findings(&file, &bytes).is_empty());
        }
    }

    /// A process that is killed has done some of its writes to the file, and not the next: each
    /// of them in turn.
    #[test]
    fn whatever_write_is_the_last_the_image_is_sound_and_has_what_was_acknowledged() {
        const LEN: u64 = 12 << 20;
        let bytes = base(1 << 20);
        // Within a cluster, over several, over the end of a table, again, and over a refcount block's end.
        let mut writes = vec![(700, 100), (5000, 20_000), ((2 << 20) - 3000, 9000), (6000, 3000), ((4 << 20) + 1, 2)];
        writes.extend((0..3).map(|i| ((5 << 20) + i * (1 << 20), 1 << 20)));
        for last in 0.. {
            let (file, overlay) = overlay(LEN, bytes.clone());
            // Nearly all that the first refcount block counts is used.
            if last % 2 == 1 {
                file.as_file().set_len((COUNTS - 7) * SIZE).unwrap();
            }
            let overlay = match last % 2 {
                1 => Overlay::open(file.reopen().unwrap(), Arc::new(bytes.clone())).unwrap(),
                _ => overlay,
            };
            overlay.left.store(last / 2, std::sync::atomic::Ordering::Relaxed);
            let mut expected = bytes.clone();
            expected.resize(LEN as usize, 0);
            let mut cut = None;
            for (i, (offset, len)) in writes.iter().enumerate() {
                let (from, to) = (*offset as usize, *offset as usize + *len as usize);
                if overlay.write_at(*offset, &vec![i as u8 + 101; *len as usize]).is_err() {
                    cut = Some((from, to, i as u8 + 101));
                    break;
                }
                expected[from..to].fill(i as u8 + 101);
            }
            drop(overlay);
            let lost = |f: &Finding| f.kind == "qcow2-lost";
            let found = findings(&file, &bytes);
            assert!(found.iter().all(lost), "{last}: {found:?}");
            let overlay = Overlay::open(file.reopen().unwrap(), Arc::new(bytes.clone())).unwrap();
            let mut there = read(&overlay);
            if let Some((from, to, byte)) = cut {
                // Of this one, some has come, or nothing.
                let pairs = there[from..to].iter().zip(&expected[from..to]);
                assert!(pairs.into_iter().all(|(now, before)| now == before || *now == byte), "{last}");
                there[from..to].copy_from_slice(&expected[from..to]);
            }
            assert!(there == expected, "{last}");
            overlay.write_at(0, &[9; 10_000]).unwrap();
            assert!(findings(&file, &bytes).iter().all(lost), "{last}");
            if cut.is_none() && last % 2 == 1 {
                assert!(last > 40, "{last} writes");
                return;
            }
        }
    }

    #[test]
    fn what_was_never_led_to_is_used_by_nobody() {
        let bytes = base(1 << 20);
        let (file, overlay) = overlay(64 << 20, bytes.clone());
        let mut expected = bytes.clone();
        expected.resize(64 << 20, 0);
        for i in 0..2500_u64 {
            let at = i * 7919 * 512 % (63 << 20);
            overlay.write_at(at, &[(i % 250) as u8 + 1; 8192]).unwrap();
            expected[at as usize..at as usize + 8192].fill((i % 250) as u8 + 1);
            if i % 499 == 0 {
                assert!(findings(&file, &bytes).is_empty());
            }
        }
        // Clusters that were written, and not yet counted or led to.
        let len = file.as_file().metadata().unwrap().len();
        file.as_file().set_len(len + 3 * SIZE).unwrap();
        let overlay = Overlay::open(file.reopen().unwrap(), Arc::new(bytes.clone())).unwrap();
        overlay.write_at(63 << 20, &[9; 5000]).unwrap();
        expected[63 << 20..(63 << 20) + 5000].fill(9);
        assert!(read(&overlay) == expected);
        assert!(findings(&file, &bytes).is_empty());
    }

    #[test]
    fn other_images_are_refused() {
        let (file, _overlay) = overlay(1 << 20, base(1 << 20));
        let mut good = [0; 4096];
        file.as_file().read_exact_at(&mut good, 0).unwrap();
        for (at, byte, expect) in [
            (3, 0, "magic"),
            (7, 2, "none that p9img writes to"),
            (23, 16, "none that p9img writes to"),
            (79, 1, "none that p9img writes to"),
            (63, 1, "snapshots"),
            (99, 5, "none that p9img writes to"),
            (44, 9, "L1 table"),
            (52, 9, "refcount table"),
            (27, 1, "smaller than the disk needs"),
        ] {
            let mut wrong = good;
            wrong[at] = byte;
            file.as_file().write_all_at(&wrong, 0).unwrap();
            let error = Overlay::open(file.reopen().unwrap(), Arc::new(Vec::<u8>::new())).err().unwrap().to_string();
            assert!(error.contains(expect), "{at}: {error}");
        }
        file.as_file().write_all_at(&good, 0).unwrap();
        let beyond = Overlay::open(file.reopen().unwrap(), Arc::new(base(1 << 20))).unwrap();
        assert!(beyond.write_at((1 << 20) - 1, &[1, 2]).is_err());
        assert!(beyond.read_at((1 << 20) - 1, &mut [0; 2]).is_err());
        let large = tempfile::tempfile().unwrap();
        assert!(Overlay::create(&large, 9 << 40, "base.img", "raw").is_err());
        assert!(Overlay::create(&large, 1 << 20, &"n".repeat(2000), "raw").is_err());
        Overlay::create(&large, 8 << 40, "base.img", "raw").unwrap();
    }
}
