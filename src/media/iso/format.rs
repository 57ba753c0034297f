//! The structures that every ISO 9660 image has: volume descriptors and
//! directory records (ECMA-119; Plan 9's `/sys/src/cmd/disk/9660/iso9660.h`).
//!
//! Numbers are stored twice, little-endian and then big-endian; both are
//! compared. Nothing here knows what a name means.

use super::error::IsoError;
use crate::read_at::ReadAt;
use time::{Date, Month, UtcOffset};

/// Bytes of a sector: descriptors have one each, no record crosses one.
pub const SECTOR: u64 = 2048;
/// Offset of the first descriptor, in bytes.
pub const FIRST_DESCRIPTOR: u64 = 16 * SECTOR;
/// The mark of a descriptor, after its type.
pub const MAGIC: &[u8; 5] = b"CD001";
/// Descriptors looked at before an image counts as having no end of them;
/// Plan 9's `9660srv` looks at as many.
const MAX_DESCRIPTORS: u64 = 100;
/// Bytes of a record without its name.
const RECORD_LEN: usize = 33;

const ESCAPES: usize = 88;
const ROOT: usize = 156;
const ROOT_LEN: usize = 34;

/// Flags of a record.
pub const FLAG_DIR: u8 = 0x02;
/// Another file's resources, of no use elsewhere.
pub const FLAG_ASSOCIATED: u8 = 0x04;
/// The next record continues this file.
pub const FLAG_MORE: u8 = 0x80;

/// A primary or supplementary volume descriptor.
#[derive(Debug)]
pub struct Volume {
    /// System identifier without the blanks at its end.
    pub system: String,
    /// Bytes of a logical block; addresses count these.
    pub block: u32,
    /// First block of the path table, which `mk9660` writes after all else.
    pub path_table: u32,
    pub root: Extent,
}

/// Range of a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First logical block.
    pub block: u32,
    /// Bytes.
    pub len: u32,
}

/// Contents of the descriptors.
#[derive(Debug)]
pub struct Volumes {
    pub primary: Volume,
    pub joliet: Option<Volume>,
    /// The block of El Torito's boot catalog, which is no file.
    pub boot_catalog: Option<u32>,
}

pub fn read(image: &dyn ReadAt, at: u64, buf: &mut [u8]) -> Result<(), IsoError> {
    image.read_at(at, buf).map_err(|source| IsoError::Read { at, source })
}

/// Reads the descriptors up to their end.
///
/// # Errors
/// Fails when there is no primary one, or one that is needed is damaged.
pub fn volumes(image: &dyn ReadAt) -> Result<Volumes, IsoError> {
    let (mut primary, mut joliet, mut boot_catalog) = (None, None, None);
    let mut sector = [0; SECTOR as usize];
    let mut last = 16;
    for n in 0..MAX_DESCRIPTORS {
        let at = FIRST_DESCRIPTOR + n * SECTOR;
        if at + SECTOR > image.len() {
            break;
        }
        read(image, at, &mut sector)?;
        if sector[1..6] != *MAGIC {
            break;
        }
        last = 16 + n;
        match sector[0] {
            0 if sector[7..39].starts_with(b"EL TORITO SPECIFICATION") => boot_catalog = Some(little(&sector, 71)),
            1 if primary.is_none() => primary = Some(volume(&sector)?),
            2 if joliet.is_none() && is_joliet(&sector) => joliet = Some(volume(&sector)?),
            255 => break,
            _ => {}
        }
    }
    Ok(Volumes { primary: primary.ok_or(IsoError::NoPrimary { last })?, joliet, boot_catalog })
}

/// The escape sequences of UCS-2 in Joliet's three levels.
fn is_joliet(sector: &[u8]) -> bool {
    matches!(sector[ESCAPES..ESCAPES + 3], [0x25, 0x2F, 0x40 | 0x43 | 0x45])
}

fn volume(sector: &[u8]) -> Result<Volume, IsoError> {
    let (small, large) = (little16(sector, 128), u16::from_be_bytes([sector[130], sector[131]]));
    if small != large || !matches!(small, 512 | 1024 | 2048) {
        return Err(IsoError::Descriptor {
            what: "logical block size",
            found: format!("{small} or {large}"),
            expected: "512, 1024 or 2048 in both byte orders",
        });
    }
    let root = Record::parse(&sector[ROOT..ROOT + ROOT_LEN]).map_err(|why| IsoError::Record {
        path: "/".into(),
        at: FIRST_DESCRIPTOR,
        why,
    })?;
    let system: String = sector[8..40].iter().map(|b| char::from(*b)).collect();
    Ok(Volume {
        system: system.trim_end().into(),
        block: small.into(),
        path_table: little(sector, 140),
        root: root.extent("/")?,
    })
}

/// One record of a directory, within the bytes of its sector.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    bytes: &'a [u8],
    /// File identifier as stored.
    pub name: &'a [u8],
    /// System use area: the bytes after the name, from the next even offset on.
    pub system_use: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record that `bytes` begin with.
    ///
    /// # Errors
    /// Reason why it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let len = usize::from(*bytes.first().ok_or("its sector ends before it")?);
        if len <= RECORD_LEN {
            return Err("it is shorter than a record");
        }
        let bytes = bytes.get(..len).ok_or("it passes the end of its sector")?;
        let end = RECORD_LEN + usize::from(bytes[32]);
        let name = bytes.get(RECORD_LEN..end).ok_or("its name passes its end")?;
        if name.is_empty() {
            return Err("it has no name");
        }
        Ok(Self { bytes, name, system_use: bytes.get(end + (end & 1)..).unwrap_or_default() })
    }

    /// Bytes of the whole record.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The directory itself or the one above it.
    pub fn is_dot(&self) -> bool {
        matches!(self.name, [0 | 1])
    }

    pub fn flags(&self) -> u8 {
        self.bytes[25]
    }

    pub fn is_dir(&self) -> bool {
        self.flags() & FLAG_DIR != 0
    }

    /// Whether blocks of another file lie between this one's.
    pub fn is_interleaved(&self) -> bool {
        self.bytes[26] != 0 || self.bytes[27] != 0
    }

    /// Range of the bytes, after an extended attribute record.
    ///
    /// # Errors
    /// Fails when the two byte orders differ.
    pub fn extent(&self, path: &str) -> Result<Extent, IsoError> {
        let block = both(self.bytes, 2, path, "first block")?;
        let len = both(self.bytes, 10, path, "length")?;
        let attributes = u32::from(self.bytes[1]);
        let block = block.checked_add(attributes).ok_or_else(|| IsoError::Beyond {
            path: path.into(),
            start: u64::from(block),
            end: u64::from(block) + u64::from(attributes),
            len: u64::from(u32::MAX),
        })?;
        Ok(Extent { block, len })
    }

    /// Time of recording, in seconds since 1970; 0 for no time, an impossible
    /// one, and one that Plan 9 cannot count.
    pub fn time(&self) -> u32 {
        let b = &self.bytes[18..25];
        let quarters = i32::from(b[6].cast_signed());
        let offset = UtcOffset::from_whole_seconds(quarters * 15 * 60).ok();
        let date = Month::try_from(b[1])
            .ok()
            .and_then(|month| Date::from_calendar_date(1900 + i32::from(b[0]), month, b[2]).ok())
            .and_then(|date| date.with_hms(b[3], b[4], b[5]).ok());
        let seconds = date.zip(offset).map(|(date, offset)| date.assume_offset(offset).unix_timestamp());
        seconds.and_then(|s| u32::try_from(s).ok()).unwrap_or(0)
    }
}

/// A number in both byte orders at `at`.
///
/// # Errors
/// Fails when they differ.
pub fn both(bytes: &[u8], at: usize, path: &str, field: &'static str) -> Result<u32, IsoError> {
    let small = little(bytes, at);
    let large = u32::from_be_bytes([bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]]);
    if small == large {
        Ok(small)
    } else {
        Err(IsoError::Endian { path: path.into(), field, little: small, big: large })
    }
}

pub fn little(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn little16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}
