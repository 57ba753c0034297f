//! Reads qcow2 images, version 2 and 3, p9img's own and QEMU's.
//!
//! Nothing that an image says is believed: the L1 table must lie in the file,
//! so no table is larger than the image; every other structure is read when
//! needed, a piece at a time. Refcounts are for writers; only the check looks at
//! them.

use super::format::{
    COMPRESSED, Compression, HEADER_LEN, Header, MAGIC, OFFSET_MASK, ZERO, bad, compressed_place, unsupported, words,
};
use crate::artifact::container::cache::Cache;
use crate::artifact::container::mapped::{Extents, read_units};
use crate::artifact::container::reader::Below;
use crate::count;
use crate::read_at::{Extent, ReadAt, check_range};
use std::io::{self, Read as _};
use std::sync::Arc;

/// Bytes of tables, and of clusters, that are cached; at least four of either.
const KEEP: usize = 4 << 20;

/// Base-2 logarithm of the largest window that a zstd frame may ask for: that
/// of the largest cluster.
const ZSTD_WINDOW: u32 = 21;

/// An opened qcow2 image.
pub struct Qcow2 {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) header: Header,
    pub(super) l1: Vec<u64>,
    /// The disk under this one, of which it has what was changed.
    base: Option<Arc<dyn ReadAt>>,
    tables: Cache<[u64]>,
    clusters: Cache<[u8]>,
}

/// Mapping of an L2 entry.
enum Mapping {
    /// What the disk under it has, or zeros where there is none.
    Below,
    Zeros,
    Plain(u64),
    Compressed(u64),
}

impl Qcow2 {
    /// Whether a file begins like a qcow2 image.
    pub fn matches(start: &[u8]) -> bool {
        start.starts_with(&MAGIC.to_be_bytes())
    }

    /// Opens an image that has no backing file.
    ///
    /// # Errors
    /// `InvalidData` for damage, `Unsupported` for a feature that p9img does
    /// not read (encryption, external data, subclusters), or a backing file.
    pub fn open(file: Arc<dyn ReadAt>) -> io::Result<Self> {
        Self::open_over(file, &alone)
    }

    /// Opens an image; `backing` opens the disk in its backing file, which has this name.
    ///
    /// # Errors
    /// As [`Qcow2::open`], and those of `backing`.
    pub fn open_over(file: Arc<dyn ReadAt>, backing: Below<'_>) -> io::Result<Self> {
        let mut start = [0; HEADER_LEN];
        let n = file.len().min(HEADER_LEN as u64) as usize;
        file.read_at(0, &mut start[..n])?;
        let header = Header::decode(&start[..n])?;
        let base = header.backing_name(&*file)?.map(|name| backing(&name)).transpose()?;
        let covered = 1u128 << (2 * header.cluster_bits - 3);
        let needed = u128::from(header.size).div_ceil(covered);
        if u128::from(header.l1_size) < needed {
            return Err(bad(format!(
                "qcow2 L1 table has {}, but a disk of {} needs {needed}",
                count::of(header.l1_size, "entry"),
                count::of(header.size, "byte")
            )));
        }
        let l1_bytes = needed as u64 * 8; // needed fits: l1_size is 32 bits
        check_range("qcow2 L1 table", header.l1_offset, l1_bytes as usize, file.len())
            .map_err(|e| bad(e.to_string()))?;
        let mut bytes = vec![0; l1_bytes as usize];
        file.read_at(header.l1_offset, &mut bytes)?;
        let l1 = words(&bytes);
        // A table used twice would let a small file claim an endless disk.
        let mut tables: Vec<u64> = l1.iter().map(|e| e & OFFSET_MASK).filter(|at| *at != 0).collect();
        tables.sort_unstable();
        if let Some(pair) = tables.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(bad(format!("qcow2 L1 table points twice to the L2 table at {:#x}", pair[0])));
        }
        let keep = (KEEP >> header.cluster_bits).max(4);
        Ok(Self { file, header, l1, base, tables: Cache::new(keep), clusters: Cache::new(keep) })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn cluster_size(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    pub(super) fn table(&self, index: usize) -> io::Result<Option<Arc<[u64]>>> {
        let at = self.l1.get(index).copied().unwrap_or(0) & OFFSET_MASK;
        if at == 0 {
            return Ok(None);
        }
        let size = self.cluster_size();
        if !at.is_multiple_of(size) {
            return Err(bad(format!("qcow2 L1 entry {index} points to {at:#x}, which is not on a cluster boundary")));
        }
        self.tables
            .get(at, || {
                check_range("qcow2 L2 table", at, size as usize, self.file.len()).map_err(|e| bad(e.to_string()))?;
                let mut bytes = vec![0; size as usize];
                self.file.read_at(at, &mut bytes)?;
                Ok(words(&bytes).into())
            })
            .map(Some)
    }

    fn mapping(&self, entry: u64, cluster: u64) -> io::Result<Mapping> {
        if entry & COMPRESSED != 0 {
            return Ok(Mapping::Compressed(entry));
        }
        let at = entry & OFFSET_MASK;
        if self.header.version >= 3 && entry & ZERO != 0 {
            return Ok(Mapping::Zeros);
        }
        if at == 0 {
            return Ok(Mapping::Below);
        }
        if !at.is_multiple_of(self.cluster_size()) || at >= self.file.len() {
            return Err(bad(format!(
                "qcow2 cluster {cluster} is at {at:#x}, which is not a cluster of a file of {:#x} bytes",
                self.file.len()
            )));
        }
        Ok(Mapping::Plain(at))
    }

    fn inflate(&self, entry: u64, cluster: u64) -> io::Result<Arc<[u8]>> {
        let (at, most) = compressed_place(self.header.cluster_bits, entry);
        self.clusters.get(at, || {
            if at >= self.file.len() {
                return Err(bad(format!("qcow2 cluster {cluster} is at {at:#x}, after the end of the file")));
            }
            let mut bytes = vec![0; most.min(self.file.len() - at) as usize];
            self.file.read_at(at, &mut bytes)?;
            let mut out = vec![0; self.cluster_size() as usize];
            match self.header.compression {
                Compression::Zlib => flate2::read::DeflateDecoder::new(&bytes[..]).read_exact(&mut out),
                Compression::Zstd => zstd::stream::read::Decoder::with_buffer(&bytes[..]).and_then(|mut d| {
                    d.window_log_max(ZSTD_WINDOW)?;
                    d.read_exact(&mut out)
                }),
            }
            .map_err(|e| bad(format!("qcow2 cluster {cluster} does not inflate: {e}")))?;
            Ok(out.into())
        })
    }

    /// Reads `buf.len()` bytes that lie within one cluster.
    fn read_piece(&self, cluster: u64, within: usize, buf: &mut [u8]) -> io::Result<()> {
        let per_table = self.cluster_size() / 8;
        let table = self.table((cluster / per_table) as usize)?;
        let entry = table.map_or(0, |t| t[(cluster % per_table) as usize]);
        match self.mapping(entry, cluster)? {
            Mapping::Zeros => buf.fill(0),
            Mapping::Below => match &self.base {
                Some(base) => read_or_zeros(&**base, cluster * self.cluster_size() + within as u64, buf)?,
                None => buf.fill(0),
            },
            Mapping::Compressed(entry) => {
                buf.copy_from_slice(&self.inflate(entry, cluster)?[within..within + buf.len()]);
            }
            Mapping::Plain(at) => {
                // The file may end within its last cluster; the rest is zeros.
                let at = at + within as u64;
                let n = self.file.len().saturating_sub(at).min(buf.len() as u64) as usize;
                let (there, beyond) = buf.split_at_mut(n);
                if !there.is_empty() {
                    self.file.read_at(at, there)?;
                }
                beyond.fill(0);
            }
        }
        Ok(())
    }
}

impl ReadAt for Qcow2 {
    fn len(&self) -> u64 {
        self.header.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("qcow2 disk", offset, buf.len(), self.len())?;
        read_units(self.cluster_size(), offset, buf, |unit, within, piece| self.read_piece(unit, within, piece))
    }

    /// The mapped clusters, and the extents of the disk under it. A table that cannot be read
    /// counts as data, so that reading it reports the damage.
    fn extents(&self) -> Vec<Extent> {
        let size = self.cluster_size();
        let mut extents = Extents::new(self.len());
        for index in 0..self.l1.len() {
            let start = index as u64 * size * (size / 8);
            match self.table(index) {
                Ok(None) => {}
                Err(_) => extents.add(start, size * (size / 8)),
                Ok(Some(table)) => {
                    for (i, entry) in table.iter().enumerate() {
                        if !matches!(self.mapping(*entry, 0), Ok(Mapping::Zeros | Mapping::Below)) {
                            extents.add(start + i as u64 * size, size);
                        }
                    }
                }
            }
        }
        let own = extents.finish();
        match &self.base {
            Some(base) => union(own, base.extents(), self.len()),
            None => own,
        }
    }
}

/// Refuses the disk under an image where there is only the one file.
///
/// # Errors
/// Always.
pub fn alone(_: &str) -> io::Result<Arc<dyn ReadAt>> {
    Err(unsupported("qcow2 image with a backing file; flatten it with `qemu-img convert` first".into()))
}

/// Reads bytes of a disk, which is followed by zeros without end.
pub(super) fn read_or_zeros(disk: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let there = disk.len().saturating_sub(offset).min(buf.len() as u64) as usize;
    let (there, beyond) = buf.split_at_mut(there);
    beyond.fill(0);
    if there.is_empty() { Ok(()) } else { disk.read_at(offset, there) }
}

/// All bytes of either list, in a disk of `len` bytes.
pub(super) fn union(a: Vec<Extent>, b: Vec<Extent>, len: u64) -> Vec<Extent> {
    let mut all = [a, b].concat();
    all.sort_unstable_by_key(|e| e.offset);
    let mut extents = Extents::new(len);
    let mut end = 0;
    for extent in all.iter().filter(|e| e.len > 0) {
        let from = extent.offset.max(end);
        extents.add(from, extent.end().saturating_sub(from));
        end = end.max(extent.end());
    }
    extents.finish()
}
