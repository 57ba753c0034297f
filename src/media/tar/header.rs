//! One header block of a tar archive.
//!
//! Four kinds are alike in the fields of the seventh edition: its own, POSIX's
//! ustar with longer names, GNU's, and those of Plan 9's tar(1), which writes
//! ustar with blanks after numbers, or without `ustar` the old kind.

use super::error::TarError;

/// Bytes of a header, and the unit of everything in an archive.
pub const BLOCK: usize = 512;

/// A header as it stands.
#[derive(Debug)]
pub struct Header {
    /// With the prefix, where there is one.
    pub name: Vec<u8>,
    /// Permissions; old archives have the Unix kind of file above them.
    pub mode: u32,
    pub size: u64,
    /// Seconds since 1970, before that 0.
    pub mtime: u64,
    /// `typeflag` of POSIX.
    pub kind: u8,
    pub link: Vec<u8>,
    /// Empty where the archive has numbers only.
    pub uname: Vec<u8>,
    pub gname: Vec<u8>,
}

/// Whether `start` begins an archive: a header whose checksum is right, or one
/// that is damaged but says `ustar`.
pub fn matches(start: &[u8]) -> bool {
    start.first_chunk::<BLOCK>().is_some_and(|b| b[0] != 0 && (&b[257..262] == b"ustar" || checksum(b).is_some()))
}

impl Header {
    /// Reads the block at byte `at` of the archive; `None` for one of zeros.
    ///
    /// # Errors
    /// Fails when it is no header or damaged.
    pub fn parse(block: &[u8; BLOCK], at: u64) -> Result<Option<Self>, TarError> {
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        if checksum(block).is_none() {
            return Err(TarError::Checksum { at });
        }
        let wrong = |field| TarError::Number { at, field };
        let name = text(&block[..100]);
        let ustar = &block[257..263] == b"ustar\0";
        let gnu = &block[257..263] == b"ustar ";
        let prefix = if ustar { text(&block[345..500]) } else { &[] };
        let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let named = |field: &[u8]| if ustar || gnu { text(field).to_vec() } else { Vec::new() };
        Ok(Some(Self {
            name,
            mode: number(&block[100..108]).ok_or(wrong("mode"))? as u32,
            size: number(&block[124..136]).ok_or(wrong("size"))?,
            mtime: number(&block[136..148]).ok_or(wrong("time"))?,
            kind: block[156],
            link: text(&block[157..257]).to_vec(),
            uname: named(&block[265..297]),
            gname: named(&block[297..329]),
        }))
    }
}

/// The sum that the header has, if it is the right one: of all bytes, its own
/// field counting as blanks. Some old systems summed signed bytes.
fn checksum(block: &[u8; BLOCK]) -> Option<u64> {
    let found = octal(&block[148..156])?;
    let mut unsigned = 8 * u64::from(b' ');
    let mut signed = 8 * i64::from(b' ');
    for b in block[..148].iter().chain(&block[156..]) {
        unsigned += u64::from(*b);
        signed += i64::from(b.cast_signed());
    }
    (found == unsigned || i64::try_from(found) == Ok(signed)).then_some(found)
}

/// Bytes up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(field)
}

/// A number, octal or (marked by its first bit) the 256-based one of GNU; one
/// below zero counts as zero, an empty field, too.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0xff, ..] => Some(0),
        [first, rest @ ..] if *first >= 0x80 => rest.iter().try_fold(u64::from(first & 0x7f), |n, b| {
            // Shifted out bits would be lost without a word.
            (n >> 56 == 0).then(|| n << 8 | u64::from(*b))
        }),
        _ if field.iter().all(|b| matches!(b, b' ' | 0)) => Some(0),
        _ => octal(field),
    }
}

/// Digits, with blanks and zeros around them.
fn octal(field: &[u8]) -> Option<u64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b))?;
    let digits = field[start..].split(blank).next()?;
    let rest = &field[start + digits.len()..];
    let all = digits.iter().all(|b| matches!(b, b'0'..=b'7')) && rest.iter().all(blank);
    all.then(|| digits.iter().fold(0, |n, b| n << 3 | u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds() {
        let tries: [(&[u8], Option<u64>); 9] = [
            (b"0000644\0", Some(0o644)),
            (b"   664 \0", Some(0o664)),
            (b"12345670", Some(0o1234_5670)),
            (b"\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x02", Some(258)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff", Some(0)),
            (b"0000689\0", None),
            (b"12 34\0", None),
        ];
        for (field, is) in tries {
            assert_eq!(number(field), is, "{field:?}");
        }
    }
}
