//! Reads a zip archive that holds one disk image, as images for SD cards are
//! handed out.
//!
//! Only what the central directory says is believed, and only within the
//! file: one disk, not encrypted, stored or deflated. A deflated image cannot
//! be read at any offset, so it is inflated once into a file without a name,
//! with holes where it has zeros. Format: APPNOTE.TXT of PKWARE, 4.3 and 4.5.
//! `crate::media` reads archives of whole trees.

pub(crate) mod directory;
pub(crate) mod method;

pub use directory::{Member, directory, matches, members};

use crate::artifact::container::unpacked;
use crate::artifact::container::unpacked::STEP;
use crate::compression::Sequential;
use crate::count;
use crate::lab::Format;
use crate::leftovers::in_zip;
use crate::read_at::{HostFile, ReadAt};
use directory::bad;
use method::STORED;
use std::io::{self, Read};
use std::sync::Arc;

/// Most that deflate can shrink.
const MAX_RATIO: u64 = 1032;

/// The one disk image of an archive.
///
/// # Errors
/// `InvalidData` for damage and when there is not just one image;
/// `Unsupported` for encryption and other methods.
pub fn image(file: &Arc<dyn ReadAt>) -> io::Result<Arc<dyn ReadAt>> {
    let all = members(&**file)?;
    let images: Vec<_> = all.iter().filter(|m| is_image(m)).collect();
    let [member] = images[..] else {
        let names = all.iter().filter(|m| images.is_empty() || is_image(m)).take(3);
        let names: Vec<_> = names.map(|m| m.name.replace(char::is_control, "?")).collect();
        let more = if all.len() > names.len() { ", …" } else { "" };
        return Err(bad(format!(
            "Zip archive contains {} disk images, expected one ({}{more})",
            images.len(),
            names.join(", ")
        )));
    };
    let (_, packed) = member.packed_bytes(file)?;
    match member.method {
        STORED => Ok(Arc::new(packed)),
        _ => inflate(member, &packed).map(|file| Arc::new(file) as Arc<dyn ReadAt>),
    }
}

/// Verifies the sums of all members.
///
/// # Errors
/// Error of the operating system.
pub fn check(file: &Arc<dyn ReadAt>, say: crate::artifact::container::findings::Say<'_>) -> io::Result<()> {
    for member in members(&**file)? {
        match sum(file, &member) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidData => say("zip", e.to_string()),
            // Encrypted, or of another method: the image is not.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads a member and compares its sum.
fn sum(file: &Arc<dyn ReadAt>, member: &Member) -> io::Result<()> {
    let (_, packed) = member.packed_bytes(file)?;
    let packed = Sequential::new(&packed);
    let mut reader: Box<dyn Read> = match member.method {
        STORED => Box::new(packed),
        _ => {
            let packed = io::BufReader::with_capacity(STEP, packed);
            Box::new(Named { name: &member.name, reader: flate2::bufread::DeflateDecoder::new(packed) })
        }
    };
    let (mut crc, mut buf) = (flate2::Crc::new(), vec![0; STEP]);
    loop {
        match reader.read(&mut buf)? {
            0 => break,
            n => crc.update(&buf[..n]),
        }
    }
    if crc.sum() == member.crc {
        return Ok(());
    }
    let Member { name, crc: said, .. } = member;
    Err(bad(format!("{name} in the zip archive has the CRC-32 {:08x}, but the directory says {said:08x}", crc.sum())))
}

/// Whether a file of an archive is a disk image, by its name; files that
/// another system added to one are none.
pub(crate) fn is_image(m: &Member) -> bool {
    Format::is_image_name(&m.name) && !in_zip(&m.name)
}

/// Inflates into a file without a name.
fn inflate(member: &Member, packed: &dyn ReadAt) -> io::Result<HostFile> {
    let Member { name, len, .. } = member;
    let fail = |why: String| bad(format!("{name} in the zip archive {why}"));
    if *len > unpacked::MOST || *len > member.packed.saturating_mul(MAX_RATIO).saturating_add(MAX_RATIO) {
        return Err(fail(format!(
            "claims {len}, more than its {} compressed ones can hold",
            member.packed,
            len = count::of(len, "byte")
        )));
    }
    let packed = io::BufReader::with_capacity(STEP, Sequential::new(packed));
    let reader = Named { name, reader: flate2::bufread::DeflateDecoder::new(packed) };
    let mut crc = flate2::Crc::new();
    let out = unpacked::unpack(reader, Some(*len), |at, piece| {
        if at + piece.len() as u64 > *len {
            return Err(fail(format!("inflates to more than the {len} that it claims", len = count::of(len, "byte"))));
        }
        crc.update(piece);
        Ok(())
    })?;
    let at = out.len();
    if at != *len {
        return Err(fail(format!("inflates to {at}, but claims {len}", at = count::of(at, "byte"))));
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
    use super::directory::{CENTRAL, END, LOCAL};
    use super::method::DEFLATED;
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
        says(archive("readme.txt", b"x", STORED), "contains 0 disk images, expected one");
        says(archive("n.img", b"x", 9), "n.img in the zip archive is packed by Deflate64");
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
