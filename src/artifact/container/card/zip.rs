//! A zip archive with one deflated file, whose stream is compressed elsewhere (the
//! crate zip takes none). Format: APPNOTE.TXT of PKWARE, 4.3 and 4.5.

use super::blocks::Pack;
use crate::artifact::container::zip::directory::{CENTRAL, END, END64, LOCAL};
use std::io::{self, Read, Seek, Write};
use time::OffsetDateTime;
use zlib_rs::{DeflateFlush, Status};

/// zlib-rs level and window. The probe does not see it: the window is another.
const LEVEL: i32 = 6;
const WINDOW_BITS: u8 = 15;
/// Last block of a deflate stream, with nothing in it.
const STREAM_END: [u8; 2] = [3, 0];
/// Bytes from which on lengths need 64 bits, less what deflate may add.
const WIDE: u64 = u32::MAX as u64 - (64 << 20);
/// Method deflate; version that knows it, and the one with 64-bit lengths.
const DEFLATED: u16 = 8;
const VERSION: u16 = 20;
const VERSION_WIDE: u16 = 45;
/// Made on Unix, whose mode is in the upper half of the attributes.
const UNIX: u16 = 3 << 8;
const MODE: u32 = 0o100_644 << 16;
/// Id and length of the extra field with 64-bit lengths.
const EXTRA_WIDE: [u16; 2] = [1, 16];
/// Signature of the end that says where the wide one is.
const LOCATOR: &[u8; 4] = b"PK\x06\x07";

/// Compressor of blocks into pieces of one deflate stream: each ends on a byte's
/// boundary, and none refers to an earlier one.
pub fn packer() -> io::Result<Pack> {
    let mut deflate = zlib_rs::Deflate::new(LEVEL, false, WINDOW_BITS);
    let mut buffer = Vec::new();
    Ok(Box::new(move |block| {
        deflate.reset();
        // Stored blocks need five bytes for each 65,535.
        buffer.resize(block.len() + block.len() / 4096 + 64, 0);
        match deflate.compress(block, &mut buffer, DeflateFlush::FullFlush) {
            Ok(Status::Ok) if deflate.total_in() == block.len() as u64 => {
                Ok(buffer[..deflate.total_out() as usize].to_vec())
            }
            other => Err(io::Error::other(format!("deflate ends with {other:?}"))),
        }
    }))
}

/// The archive while its file is written.
pub struct Zip {
    name: String,
    /// Time and date as DOS has them.
    time: [u16; 2],
    wide: bool,
    crc: libdeflater::Crc,
    len: u64,
    packed: u64,
}

impl Zip {
    /// An archive for a file of `len` bytes, changed at `epoch`.
    pub fn new(name: &str, len: u64, epoch: u32) -> Self {
        let crc = libdeflater::Crc::new();
        Self { name: name.to_owned(), time: dos_time(epoch), wide: len >= WIDE, crc, len: 0, packed: 0 }
    }

    /// The next bytes of the file.
    pub fn add(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// Writes the next piece of its deflate stream.
    pub fn packed(&mut self, bytes: &[u8], file: &mut impl Write) -> io::Result<()> {
        self.packed += bytes.len() as u64;
        file.write_all(bytes)
    }

    /// What stands before the stream: of the same length before and after it is known.
    pub fn start(&self) -> Vec<u8> {
        let mut out = LOCAL.to_vec();
        put(&mut out, &[self.version()]);
        self.common(&mut out);
        out.extend_from_slice(self.name.as_bytes());
        self.extra(&mut out);
        out
    }

    /// What follows the last piece: the stream's end and the directory.
    pub fn end(&mut self) -> Vec<u8> {
        self.packed += STREAM_END.len() as u64;
        let at = self.start().len() as u64 + self.packed;
        let mut out = STREAM_END.to_vec();
        out.extend_from_slice(CENTRAL);
        put(&mut out, &[UNIX | self.version(), self.version()]);
        self.common(&mut out);
        // No comment, first disk, no attributes of its own.
        put(&mut out, &[0, 0, 0]);
        out.extend_from_slice(&MODE.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        self.extra(&mut out);
        let len = (out.len() - STREAM_END.len()) as u64;
        if self.wide {
            let end = at + len;
            out.extend_from_slice(END64);
            out.extend_from_slice(&44u64.to_le_bytes());
            put(&mut out, &[UNIX | VERSION_WIDE, VERSION_WIDE, 0, 0, 0, 0]);
            for value in [1, 1, len, at] {
                out.extend_from_slice(&value.to_le_bytes());
            }
            out.extend_from_slice(LOCATOR);
            out.extend_from_slice(&0u32.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
            out.extend_from_slice(&1u32.to_le_bytes());
        }
        out.extend_from_slice(END);
        put(&mut out, &[0, 0, 1, 1]);
        for value in [len, at] {
            out.extend_from_slice(&self.narrow(value).to_le_bytes());
        }
        put(&mut out, &[0]);
        out
    }

    /// Compares the finished archive with what another reader finds in it.
    pub fn check(&self, archive: impl Read + Seek) -> io::Result<()> {
        let wrong = || io::Error::other("the archive is not what was written: this is a fault of p9img");
        let mut read = ::zip::ZipArchive::new(archive).map_err(io::Error::other)?;
        let file = read.by_index_raw(0).map_err(io::Error::other)?;
        let named = file.name().is_ok_and(|name| name == self.name);
        let found = (named, file.size(), file.compressed_size(), file.crc32());
        if found == (true, self.len, self.packed, self.crc.sum()) { Ok(()) } else { Err(wrong()) }
    }

    fn version(&self) -> u16 {
        if self.wide { VERSION_WIDE } else { VERSION }
    }

    /// A length, or that it is elsewhere.
    fn narrow(&self, value: u64) -> u32 {
        if self.wide { u32::MAX } else { u32::try_from(value).unwrap_or(u32::MAX) }
    }

    /// The fields that the local header and the directory have alike.
    fn common(&self, out: &mut Vec<u8>) {
        put(out, &[0, DEFLATED, self.time[0], self.time[1]]);
        for value in [self.crc.sum(), self.narrow(self.packed), self.narrow(self.len)] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let extra = if self.wide { 4 + EXTRA_WIDE[1] } else { 0 };
        put(out, &[self.name.len() as u16, extra]);
    }

    fn extra(&self, out: &mut Vec<u8>) {
        if self.wide {
            put(out, &EXTRA_WIDE);
            out.extend_from_slice(&self.len.to_le_bytes());
            out.extend_from_slice(&self.packed.to_le_bytes());
        }
    }
}

fn put(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

/// Time and date as DOS has them, which begins in 1980.
fn dos_time(epoch: u32) -> [u16; 2] {
    let t = OffsetDateTime::from_unix_timestamp(epoch.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let [hour, minute, second] = [t.hour(), t.minute(), t.second()].map(u16::from);
    match u16::try_from(t.year() - 1980) {
        Ok(year) => [
            hour << 11 | minute << 5 | (second / 2),
            year << 9 | u16::from(u8::from(t.month())) << 5 | u16::from(t.day()),
        ],
        Err(_) => [0, 1 << 5 | 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::container::zip::members;

    fn archive(zip: &mut Zip, pieces: &[&[u8]]) -> Vec<u8> {
        let mut pack = packer().unwrap();
        let mut out = zip.start();
        for piece in pieces {
            zip.add(piece);
            zip.packed(&pack(piece).unwrap(), &mut out).unwrap();
        }
        let end = zip.end();
        out.extend_from_slice(&end);
        let start = zip.start();
        out[..start.len()].copy_from_slice(&start);
        out
    }

    #[test]
    fn pieces_are_one_file_that_other_readers_take() {
        let noise: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let pieces = [&[0; 100_000][..], &noise, b"the end"];
        for wide in [false, true] {
            // 1 February 2026, 03:04:06.
            let mut zip = Zip { wide, ..Zip::new("n.img", 0, 1_769_915_046) };
            let bytes = archive(&mut zip, &pieces);
            zip.check(io::Cursor::new(&bytes)).unwrap();
            assert!(zip.check(io::Cursor::new(&bytes[..bytes.len() - 1])).is_err());
            zip.len += 1;
            assert!(zip.check(io::Cursor::new(&bytes)).is_err());
            let mut read = ::zip::ZipArchive::new(io::Cursor::new(&bytes)).unwrap();
            let mut file = read.by_name("n.img").unwrap();
            assert_eq!(file.last_modified().map(|t| t.to_string()), Some("2026-02-01 03:04:06".into()));
            assert_eq!(file.unix_mode(), Some(0o100_644));
            let mut found = Vec::new();
            io::Read::read_to_end(&mut file, &mut found).unwrap();
            assert!(found == pieces.concat(), "{wide}");
            let all = members(&bytes).unwrap();
            assert_eq!((all.len(), all[0].len, all[0].name.as_str()), (1, found.len() as u64, "n.img"), "{wide}");
        }
    }

    #[test]
    fn times_before_1980_are_its_first_day() {
        assert_eq!(dos_time(0), [0, 33]);
        assert_eq!(dos_time(315_532_800), [0, 33]);
    }
}
