//! Opening a disk: what partitions it has and where.
//!
//! Names follow Plan 9 (`/sys/src/9/pcboot/parts.c`): the first FAT partition
//! of the MBR is `dos`, an EFI system partition `esp`, Plan 9 partitions are `plan9`, `plan9.1`, …, and what
//! their tables cut out of them has the names given there. A disk may also
//! have such a table in its own second sector, without an MBR. A partition that
//! leaves the image is listed, but not opened.

use super::mbr::{Mbr, MbrEntry, TYPE_EFI, TYPE_GPT};
use super::prep::{self, PrepEntry, PrepError};
use crate::foreign::{self, Foreign};
use crate::fs::fat::format::{BootSector, Geometry};
use crate::read_at::{ReadAt, SECTOR, Window};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Tables in a chain of extended partitions that are followed.
const MAX_EXTENDED: usize = 64;

/// A partition of an opened disk. Offsets in bytes, from the start of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    pub name: String,
    pub start: u64,
    pub len: u64,
    /// Named by a Plan 9 partition table, not by the MBR.
    pub in_plan9: bool,
}

impl PartInfo {
    /// First byte after the partition.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
    /// First sector, from the start of the disk.
    pub fn lba(&self) -> u64 {
        self.start / SECTOR
    }
}

/// Reason why a disk, or a partition of it, cannot be opened.
#[derive(Debug, Error)]
pub enum OpenDiskError {
    #[error(
        "There is neither an MBR with partitions nor a Plan 9 partition table; this may be a file system with no \
         partitions"
    )]
    NoPartitions,
    #[error("There is no partition {name}; there are {}", .have.join(", "))]
    NoSuchPartition { name: String, have: Vec<String> },
    #[error("Partition {name} ends at byte {end}, but the image has only {len}")]
    PastEnd { name: String, end: u64, len: u64 },
    #[error(transparent)]
    Foreign(Foreign),
    #[error("Cannot read sector {lba}")]
    Read { lba: u64, source: io::Error },
}

/// A Plan 9 partition and its table.
#[derive(Clone, Debug)]
pub(super) struct Plan9 {
    /// First sector; 0 for a disk without MBR.
    pub start: u64,
    pub sectors: u64,
    pub entries: Vec<PrepEntry>,
    pub wrong: Option<PrepError>,
}

/// An opened disk.
pub struct DiskImage {
    source: Arc<dyn ReadAt>,
    /// The MBR, if the disk has one.
    pub mbr: Option<Mbr>,
    pub(super) plan9: Vec<Plan9>,
    partitions: Vec<PartInfo>,
}

/// Opens a disk by its MBR or its Plan 9 partition table.
///
/// # Errors
/// `NoPartitions` when there are neither, also for a FAT volume that fills the
/// whole image; `Foreign` for a table of another kind; `Read` when the image cannot be read.
pub fn open_disk(source: Arc<dyn ReadAt>) -> Result<DiskImage, OpenDiskError> {
    let mut disk = DiskImage { source, mbr: None, plan9: Vec::new(), partitions: Vec::new() };
    let sectors = disk.source.len() / SECTOR;
    if sectors == 0 {
        return Err(OpenDiskError::NoPartitions);
    }
    let first = disk.sector(0)?;
    let fat = Geometry::new(&BootSector::decode(&first), disk.source.len());
    let fills = |g: &Geometry| u64::from(g.sectors) * u64::from(g.sector_size) == disk.source.len();
    if fat.as_ref().is_ok_and(fills) {
        return Err(OpenDiskError::NoPartitions);
    }
    match Mbr::decode(&first) {
        // Zeros at the end of a boot sector's code look like an empty table.
        Ok(mbr) if mbr.entries.iter().any(Option::is_some) => {
            if mbr.entries.iter().flatten().all(|e| e.kind == TYPE_GPT)
                && let Ok(Some(found)) = foreign::name(&*disk.source)
            {
                return Err(OpenDiskError::Foreign(found));
            }
            disk.mbr = Some(mbr.clone());
            disk.add_entries(&mbr)?;
        }
        _ if fat.is_ok() => return Err(OpenDiskError::NoPartitions),
        _ => disk.add_plan9("data", 0, sectors)?,
    }
    if disk.partitions.is_empty() {
        return Err(OpenDiskError::NoPartitions);
    }
    Ok(disk)
}

impl DiskImage {
    /// The partitions, in the order in which Plan 9 finds them.
    pub fn partitions(&self) -> &[PartInfo] {
        &self.partitions
    }

    /// Length of the disk in bytes.
    pub fn len(&self) -> u64 {
        self.source.len()
    }

    /// True for a disk without a byte, which [`open_disk`] does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Facts about the partition `name`.
    ///
    /// # Errors
    /// `NoSuchPartition`.
    pub fn find(&self, name: &str) -> Result<&PartInfo, OpenDiskError> {
        self.partitions.iter().find(|p| p.name == name).ok_or_else(|| OpenDiskError::NoSuchPartition {
            name: name.to_owned(),
            have: self.partitions.iter().map(|p| p.name.clone()).collect(),
        })
    }

    /// The bytes of the partition `name`.
    ///
    /// # Errors
    /// `NoSuchPartition`; `PastEnd` when the image is shorter.
    pub fn partition(&self, name: &str) -> Result<Window<Arc<dyn ReadAt>>, OpenDiskError> {
        let p = self.find(name)?;
        Window::new(self.source.clone(), p.start, p.len).map_err(|_| OpenDiskError::PastEnd {
            name: name.to_owned(),
            end: p.end(),
            len: self.len(),
        })
    }

    /// The bytes of the partition `name`, if there is one that can be read: what
    /// file systems of several partitions ask for ([`crate::fs::Beside`]).
    pub fn beside(&self, name: &str) -> Option<Arc<dyn ReadAt>> {
        self.partition(name).ok().map(|w| Arc::new(w) as Arc<dyn ReadAt>)
    }

    /// Whether a partition is the MBR's Plan 9 partition, of which others are parts.
    pub fn has_parts(&self, p: &PartInfo) -> bool {
        let inside = |q: &PartInfo| q.in_plan9 && p.start <= q.start && q.end() <= p.end();
        !p.in_plan9 && self.partitions.iter().any(inside)
    }

    /// First sector of each Plan 9 partition that has a table.
    pub fn tables(&self) -> impl Iterator<Item = u64> {
        self.plan9.iter().map(|p| p.start)
    }

    /// The whole disk.
    pub fn source(&self) -> &Arc<dyn ReadAt> {
        &self.source
    }

    fn sector(&self, lba: u64) -> Result<[u8; 512], OpenDiskError> {
        let mut out = [0; 512];
        let read = self.source.read_at(lba.saturating_mul(SECTOR), &mut out);
        read.map(|()| out).map_err(|source| OpenDiskError::Read { lba, source })
    }

    /// Adds what an MBR and the extended partitions that it begins hold.
    fn add_entries(&mut self, mbr: &Mbr) -> Result<(), OpenDiskError> {
        let mut seen = BTreeSet::from([0]);
        let (mut table, mut table_lba) = (mbr.clone(), 0);
        let mut first_extended = None;
        while seen.len() <= MAX_EXTENDED {
            let mut next = None;
            for e in table.entries.iter().flatten() {
                if e.is_extended() {
                    // Links count from the first extended partition.
                    next = Some(first_extended.unwrap_or(0) + u64::from(e.start));
                } else {
                    self.add_entry(e, table_lba + u64::from(e.start))?;
                }
            }
            let Some(lba) = next.filter(|lba| *lba < self.len() / SECTOR && seen.insert(*lba)) else { break };
            let Ok(decoded) = Mbr::decode(&self.sector(lba)?) else { break };
            first_extended.get_or_insert(lba);
            (table, table_lba) = (decoded, lba);
        }
        Ok(())
    }

    fn add_entry(&mut self, e: &MbrEntry, start: u64) -> Result<(), OpenDiskError> {
        if e.is_plan9() {
            let name = self.numbered("plan9");
            self.add(name.clone(), start, e.sectors.into(), false);
            self.add_plan9(&name, start, e.sectors.into())
        } else {
            let name = match e.kind {
                // As 9front's fdisk(8) calls it.
                TYPE_EFI => self.numbered("esp"),
                _ if e.is_fat() => self.numbered("dos"),
                kind => self.numbered(&format!("type{kind:02x}")),
            };
            self.add(name, start, e.sectors.into(), false);
            Ok(())
        }
    }

    /// Adds the partitions of the Plan 9 partition at sector `start`.
    fn add_plan9(&mut self, whole: &str, start: u64, sectors: u64) -> Result<(), OpenDiskError> {
        if (start + prep::TABLE_SECTOR + 1) * SECTOR > self.len() {
            return Ok(());
        }
        let (entries, wrong) = prep::decode(&self.sector(start + prep::TABLE_SECTOR)?);
        if entries.is_empty() && whole == "data" {
            return Ok(());
        }
        for e in &entries {
            self.add(e.name.clone(), start.saturating_add(e.start), e.end.saturating_sub(e.start), true);
        }
        self.plan9.push(Plan9 { start, sectors, entries, wrong });
        Ok(())
    }

    fn add(&mut self, name: String, start: u64, sectors: u64, in_plan9: bool) {
        let (start, len) = (start.saturating_mul(SECTOR), sectors.saturating_mul(SECTOR));
        self.partitions.push(PartInfo { name, start, len, in_plan9 });
    }

    /// `name`, or with `.1`, `.2`, … if there is one already.
    fn numbered(&self, name: &str) -> String {
        let taken = |n: &String| self.partitions.iter().any(|p| p.name == *n);
        let numbers = (1..).map(|i| format!("{name}.{i}"));
        std::iter::once(name.to_owned()).chain(numbers).find(|n| !taken(n)).expect("numbers do not run out")
    }
}
