//! Ways of packing a file of a zip archive (APPNOTE.TXT, 4.4.5).

use std::io;

pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// Refuses a way of packing that p9img does not read, by its name.
///
/// # Errors
/// `Unsupported`.
pub fn known(name: &str, method: u16) -> io::Result<()> {
    if matches!(method, STORED | DEFLATED) {
        return Ok(());
    }
    let how = self::name(method).map_or_else(|| format!("method {method}"), str::to_owned);
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "{name} in the zip archive is packed by {how}, which p9img does not read: unpack the archive, \
             or make it again with Deflate"
        ),
    ))
}

/// The name of a way of packing.
const fn name(method: u16) -> Option<&'static str> {
    Some(match method {
        1 => "Shrink",
        2..=5 => "Reduce",
        6 => "Implode",
        9 => "Deflate64",
        10 => "PKWARE's Implode",
        12 => "bzip2",
        14 => "LZMA",
        16 => "IBM's CMPSC",
        18 => "IBM's TERSE",
        19 => "IBM's LZ77",
        20 | 93 => "Zstandard",
        94 => "MP3",
        95 => "xz",
        96 => "JPEG",
        97 => "WavPack",
        98 => "PPMd",
        99 => "AES encryption",
        _ => return None,
    })
}
