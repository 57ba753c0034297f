//! Debian packages as media: an `ar` archive (ar(5), deb(5)) whose member
//! `data.tar`, mostly compressed, holds the files. Packages are small: the
//! archive within is read into memory.

mod error;

pub use error::DebError;

use super::error::MediumError;
use super::listed::Listed;
use super::tar;
use crate::compression::Compression;
use crate::read_at::ReadAt;
use error::MOST;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// First bytes of an `ar` archive.
const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Bytes of a member's header, and its last two.
const HEADER: u64 = 60;
const HEADER_END: &[u8; 2] = b"`\n";

/// Whether a file that begins so is a Debian package.
pub fn matches(start: &[u8]) -> bool {
    start.starts_with(MAGIC) && start.get(8..21) == Some(b"debian-binary")
}

/// Lists the files of the package `source`, which is at `path`.
///
/// # Errors
/// Fails when it is damaged or holds what Plan 9 cannot.
pub fn list(source: &Arc<dyn ReadAt>, path: &Path) -> Result<Listed, MediumError> {
    let data = data(&**source).map_err(|source| MediumError::Deb { path: path.into(), source })?;
    tar::list(&(Arc::new(data) as Arc<dyn ReadAt>), path)
}

/// The bytes of the tar archive within.
fn data(file: &dyn ReadAt) -> Result<Vec<u8>, DebError> {
    let mut at = MAGIC.len() as u64;
    while at < file.len() {
        let mut header = [0; HEADER as usize];
        if at + HEADER > file.len() {
            return Err(DebError::Header { at });
        }
        file.read_at(at, &mut header)?;
        let size = std::str::from_utf8(&header[48..58]).ok().and_then(|s| s.trim_end().parse::<u64>().ok());
        let Some(size) = size.filter(|_| header.ends_with(HEADER_END)) else { return Err(DebError::Header { at }) };
        let name = String::from_utf8_lossy(&header[..16]).trim_end().trim_end_matches('/').to_owned();
        let start = at + HEADER;
        if size > file.len() - start {
            return Err(DebError::Cut { name, at, size, len: file.len() });
        }
        if name == "data.tar" || name.starts_with("data.tar.") {
            if size > MOST {
                return Err(DebError::Large { name });
            }
            let mut packed = vec![0; size as usize];
            file.read_at(start, &mut packed)?;
            return unpack(name, packed);
        }
        at = start + size + size % 2;
    }
    Err(DebError::NoData)
}

fn unpack(name: String, packed: Vec<u8>) -> Result<Vec<u8>, DebError> {
    let Some(compression) = Compression::of(&packed) else {
        return if name == "data.tar" { Ok(packed) } else { Err(DebError::Unknown { name }) };
    };
    let mut out = Vec::new();
    let read = compression.decoder(&packed[..]).and_then(|d| d.take(MOST + 1).read_to_end(&mut out));
    match read {
        Err(source) => Err(DebError::Unpack { name, source }),
        Ok(_) if out.len() as u64 > MOST => Err(DebError::Large { name }),
        Ok(_) => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).into_bytes();
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
        out
    }

    fn package(data: &str, bytes: &[u8]) -> Vec<u8> {
        [MAGIC.to_vec(), member("debian-binary", b"2.0\n"), member("control.tar.xz", b"odd"), member(data, bytes)]
            .concat()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    }

    #[test]
    fn files_of_a_package_are_listed() {
        let mut tar = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, "./usr/lib/a.bin", &b"abc"[..]).unwrap();
        let tar = tar.into_inner().unwrap();
        for bytes in [package("data.tar.gz", &gz(&tar)), package("data.tar", &tar)] {
            assert!(matches(&bytes));
            let listed = list(&(Arc::new(bytes) as Arc<dyn ReadAt>), Path::new("x.deb")).unwrap();
            assert_eq!(listed.listing.content("usr/lib/a.bin").unwrap().read_all().unwrap(), b"abc");
        }
    }

    #[test]
    fn damage_has_one_clear_error_and_no_panic() {
        let good = package("data.tar.gz", &gz(b"x"));
        let said = |bytes: &Vec<u8>| data(bytes).unwrap_err().to_string();
        assert!(said(&good[..good.len() - 9].to_vec()).contains("it was cut off"));
        assert!(said(&package("else.tar", b"")).contains("no member data.tar"));
        assert!(said(&package("data.tar.lz4", b"xxxx")).contains("does not read"));
        assert!(said(&package("data.tar.gz", &gz(b"x")[..12])).contains("does not unpack"));
        for at in 0..good.len() {
            for bits in [1, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= bits;
                let _ = data(&bytes);
            }
            let _ = data(&good[..at].to_vec());
        }
    }
}
