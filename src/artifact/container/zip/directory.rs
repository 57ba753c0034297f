//! The central directory of a zip archive: what files it has, and where.

use super::method;
use crate::count;
use crate::read_at::{ReadAt, Window};
use std::io;
use std::sync::Arc;

pub(crate) const LOCAL: &[u8; 4] = b"PK\x03\x04";
pub(crate) const CENTRAL: &[u8; 4] = b"PK\x01\x02";
pub(crate) const END: &[u8; 4] = b"PK\x05\x06";
pub(crate) const END64: &[u8; 4] = b"PK\x06\x06";
const END_LEN: usize = 22;
/// The end lies in front of a comment of at most 65,535 bytes.
const MAX_TAIL: u64 = 65_535 + END_LEN as u64;
/// Largest central directory that is read, bytes: three times what the names of
/// a medium may have.
const MAX_CENTRAL: u64 = 192 << 20;
/// Zeros after the archive are looked over in steps of so many bytes.
const STEP: u64 = 64 << 10;

/// Flags of a file.
const ENCRYPTED: u64 = 1;
const UTF8: u64 = 1 << 11;
/// Systems in the field "version made by" that store Unix's mode: Unix, macOS.
const UNIX: [u8; 2] = [3, 19];
/// Systems in that field whose programs may separate with backslashes: DOS and
/// Windows.
const DOS: [u8; 4] = [0, 10, 11, 14];
/// DOS' attribute of a directory.
const DOS_DIR: u32 = 0x10;
/// Ids of extra fields: 64-bit lengths, times of Unix, a name in UTF-8.
const EXTRA_WIDE: u64 = 1;
const EXTRA_TIMES: u64 = 0x5455;
const EXTRA_NAME: u64 = 0x7075;

/// A file or directory of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub method: u16,
    /// Date and time as DOS has them: the date in the upper half.
    pub time: u32,
    /// Seconds since 1970, where the archive has them.
    pub mtime: Option<u32>,
    pub crc: u32,
    /// Bytes in the archive and outside of it.
    pub packed: u64,
    pub len: u64,
    pub encrypted: bool,
    /// Unix's mode with the type, where the archive has it.
    pub mode: Option<u32>,
    pub is_dir: bool,
    /// Place of its local header, in bytes.
    local: u64,
}

pub(super) fn bad(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

fn le(b: &[u8], at: usize, len: usize) -> u64 {
    b.get(at..at + len).unwrap_or_default().iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Whether a file begins like a zip archive.
pub fn matches(start: &[u8]) -> bool {
    start.starts_with(LOCAL)
}

/// The files of an archive, in their order, without directories.
///
/// # Errors
/// `InvalidData` for damage.
pub fn members(file: &dyn ReadAt) -> io::Result<Vec<Member>> {
    let mut all = directory(file)?;
    all.retain(|m| !m.is_dir);
    Ok(all)
}

/// Everything in an archive, in its order.
///
/// # Errors
/// `InvalidData` for damage.
pub fn directory(file: &dyn ReadAt) -> io::Result<Vec<Member>> {
    let central = central(file)?;
    let mut out = Vec::new();
    let mut rest = &central[..];
    while rest.starts_with(CENTRAL) && rest.len() >= 46 {
        let (name, extra, comment) = (le(rest, 28, 2) as usize, le(rest, 30, 2) as usize, le(rest, 32, 2) as usize);
        let all = 46 + name + extra + comment;
        if rest.len() < all {
            return Err(bad("Zip archive's directory ends in the middle of an entry"));
        }
        out.push(member(rest, &rest[46..46 + name], &rest[46 + name..46 + name + extra]));
        rest = &rest[all..];
    }
    // Only a signature may follow.
    if !rest.is_empty() && !rest.starts_with(b"PK\x05\x05") {
        return Err(bad("Zip archive's directory is damaged"));
    }
    Ok(out)
}

/// The bytes of the central directory.
fn central(file: &dyn ReadAt) -> io::Result<Vec<u8>> {
    // The end record may end with zeros itself.
    let len = (without_zeros(file)? + END_LEN as u64).min(file.len());
    let n = len.min(MAX_TAIL);
    let mut tail = vec![0; n as usize];
    file.read_at(len - n, &mut tail)?;
    let at = tail.windows(4).rposition(|w| w == END).filter(|at| tail.len() - at >= END_LEN);
    let Some(at) = at else { return Err(bad("Zip archive has no end record: the file was cut off")) };
    let end = &tail[at..];
    let (mut size, mut start) = (le(end, 12, 4), le(end, 16, 4));
    if size == u64::from(u32::MAX) || start == u64::from(u32::MAX) {
        // The locator of the 64-bit end record is right before.
        let at64 = at.checked_sub(20).map(|l| le(&tail[l..], 8, 8)).ok_or_else(|| bad("Zip archive is cut off"))?;
        let mut raw = [0; 56];
        file.read_at(at64, &mut raw).map_err(|e| bad(format!("Zip archive's 64-bit end record: {e}")))?;
        if !raw.starts_with(END64) {
            return Err(bad("Zip archive's 64-bit end record is not where its locator says"));
        }
        (size, start) = (le(&raw, 40, 8), le(&raw, 48, 8));
    }
    if size > MAX_CENTRAL {
        return Err(bad(format!(
            "Zip archive has a directory of {size}, more than the {MAX_CENTRAL} of any medium",
            size = count::of(size, "byte")
        )));
    }
    if start.checked_add(size).is_none_or(|end| end > file.len()) {
        return Err(bad("Zip archive does not contain its directory: the file was cut off"));
    }
    let mut central = vec![0; size as usize];
    file.read_at(start, &mut central).map_err(|e| bad(format!("Zip archive's directory: {e}")))?;
    Ok(central)
}

/// Length of a file without the zeros at its end.
fn without_zeros(file: &dyn ReadAt) -> io::Result<u64> {
    let mut end = file.len();
    let mut piece = vec![0; STEP as usize];
    while end > 0 {
        let n = end.min(STEP);
        let piece = &mut piece[..n as usize];
        file.read_at(end - n, piece)?;
        if let Some(last) = piece.iter().rposition(|b| *b != 0) {
            return Ok(end - n + last as u64 + 1);
        }
        end -= n;
    }
    Ok(0)
}

fn member(entry: &[u8], name: &[u8], extra: &[u8]) -> Member {
    let (host, flags, attributes) = (entry[5], le(entry, 8, 2), le(entry, 38, 4) as u32);
    let raw_name = name;
    let mut name = text(raw_name, flags & UTF8 != 0, UNIX.contains(&host));
    let mode = Some(attributes >> 16).filter(|mode| UNIX.contains(&host) && *mode != 0);
    let mut member = Member {
        method: le(entry, 10, 2) as u16,
        time: (le(entry, 14, 2) << 16 | le(entry, 12, 2)) as u32,
        mtime: None,
        crc: le(entry, 16, 4) as u32,
        packed: le(entry, 20, 4),
        len: le(entry, 24, 4),
        encrypted: flags & ENCRYPTED != 0,
        mode,
        is_dir: false,
        local: le(entry, 42, 4),
        name: String::new(),
    };
    extras(&mut member, &mut name, raw_name, extra);
    if DOS.contains(&host) && !name.contains('/') {
        // Older programs of Windows separate with its own slash.
        name = name.replace('\\', "/");
    }
    let is_dir = |mode: u32| mode & 0o170_000 == 0o040_000;
    member.is_dir = name.ends_with('/') || mode.map_or(attributes & DOS_DIR != 0 && member.len == 0, is_dir);
    member.name = name;
    member
}

/// Takes what extra fields say: 64-bit lengths where the short ones are full,
/// the time, another name.
fn extras(member: &mut Member, name: &mut String, raw_name: &[u8], mut extra: &[u8]) {
    while extra.len() >= 4 {
        let (id, len) = (le(extra, 0, 2), le(extra, 2, 2) as usize);
        let Some(data) = extra.get(4..4 + len) else { return };
        match id {
            EXTRA_WIDE => {
                let mut words = data.chunks_exact(8).map(|w| le(w, 0, 8));
                for field in [&mut member.len, &mut member.packed, &mut member.local] {
                    if *field == u64::from(u32::MAX) {
                        *field = words.next().unwrap_or(*field);
                    }
                }
            }
            EXTRA_TIMES if len >= 5 && data[0] & 1 != 0 => member.mtime = Some(le(data, 1, 4) as u32),
            // Only if it is about the name that is there.
            EXTRA_NAME if len > 5 && data[0] == 1 && le(data, 1, 4) as u32 == crc(raw_name) => {
                *name = String::from_utf8_lossy(&data[5..]).into_owned();
            }
            _ => {}
        }
        extra = &extra[4 + len..];
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A name: UTF-8 where the archive says so, or Unix made it and it is; else
/// code page 437, as the format has it.
fn text(name: &[u8], utf8: bool, unix: bool) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if utf8 || unix || text.is_ascii() => text.to_owned(),
        _ if utf8 => String::from_utf8_lossy(name).into_owned(),
        _ => name.iter().map(|b| cp437(*b)).collect(),
    }
}

/// A character of code page 437.
fn cp437(b: u8) -> char {
    const HIGH: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    match b {
        0..0x80 => char::from(b),
        high => HIGH.chars().nth(usize::from(high - 0x80)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

impl Member {
    /// Seconds since 1970; DOS' time has no zone and counts as UTC.
    pub fn seconds(&self) -> u32 {
        self.mtime.unwrap_or_else(|| {
            let (date, time) = (self.time >> 16, self.time & 0xffff);
            let month = time::Month::try_from((date >> 5 & 15) as u8).unwrap_or(time::Month::January);
            let day = time::Date::from_calendar_date(1980 + (date >> 9) as i32, month, (date & 31) as u8);
            let clock = time::Time::from_hms((time >> 11) as u8, (time >> 5 & 63) as u8, (time & 31) as u8 * 2);
            let at = day.ok().map(|day| day.with_time(clock.unwrap_or(time::Time::MIDNIGHT)).assume_utc());
            at.and_then(|at| u32::try_from(at.unix_timestamp()).ok()).unwrap_or(0)
        })
    }

    /// Bytes of the member as they are in the archive, and their offset there.
    ///
    /// # Errors
    /// `InvalidData` when they do not lie in it; `Unsupported` when they are
    /// encrypted, or packed in a way that p9img does not read.
    pub fn packed_bytes(&self, file: &Arc<dyn ReadAt>) -> io::Result<(u64, Window<Arc<dyn ReadAt>>)> {
        let name = &self.name;
        if self.encrypted {
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{name} in the zip archive is encrypted")));
        }
        method::known(name, self.method)?;
        let mut local = [0; 30];
        file.read_at(self.local, &mut local).map_err(|e| bad(format!("{name} in the zip archive: {e}")))?;
        if !local.starts_with(LOCAL) {
            return Err(bad(format!("{name} in the zip archive is not where the directory says")));
        }
        let data = self.local + 30 + le(&local, 26, 2) + le(&local, 28, 2);
        let packed = Window::new(file.clone(), data, self.packed)
            .map_err(|_| bad(format!("{name} in the zip archive is cut off")))?;
        if self.method == method::STORED && self.packed != self.len {
            return Err(bad(format!("{name} in the zip archive has two lengths, {} and {}", self.packed, self.len)));
        }
        Ok((data, packed))
    }

    /// Place of its local header, in bytes.
    pub(crate) const fn place(&self) -> u64 {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_utf8_or_code_page_437() {
        assert_eq!(text("ü".as_bytes(), true, false), "ü");
        assert_eq!(text("ü".as_bytes(), false, true), "ü");
        assert_eq!(text(b"\x81", false, true), "ü");
        assert_eq!(text("ü".as_bytes(), false, false), "├╝");
        assert_eq!((cp437(0xff), cp437(0x80), cp437(0xe1)), ('\u{a0}', 'Ç', 'ß'));
        let all: std::collections::BTreeSet<char> = (0..=255).map(cp437).collect();
        assert_eq!(all.len(), 256);
    }
}
