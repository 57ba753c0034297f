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

use std::collections::BTreeSet;

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

/// What is wrong with a name that a field of a directory's block holds, and
/// with whom it shares it: `at` is the block and the slot, `names` has those of
/// the directory before it.
pub fn name_flaws(
    path: &str,
    name: &[u8],
    max: usize,
    at: (u64, usize),
    names: &mut BTreeSet<Vec<u8>>,
    report: &mut dyn FnMut(String),
) {
    let (address, slot) = at;
    if name.len() > max {
        report(format!("{path}: no zero ends the name in slot {slot} of block {address}"));
    } else if let Some(why) = bad_name(name) {
        report(format!("{path:?}: the name in slot {slot} of block {address} cannot be: {why}"));
    }
    if !names.insert(name.to_vec()) {
        report(format!("{path}: there are two files of this name"));
    }
}

/// Fills `buf`, which begins at byte `offset`, with blocks that are made one by
/// one, as far as those before `end` reach. Returns how many bytes that were.
pub fn front<const BLOCK: usize>(offset: u64, buf: &mut [u8], end: u64, block: impl Fn(u64) -> [u8; BLOCK]) -> usize {
    let mut done = 0;
    while done < buf.len() && offset + (done as u64) < end * BLOCK as u64 {
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let n = (buf.len() - done).min(BLOCK - within);
        buf[done..done + n].copy_from_slice(&block(at / BLOCK as u64)[within..within + n]);
        done += n;
    }
    done
}

/// The bytes of a field.
pub fn get<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}
