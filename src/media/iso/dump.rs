//! Discs that grow: `disk/dump9660` adds a whole tree at each run, and links
//! the runs through header blocks (`/sys/src/cmd/disk/9660/dump.c`).
//!
//! A header is the line `plan 9 dump cd` and, unless it is the last, one with
//! the dump's name, its time, the next header's block, block and length of the
//! table of made-up names, and of the tree's root directory, and of Joliet's.

use super::error::IsoError;
use super::format::{Extent, SECTOR, read};
use crate::read_at::ReadAt;
use std::collections::BTreeSet;

const MAGIC: &[u8] = b"plan 9 dump cd\n";
/// Sectors in which `hasdump` looks for the first header.
const FIRST: std::ops::Range<u32> = 16..24;

/// The newest dump of a disc.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// As a path: year and day.
    pub name: String,
    pub root: Extent,
    pub joliet: Option<Extent>,
    /// Every run's part of the table of made-up names.
    pub maps: Vec<Extent>,
}

/// Follows the headers; `None` when the image is no dump or has none yet.
///
/// # Errors
/// Fails when a header is damaged.
pub fn newest(image: &dyn ReadAt) -> Result<Option<Dump>, IsoError> {
    let Some(mut block) = FIRST.into_iter().find(|b| matches!(header(image, *b), Ok(Some(_)))) else { return Ok(None) };
    let mut seen = BTreeSet::new();
    let mut newest: Option<Dump> = None;
    loop {
        let damaged = |why| IsoError::Dump { block, why };
        let text = header(image, block)?.ok_or_else(|| damaged("its first line is missing"))?;
        let line = text.split('\n').next().unwrap_or_default();
        if line.is_empty() {
            return Ok(newest);
        }
        if !seen.insert(block) {
            return Err(damaged("it comes back to itself"));
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u32>().ok());
        let extent = |i| Some(Extent { block: number(i)?, len: number(i + 1)? });
        let (Some(next), Some(map), Some(root)) = (number(2), extent(3), extent(5)) else {
            return Err(damaged("it has fewer than seven fields"));
        };
        let mut maps = newest.map(|d| d.maps).unwrap_or_default();
        maps.extend((map.len > 0).then_some(map));
        newest = Some(Dump { name: fields[0].into(), root, joliet: extent(7), maps });
        block = next;
    }
}

/// Text of a header after its first line, up to the first zero byte; `None`
/// when the block is not a header.
fn header(image: &dyn ReadAt, block: u32) -> Result<Option<String>, IsoError> {
    let at = u64::from(block) * SECTOR;
    if at + SECTOR > image.len() {
        return Ok(None);
    }
    let mut sector = [0; SECTOR as usize];
    read(image, at, &mut sector)?;
    let Some(rest) = sector.strip_prefix(MAGIC) else { return Ok(None) };
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    Ok(Some(String::from_utf8_lossy(&rest[..end]).into_owned()))
}
