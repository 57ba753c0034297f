//! Common code of the file systems here: a layout in two layers, files whose
//! blocks lie one after the other and are reached through blocks of pointers,
//! and numbers for users.

pub(crate) mod area;
pub(crate) mod entries;
pub(crate) mod layers;
pub(crate) mod place;
pub(crate) mod pointers;
pub(crate) mod refused;
pub(crate) mod shape;
pub(crate) mod strangers;
pub(crate) mod users;

use super::Finding;
use crate::count;
use std::collections::BTreeSet;

/// Most bytes of a path that a finding shows.
const PATH: usize = 200;

/// The path of a child as findings show it, cut at the front when it is long.
pub(crate) fn join(dir: &str, name: &[u8]) -> String {
    let mut s = format!("{dir}/{}", String::from_utf8_lossy(name));
    if s.len() > PATH {
        let cut = (s.len() - PATH..).find(|i| s.is_char_boundary(*i)).unwrap_or(s.len());
        s.replace_range(..cut, "…");
    }
    s
}

pub(crate) use crate::count::either as count;

/// Reason why servers or the kernel refuse a path element.
pub(crate) fn bad_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("it is empty"),
        b"." | b".." => Some("it has a special meaning"),
        n if n.contains(&b'/') => Some("it contains a slash"),
        n if n.iter().any(|b| *b < 0x20 || *b == 0x7f) => {
            Some("it contains a control character, which Plan 9's kernel refuses")
        }
        _ => None,
    }
}

/// Findings about a name in a field of a directory's block, including names
/// that appear twice: `at` is the block and the slot, `names` has those of the
/// directory before it.
pub(crate) fn name_flaws(
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
        report(format!("{path:?}: the name in slot {slot} of block {address} is not possible: {why}"));
    }
    if !names.insert(name.to_vec()) {
        report(format!("{path}: there are two files of this name"));
    }
}

/// Remark about a name that is not text: servers keep any bytes, but 9P speaks
/// UTF-8.
pub(crate) fn name_text(path: &str, name: &[u8]) -> Option<Finding> {
    let is_text = std::str::from_utf8(name).is_ok();
    let message = || format!("{path}: the name is not UTF-8, but {}", name.escape_ascii());
    (!is_text).then(|| Finding { kind: "name-text", message: message() })
}

/// Reason why a file's length is impossible: its pointers do not reach so far,
/// or it is more than the whole volume of `volume` bytes and nothing lies at
/// its end.
///
/// A file may be longer than what is stored of it: what nobody wrote is a hole.
/// But servers make one that is longer than the volume only by writing there.
pub(crate) fn length_flaw(len: u64, most: u64, volume: u64, has_end: bool) -> Option<String> {
    match () {
        () if len > most => {
            Some(format!("its length is {len}, but its pointers reach {most}", len = count::of(len, "byte")))
        }
        () if len > volume && !has_end => Some(format!(
            "its length is {len}, but the volume has {volume}, and nothing is at its end",
            len = count::of(len, "byte")
        )),
        () => None,
    }
}

/// Fills `buf`, which begins at byte `offset`, with blocks that are made one by
/// one, as far as those before `end` reach. Returns how many bytes that were.
pub(crate) fn front<const BLOCK: usize>(
    offset: u64,
    buf: &mut [u8],
    end: u64,
    block: impl Fn(u64) -> [u8; BLOCK],
) -> usize {
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
pub(crate) fn get<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}
