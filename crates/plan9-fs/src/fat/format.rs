//! The structures of FAT as they lie on the disk: boot sector, directory
//! entry, table entry, time, 8.3 name. Numbers are little-endian.
//!
//! Field names are Plan 9's where it has one (`/sys/src/cmd/disk/format.c`);
//! `doc/fat.md` has the byte maps. Decoding never fails: [`Geometry`] decides
//! whether the values make sense together.

pub use super::geometry::{BadBootSector, Geometry};
pub use super::names::{BadName, short_name, shown_name};

/// Bytes in a sector of every volume that p9img writes.
pub const SECTOR: usize = 512;
/// Bytes in a directory entry.
pub const DIRENT: usize = 32;
/// First offset for boot code: after the extended parameter block of FAT12/16.
pub const CODE_START: usize = 0x3E;

/// Attribute of a file that DOS does not write to.
pub const ATTR_READ_ONLY: u8 = 0x01;
/// Attribute of a file that DOS does not list.
pub const ATTR_HIDDEN: u8 = 0x02;
/// Attribute that `disk/format` gives to a file called `9load`.
pub const ATTR_SYSTEM: u8 = 0x04;
/// Attribute of the entry that holds the volume's label.
pub const ATTR_LABEL: u8 = 0x08;
/// Attribute of a directory.
pub const ATTR_DIR: u8 = 0x10;
/// Attribute of a file that changed since the last backup.
pub const ATTR_ARCHIVE: u8 = 0x20;
/// The four low attribute bits together mark a part of a long name.
pub const ATTR_LONG: u8 = 0x0F;

/// First byte of an entry that was removed.
pub const REMOVED: u8 = 0xE5;

pub(crate) fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}
pub(crate) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}
fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
}
fn put32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

/// Width of a table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FatType {
    /// Entries of 12 bits: fewer than 4085 clusters.
    Fat12,
    /// Entries of 16 bits: fewer than 65525 clusters.
    Fat16,
    /// Entries of 32 bits, of which 28 count; the root is a chain of clusters.
    Fat32,
}

impl FatType {
    /// Bits of a table's entry.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }
    /// The eight bytes that the boot sector carries for people.
    pub const fn name(self) -> &'static [u8; 8] {
        match self {
            Self::Fat12 => b"FAT12   ",
            Self::Fat16 => b"FAT16   ",
            Self::Fat32 => b"FAT32   ",
        }
    }
    /// Table entries from here on mean the end of a chain.
    pub const fn end_of_chain(self) -> u32 {
        match self {
            Self::Fat12 => 0xFF8,
            Self::Fat16 => 0xFFF8,
            Self::Fat32 => 0x0FFF_FFF8,
        }
    }
    /// The entry of a cluster that must not be used.
    pub const fn bad_cluster(self) -> u32 {
        self.end_of_chain() - 1
    }
    /// Number of data clusters from which on a volume is of the next type.
    pub const fn cluster_limit(self) -> u32 {
        match self {
            Self::Fat12 => 4085,
            Self::Fat16 => 65525,
            Self::Fat32 => 0x0FFF_FFF5,
        }
    }
    /// Bytes of a table with `entries` entries.
    pub const fn table_bytes(self, entries: u64) -> u64 {
        (entries * self.bits() as u64).div_ceil(8)
    }
    /// Entry `cluster` of `table`; `None` past its end.
    pub fn get(self, table: &[u8], cluster: u32) -> Option<u32> {
        let n = cluster as usize;
        match self {
            Self::Fat12 => {
                let at = n + n / 2;
                let pair = u32::from(*table.get(at)?) | u32::from(*table.get(at + 1)?) << 8;
                Some(if n % 2 == 1 { pair >> 4 } else { pair & 0xFFF })
            }
            Self::Fat16 => table.get(2 * n..2 * n + 2).map(|b| u16_at(b, 0).into()),
            // The upper four bits of a FAT32 entry are not part of its value.
            Self::Fat32 => table.get(4 * n..4 * n + 4).map(|b| u32_at(b, 0) & 0x0FFF_FFFF),
        }
    }
    /// Sets entry `cluster` of `table`.
    ///
    /// # Panics
    /// If `cluster` lies past the end of the table.
    pub fn set(self, table: &mut [u8], cluster: u32, value: u32) {
        let n = cluster as usize;
        match self {
            Self::Fat12 => {
                let at = n + n / 2;
                (table[at], table[at + 1]) = if n % 2 == 1 {
                    (table[at] & 0x0F | (value << 4) as u8, (value >> 4) as u8)
                } else {
                    (value as u8, table[at + 1] & 0xF0 | (value >> 8) as u8 & 0x0F)
                };
            }
            Self::Fat16 => put16(table, 2 * n, value as u16),
            Self::Fat32 => put32(table, 4 * n, value),
        }
    }
}

/// The boot sector's parameters. The fields up to `big_volsize` are the
/// parameter block, the rest its extension (at another place in FAT32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSector {
    /// Jump to the boot code.
    pub magic: [u8; 3],
    /// Name of the program that formatted the volume.
    pub version: [u8; 8],
    /// Bytes in a sector.
    pub sectsize: u16,
    /// Sectors in a cluster.
    pub clustsize: u8,
    /// Sectors before the first table.
    pub nresrv: u16,
    /// Number of tables.
    pub nfats: u8,
    /// Entries of the root directory; 0 in FAT32.
    pub rootsize: u16,
    /// Sectors of the volume if fewer than 2^16.
    pub volsize: u16,
    /// Kind of disk: 0xf8 for a hard disk, 0xf0 for a floppy disk.
    pub mediadesc: u8,
    /// Sectors of one table; 0 in FAT32.
    pub fatsize: u16,
    /// Sectors in a track.
    pub trksize: u16,
    /// Heads of the drive.
    pub nheads: u16,
    /// Sectors of the disk before the volume.
    pub nhidden: u32,
    /// Sectors of the volume.
    pub bigvolsize: u32,
    /// FAT32: sectors of one table.
    pub bigfatsize: u32,
    /// FAT32: first cluster of the root directory.
    pub rootclust: u32,
    /// BIOS drive number: 0x80 for the first hard disk.
    pub driveno: u8,
    /// 0x28 or 0x29 when the fields below are there.
    pub bootsig: u8,
    /// Serial number of the volume.
    pub volid: u32,
    /// Label of the volume, padded with blanks.
    pub label: [u8; 11],
    /// Name of the type, such as `FAT16   `: for people, it decides nothing.
    pub fstype: [u8; 8],
    /// The sector ends with 55 AA.
    pub signed: bool,
}

impl BootSector {
    // Offsets of the fields, named as they are.
    pub(super) const VERSION_AT: usize = 3;
    pub(super) const SECTSIZE_AT: usize = 11;
    pub(super) const CLUSTSIZE_AT: usize = 13;
    pub(super) const NRESRV_AT: usize = 14;
    pub(super) const NFATS_AT: usize = 16;
    pub(super) const ROOTSIZE_AT: usize = 17;
    pub(super) const VOLSIZE_AT: usize = 19;
    pub(super) const MEDIADESC_AT: usize = 21;
    pub(super) const FATSIZE_AT: usize = 22;
    pub(super) const TRKSIZE_AT: usize = 24;
    pub(super) const NHEADS_AT: usize = 26;
    pub(super) const NHIDDEN_AT: usize = 28;
    pub(super) const BIGVOLSIZE_AT: usize = 32;
    /// Offset of the extension in a volume with [`FatType::Fat12`] or [`FatType::Fat16`].
    const EXTENSION_AT: usize = 36;
    // Offsets of the fields that only [`FatType::Fat32`] has.
    pub(super) const BIGFATSIZE_AT: usize = 36;
    pub(super) const ROOTCLUST_AT: usize = 44;
    // Offsets of the fields of the extension in other volumes.
    const DRIVENO_AT: usize = Self::EXTENSION_AT;
    const BOOTSIG_AT: usize = Self::EXTENSION_AT + 2;
    pub(super) const VOLID_AT: usize = Self::EXTENSION_AT + 3;
    const LABEL_AT: usize = Self::EXTENSION_AT + 7;
    pub(super) const FSTYPE_AT: usize = Self::EXTENSION_AT + 18;
    /// Offset of the signature.
    pub(super) const SIGNED_AT: usize = 510;

    /// Takes the fields as they are; [`Geometry`] decides whether they make sense.
    pub fn decode(b: &[u8; SECTOR]) -> Self {
        let fat32 = u16_at(b, Self::FATSIZE_AT) == 0;
        let more = if fat32 { 64 - Self::EXTENSION_AT } else { 0 };
        Self {
            magic: b[0..3].try_into().expect("three bytes"),
            version: b[Self::VERSION_AT..Self::SECTSIZE_AT].try_into().expect("eight bytes"),
            sectsize: u16_at(b, Self::SECTSIZE_AT),
            clustsize: b[Self::CLUSTSIZE_AT],
            nresrv: u16_at(b, Self::NRESRV_AT),
            nfats: b[Self::NFATS_AT],
            rootsize: u16_at(b, Self::ROOTSIZE_AT),
            volsize: u16_at(b, Self::VOLSIZE_AT),
            mediadesc: b[Self::MEDIADESC_AT],
            fatsize: u16_at(b, Self::FATSIZE_AT),
            trksize: u16_at(b, Self::TRKSIZE_AT),
            nheads: u16_at(b, Self::NHEADS_AT),
            nhidden: u32_at(b, Self::NHIDDEN_AT),
            bigvolsize: u32_at(b, Self::BIGVOLSIZE_AT),
            bigfatsize: if fat32 { u32_at(b, Self::BIGFATSIZE_AT) } else { 0 },
            rootclust: if fat32 { u32_at(b, Self::ROOTCLUST_AT) } else { 0 },
            driveno: b[Self::DRIVENO_AT + more],
            bootsig: b[Self::BOOTSIG_AT + more],
            volid: u32_at(b, Self::VOLID_AT + more),
            label: b[Self::LABEL_AT + more..][..11].try_into().expect("eleven bytes"),
            fstype: b[Self::FSTYPE_AT + more..][..8].try_into().expect("eight bytes"),
            signed: b[Self::SIGNED_AT..] == [0x55, 0xAA],
        }
    }

    /// Writes the fields of a FAT12 or FAT16 volume; leaves all other bytes.
    pub fn encode(&self, b: &mut [u8; SECTOR]) {
        b[0..3].copy_from_slice(&self.magic);
        b[Self::VERSION_AT..][..8].copy_from_slice(&self.version);
        put16(b, Self::SECTSIZE_AT, self.sectsize);
        b[Self::CLUSTSIZE_AT] = self.clustsize;
        put16(b, Self::NRESRV_AT, self.nresrv);
        b[Self::NFATS_AT] = self.nfats;
        put16(b, Self::ROOTSIZE_AT, self.rootsize);
        put16(b, Self::VOLSIZE_AT, self.volsize);
        b[Self::MEDIADESC_AT] = self.mediadesc;
        put16(b, Self::FATSIZE_AT, self.fatsize);
        put16(b, Self::TRKSIZE_AT, self.trksize);
        put16(b, Self::NHEADS_AT, self.nheads);
        put32(b, Self::NHIDDEN_AT, self.nhidden);
        put32(b, Self::BIGVOLSIZE_AT, self.bigvolsize);
        b[Self::DRIVENO_AT] = self.driveno;
        b[Self::BOOTSIG_AT] = self.bootsig;
        put32(b, Self::VOLID_AT, self.volid);
        b[Self::LABEL_AT..][..11].copy_from_slice(&self.label);
        b[Self::FSTYPE_AT..][..8].copy_from_slice(&self.fstype);
        if self.signed {
            b[Self::SIGNED_AT..].copy_from_slice(&[0x55, 0xAA]);
        }
    }

    /// Sectors of the volume.
    pub fn sectors(&self) -> u32 {
        if self.volsize != 0 { self.volsize.into() } else { self.bigvolsize }
    }
}

/// A directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Eight bytes of name and three of extension, padded with blanks.
    pub name: [u8; 11],
    /// Attributes: the `ATTR_` bits.
    pub attr: u8,
    /// Bits 3 and 4: name and extension are to be shown in lower case.
    pub case: u8,
    /// Time of the last change: hours, minutes and half the seconds.
    pub time: u16,
    /// Date of the last change: years since 1980, month and day.
    pub date: u16,
    /// First cluster; 0 for an empty file.
    pub start: u32,
    /// Bytes; 0 for a directory.
    pub len: u32,
}

impl DirEntry {
    // Offsets of the fields after the name.
    pub(super) const ATTR_AT: usize = 11;
    pub(super) const CASE_AT: usize = 12;
    pub(super) const HIGH_START_AT: usize = 20;
    pub(super) const TIME_AT: usize = 22;
    pub(super) const DATE_AT: usize = 24;
    pub(super) const START_AT: usize = 26;
    pub(super) const LEN_AT: usize = 28;

    /// Takes the fields as they are.
    pub fn decode(b: &[u8; DIRENT]) -> Self {
        Self {
            name: b[..11].try_into().expect("eleven bytes"),
            attr: b[Self::ATTR_AT],
            case: b[Self::CASE_AT],
            time: u16_at(b, Self::TIME_AT),
            date: u16_at(b, Self::DATE_AT),
            start: u32::from(u16_at(b, Self::HIGH_START_AT)) << 16 | u32::from(u16_at(b, Self::START_AT)),
            len: u32_at(b, Self::LEN_AT),
        }
    }
    /// Bytes of the entry.
    pub fn encode(&self) -> [u8; DIRENT] {
        let mut b = [0; DIRENT];
        b[..11].copy_from_slice(&self.name);
        b[Self::ATTR_AT] = self.attr;
        b[Self::CASE_AT] = self.case;
        put16(&mut b, Self::HIGH_START_AT, (self.start >> 16) as u16);
        put16(&mut b, Self::TIME_AT, self.time);
        put16(&mut b, Self::DATE_AT, self.date);
        put16(&mut b, Self::START_AT, self.start as u16);
        put32(&mut b, Self::LEN_AT, self.len);
        b
    }
}

/// The date and time words of an entry for a Unix time in UTC, two seconds
/// apart. Times before 1980 become its first second, those after 2107 (which
/// a `u32` does not reach) cannot occur.
pub fn dos_time(unix: u32) -> (u16, u16) {
    let Ok(t) = time::OffsetDateTime::from_unix_timestamp(unix.into()) else { return (0x21, 0) };
    let Ok(year) = u16::try_from(t.year() - 1980) else { return (0x21, 0) };
    let date = year << 9 | u16::from(u8::from(t.month())) << 5 | u16::from(t.day());
    let time = u16::from(t.hour()) << 11 | u16::from(t.minute()) << 5 | u16::from(t.second()) >> 1;
    (date, time)
}

/// The Unix time of an entry's words; 0 for a date that does not exist and for
/// one that a `u32` cannot hold.
pub fn unix_time(date: u16, clock: u16) -> u32 {
    let day = u8::try_from(date >> 5 & 15)
        .ok()
        .and_then(|m| time::Month::try_from(m).ok())
        .and_then(|month| time::Date::from_calendar_date(1980 + i32::from(date >> 9), month, (date & 31) as u8).ok());
    let at = day.and_then(|d| d.with_hms((clock >> 11) as u8, (clock >> 5 & 63) as u8, (clock & 31) as u8 * 2).ok());
    at.and_then(|t| u32::try_from(t.assume_utc().unix_timestamp()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_before_dos_are_its_first_second() {
        assert_eq!(dos_time(0), (0x21, 0));
        assert_eq!(unix_time(0x21, 0), 315_532_800);
        assert_eq!(unix_time(0, 0), 0);
        assert_eq!(unix_time(0xFFFF, 0xFFFF), 0);
    }

    proptest! {
        #[test]
        fn times_keep_their_even_second(unix in 315_532_800u32..) {
            let (date, clock) = dos_time(unix);
            prop_assert_eq!(unix_time(date, clock), unix & !1);
        }

        #[test]
        fn table_entries_do_not_touch_each_other(
            values in proptest::collection::vec(0u32..0x0FFF_FFFF, 1..60),
            fat in prop_oneof![Just(FatType::Fat12), Just(FatType::Fat16), Just(FatType::Fat32)],
            order in any::<proptest::sample::Index>(),
        ) {
            let mask = (1u64 << fat.bits()) as u32;
            let mask = if mask == 0 { 0x0FFF_FFFF } else { mask - 1 };
            let mut table = vec![0; fat.table_bytes(values.len() as u64) as usize + 1];
            let first = order.index(values.len());
            for i in (0..values.len()).map(|i| (i + first) % values.len()) {
                fat.set(&mut table, i as u32, values[i] & mask);
            }
            for (i, v) in values.iter().enumerate() {
                prop_assert_eq!(fat.get(&table, i as u32), Some(v & mask));
            }
        }
    }
}
