//! A disk: partitions over volumes.
//!
//! Sector 0 is the master boot record ([`mbr`]). Its Plan 9 partition is cut
//! up by a text table in its own second sector ([`prep`]); the first part,
//! 9fat, lies under that sector and leaves it free as a reserved one. All
//! addresses are in sectors of 512 bytes. [`Disk`] puts a disk together from
//! volumes, [`open_disk`] takes one apart; `doc/disk.md` describes the format.
//!
//! It asks no other folder.

mod check;
mod image;
pub mod mbr;
pub mod prep;
pub mod uimage;

pub use image::{DiskImage, OpenDiskError, PartInfo, open_disk};
pub use mbr::{Chs, Mbr, MbrEntry, MbrError};
pub use prep::{PrepEntry, PrepError};

use crate::count;
use crate::pieces::{Pieces, Source};
use crate::read_at::{Extent, Origin, ReadAt, SECTOR, Window};
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// A partition of a disk to be written.
#[derive(Clone)]
pub struct Partition {
    pub name: String,
    /// First sector, from the start of the disk.
    pub start_lba: u64,
    /// Length in sectors.
    pub sectors: u64,
    /// Its bytes, from its start; at most its length. `None`: all zeros.
    pub volume: Option<Arc<dyn ReadAt>>,
}

impl Partition {
    fn end(&self) -> u64 {
        self.start_lba.saturating_add(self.sectors)
    }
}

/// Reason why partitions do not make a disk.
#[derive(Debug, Error)]
pub enum DiskError {
    #[error("A disk of {n} does not end with a sector: its length must be a multiple of 512", n = count::of(.0, "byte"))]
    Length(u64),
    #[error(transparent)]
    Mbr(#[from] MbrError),
    #[error(transparent)]
    Prep(#[from] PrepError),
    #[error("Partition {index} of the MBR ends at sector {end}, but the disk has {sectors}")]
    EntryPastEnd { index: usize, end: u64, sectors: u64 },
    #[error("Partition {index} of the MBR starts at sector 0, where the MBR itself is")]
    EntryAtZero { index: usize },
    #[error("Partitions {first} and {second} of the MBR overlap")]
    EntriesOverlap { first: usize, second: usize },
    #[error("The MBR has {0} active partitions, expected one: its code starts no other disk")]
    Active(usize),
    #[error("The MBR has {0} Plan 9 partitions, expected one")]
    Plan9(usize),
    #[error("Partition {name} ends at sector {end}, but the disk has {sectors}")]
    PastEnd { name: String, end: u64, sectors: u64 },
    #[error("Partition {name} starts at sector {start}, before the Plan 9 partition, which starts at {plan9}")]
    Before { name: String, start: u64, plan9: u64 },
    #[error("The volume of partition {name} has {len}, but the partition has only {room}", len = count::of(len, "byte"))]
    VolumeTooLong { name: String, len: u64, room: u64 },
    #[error(
        "Partition {name} has data in its second sector, where the partition table goes: give FAT two reserved sectors"
    )]
    TableInUse { name: String },
    #[error("Cannot read the second sector of partition {name}")]
    Read { name: String, source: io::Error },
}

/// A whole disk: a function of the offset.
pub struct Disk {
    pieces: Pieces,
    partitions: Vec<Partition>,
}

impl Disk {
    /// A disk of `len_bytes` bytes. A partition that is exactly one of the
    /// MBR's other entries is that entry; all others are parts of the Plan 9
    /// partition and go into its table.
    ///
    /// # Errors
    /// Fails when something overlaps, leaves the disk, or could not be found by
    /// the loader.
    pub fn new(len_bytes: u64, mbr: &Mbr, mut partitions: Vec<Partition>) -> Result<Self, DiskError> {
        if !len_bytes.is_multiple_of(SECTOR) {
            return Err(DiskError::Length(len_bytes));
        }
        let sectors = len_bytes / SECTOR;
        let plan9 = check_entries(mbr, sectors)?;
        let (start, size) = (u64::from(plan9.start), u64::from(plan9.sectors));
        partitions.sort_by_key(|p| p.start_lba);
        let mut table = Vec::new();
        for p in &partitions {
            if p.end() > sectors {
                return Err(DiskError::PastEnd { name: p.name.clone(), end: p.end(), sectors });
            }
            let room = p.sectors * SECTOR;
            if let Some(len) = p.volume.as_ref().map(|v| v.len()).filter(|len| *len > room) {
                return Err(DiskError::VolumeTooLong { name: p.name.clone(), len, room });
            }
            if is_entry(mbr, p) {
                continue;
            }
            let Some(from) = p.start_lba.checked_sub(start) else {
                return Err(DiskError::Before { name: p.name.clone(), start: p.start_lba, plan9: start });
            };
            table.push(PrepEntry { name: p.name.clone(), start: from, end: from + p.sectors });
        }
        let text = prep::encode(&table, size)?;
        let mut pieces = Pieces::new(len_bytes);
        pieces.put_bytes(0, mbr.encode(Chs::guess(sectors))?.to_vec());
        let table_at = (start + prep::TABLE_SECTOR) * SECTOR;
        pieces.put_bytes(table_at, text.to_vec());
        for p in &partitions {
            let Some(volume) = &p.volume else { continue };
            let at = p.start_lba * SECTOR;
            if at <= table_at && table_at < p.end() * SECTOR {
                put_around(&mut pieces, p, volume, table_at - at)?;
            } else {
                pieces.put(at, Source::Volume(volume.clone()));
            }
        }
        Ok(Self { pieces, partitions })
    }

    /// The partitions, in the order of their places.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }
}

impl ReadAt for Disk {
    fn len(&self) -> u64 {
        self.pieces.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.pieces.read_at(offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        self.pieces.extents()
    }
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.pieces.origin(offset, len)
    }
}

/// Judges the MBR's entries and returns the Plan 9 partition.
fn check_entries(mbr: &Mbr, sectors: u64) -> Result<MbrEntry, DiskError> {
    let entries: Vec<(usize, MbrEntry)> =
        mbr.entries.iter().enumerate().filter_map(|(i, e)| e.map(|e| (i, e))).collect();
    for (n, (index, e)) in entries.iter().enumerate() {
        if e.start == 0 {
            return Err(DiskError::EntryAtZero { index: *index });
        }
        if e.end() > sectors {
            return Err(DiskError::EntryPastEnd { index: *index, end: e.end(), sectors });
        }
        let overlaps = |o: &MbrEntry| u64::from(e.start) < o.end() && u64::from(o.start) < e.end();
        if let Some((first, _)) = entries[..n].iter().find(|(_, o)| overlaps(o)) {
            return Err(DiskError::EntriesOverlap { first: *first, second: *index });
        }
    }
    let active = entries.iter().filter(|(_, e)| e.active).count();
    if active != 1 {
        return Err(DiskError::Active(active));
    }
    let mut plan9 = entries.iter().filter(|(_, e)| e.is_plan9());
    match (plan9.next(), plan9.count()) {
        (Some((_, e)), 0) => Ok(*e),
        (first, more) => Err(DiskError::Plan9(usize::from(first.is_some()) + more)),
    }
}

fn is_entry(mbr: &Mbr, p: &Partition) -> bool {
    let same = |e: &MbrEntry| !e.is_plan9() && u64::from(e.start) == p.start_lba && u64::from(e.sectors) == p.sectors;
    mbr.entries.iter().flatten().any(same)
}

/// Puts a volume that leaves the sector at `gap` (in bytes from its start) to
/// the partition table.
fn put_around(pieces: &mut Pieces, p: &Partition, volume: &Arc<dyn ReadAt>, gap: u64) -> Result<(), DiskError> {
    let read = |source| DiskError::Read { name: p.name.clone(), source };
    let (at, len) = (p.start_lba * SECTOR, volume.len());
    let behind = len.min(gap + SECTOR);
    let mut under = vec![0; behind.saturating_sub(gap) as usize];
    volume.read_at(gap.min(len), &mut under).map_err(read)?;
    if under.iter().any(|b| *b != 0) {
        return Err(DiskError::TableInUse { name: p.name.clone() });
    }
    let before = Window::new(volume.clone(), 0, gap.min(len)).map_err(read)?;
    pieces.put(at, Source::Volume(Arc::new(before)));
    let after = Window::new(volume.clone(), behind, len - behind).map_err(read)?;
    pieces.put(at + behind, Source::Volume(Arc::new(after)));
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod write_tests;
