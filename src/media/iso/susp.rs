//! Rock Ridge: entries of two letters in the system use area of each record
//! (SUSP 1.12 and RRIP 1.12). What a tree needs of them is the name, the
//! permissions, symbolic links, and where directories were moved to.

use super::error::IsoError;
use super::format::{Extent, Record, SECTOR, Volume, both, read};
use crate::read_at::ReadAt;

/// Continuations of one record: a target of 4 KiB in pieces as small as
/// `mk9660` writes them needs some twenty.
const MAX_CONTINUATIONS: usize = 64;
/// Longest name and longest target of a link that are read, in bytes.
const MAX_NAME: usize = 1024;
const MAX_TARGET: usize = 8192;

/// The extensions that are Rock Ridge under its successive names.
const IDENTIFIERS: [&[u8]; 3] = [b"RRIP_1991A", b"IEEE_P1282", b"IEEE_1282"];

const TYPE: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_DIR: u32 = 0o040_000;
const TYPE_LINK: u32 = 0o120_000;

/// Rock Ridge settings of the volume.
#[derive(Clone, Copy, Debug)]
pub struct RockRidge {
    /// Bytes at the start of each area that are somebody else's.
    skip: usize,
}

/// Fields of one record's entries.
#[derive(Debug, Default)]
pub struct Fields {
    pub name: Option<Vec<u8>>,
    /// POSIX mode.
    mode: Option<u32>,
    /// Target of a symbolic link.
    pub link: Option<Vec<u8>>,
    /// The directory's first block: it was moved, and this is its place.
    pub child: Option<u32>,
    /// It was moved here, and another record is its place.
    pub moved: bool,
    /// Compressed in a way that only a reader of its own undoes.
    pub compressed: bool,
}

impl Fields {
    /// Whether the owner may execute it.
    pub fn executable(&self) -> bool {
        self.mode.is_some_and(|m| m & 0o100 != 0)
    }

    /// The word for what is neither file, directory nor link.
    pub fn special(&self) -> Option<&'static str> {
        match self.mode? & TYPE {
            0 | TYPE_FILE | TYPE_DIR | TYPE_LINK => None,
            0o010_000 => Some("named pipe"),
            0o140_000 => Some("socket"),
            _ => Some("device"),
        }
    }
}

/// Looks for Rock Ridge in the root directory's record of itself, which
/// begins the directory.
///
/// # Errors
/// Fails when the directory cannot be read or its area is damaged.
pub fn detect(image: &dyn ReadAt, volume: &Volume, root: Extent) -> Result<Option<RockRidge>, IsoError> {
    let at = u64::from(root.block) * u64::from(volume.block);
    let mut sector = vec![0; image.len().saturating_sub(at).min(SECTOR) as usize];
    read(image, at, &mut sector)?;
    let Ok(record) = Record::parse(&sector) else { return Ok(None) };
    let [b'S', b'P', 7, _, 0xBE, 0xEF, skip, ..] = *record.system_use else { return Ok(None) };
    let rock = RockRidge { skip: skip.into() };
    let mut found = false;
    // The skipped bytes do not apply to this one record.
    let whole = RockRidge { skip: 0 };
    whole.entries(image, volume, record.system_use, "/", at, |name, body| {
        let identifier = || body.get(4..4 + usize::from(*body.first()?));
        found |= match name {
            b"ER" => identifier().is_some_and(|id| IDENTIFIERS.contains(&id)),
            // Of the version of 1991, which needs no `ER`.
            b"RR" => true,
            _ => false,
        };
        Ok(())
    })?;
    Ok(found.then_some(rock))
}

impl RockRidge {
    /// Reads the fields of `record`, which is at byte `at` of the image.
    ///
    /// # Errors
    /// Fails when an entry is damaged.
    pub fn fields(
        self,
        image: &dyn ReadAt,
        volume: &Volume,
        record: &Record<'_>,
        path: &str,
        at: u64,
    ) -> Result<Fields, IsoError> {
        let mut fields = Fields::default();
        let mut link = Link::default();
        self.entries(image, volume, record.system_use, path, at, |name, body| {
            let damaged = |why| IsoError::Record { path: path.into(), at, why };
            match name {
                b"PX" if body.len() >= 8 => fields.mode = Some(both(body, 0, path, "mode")?),
                b"NM" => match body.split_first() {
                    // The directory itself and the one above it have none.
                    Some((flags, text)) if flags & 0b110 == 0 => {
                        let name = fields.name.get_or_insert_default();
                        name.extend_from_slice(text);
                        if name.len() > MAX_NAME {
                            return Err(damaged("its Rock Ridge name is longer than any name"));
                        }
                    }
                    _ => {}
                },
                b"SL" => link.add(body.get(1..).unwrap_or_default()).map_err(damaged)?,
                b"CL" if body.len() >= 8 => fields.child = Some(both(body, 0, path, "moved directory's block")?),
                b"RE" => fields.moved = true,
                b"ZF" => fields.compressed = true,
                _ => {}
            }
            Ok(())
        })?;
        fields.link = link.target;
        Ok(fields)
    }

    /// Calls `each` with the letters and the body of every entry of an area
    /// and of what continues it.
    fn entries(
        self,
        image: &dyn ReadAt,
        volume: &Volume,
        area: &[u8],
        path: &str,
        at: u64,
        mut each: impl FnMut(&[u8; 2], &[u8]) -> Result<(), IsoError>,
    ) -> Result<(), IsoError> {
        let damaged = |why| IsoError::Record { path: path.into(), at, why };
        let mut area = area.get(self.skip..).unwrap_or_default().to_vec();
        for _ in 0..=MAX_CONTINUATIONS {
            let mut next = None;
            let mut rest = &area[..];
            // Shorter than an entry: padding.
            while let [a, b, len, _version, ..] = *rest {
                if [a, b, len] == [0; 3] {
                    break;
                }
                let entry = rest.get(..usize::from(len)).filter(|e| e.len() >= 4);
                let body = &entry.ok_or_else(|| damaged("a Rock Ridge entry passes the end of its area"))?[4..];
                match &[a, b] {
                    b"CE" if body.len() >= 24 => {
                        let field = |at| both(body, at, path, "continuation");
                        next = Some((field(0)?, field(8)?, field(16)?));
                    }
                    b"ST" => break,
                    name => each(name, body)?,
                }
                rest = &rest[usize::from(len)..];
            }
            let Some((block, offset, len)) = next else { return Ok(()) };
            if u64::from(len) > SECTOR {
                return Err(damaged("a Rock Ridge continuation is longer than a sector"));
            }
            let start = u64::from(block) * u64::from(volume.block) + u64::from(offset);
            let end = start + u64::from(len);
            if end > image.len() {
                return Err(IsoError::Beyond { path: path.into(), start, end, len: image.len() });
            }
            area = vec![0; len as usize];
            read(image, start, &mut area)?;
        }
        Err(damaged("its Rock Ridge entries are continued without end"))
    }
}

/// The target of a symbolic link, put together from its components.
#[derive(Default)]
struct Link {
    target: Option<Vec<u8>>,
    /// The next component continues the last.
    open: bool,
}

impl Link {
    fn add(&mut self, mut components: &[u8]) -> Result<(), &'static str> {
        while let [flags, len, rest @ ..] = components {
            let (text, rest) =
                rest.split_at_checked(usize::from(*len)).ok_or("a component of its link passes its end")?;
            let word: &[u8] = match flags & 0b1110 {
                0b0010 => b".",
                0b0100 => b"..",
                0b1000 => b"/",
                _ => text,
            };
            let first = self.target.is_none();
            let target = self.target.get_or_insert_default();
            if !first && !self.open && target.last() != Some(&b'/') {
                target.push(b'/');
            }
            target.extend_from_slice(word);
            if target.len() > MAX_TARGET {
                return Err("its link's target is longer than any path");
            }
            self.open = flags & 1 != 0;
            components = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_put_together() {
        let mut link = Link::default();
        link.add(b"\x04\0\0\x02up").unwrap();
        link.add(b"\x01\x03lon\0\x03ger").unwrap();
        assert_eq!(link.target.unwrap(), b"../up/longer");
        let mut link = Link::default();
        link.add(b"\x08\0\0\x03etc").unwrap();
        assert_eq!(link.target.unwrap(), b"/etc");
        assert!(Link::default().add(b"\0\x05abc").is_err());
    }
}
