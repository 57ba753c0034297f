//! The qcow2 header and table entries, from QEMU's `docs/interop/qcow2.rst`.
//! Every number is big-endian.

use crate::read_at::{ReadAt, check_range};
use std::io;

/// `QFI\xfb`.
pub const MAGIC: u32 = 0x5146_49fb;
/// Bytes of the header with the compression type, padded to eight.
pub const HEADER_LEN: usize = 112;
/// Bytes of a version 2 header.
pub const HEADER_LEN_V2: usize = 72;
/// Bytes of the shortest version 3 header.
const HEADER_LEN_V3: usize = 104;

/// Bytes of the longest name of a backing file.
pub const MOST_NAME: u32 = 1023;
/// Bytes of the largest L1 table that QEMU takes.
pub const MOST_L1: u64 = 32 << 20;

/// Bit of `incompatible_features`: refcounts may be wrong; reading does not care.
pub const DIRTY: u64 = 1 << 0;
/// Bit: a program found some table to be wrong; reading may still work.
pub const CORRUPT: u64 = 1 << 1;
/// Bit: the guest's data is in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// Bit: `compression_type` is not zlib.
pub const COMPRESSION: u64 = 1 << 3;
/// Bit: L2 entries have subclusters.
const EXTENDED_L2: u64 = 1 << 4;

/// Bits 9 to 55 of a table entry: an offset in the file.
pub const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// Bit of an L1 or L2 entry: refcount is exactly one.
pub const COPIED: u64 = 1 << 63;
/// Bit of an L2 entry: the cluster is compressed.
pub const COMPRESSED: u64 = 1 << 62;
/// Bit of a standard L2 entry: the cluster reads as zeros (version 3).
pub const ZERO: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Zlib,
    Zstd,
}

/// Fields of the header, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u32,
    pub cluster_bits: u32,
    /// Length of the disk, bytes.
    pub size: u64,
    /// Entries in the L1 table.
    pub l1_size: u32,
    pub l1_offset: u64,
    pub refcount_offset: u64,
    /// Clusters in the refcount table.
    pub refcount_clusters: u32,
    pub compression: Compression,
    /// Place of the backing file's name in the file, offset and length; none where there
    /// is no such file.
    pub backing: Option<(u64, u32)>,
}

impl Header {
    /// The header of version 3 with 16-bit refcounts.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_be_bytes());
        put(4, &self.version.to_be_bytes());
        if let Some((offset, len)) = self.backing {
            put(8, &offset.to_be_bytes());
            put(16, &len.to_be_bytes());
        }
        put(20, &self.cluster_bits.to_be_bytes());
        put(24, &self.size.to_be_bytes());
        put(36, &self.l1_size.to_be_bytes());
        put(40, &self.l1_offset.to_be_bytes());
        put(48, &self.refcount_offset.to_be_bytes());
        put(56, &self.refcount_clusters.to_be_bytes());
        let zstd = self.compression == Compression::Zstd;
        put(72, &(if zstd { COMPRESSION } else { 0 }).to_be_bytes());
        put(96, &4u32.to_be_bytes()); // refcount_order: 1 << 4 bits
        put(100, &(HEADER_LEN as u32).to_be_bytes());
        put(104, &[u8::from(zstd)]);
        out
    }

    /// Reads a header of version 2 or 3 and refuses what this reader cannot do.
    ///
    /// # Errors
    /// `InvalidData` naming the field, or `Unsupported` naming the feature.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() < HEADER_LEN_V2 {
            return Err(bad(format!("qcow2 header needs {HEADER_LEN_V2} bytes, found {}", bytes.len())));
        }
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        if u32_at(0) != MAGIC {
            return Err(bad(format!("qcow2 magic is {:#010x}, expected {MAGIC:#010x}", u32_at(0))));
        }
        let version = u32_at(4);
        if !(2..=3).contains(&version) {
            return Err(unsupported(format!("qcow2 version {version}, expected 2 or 3")));
        }
        let cluster_bits = u32_at(20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(bad(format!("qcow2 cluster_bits is {cluster_bits}, expected 9 to 21")));
        }
        if u32_at(32) != 0 {
            return Err(unsupported(format!("encrypted qcow2 image (method {})", u32_at(32))));
        }
        let mut compression = Compression::Zlib;
        if version == 3 {
            let header_len = if bytes.len() >= HEADER_LEN_V3 { u32_at(100) as usize } else { 0 };
            if header_len < HEADER_LEN_V3 {
                return Err(bad(format!("qcow2 header_length is {header_len}, expected at least {HEADER_LEN_V3}")));
            }
            let features = u64_at(72);
            if features & EXTERNAL_DATA != 0 {
                return Err(unsupported("qcow2 image with an external data file".into()));
            }
            if features & EXTENDED_L2 != 0 {
                return Err(unsupported("qcow2 image with extended L2 entries".into()));
            }
            let known = DIRTY | CORRUPT | COMPRESSION;
            if features & !known != 0 {
                return Err(unsupported(format!("qcow2 incompatible features {:#x}", features & !known)));
            }
            if features & COMPRESSION != 0 {
                compression = match bytes.get(104) {
                    Some(0) if header_len > HEADER_LEN_V3 => Compression::Zlib,
                    Some(1) if header_len > HEADER_LEN_V3 => Compression::Zstd,
                    other => return Err(unsupported(format!("qcow2 compression type {other:?}, expected 0 or 1"))),
                };
            }
        }
        Ok(Self {
            version,
            cluster_bits,
            size: u64_at(24),
            l1_size: u32_at(36),
            l1_offset: u64_at(40),
            refcount_offset: u64_at(48),
            refcount_clusters: u32_at(56),
            compression,
            backing: (u64_at(8) != 0).then(|| (u64_at(8), u32_at(16))),
        })
    }

    /// Name of the backing file of an image with this header; none where there is none.
    ///
    /// # Errors
    /// `InvalidData` for a name that is not in the file, too long, or no text.
    pub fn backing_name(&self, file: &dyn ReadAt) -> io::Result<Option<String>> {
        let Some((offset, len)) = self.backing else { return Ok(None) };
        if len > MOST_NAME {
            return Err(bad(format!("qcow2 backing file has a name of {len} bytes, expected at most {MOST_NAME}")));
        }
        let mut name = vec![0; len as usize];
        check_range("qcow2 name of the backing file", offset, name.len(), file.len())
            .map_err(|e| bad(e.to_string()))?;
        file.read_at(offset, &mut name)?;
        String::from_utf8(name).map(Some).map_err(|_| bad("qcow2 backing file has a name that is not UTF-8".into()))
    }
}

/// Name of the backing file of an image; none where it has none.
///
/// # Errors
/// `InvalidData` for damage, `Unsupported` for what p9img does not read.
pub fn backing_name(file: &dyn ReadAt) -> io::Result<Option<String>> {
    let mut start = [0; HEADER_LEN];
    let n = file.len().min(HEADER_LEN as u64) as usize;
    file.read_at(0, &mut start[..n])?;
    Header::decode(&start[..n])?.backing_name(file)
}

/// The header extension that says what format the backing file has, and the end of the
/// list of extensions.
pub fn backing_format(format: &str) -> Vec<u8> {
    let mut out = 0xe279_2aca_u32.to_be_bytes().to_vec();
    out.extend((format.len() as u32).to_be_bytes());
    out.extend(format.as_bytes());
    out.resize(out.len().next_multiple_of(8) + 8, 0);
    out
}

/// Bytes of a table.
pub fn be64(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_be_bytes()).collect()
}

/// Entries of a table in these bytes.
pub fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|b| u64::from_be_bytes(b.try_into().unwrap_or_default())).collect()
}

/// L2 entry of `len` compressed bytes at `offset`. The entry counts the
/// sectors of the file that the stream touches beyond its first.
pub const fn compressed_entry(cluster_bits: u32, offset: u64, len: u64) -> u64 {
    let more = (offset + len - 1) / 512 - offset / 512;
    COMPRESSED | more << (62 - (cluster_bits - 8)) | offset
}

/// Offset of a compressed cluster, and the most bytes that its stream has.
pub const fn compressed_place(cluster_bits: u32, entry: u64) -> (u64, u64) {
    let shift = 62 - (cluster_bits - 8);
    let offset = entry & ((1 << shift) - 1);
    let more = entry >> shift & ((1 << (cluster_bits - 8)) - 1);
    (offset, (more + 1) * 512 - offset % 512)
}

pub(super) fn bad(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

pub(super) fn unsupported(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("Unsupported {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: 3,
            cluster_bits: 16,
            size: 1 << 31,
            l1_size: 4,
            l1_offset: 0x5_0000,
            refcount_offset: 0x6_0000,
            refcount_clusters: 1,
            compression: Compression::Zstd,
            backing: Some((0x200, 7)),
        }
    }

    #[test]
    fn header_survives() {
        assert_eq!(Header::decode(&header().encode()).unwrap(), header());
    }

    #[test]
    fn each_damaged_field_is_named() {
        for (at, value, expect) in [
            (3, 0, "magic"),
            (7, 4, "version 4"),
            (23, 8, "cluster_bits is 8"),
            (23, 22, "cluster_bits is 22"),
            (35, 2, "encrypted"),
            (79, 0x0c, "external data file"),
            (79, 0x18, "extended L2"),
            (78, 1, "incompatible features 0x100"),
            (103, 96, "header_length is 96"),
            (104, 2, "compression type"),
        ] {
            let mut bytes = header().encode();
            bytes[at] = value;
            let message = Header::decode(&bytes).unwrap_err().to_string();
            assert!(message.contains(expect), "{at}: {message}");
        }
    }

    #[test]
    fn compressed_entries_count_touched_sectors() {
        assert_eq!(compressed_place(16, compressed_entry(16, 512, 512)), (512, 512));
        assert_eq!(compressed_place(16, compressed_entry(16, 1000, 24)), (1000, 24));
        assert_eq!(compressed_place(16, compressed_entry(16, 1000, 25)), (1000, 536));
        assert_eq!(compressed_place(9, compressed_entry(9, 1023, 2)), (1023, 513));
    }
}
