//! What the file systems here have in common: a layout in two layers, files
//! whose blocks lie one after the other and are reached through blocks of
//! pointers, and numbers for users.

pub mod area;
pub mod entries;
pub mod layers;
pub mod place;
pub mod pointers;
pub mod refused;
pub mod shape;
pub mod users;

/// Most bytes of a path that a finding shows.
const PATH: usize = 200;

/// The path of a child as findings show it, cut at the front when it is long.
pub fn join(dir: &str, name: &[u8]) -> String {
    let mut s = format!("{dir}/{}", String::from_utf8_lossy(name));
    if s.len() > PATH {
        let cut = (s.len() - PATH..).find(|i| s.is_char_boundary(*i)).unwrap_or(s.len());
        s.replace_range(..cut, "…");
    }
    s
}

/// Why servers or the kernel take no such path element.
pub fn bad_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("it is empty"),
        b"." | b".." => Some("it has a meaning of its own"),
        n if n.contains(&b'/') => Some("it contains a slash"),
        n if n.iter().any(|b| *b < 0x20 || *b == 0x7f) => {
            Some("it contains a control character, which Plan 9's kernel refuses")
        }
        _ => None,
    }
}

/// The bytes of a field.
pub fn get<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}
