//! The master boot record: boot code and four partition entries in sector 0.
//!
//! Written as `disk/mbr -9` does (`/sys/src/cmd/disk/mbr.c`): one active entry
//! of type 0x39. The code that 9legacy and 9front install insists on exactly
//! one active entry. Addresses are in sectors of 512 bytes; cylinder, head and
//! sector are filled too, for readers that know nothing else, and stop at
//! cylinder 1023.

use crate::count;
use thiserror::Error;

/// Offset of the entries: boot code must end here.
pub const ENTRIES_AT: usize = 446;
/// Partition type of Plan 9.
pub const TYPE_PLAN9: u8 = 0x39;
/// The FAT type that every board's ROM reads by sector numbers.
pub const TYPE_FAT_LBA: u8 = 0x0C;
/// A stand-in for a GUID partition table: the whole disk, as if it were one partition.
pub const TYPE_GPT: u8 = 0xEE;
/// The EFI system partition.
pub const TYPE_EFI: u8 = 0xEF;
/// Partition types that 9legacy's loader takes for FAT (`dos`).
pub const TYPES_FAT: [u8; 5] = [0x01, 0x04, 0x06, 0x0B, 0x0C];
/// Partition types that hold a chain of further tables.
pub const TYPES_EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];

/// Heads and sectors per track that a BIOS makes up for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chs {
    pub heads: u16,
    pub sectors_per_track: u16,
}

impl Chs {
    /// Geometry that Plan 9 guesses for a disk of `sectors` sectors with no
    /// partition table (`/sys/src/libdisk/disk.c`).
    pub fn guess(sectors: u64) -> Self {
        let guesses = [(64, 32), (64, 63), (128, 63), (255, 63)];
        let fits = |(h, s): &(u16, u16)| 1024 * u64::from(*h) * u64::from(*s) >= sectors;
        let (heads, sectors_per_track) = guesses.into_iter().find(fits).unwrap_or((255, 63));
        Self { heads, sectors_per_track }
    }

    /// The three bytes of an address: head, sector with the cylinder's upper
    /// bits, cylinder. Past cylinder 1023: its last sector.
    fn encode(self, lba: u32) -> [u8; 3] {
        let (heads, per_track) = (u32::from(self.heads), u32::from(self.sectors_per_track));
        let (cylinder, head, sector) = match lba / (heads * per_track) {
            c if c < 1024 => (c, lba / per_track % heads, lba % per_track),
            _ => (1023, heads - 1, per_track - 1),
        };
        [head as u8, (sector + 1) as u8 & 0x3F | (cylinder >> 2) as u8 & 0xC0, cylinder as u8]
    }
}

/// One of the four entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbrEntry {
    pub active: bool,
    pub kind: u8,
    /// First sector.
    pub start: u32,
    pub sectors: u32,
}

impl MbrEntry {
    /// First sector after the partition.
    pub fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.sectors)
    }
    pub fn is_plan9(&self) -> bool {
        self.kind == TYPE_PLAN9
    }
    pub fn is_fat(&self) -> bool {
        TYPES_FAT.contains(&self.kind)
    }
    pub fn is_extended(&self) -> bool {
        TYPES_EXTENDED.contains(&self.kind)
    }
}

/// A master boot record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mbr {
    /// At most 446 bytes.
    pub code: Vec<u8>,
    pub entries: [Option<MbrEntry>; 4],
}

/// Damage of a master boot record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MbrError {
    #[error("The boot code of the MBR has {n}, but there are only 446 before the partition entries", n = count::of(.0, "byte"))]
    CodeTooLong(usize),
    #[error("Sector 0 ends with {0:02x} {1:02x}, expected 55 aa")]
    Signature(u8, u8),
    #[error("Partition entry {index} begins with {found:02x}, expected 00 or 80 (active)")]
    Active { index: usize, found: u8 },
}

impl Mbr {
    /// Boot code and one active Plan 9 partition, as `disk/mbr -9` makes it.
    pub fn plan9(code: Vec<u8>, start: u32, sectors: u32) -> Self {
        let entry = MbrEntry { active: true, kind: TYPE_PLAN9, start, sectors };
        Self { code, entries: [Some(entry), None, None, None] }
    }

    /// The sector, with cylinders as `chs` has them.
    ///
    /// # Errors
    /// [`MbrError::CodeTooLong`].
    pub fn encode(&self, chs: Chs) -> Result<[u8; 512], MbrError> {
        let mut out = [0; 512];
        if self.code.len() > ENTRIES_AT {
            return Err(MbrError::CodeTooLong(self.code.len()));
        }
        out[..self.code.len()].copy_from_slice(&self.code);
        for (raw, entry) in out[ENTRIES_AT..510].chunks_exact_mut(16).zip(&self.entries) {
            let Some(e) = entry else { continue };
            raw[0] = if e.active { 0x80 } else { 0 };
            raw[1..4].copy_from_slice(&chs.encode(e.start));
            raw[4] = e.kind;
            let last = u32::try_from(e.end().saturating_sub(1)).unwrap_or(u32::MAX);
            raw[5..8].copy_from_slice(&chs.encode(last));
            raw[8..12].copy_from_slice(&e.start.to_le_bytes());
            raw[12..16].copy_from_slice(&e.sectors.to_le_bytes());
        }
        out[510..].copy_from_slice(&[0x55, 0xAA]);
        Ok(out)
    }

    /// Decodes a sector. An entry of type 0 is none.
    ///
    /// # Errors
    /// Fails without the signature, and when an entry does not begin with 00 or
    /// 80: a FAT boot sector also ends with the signature, but seldom passes
    /// that.
    pub fn decode(sector: &[u8; 512]) -> Result<Self, MbrError> {
        if sector[510..] != [0x55, 0xAA] {
            return Err(MbrError::Signature(sector[510], sector[511]));
        }
        let mut entries = [None; 4];
        for (index, raw) in sector[ENTRIES_AT..510].chunks_exact(16).enumerate() {
            if raw[0] & 0x7F != 0 {
                return Err(MbrError::Active { index, found: raw[0] });
            }
            let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
            if raw[4] != 0 {
                let entry = MbrEntry { active: raw[0] == 0x80, kind: raw[4], start: word(8), sectors: word(12) };
                entries[index] = Some(entry);
            }
        }
        Ok(Self { code: sector[..ENTRIES_AT].to_vec(), entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_as_disk_mbr_writes_them() {
        let chs = Chs::guess(4_194_304);
        assert_eq!(chs, Chs { heads: 128, sectors_per_track: 63 });
        let raw = Mbr::plan9(vec![0xFA], 2048, 4_194_304 - 2048).encode(chs).unwrap();
        // 2048 = 32 tracks and 32 sectors; 4194303 = cylinder 520, head 15, sector 63 of 63.
        let (c, h, s) = (4_194_303 / 8064, 4_194_303 / 63 % 128, 4_194_303 % 63 + 1);
        assert_eq!(raw[446..454], [0x80, 32, 33, 0, 0x39, h as u8, s as u8 | (c >> 8 << 6) as u8, c as u8]);
        assert_eq!(raw[454..462], [0, 8, 0, 0, 0, 0xF8, 0x3F, 0]);
        assert_eq!((raw[0], &raw[510..]), (0xFA, &[0x55, 0xAA][..]));
    }

    #[test]
    fn cylinders_stop_at_1023() {
        let chs = Chs::guess(1 << 27);
        let raw = Mbr::plan9(Vec::new(), 1 << 26, 1 << 26).encode(chs).unwrap();
        assert_eq!(raw[447..450], [254, 0xFF, 0xFF]);
        assert_eq!(raw[451..454], [254, 0xFF, 0xFF]);
    }

    #[test]
    fn damage_has_its_own_error() {
        let good = Mbr::plan9(Vec::new(), 63, 1000).encode(Chs::guess(2000)).unwrap();
        let mut bad = good;
        bad[511] = 0;
        assert_eq!(Mbr::decode(&bad), Err(MbrError::Signature(0x55, 0)));
        let mut bad = good;
        bad[446 + 16] = 0x11;
        assert_eq!(Mbr::decode(&bad), Err(MbrError::Active { index: 1, found: 0x11 }));
        let long = Mbr::plan9(vec![0; 447], 63, 1000);
        assert_eq!(long.encode(Chs::guess(2000)), Err(MbrError::CodeTooLong(447)));
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(
            raw in proptest::array::uniform4(proptest::option::of((any::<bool>(), 1u8.., any::<u32>(), any::<u32>()))),
            sectors in any::<u64>(),
        ) {
            let entries = raw.map(|e| e.map(|(active, kind, start, sectors)| MbrEntry { active, kind, start, sectors }));
            let mbr = Mbr { code: vec![7; ENTRIES_AT], entries };
            prop_assert_eq!(Mbr::decode(&mbr.encode(Chs::guess(sectors)).unwrap()), Ok(mbr));
        }

        #[test]
        fn any_sector_is_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 512)) {
            let mut sector: [u8; 512] = bytes.try_into().unwrap();
            sector[510..].copy_from_slice(&[0x55, 0xAA]);
            let _ = Mbr::decode(&sector);
        }
    }
}
