//! Real names of stored names: plain ISO 9660 names, Joliet's, and the table
//! from which those that `mk9660` had to change get back to what they were.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The table's own name in the root directory.
pub const MAP: &[u8] = b"_conform.map";
/// Most bytes of a table that are read: some hundred thousand names.
pub const MAX_MAP: u64 = 16 << 20;

/// A plain name as Plan 9's `9660srv` shows it: in lower case, a file's
/// without version, and without the dot before an extension that it lacks.
pub fn plain(name: &[u8], is_dir: bool) -> Vec<u8> {
    let name = name.to_ascii_lowercase();
    if is_dir {
        return name;
    }
    let end = name.iter().position(|b| *b == b';').unwrap_or(name.len());
    let name = &name[..end];
    match name.strip_suffix(b".") {
        Some(bare) if !bare.is_empty() => bare.to_vec(),
        _ => name.to_vec(),
    }
}

/// A name in big-endian UCS-2, or `None` when it is not one. Some writers add
/// the version of plain names to files'.
pub fn joliet(name: &[u8], is_dir: bool) -> Option<Vec<u8>> {
    let (pairs, rest) = name.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let mut text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    if !is_dir && let Some(bare) = text.strip_suffix(";1").filter(|bare| !bare.is_empty()) {
        text.truncate(bare.len());
    }
    Some(text.into_bytes())
}

/// Real names by those that `mk9660` made up: `D` or `F` and six digits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conform(BTreeMap<Vec<u8>, Vec<u8>>);

impl Conform {
    /// Adds the lines of a table, `F000012 real name`, up to the first that
    /// is none.
    pub fn add(&mut self, table: &[u8]) {
        for line in table.split(|b| *b == b'\n') {
            match line.split_at_checked(7) {
                Some((made, [b' ', real @ ..])) if is_made(made) && !real.is_empty() => {
                    self.0.insert(made.to_vec(), real.to_vec());
                }
                _ => break,
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The real name of `name`, which may have been put into lower case.
    pub fn real<'a>(&'a self, name: Vec<u8>) -> Cow<'a, [u8]> {
        let made = name.to_ascii_uppercase();
        match self.0.get(&made) {
            Some(real) if is_made(&made) => Cow::Borrowed(real),
            _ => Cow::Owned(name),
        }
    }
}

fn is_made(name: &[u8]) -> bool {
    matches!(name, [b'D' | b'F', digits @ ..] if digits.len() == 6 && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_lose_case_version_and_empty_extension() {
        let tries: [(&[u8], bool, &[u8]); 6] = [
            (b"README.TXT;1", false, b"readme.txt"),
            (b"MKFILE.;1", false, b"mkfile"),
            (b"MKFILE", false, b"mkfile"),
            (b"SRC.D", true, b"src.d"),
            (b"A;B", true, b"a;b"),
            (b".;1", false, b"."),
        ];
        for (stored, is_dir, real) in tries {
            assert_eq!(plain(stored, is_dir), real, "{}", String::from_utf8_lossy(stored));
        }
    }

    #[test]
    fn joliet_names_are_utf16() {
        let wide = |s: &str| s.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        assert_eq!(joliet(&wide("Größe.c;1"), false).unwrap(), "Größe.c".as_bytes());
        assert_eq!(joliet(&wide("dir;1"), true).unwrap(), b"dir;1");
        assert_eq!(joliet(&wide("𝟗"), false).unwrap(), "𝟗".as_bytes());
        assert_eq!(joliet(b"odd", false), None);
        assert_eq!(joliet(&[0xD8, 0], false), None);
    }

    #[test]
    fn the_table_gives_made_up_names_back() {
        let mut map = Conform::default();
        map.add(b"D000000 Some Folder\nF000001 9P.h\nbroken\nF000002 never\n");
        assert_eq!(&*map.real(b"d000000".to_vec()), b"Some Folder");
        assert_eq!(&*map.real(b"F000001".to_vec()), b"9P.h");
        assert_eq!(&*map.real(b"F000002".to_vec()), b"F000002");
        assert_eq!(&*map.real(b"plain".to_vec()), b"plain");
    }
}
