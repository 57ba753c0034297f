//! Geometry of a volume, from its boot sector, and whether its parts fit.

use super::format::{BootSector, DIRENT, FatType};
use crate::count;
use thiserror::Error;

/// Reason why a boot sector does not describe a FAT volume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum BadBootSector {
    /// First bytes that are no jump.
    #[error("The first bytes are {0:02x?}, expected a jump (eb .. 90 or e9)")]
    Jump([u8; 3]),
    /// Length of a sector that no drive has.
    #[error("A sector of {n} is not 512, 1024, 2048 or 4096", n = count::of(.0, "byte"))]
    SectorSize(u16),
    /// Length of a cluster that is not a power of two.
    #[error("A cluster of {n} is not a power of two", n = count::of(.0, "sector"))]
    ClusterSize(u8),
    /// Count that cannot be zero.
    #[error("The number of {what} is 0")]
    Zero { what: &'static str },
    /// Volume that ends before its own data.
    #[error("Reserved sectors, tables and root directory end at sector {need}, but the volume has {sectors}")]
    TooSmall { need: u64, sectors: u64 },
    /// More sectors than there are bytes.
    #[error("The boot sector counts {sectors} of {size}, but the volume has only {have}", sectors = count::of(sectors, "sector"), size = count::of(size, "byte"), have = count::of(have, "byte"))]
    PastEnd { sectors: u32, size: u16, have: u64 },
    /// Table with fewer entries than there are clusters.
    #[error("A table of {have} is too small for {clusters}, which need {need}", have = count::of(have, "byte"), clusters = count::of(clusters, "cluster"))]
    TableTooSmall { clusters: u32, have: u64, need: u64 },
}

/// Positions of the parts of a volume. Sectors count from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the tables' entries.
    pub fat_type: FatType,
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Bytes in a cluster.
    pub cluster_size: u32,
    /// Sectors before the first table, the boot sector included.
    pub reserved: u32,
    /// Number of tables.
    pub fats: u32,
    /// Sectors of one table.
    pub fat_sectors: u32,
    /// First sector of the root directory of FAT12/16.
    pub root_start: u64,
    /// Entries of the root directory of FAT12/16.
    pub root_entries: u32,
    /// FAT32: first cluster of the root directory.
    pub root_cluster: u32,
    /// First sector of cluster 2.
    pub data_start: u64,
    /// Data clusters; they are numbered from 2.
    pub clusters: u32,
    /// Sectors of the volume.
    pub sectors: u32,
}

impl Geometry {
    /// Computes the places from the boot sector of a volume of `len` bytes.
    ///
    /// # Errors
    /// Fails when the fields contradict each other or the length: every offset
    /// that the result yields lies within `len`.
    pub fn new(b: &BootSector, len: u64) -> Result<Self, BadBootSector> {
        if !(b.magic[0] == 0xE9 || b.magic[0] == 0xEB && b.magic[2] == 0x90) {
            return Err(BadBootSector::Jump(b.magic));
        }
        if !matches!(b.sectsize, 512 | 1024 | 2048 | 4096) {
            return Err(BadBootSector::SectorSize(b.sectsize));
        }
        if !b.clustsize.is_power_of_two() {
            return Err(BadBootSector::ClusterSize(b.clustsize));
        }
        let fat_sectors = if b.fatsize != 0 { b.fatsize.into() } else { b.bigfatsize };
        let counts = [
            (u32::from(b.nresrv), "reserved sectors"),
            (b.nfats.into(), "tables"),
            (fat_sectors, "sectors of a table"),
            (b.sectors(), "sectors"),
        ];
        if let Some((_, what)) = counts.iter().find(|(n, _)| *n == 0) {
            return Err(BadBootSector::Zero { what });
        }
        let (size, sectors) = (u64::from(b.sectsize), u64::from(b.sectors()));
        if sectors * size > len {
            return Err(BadBootSector::PastEnd { sectors: b.sectors(), size: b.sectsize, have: len });
        }
        let root_start = u64::from(b.nresrv) + u64::from(b.nfats) * u64::from(fat_sectors);
        let data_start = root_start + (u64::from(b.rootsize) * DIRENT as u64).div_ceil(size);
        if data_start > sectors {
            return Err(BadBootSector::TooSmall { need: data_start, sectors });
        }
        let clusters = ((sectors - data_start) / u64::from(b.clustsize)) as u32;
        let fat_type = match clusters {
            _ if b.fatsize == 0 => FatType::Fat32,
            n if n < FatType::Fat12.cluster_limit() => FatType::Fat12,
            _ => FatType::Fat16,
        };
        let (have, need) = (u64::from(fat_sectors) * size, fat_type.table_bytes(u64::from(clusters) + 2));
        if need > have {
            return Err(BadBootSector::TableTooSmall { clusters, have, need });
        }
        Ok(Self {
            fat_type,
            sector_size: b.sectsize.into(),
            cluster_size: u32::from(b.sectsize) * u32::from(b.clustsize),
            reserved: b.nresrv.into(),
            fats: b.nfats.into(),
            fat_sectors,
            root_start,
            root_entries: b.rootsize.into(),
            root_cluster: b.rootclust,
            data_start,
            clusters,
            sectors: b.sectors(),
        })
    }

    /// Byte offset of a table, counted from 0.
    pub fn fat_offset(&self, which: u32) -> u64 {
        (u64::from(self.reserved) + u64::from(which) * u64::from(self.fat_sectors)) * u64::from(self.sector_size)
    }
    /// Byte offset of the root directory of FAT12/16.
    pub fn root_offset(&self) -> u64 {
        self.root_start * u64::from(self.sector_size)
    }
    /// Byte offset of a cluster; `None` when there is none of that number.
    pub fn cluster_offset(&self, cluster: u32) -> Option<u64> {
        let index = cluster.checked_sub(2).filter(|i| *i < self.clusters)?;
        Some(self.data_start * u64::from(self.sector_size) + u64::from(index) * u64::from(self.cluster_size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::SECTOR;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_boot_sector_is_decoded_and_judged(
            bytes in proptest::collection::vec(any::<u8>(), SECTOR), len in any::<u64>(),
        ) {
            let mut raw: [u8; SECTOR] = bytes.try_into().unwrap();
            (raw[0], raw[2]) = (0xEB, 0x90);
            let _ = Geometry::new(&BootSector::decode(&raw), len);
        }
    }
}
