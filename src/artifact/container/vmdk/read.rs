//! Reads sparse VMDK files at any offset: streamOptimized through the footer's
//! directory, monolithicSparse through the header's.
//!
//! Nothing that an image says is believed: the directory must lie in the file,
//! tables and grains are read when needed, a piece at a time.

use super::format::{
    FLAG_COMPRESSED, FLAG_MARKERS, GD_AT_END, GRAIN_MARKER, HEADER_LEN, Header, MAGIC, MARKER_FOOTER, TABLE_ENTRIES,
    bad,
};
use crate::artifact::container::cache::Cache;
use crate::artifact::container::mapped::{Extents, read_units};
use crate::count;
use crate::read_at::{Extent, ReadAt, SECTOR, check_range};
use std::io::{self, Read as _};
use std::sync::Arc;

/// Bytes of inflated grains that are cached.
const KEEP: usize = 4 << 20;
/// Grain tables that are cached.
const KEEP_TABLES: usize = 64;
/// Entries up to this one mean "zeros": 0 not allocated, 1 allocated as zeros.
pub(super) const LAST_ZERO: u32 = 1;

/// An opened sparse VMDK.
pub struct Vmdk {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) header: Header,
    pub(super) directory: Vec<u32>,
    tables: Cache<[u32]>,
    grains: Cache<[u8]>,
}

impl Vmdk {
    /// Whether a file begins like a sparse VMDK.
    pub fn matches(start: &[u8]) -> bool {
        start.starts_with(&MAGIC.to_le_bytes())
    }

    /// Opens an image.
    ///
    /// # Errors
    /// `InvalidData` for damage.
    pub fn open(file: Arc<dyn ReadAt>) -> io::Result<Self> {
        let mut header = header_at(&file, 0)?;
        if header.gd_offset == GD_AT_END {
            header = footer(&file)?;
        }
        let tables = header.tables();
        let at = header.gd_offset.saturating_mul(SECTOR);
        let bytes = usize::try_from(tables).ok().and_then(|n| n.checked_mul(4)).unwrap_or(usize::MAX);
        check_range("VMDK grain directory", at, bytes, file.len()).map_err(|e| bad(e.to_string()))?;
        let mut raw = vec![0; bytes];
        file.read_at(at, &mut raw)?;
        let directory = words(&raw);
        // A table used twice would let a small file claim an endless disk.
        let mut used: Vec<u32> = directory.iter().copied().filter(|at| *at > LAST_ZERO).collect();
        used.sort_unstable();
        if let Some(pair) = used.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(bad(format!("VMDK grain directory points twice to the table at sector {}", pair[0])));
        }
        let keep = (KEEP / (header.grain * SECTOR) as usize).max(4);
        Ok(Self { file, header, directory, tables: Cache::new(KEEP_TABLES), grains: Cache::new(keep) })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The descriptor's text.
    ///
    /// # Errors
    /// `InvalidData` when it does not lie in the file.
    pub fn descriptor(&self) -> io::Result<String> {
        let (at, len) = (self.header.descriptor_offset, self.header.descriptor_size.min(128));
        let mut bytes = vec![0; (len * SECTOR) as usize];
        self.file.read_at(at.saturating_mul(SECTOR), &mut bytes).map_err(|e| bad(e.to_string()))?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    pub(super) fn grain_bytes(&self) -> u64 {
        self.header.grain * SECTOR
    }

    pub(super) fn table(&self, index: usize) -> io::Result<Option<Arc<[u32]>>> {
        let sector = self.directory.get(index).copied().unwrap_or(0);
        if sector <= LAST_ZERO {
            return Ok(None);
        }
        let key = u64::from(sector);
        self.tables
            .get(key, || {
                let mut bytes = vec![0; TABLE_ENTRIES as usize * 4];
                check_range("VMDK grain table", key * SECTOR, bytes.len(), self.file.len())
                    .map_err(|e| bad(e.to_string()))?;
                self.file.read_at(key * SECTOR, &mut bytes)?;
                Ok(words(&bytes).into())
            })
            .map(Some)
    }

    fn inflate(&self, sector: u32, grain: u64) -> io::Result<Arc<[u8]>> {
        let at = u64::from(sector) * SECTOR;
        let fail = |what: String| bad(format!("VMDK grain {grain} at sector {sector} {what}"));
        self.grains.get(at, || {
            let marked = self.header.flags & FLAG_MARKERS != 0;
            let mut start = [0; GRAIN_MARKER as usize];
            let start = if marked { &mut start[..] } else { &mut start[8..] };
            self.file.read_at(at, start).map_err(|e| fail(format!("cannot be read: {e}")))?;
            let (lba, len) = start.split_at(start.len() - 4);
            if let Ok(lba) = lba.try_into().map(u64::from_le_bytes)
                && lba != grain * self.header.grain
            {
                return Err(fail(format!("says it belongs to sector {lba} of the disk")));
            }
            let len = u32::from_le_bytes(len.try_into().unwrap_or_default());
            // A stored stream has some bytes more than the grain.
            if u64::from(len) > self.grain_bytes() + 4096 {
                return Err(fail(format!(
                    "has {len}, more than a grain of {}",
                    self.grain_bytes(),
                    len = count::of(len, "byte")
                )));
            }
            let mut bytes = vec![0; len as usize];
            let data = at + start.len() as u64;
            self.file.read_at(data, &mut bytes).map_err(|e| fail(format!("cannot be read: {e}")))?;
            let mut out = Vec::with_capacity(self.grain_bytes() as usize);
            flate2::read::ZlibDecoder::new(&bytes[..])
                .take(self.grain_bytes())
                .read_to_end(&mut out)
                .map_err(|e| fail(format!("does not inflate: {e}")))?;
            // Some writers end the last grain with the disk.
            let there = (self.header.capacity * SECTOR).saturating_sub(grain * self.grain_bytes());
            if (out.len() as u64) < there.min(self.grain_bytes()) {
                return Err(fail(format!("inflates to {} only", count::of(out.len(), "byte"))));
            }
            out.resize(self.grain_bytes() as usize, 0);
            Ok(out.into())
        })
    }

    /// Reads `buf.len()` bytes that lie within one grain.
    fn read_piece(&self, grain: u64, within: usize, buf: &mut [u8]) -> io::Result<()> {
        let table = self.table((grain / u64::from(TABLE_ENTRIES)) as usize)?;
        let sector = table.map_or(0, |t| t[(grain % u64::from(TABLE_ENTRIES)) as usize]);
        if sector <= LAST_ZERO {
            buf.fill(0);
        } else if self.header.flags & FLAG_COMPRESSED != 0 {
            buf.copy_from_slice(&self.inflate(sector, grain)?[within..within + buf.len()]);
        } else {
            self.file
                .read_at(u64::from(sector) * SECTOR + within as u64, buf)
                .map_err(|e| bad(format!("VMDK grain {grain} at sector {sector} cannot be read: {e}")))?;
        }
        Ok(())
    }
}

impl ReadAt for Vmdk {
    fn len(&self) -> u64 {
        self.header.capacity * SECTOR
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("VMDK disk", offset, buf.len(), self.len())?;
        read_units(self.grain_bytes(), offset, buf, |unit, within, piece| self.read_piece(unit, within, piece))
    }

    /// The mapped grains. A table that cannot be read counts as data, so that
    /// reading it reports the damage.
    fn extents(&self) -> Vec<Extent> {
        let size = self.grain_bytes();
        let mut extents = Extents::new(self.len());
        for index in 0..self.directory.len() {
            let start = index as u64 * size * u64::from(TABLE_ENTRIES);
            match self.table(index) {
                Ok(None) => {}
                Err(_) => extents.add(start, size * u64::from(TABLE_ENTRIES)),
                Ok(Some(table)) => {
                    for (i, _) in table.iter().enumerate().filter(|(_, sector)| **sector > LAST_ZERO) {
                        extents.add(start + i as u64 * size, size);
                    }
                }
            }
        }
        extents.finish()
    }
}

fn header_at(file: &Arc<dyn ReadAt>, offset: u64) -> io::Result<Header> {
    let mut bytes = [0; HEADER_LEN];
    file.read_at(offset, &mut bytes).map_err(|e| bad(format!("VMDK header cannot be read: {e}")))?;
    Header::decode(&bytes)
}

/// The copy of the header before the end of the stream, which has the
/// directory's offset. Zeros past the end are tolerated.
fn footer(file: &Arc<dyn ReadAt>) -> io::Result<Header> {
    let sectors = file.len() / SECTOR;
    let mut bytes = [0; 512];
    // Marker, footer, end of stream; a copier may have added padding.
    for back in 3..=130u64.min(sectors) {
        let at = (sectors - back) * SECTOR;
        file.read_at(at, &mut bytes)?;
        if bytes[8..12] == [0; 4] && bytes[12..16] == MARKER_FOOTER.to_le_bytes() && bytes[..8] == 1u64.to_le_bytes() {
            let header = header_at(file, at + SECTOR)?;
            if header.gd_offset == GD_AT_END {
                return Err(bad("VMDK footer does not say where the grain directory is".into()));
            }
            return Ok(header);
        }
    }
    Err(bad("VMDK has no footer: the file was cut off or is not complete".into()))
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap_or_default())).collect()
}
