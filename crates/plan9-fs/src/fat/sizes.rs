//! Boot sector and sizes of a volume to be written, as `disk/format` finds them.

use super::format::{BootSector, CODE_START, DIRENT, FatType, SECTOR};
use super::layout::{LayoutError, Options};

/// Boot code of a volume that is given none: hands the start back to the BIOS
/// (interrupt 18h), then stays where it is.
const NO_BOOT: [u8; 4] = [0xCD, 0x18, 0xEB, 0xFE];

/// Type, sectors of a table and entries of the root directory.
fn settle(o: &Options) -> Result<(FatType, u16, u16), LayoutError> {
    let (sectors, per) = (u64::from(o.sectors), u64::from(o.sectors_per_cluster));
    let root_sectors = (sectors / 200).min(512 * DIRENT as u64 / SECTOR as u64);
    let root_entries = (root_sectors * (SECTOR / DIRENT) as u64) as u16;
    let mut clusters = 0;
    for fat_type in [FatType::Fat12, FatType::Fat16] {
        // Table and clusters depend on each other. disk/format starts without
        // clusters and repeats until nothing changes; where that would swing
        // for ever and it gives up, the larger of two tables is right too.
        let mut entries = 0;
        let mut fat_sectors = 0;
        for round in 0.. {
            let need = fat_type.table_bytes(entries).div_ceil(SECTOR as u64);
            fat_sectors = if round < 10 { need } else { need.max(fat_sectors) };
            let data = u64::from(o.reserved) + 2 * fat_sectors + root_sectors;
            if data >= sectors {
                return Err(LayoutError::TooSmall { sectors: o.sectors, need: data });
            }
            let new = 2 + (sectors - data) / per;
            let settled = new == entries;
            entries = new;
            if settled || round > 12 {
                break;
            }
        }
        clusters = entries - 2;
        if clusters < u64::from(fat_type.cluster_limit()) {
            // Readers tell the type by the number of clusters alone, so a FAT16
            // whose larger tables left too few would be read as FAT12.
            if fat_type == FatType::Fat16 && clusters < u64::from(FatType::Fat12.cluster_limit()) {
                return Err(LayoutError::Between { sectors: o.sectors, clusters });
            }
            let fat_sectors = u16::try_from(fat_sectors).expect("65525 entries fill 256 sectors");
            return Ok((fat_type, fat_sectors, root_entries));
        }
    }
    Err(LayoutError::TooLarge { sectors: o.sectors, clusters, per: o.sectors_per_cluster })
}

/// The boot sector, decoded and as bytes.
pub(super) fn boot_sector(o: &Options) -> Result<(BootSector, [u8; SECTOR]), LayoutError> {
    if !o.sectors_per_cluster.is_power_of_two() {
        return Err(LayoutError::ClusterSize(o.sectors_per_cluster));
    }
    if o.reserved == 0 {
        return Err(LayoutError::NoReserved);
    }
    let end = u64::from(o.hidden_lba) + u64::from(o.sectors);
    if end > u64::from(u32::MAX) {
        return Err(LayoutError::Address(end));
    }
    let (fat_type, fatsize, rootsize) = settle(o)?;
    let mut raw = [0; SECTOR];
    let mut magic = [0xEB, (CODE_START - 2) as u8, 0x90];
    match &o.boot_code {
        None => raw[CODE_START..CODE_START + NO_BOOT.len()].copy_from_slice(&NO_BOOT),
        Some(code) => {
            if !(64..=SECTOR - 2).contains(&code.len()) {
                return Err(LayoutError::BootCodeLength(code.len()));
            }
            // 9legacy's format writes its own jump, 9front's takes the file's;
            // for the boot sectors of 9legacy that is the same.
            if code[0] == 0xEB {
                magic.copy_from_slice(&code[..3]);
            }
            let from = usize::from(magic[1]) + 2;
            if !(CODE_START..code.len()).contains(&from) {
                return Err(LayoutError::BootCodeJump(from));
            }
            raw[from..code.len()].copy_from_slice(&code[from..]);
        }
    }
    let root_lba = o.hidden_lba + u32::from(o.reserved) + 2 * u32::from(fatsize);
    let boot = BootSector {
        magic,
        version: *b"Plan9.00",
        sectsize: SECTOR as u16,
        clustsize: o.sectors_per_cluster,
        nresrv: o.reserved,
        nfats: 2,
        rootsize,
        volsize: u16::try_from(o.sectors).unwrap_or(0),
        mediadesc: o.media,
        fatsize,
        trksize: o.sectors_per_track,
        nheads: o.heads,
        nhidden: o.hidden_lba,
        bigvolsize: o.sectors,
        bigfatsize: 0,
        rootclust: 0,
        driveno: o.drive,
        bootsig: 0x29,
        volid: o.volume_id.unwrap_or(root_lba),
        label: o.label,
        fstype: *fat_type.name(),
        signed: true,
    };
    boot.encode(&mut raw);
    Ok((boot, raw))
}

#[cfg(test)]
mod tests {
    use super::super::format::Geometry;
    use super::*;

    /// Every length is either refused in words or settles on a table that
    /// holds its clusters.
    #[test]
    fn every_length_settles() {
        for sectors in (0..150_000).step_by(7).chain(16_000..18_000).chain(261_000..262_800) {
            for per in [1, 2, 4, 8] {
                let options = Options { sectors_per_cluster: per, ..Options::hard_disk(sectors, 0, 0) };
                match boot_sector(&options) {
                    Ok((boot, _)) => {
                        let g = Geometry::new(&boot, u64::from(sectors) * 512).unwrap();
                        assert_eq!(g.fat_type.name(), &boot.fstype, "{sectors} {per}");
                    }
                    Err(LayoutError::Between { clusters, .. }) => assert!((4070..4085).contains(&clusters)),
                    Err(LayoutError::TooSmall { .. }) => assert!(sectors < 10, "{sectors} {per}"),
                    Err(LayoutError::TooLarge { .. }) => assert!(sectors / u32::from(per) > 65_500, "{sectors} {per}"),
                    Err(e) => panic!("{sectors} {per}: {e}"),
                }
            }
        }
    }
}
