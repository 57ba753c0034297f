//! Where the parts of a volume are, by its boot sector, and whether they fit.

use super::format::{BootSector, DIRENT, FatType};
use thiserror::Error;

/// Why a boot sector does not describe a FAT volume.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadBootSector {
    #[error("The first bytes are {0:02x?}, expected a jump (eb .. 90 or e9)")]
    Jump([u8; 3]),
    #[error("A sector of {0} bytes is not 512, 1024, 2048 or 4096")]
    SectorSize(u16),
    #[error("A cluster of {0} sectors is not a power of two")]
    ClusterSize(u8),
    #[error("The number of {what} is 0")]
    Zero { what: &'static str },
    #[error("Reserved sectors, tables and root directory end at sector {need}, but the volume has {sectors}")]
    TooSmall { need: u64, sectors: u64 },
    #[error("The boot sector counts {sectors} sectors of {size} bytes, but the volume has only {have} bytes")]
    PastEnd { sectors: u32, size: u16, have: u64 },
    #[error("A table of {have} bytes is too small for {clusters} clusters, which need {need}")]
    TableTooSmall { clusters: u32, have: u64, need: u64 },
}

/// Where the parts of a volume are. Sectors count from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub fat_type: FatType,
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Bytes in a cluster.
    pub cluster_size: u32,
    pub reserved: u32,
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
    /// When the fields contradict each other or the length: every offset that
    /// the result yields lies within `len`.
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
