//! Reason why an image cannot be a medium.

use crate::count;
use crate::media::PathError;
use std::io;

/// Damage of an image. Paths begin with a slash and are for people.
#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    #[error("Cannot read byte {at} of the image")]
    Read { at: u64, source: io::Error },
    #[error("The image has no primary volume descriptor: looked at sectors 16 to {last}")]
    NoPrimary { last: u64 },
    #[error("The {what} of the image is {found}, expected {expected}")]
    Descriptor { what: &'static str, found: String, expected: &'static str },
    #[error("{path}: the record at byte {at} of the image is damaged: {why}")]
    Record { path: String, at: u64, why: &'static str },
    #[error("{path}: the {field} is {little} in one byte order and {big} in the other: the image is damaged")]
    Endian { path: String, field: &'static str, little: u32, big: u32 },
    #[error("{path} is at bytes {start} to {end}, but the image has {len}: it is cut off or damaged")]
    Beyond { path: String, start: u64, end: u64, len: u64 },
    #[error("{path} and {other} overlap from byte {at} of the image on: the image is damaged")]
    Overlap { path: String, other: String, at: u64 },
    #[error("{path} is stored interleaved: p9img reads files whose blocks follow each other")]
    Interleaved { path: String },
    #[error("{path} is compressed (zisofs): make the image without compression")]
    Compressed { path: String },
    #[error("{path} is a {kind}: Plan 9 trees contain files and directories only")]
    Special { path: String, kind: &'static str },
    #[error("Plan 9 cannot store {path}: {why}")]
    Path { path: String, why: PathError },
    #[error("{path} has a slash in its name")]
    Slash { path: String },
    #[error("{path}: the owner or group {found:?} is not a name that Plan 9 allows")]
    Owner { path: String, found: String },
    #[error("The symbolic link {path} leads back to {ancestor}: remove the loop")]
    LinkLoop { path: String, ancestor: String },
    #[error("The symbolic link {path} leads to {target}, outside of the image's tree: replace it with a copy")]
    LinkLeaves { path: String, target: String },
    #[error("The symbolic links of the image lead to more than {most}: remove some", most = count::of(most, "file"))]
    Links { most: usize },
    #[error("The header of the dump in block {block} is damaged: {why}")]
    Dump { block: u32, why: &'static str },
}

/// Longest path that a message shows, in characters.
const SHOWN: usize = 200;

/// A path for a message: of a bounded length, and nothing in it disturbs a
/// terminal.
pub fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut out: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}
