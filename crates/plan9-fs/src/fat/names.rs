//! Names as they are stored: one entry of eight and three bytes, which parts
//! of a long name in UTF-16 may precede.

use super::format::{ATTR_LONG, DIRENT, DirEntry, REMOVED, u16_at};
use crate::count;
use thiserror::Error;

/// Reason why a name is not 8.3.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadName {
    /// Nothing before the dot.
    #[error("it is empty")]
    Empty,
    /// Number of bytes before the dot: more than 8.
    #[error("{n} before the dot are more than 8", n = count::of(.0, "byte"))]
    LongBase(usize),
    /// Number of bytes after the dot: more than 3.
    #[error("{n} after the dot are more than 3", n = count::of(.0, "byte"))]
    LongExtension(usize),
    /// More than one dot.
    #[error("it has more than one dot")]
    Dots,
    /// Dot at the start.
    #[error("it begins with a dot")]
    LeadingDot,
    /// Byte that no 8.3 name holds.
    #[error("it contains {:?}", char::from(*.0))]
    Byte(u8),
}

/// The upper-cased 8.3 form of `name`, padded with blanks.
///
/// # Errors
/// Fails when it has none. `disk/format` would cut such a name instead.
pub fn short_name(name: &[u8]) -> Result<[u8; 11], BadName> {
    let mut halves = name.split(|b| *b == b'.');
    let base = halves.next().unwrap_or_default();
    let extension = halves.next().unwrap_or_default();
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'()-@^_`{}~".contains(b);
    match () {
        () if name.is_empty() => return Err(BadName::Empty),
        () if base.is_empty() => return Err(BadName::LeadingDot),
        () if halves.next().is_some() => return Err(BadName::Dots),
        () if base.len() > 8 => return Err(BadName::LongBase(base.len())),
        () if extension.len() > 3 => return Err(BadName::LongExtension(extension.len())),
        () => {}
    }
    let mut out = [b' '; 11];
    out[..base.len()].copy_from_slice(base);
    out[8..8 + extension.len()].copy_from_slice(extension);
    if let Some(bad) = base.iter().chain(extension).find(|b| !legal(b)) {
        return Err(BadName::Byte(*bad));
    }
    out.make_ascii_uppercase();
    Ok(out)
}

/// A short name as Plan 9's loader shows it (`/sys/src/9/pcboot/dosboot.c`):
/// lower case, dot, no padding.
pub fn shown_name(name: &[u8; 11]) -> Vec<u8> {
    let trim = |part: &[u8]| part.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    let (base, extension) = name.split_at(8);
    let mut out = base[..trim(base)].to_vec();
    // 05 stands for a name that truly begins with E5.
    if out.first() == Some(&0x05) {
        out[0] = REMOVED;
    }
    if trim(extension) > 0 {
        out.push(b'.');
        out.extend_from_slice(&extension[..trim(extension)]);
    }
    out.make_ascii_lowercase();
    out
}

/// Offsets of the 13 UTF-16 units in a part of a long name.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// A long name has at most 255 units: 20 parts.
const MAX_PARTS: u8 = 20;

/// Entries before a short entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Long {
    #[default]
    None,
    /// A long name, which is the entry's.
    Name,
    /// One that is not UTF-16.
    NoText,
}

/// Collects the parts of a long name until the short entry that they precede.
#[derive(Default)]
pub(super) struct LongName {
    /// Units of the parts so far, the last part of the name first.
    parts: Vec<[u16; 13]>,
    /// Number of the part that must come next; 0 when all are there.
    next: u8,
    checksum: u8,
    /// Some parts were no entry's.
    lost: bool,
}

impl LongName {
    /// Takes a raw entry; true if it is a part of a long name.
    pub(super) fn take(&mut self, raw: &[u8; DIRENT]) -> bool {
        if raw[11] & 0x3F != ATTR_LONG {
            return false;
        }
        let number = raw[0] & 0x3F;
        if raw[0] & 0x40 != 0 && (1..=MAX_PARTS).contains(&number) {
            let lost = self.lost || !self.parts.is_empty();
            *self = Self { parts: Vec::new(), next: number, checksum: raw[13], lost };
        } else if number == 0 || number != self.next || raw[13] != self.checksum {
            *self = Self { lost: true, ..Self::default() };
            return true;
        }
        self.parts.push(UNITS.map(|at| u16_at(raw, at)));
        self.next = number - 1;
        true
    }

    /// Forgets the parts so far: the entry that follows is a removed one.
    pub(super) fn drop_parts(&mut self) {
        *self = Self { lost: self.lost || !self.parts.is_empty(), ..Self::default() };
    }

    /// Whether some parts were no entry's, so far.
    pub(super) fn any_lost(&self) -> bool {
        self.lost || !self.parts.is_empty()
    }

    /// The name of the entry that follows: the long one if it is complete and
    /// belongs to it. Ready for the next afterwards.
    pub(super) fn finish(&mut self, entry: &DirEntry) -> (Vec<u8>, Long) {
        let this = std::mem::take(self);
        self.lost = this.lost;
        let found = !this.parts.is_empty();
        let long = (!this.parts.is_empty() && this.next == 0 && this.checksum == checksum(&entry.name)).then(|| {
            let units = this.parts.into_iter().rev().flatten().take_while(|u| *u != 0);
            let mut kind = Long::Name;
            let text = char::decode_utf16(units).map(|c| {
                c.unwrap_or_else(|_| {
                    kind = Long::NoText;
                    char::REPLACEMENT_CHARACTER
                })
            });
            (text.collect::<String>(), kind)
        });
        match long {
            Some((name, kind)) if !name.is_empty() => (name.into_bytes(), kind),
            _ => {
                self.lost |= found;
                (shown_name(&entry.name), Long::None)
            }
        }
    }
}

/// The byte that ties the parts to the short entry.
fn checksum(name: &[u8; 11]) -> u8 {
    name.iter().fold(0, |sum: u8, b| sum.rotate_right(1).wrapping_add(*b))
}

/// Whether a name can be a path element; others would lead elsewhere when
/// they are extracted.
pub(super) fn is_safe(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|b| *b < b' ' || matches!(b, b'/' | b'\\' | 0x7F))
}

/// The first character of a long name that it cannot hold.
pub(super) fn bad_in_long(name: &[u8]) -> Option<char> {
    name.iter().find(|b| b"\"*:<>?|".contains(b)).map(|b| char::from(*b))
}

/// The first byte of a short name that it cannot hold. Those above 7f are
/// letters of some code page, and 05 at its beginning stands for one.
pub(super) fn bad_in_short(name: &[u8; 11]) -> Option<u8> {
    let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b >= 0x80 || b" !#$%&'()-@^_`{}~".contains(&b);
    let rest = if name[0] == 0x05 { &name[1..] } else { &name[..] };
    if name[0] == b' ' { Some(b' ') } else { rest.iter().copied().find(|b| !legal(*b)) }
}

/// A name that can be a path element, with `_` for what cannot be in one.
pub(super) fn made_safe(mut name: Vec<u8>) -> Vec<u8> {
    if is_safe(&name) {
        return name;
    }
    if name.iter().all(|b| *b == b'.') {
        return vec![b'_'; name.len().max(1)];
    }
    name.iter_mut().filter(|b| **b < b' ' || matches!(**b, b'/' | b'\\' | 0x7F)).for_each(|b| *b = b'_');
    name
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A part of a long name, which the entry with the short name `of` has.
    pub(crate) fn part_of(number: u8, text: &str, of: &[u8; 11]) -> [u8; DIRENT] {
        part(number, text, checksum(of))
    }

    fn part(number: u8, text: &str, sum: u8) -> [u8; DIRENT] {
        let mut raw = [0xFF; DIRENT];
        (raw[0], raw[11], raw[12], raw[13]) = (number, ATTR_LONG, 0, sum);
        for (at, unit) in UNITS.iter().zip(text.encode_utf16().chain([0])) {
            raw[*at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        raw
    }

    #[test]
    fn names_are_eight_and_three() {
        assert_eq!(short_name(b"plan9.ini").unwrap(), *b"PLAN9   INI");
        assert_eq!(short_name(b"9load").unwrap(), *b"9LOAD      ");
        assert_eq!(short_name(b"a.").unwrap(), *b"A          ");
        assert_eq!(shown_name(b"PLAN9   INI"), b"plan9.ini");
        assert_eq!(shown_name(b"9LOAD      "), b"9load");
        for (name, want) in [
            ("", BadName::Empty),
            ("cmdline.text", BadName::LongExtension(4)),
            ("bootcode9.bin", BadName::LongBase(9)),
            ("a.b.c", BadName::Dots),
            (".profile", BadName::LeadingDot),
            ("a b", BadName::Byte(b' ')),
            ("a+b", BadName::Byte(b'+')),
        ] {
            assert_eq!(short_name(name.as_bytes()).unwrap_err(), want, "{name}");
        }
        assert_eq!(BadName::Byte(b' ').to_string(), "it contains ' '");
    }

    fn entry() -> DirEntry {
        DirEntry { name: *b"BCM271~1DTB", attr: 0, case: 0, time: 0, date: 0, start: 0, len: 0 }
    }

    #[test]
    fn parts_make_a_long_name() {
        let sum = checksum(&entry().name);
        let (first, second) = ("bcm2711-rpi-4", "-β.dtb");
        let mut long = LongName::default();
        assert!(long.take(&part(0x42, second, sum)) && long.take(&part(1, first, sum)));
        assert_eq!(long.finish(&entry()), (format!("{first}{second}").into_bytes(), Long::Name));
        // Nothing is left over for the next entry.
        assert_eq!(long.finish(&entry()), (b"bcm271~1.dtb".to_vec(), Long::None));
        assert!(!long.any_lost());
        // A wrong checksum, a missing part, a part too many.
        for parts in [
            vec![part(0x42, second, sum ^ 1), part(1, first, sum ^ 1)],
            vec![part(0x42, second, sum)],
            vec![part(0x41, second, sum), part(1, first, sum)],
            vec![part(0x40, second, sum)],
        ] {
            let mut long = LongName::default();
            parts.iter().for_each(|p| assert!(long.take(p)));
            assert_eq!(long.finish(&entry()), (b"bcm271~1.dtb".to_vec(), Long::None));
            assert!(long.any_lost());
        }
        // Parts before parts, and before a removed entry.
        for before_removed in [false, true] {
            let mut long = LongName::default();
            assert!(long.take(&part(0x41, first, sum)));
            match before_removed {
                true => long.drop_parts(),
                false => assert!(long.take(&part(0x41, "x", sum))),
            }
            long.finish(&entry());
            assert!(long.any_lost());
        }
        // Half of a surrogate pair is no text.
        let mut half = part(0x41, "ab", sum);
        half[3..5].copy_from_slice(&0xD800u16.to_le_bytes());
        assert!(long.take(&half));
        assert_eq!(long.finish(&entry()), ("a\u{fffd}".as_bytes().to_vec(), Long::NoText));
    }

    #[test]
    fn no_name_leads_elsewhere() {
        for (name, safe) in [("..", "__"), ("", "_"), ("a/../b", "a_.._b"), ("a\0b", "a_b"), ("ok.txt", "ok.txt")] {
            assert_eq!(made_safe(name.into()), safe.as_bytes());
            assert!(is_safe(safe.as_bytes()));
        }
    }
}
