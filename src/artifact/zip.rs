//! Reads a zip archive that holds one disk image, as images for SD cards are
//! handed out.
//!
//! Only what the central directory says is believed, and only within the
//! file: one disk, not encrypted, stored or deflated. A deflated image cannot
//! be read at any offset, so it is inflated once into a file without a name,
//! with holes where it has zeros. Format: APPNOTE.TXT of PKWARE, 4.3 and 4.5.

use super::unpacked::{self, STEP};
use crate::compression::Sequential;
use crate::read_at::{HostFile, ReadAt, Window};
use std::io::{self, Read};
use std::sync::Arc;

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";
const END64: &[u8; 4] = b"PK\x06\x06";
const END_LEN: usize = 22;
/// The end lies in front of a comment of at most 65,535 bytes.
const MAX_TAIL: u64 = 65_535 + END_LEN as u64;
/// Largest central directory that is read, bytes.
const MAX_CENTRAL: u64 = 1 << 20;
/// Most that deflate can shrink.
const MAX_RATIO: u64 = 1032;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub method: u16,
    /// Date and time as DOS has them: the date in the upper half.
    pub time: u32,
    pub crc: u32,
    /// Bytes in the archive and outside of it.
    pub packed: u64,
    pub len: u64,
    encrypted: bool,
    /// Where its local header lies.
    local: u64,
}

fn bad(message: impl Into<String>) -> io::Error {
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
    let n = file.len().min(MAX_TAIL);
    let mut tail = vec![0; n as usize];
    file.read_at(file.len() - n, &mut tail)?;
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
            "Zip archive has a directory of {size} bytes, more than the {MAX_CENTRAL} of any image"
        )));
    }
    let mut central = vec![0; size as usize];
    file.read_at(start, &mut central).map_err(|e| bad(format!("Zip archive's directory: {e}")))?;
    let mut out = Vec::new();
    let mut rest = &central[..];
    while rest.starts_with(CENTRAL) && rest.len() >= 46 {
        let (name, extra, comment) = (le(rest, 28, 2) as usize, le(rest, 30, 2) as usize, le(rest, 32, 2) as usize);
        let all = 46 + name + extra + comment;
        if rest.len() < all {
            return Err(bad("Zip archive's directory ends in the middle of an entry"));
        }
        let text = String::from_utf8_lossy(&rest[46..46 + name]).into_owned();
        let mut member = Member {
            method: le(rest, 10, 2) as u16,
            time: (le(rest, 14, 2) << 16 | le(rest, 12, 2)) as u32,
            crc: le(rest, 16, 4) as u32,
            packed: le(rest, 20, 4),
            len: le(rest, 24, 4),
            encrypted: le(rest, 8, 2) & 1 != 0,
            local: le(rest, 42, 4),
            name: text,
        };
        wide(&mut member, &rest[46 + name..46 + name + extra]);
        if !member.name.ends_with('/') {
            out.push(member);
        }
        rest = &rest[all..];
    }
    Ok(out)
}

/// Takes 64-bit lengths from the extra field, where the short ones are full.
fn wide(member: &mut Member, mut extra: &[u8]) {
    while extra.len() >= 4 {
        let (id, len) = (le(extra, 0, 2), le(extra, 2, 2) as usize);
        let Some(data) = extra.get(4..4 + len) else { return };
        if id == 1 {
            let mut words = data.chunks_exact(8).map(|w| le(w, 0, 8));
            for field in [&mut member.len, &mut member.packed, &mut member.local] {
                if *field == u64::from(u32::MAX) {
                    *field = words.next().unwrap_or(*field);
                }
            }
            return;
        }
        extra = &extra[4 + len..];
    }
}

/// The one disk image of an archive.
///
/// # Errors
/// `InvalidData` for damage and when there is not just one image;
/// `Unsupported` for encryption and other methods.
pub fn image(file: &Arc<dyn ReadAt>) -> io::Result<Arc<dyn ReadAt>> {
    let all = members(&**file)?;
    let is_image = |m: &&Member| {
        let name = m.name.to_ascii_lowercase();
        [".img", ".raw", ".qcow2", ".vmdk", ".ova"].iter().any(|end| name.ends_with(end))
    };
    let images: Vec<_> = all.iter().filter(is_image).collect();
    let [member] = images[..] else {
        return Err(bad(format!("Zip archive holds {} disk images, expected one", images.len())));
    };
    let name = &member.name;
    if member.encrypted {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{name} in the zip archive is encrypted")));
    }
    let mut local = [0; 30];
    file.read_at(member.local, &mut local).map_err(|e| bad(format!("{name} in the zip archive: {e}")))?;
    if !local.starts_with(LOCAL) {
        return Err(bad(format!("{name} in the zip archive is not where the directory says")));
    }
    let data = member.local + 30 + le(&local, 26, 2) + le(&local, 28, 2);
    let packed = Window::new(file.clone(), data, member.packed)
        .map_err(|_| bad(format!("{name} in the zip archive is cut off")))?;
    match member.method {
        STORED if member.packed == member.len => Ok(Arc::new(packed)),
        STORED => Err(bad(format!("{name} in the zip archive has two lengths, {} and {}", member.packed, member.len))),
        DEFLATED => inflate(member, &packed).map(|file| Arc::new(file) as Arc<dyn ReadAt>),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{name} in the zip archive is compressed by method {other}, expected 0 (stored) or 8 (deflated)"),
        )),
    }
}

/// Inflates into a file without a name.
fn inflate(member: &Member, packed: &dyn ReadAt) -> io::Result<HostFile> {
    let Member { name, len, .. } = member;
    let fail = |why: String| bad(format!("{name} in the zip archive {why}"));
    if *len > unpacked::MOST || *len > member.packed.saturating_mul(MAX_RATIO).saturating_add(MAX_RATIO) {
        return Err(fail(format!("claims {len} bytes, more than its {} compressed ones can hold", member.packed)));
    }
    let packed = io::BufReader::with_capacity(STEP, Sequential::new(packed));
    let reader = Named { name, reader: flate2::bufread::DeflateDecoder::new(packed) };
    let mut crc = flate2::Crc::new();
    let out = unpacked::unpack(reader, |at, piece| {
        if at + piece.len() as u64 > *len {
            return Err(fail(format!("inflates to more than the {len} bytes that it claims")));
        }
        crc.update(piece);
        Ok(())
    })?;
    let at = out.len();
    if at != *len {
        return Err(fail(format!("inflates to {at} bytes, but claims {len}")));
    }
    if crc.sum() != member.crc {
        return Err(fail(format!("has the CRC-32 {:08x}, but the directory says {:08x}", crc.sum(), member.crc)));
    }
    Ok(out)
}

/// Says which member does not inflate.
struct Named<'a, R> {
    name: &'a str,
    reader: R,
}

impl<R: Read> Read for Named<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).map_err(|e| bad(format!("{} in the zip archive does not inflate: {e}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// An archive of one file.
    fn archive(name: &str, bytes: &[u8], method: u16) -> Vec<u8> {
        let packed = if method == DEFLATED {
            let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
            e.write_all(bytes).unwrap();
            e.finish().unwrap()
        } else {
            bytes.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let mut common = vec![20, 0, 0, 0];
        common.extend(method.to_le_bytes());
        common.extend([0, 0, 0x21, 0]);
        for n in [crc.sum(), packed.len() as u32, bytes.len() as u32] {
            common.extend(n.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let mut out = LOCAL.to_vec();
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(&packed);
        let central = out.len();
        out.extend(CENTRAL);
        out.extend([20, 0]);
        out.extend(&common);
        out.extend([0; 14]);
        out.extend(name.as_bytes());
        let size = out.len() - central;
        out.extend(END);
        out.extend([0; 4]);
        out.extend([1, 0, 1, 0]);
        out.extend((size as u32).to_le_bytes());
        out.extend((central as u32).to_le_bytes());
        out.extend([0, 0]);
        out
    }

    fn open(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let image = image(&(Arc::new(bytes) as Arc<dyn ReadAt>))?;
        let mut out = vec![0; image.len() as usize];
        image.read_at(0, &mut out)?;
        Ok(out)
    }

    fn disk() -> Vec<u8> {
        let mut disk = vec![0; 300_000];
        disk[200_000..200_500].fill(7);
        disk
    }

    #[test]
    fn stored_and_deflated_images_come_out() {
        for method in [STORED, DEFLATED] {
            let bytes = archive("a/n.IMG", &disk(), method);
            assert!(matches(&bytes));
            assert!(open(bytes).unwrap() == disk(), "method {method}");
        }
    }

    #[test]
    fn damage_has_one_clear_error_and_no_panic() {
        let good = archive("n.img", &disk(), DEFLATED);
        let says = |bytes: Vec<u8>, words: &str| {
            let e = open(bytes).unwrap_err().to_string();
            assert!(e.contains(words), "{e}");
        };
        says(archive("readme.txt", b"x", STORED), "holds 0 disk images, expected one");
        says(archive("n.img", b"x", 9), "compressed by method 9");
        says(good[..good.len() - 30].to_vec(), "no end record");
        let mut crc = good.clone();
        let central = crc.windows(4).position(|w| w == CENTRAL).unwrap();
        crc[central + 16] ^= 1;
        says(crc, "has the CRC-32");
        let mut bomb = good.clone();
        bomb[central + 24..central + 28].copy_from_slice(&u32::MAX.to_le_bytes()[..4]);
        bomb[central + 27] = 0x7f;
        says(bomb, "more than its");
        for at in 0..good.len().min(400) {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            let _ = open(bytes);
        }
        for at in central..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            let _ = open(bytes);
        }
    }
}
