//! The sparse extent header and the markers, from VMware's "Virtual Disk
//! Format 5.0" technical note. Every number is little-endian; offsets and
//! sizes count sectors of 512 bytes unless they say otherwise.

use crate::count;
use std::io;

/// `KDMV`: `VMDK` as a little-endian number.
pub const MAGIC: u32 = 0x564d_444b;
/// Bytes of the header: one sector.
pub const HEADER_LEN: usize = 512;
/// Flag: the four newline bytes are there to be checked.
pub const FLAG_NEWLINES: u32 = 1 << 0;
/// Flag: grains are compressed.
pub const FLAG_COMPRESSED: u32 = 1 << 16;
/// Flag: grains and tables have markers.
pub const FLAG_MARKERS: u32 = 1 << 17;
/// `gd_offset` of a header whose directory is found through the footer.
pub const GD_AT_END: u64 = u64::MAX;
/// Sectors of a grain that p9img writes: 64 KiB.
pub const GRAIN: u64 = 128;
/// Entries of a grain table; no other number is ever used.
pub const TABLE_ENTRIES: u32 = 512;
/// Bytes of a grain's marker: sector on the disk (8), stream length (4).
pub const GRAIN_MARKER: u64 = 12;

/// Kinds of metadata marker.
pub const MARKER_END: u32 = 0;
pub const MARKER_TABLE: u32 = 1;
pub const MARKER_DIRECTORY: u32 = 2;
pub const MARKER_FOOTER: u32 = 3;

/// `"\n"`, `' '`, `"\r\n"`: damaged by transfers in text mode.
const NEWLINES: [u8; 4] = [b'\n', b' ', b'\r', b'\n'];

/// Fields of the header, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u32,
    pub flags: u32,
    /// Length of the disk.
    pub capacity: u64,
    /// Length of a grain.
    pub grain: u64,
    pub descriptor_offset: u64,
    pub descriptor_size: u64,
    pub table_entries: u32,
    pub gd_offset: u64,
    /// First sector for grains.
    pub overhead: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(4, &self.version.to_le_bytes());
        put(8, &self.flags.to_le_bytes());
        put(12, &self.capacity.to_le_bytes());
        put(20, &self.grain.to_le_bytes());
        put(28, &self.descriptor_offset.to_le_bytes());
        put(36, &self.descriptor_size.to_le_bytes());
        put(44, &self.table_entries.to_le_bytes());
        // 48: offset of a redundant directory; there is none.
        put(56, &self.gd_offset.to_le_bytes());
        put(64, &self.overhead.to_le_bytes());
        // 72: unclean shutdown; no.
        put(73, &NEWLINES);
        put(77, &u16::from(self.flags & FLAG_COMPRESSED != 0).to_le_bytes());
        out
    }

    /// Reads a header and refuses what this reader cannot do.
    ///
    /// # Errors
    /// `InvalidData` naming the field.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> io::Result<Self> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let header = Self {
            version: u32_at(4),
            flags: u32_at(8),
            capacity: u64_at(12),
            grain: u64_at(20),
            descriptor_offset: u64_at(28),
            descriptor_size: u64_at(36),
            table_entries: u32_at(44),
            gd_offset: u64_at(56),
            overhead: u64_at(64),
        };
        if u32_at(0) != MAGIC {
            return Err(bad(format!("VMDK magic is {:#010x}, expected {MAGIC:#010x}", u32_at(0))));
        }
        if !(1..=3).contains(&header.version) {
            return Err(bad(format!("VMDK version is {}, expected 1 to 3", header.version)));
        }
        let incompatible = header.flags & 0xffff_0000 & !(FLAG_COMPRESSED | FLAG_MARKERS);
        if incompatible != 0 {
            return Err(bad(format!("VMDK has unknown incompatible flags {incompatible:#x}")));
        }
        if header.flags & FLAG_NEWLINES != 0 && bytes[73..77] != NEWLINES {
            return Err(bad(format!(
                "VMDK newline bytes are {:02x?}, expected {NEWLINES:02x?}: the file went through a transfer in text mode",
                &bytes[73..77]
            )));
        }
        if !header.grain.is_power_of_two() || !(8..=2048).contains(&header.grain) {
            return Err(bad(format!(
                "VMDK grain is {}, expected a power of two from 8 to 2048",
                count::of(header.grain, "sector")
            )));
        }
        if header.table_entries != TABLE_ENTRIES {
            return Err(bad(format!(
                "VMDK grain table has {}, expected {TABLE_ENTRIES}",
                count::of(header.table_entries, "entry")
            )));
        }
        if header.capacity > u64::MAX / 512 {
            return Err(bad(format!(
                "VMDK capacity is {}, more than 64 bits of bytes",
                count::of(header.capacity, "sector")
            )));
        }
        let algorithm = u16::from_le_bytes([bytes[77], bytes[78]]);
        if algorithm != u16::from(header.flags & FLAG_COMPRESSED != 0) {
            return Err(bad(format!("VMDK compression algorithm is {algorithm}, flags are {:#x}", header.flags)));
        }
        Ok(header)
    }

    /// Grain tables that the disk needs.
    pub const fn tables(&self) -> u64 {
        self.capacity.div_ceil(self.grain).div_ceil(TABLE_ENTRIES as u64)
    }
}

/// A metadata marker: one sector that tells the kind and length of what follows.
pub fn marker(kind: u32, sectors: u64) -> [u8; 512] {
    let mut out = [0; 512];
    out[..8].copy_from_slice(&sectors.to_le_bytes());
    // 8: length of a grain's stream; 0 tells metadata from grains.
    out[12..16].copy_from_slice(&kind.to_le_bytes());
    out
}

pub(super) fn bad(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: 3,
            flags: FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS,
            capacity: 4_194_304,
            grain: GRAIN,
            descriptor_offset: 1,
            descriptor_size: 20,
            table_entries: TABLE_ENTRIES,
            gd_offset: GD_AT_END,
            overhead: 128,
        }
    }

    #[test]
    fn header_survives() {
        assert_eq!(Header::decode(&header().encode()).unwrap(), header());
        assert_eq!(header().tables(), 64);
    }

    #[test]
    fn each_damaged_field_is_named() {
        for (at, value, expect) in [
            (0, 0, "magic"),
            (4, 4, "version is 4"),
            (10, 7, "incompatible flags 0x40000"),
            (19, 0xff, "capacity"),
            (20, 127, "grain is 127"),
            (44, 1, "513 entries"),
            (74, b'\n', "text mode"),
            (77, 0, "compression algorithm is 0"),
        ] {
            let mut bytes = header().encode();
            bytes[at] = value;
            let message = Header::decode(&bytes).unwrap_err().to_string();
            assert!(message.contains(expect), "{at}: {message}");
        }
    }
}
