//! tar archives as media: their headers are read once, their files stay where
//! they are. `doc/media.md` has the formats and what is made of them.

mod error;
mod header;
mod pax;

pub use header::matches;

pub use error::TarError;

use super::directory;
use super::error::MediumError;
use super::listed::Listed;
use super::listing::{Attributes, PathError};
use super::members::Members;
use super::names;
use crate::read_at::ReadAt;
use crate::tree::{Content, Meta, Mode};
use header::{BLOCK, Header};
use pax::Pax;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a long name: the deepest path of the longest names.
const MAX_LONG: u64 = 1 << 16;
/// Bytes of an extended header: GNU's can list a file's attributes.
const MAX_PAX: u64 = 1 << 20;

/// Lists the archive `source`, which is at `path`.
///
/// # Errors
/// Fails when it is damaged or holds what Plan 9 cannot.
pub fn list(source: &Arc<dyn ReadAt>, path: &Path) -> Result<Listed, MediumError> {
    let mut reader = Reader { source, path, at: 0, members: Members::default(), global: Pax::default() };
    reader.read()?;
    let listing = reader.members.list(path)?;
    let metadata = "the archive itself: its modes and times, and its owners where Plan 9 has users of that name";
    Ok(Listed { listing, metadata: Some(metadata), ..Listed::default() })
}

struct Reader<'a> {
    source: &'a Arc<dyn ReadAt>,
    path: &'a Path,
    /// Offset of the next header, in bytes.
    at: u64,
    members: Members,
    global: Pax,
}

/// Values from the headers before a member.
#[derive(Default)]
struct Before {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), MediumError> {
        let mut before = Before::default();
        while let Some((at, header)) = self.header().map_err(|e| self.damaged(e))? {
            match header.kind {
                b'x' | b'X' | b'g' => {
                    let text = self.own(&header, at, MAX_PAX).map_err(|e| self.damaged(e))?;
                    let global = header.kind == b'g';
                    let pax = if global { &mut self.global } else { before.pax.insert(self.global.clone()) };
                    let read = pax.read(&text, at);
                    read.map_err(|e| self.damaged(e))?;
                }
                b'L' | b'K' => {
                    let mut text = self.own(&header, at, MAX_LONG).map_err(|e| self.damaged(e))?;
                    text.truncate(text.iter().position(|b| *b == 0).unwrap_or(text.len()));
                    let long = if header.kind == b'L' { &mut before.long_name } else { &mut before.long_link };
                    *long = Some(text);
                }
                // The name of the volume.
                b'V' => self.skip(&header, at).map_err(|e| self.damaged(e))?,
                _ => self.member(header, at, std::mem::take(&mut before))?,
            }
        }
        Ok(())
    }

    fn damaged(&self, source: TarError) -> MediumError {
        MediumError::Tar { path: self.path.into(), source }
    }

    /// The next header and where it is; none at the archive's end.
    fn header(&mut self) -> Result<Option<(u64, Header)>, TarError> {
        let at = self.at;
        let Some(block) = self.block(at)? else { return Err(TarError::Cut { len: self.source.len() }) };
        self.at += BLOCK as u64;
        if let Some(header) = Header::parse(&block, at)? {
            return Ok(Some((at, header)));
        }
        // The end is two such blocks; some writers are content with one.
        match self.block(self.at)? {
            Some(next) if next.iter().any(|b| *b != 0) => Err(TarError::Zeros { at }),
            _ => Ok(None),
        }
    }

    /// The block at `at`; none where the archive has ended.
    fn block(&self, at: u64) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.source.len().saturating_sub(at) < BLOCK as u64 {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.source.read_at(at, &mut block)?;
        Ok(Some(block))
    }

    /// Passes over a member's data and says where it begins.
    fn data(&mut self, name: &[u8], at: u64, size: u64) -> Result<u64, TarError> {
        let (start, len) = (self.at, self.source.len());
        if size > len - start.min(len) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(TarError::CutMember { name, at, size, len });
        }
        // The last member's padding may be missing; then so is the end marker.
        self.at = start + size.next_multiple_of(BLOCK as u64);
        Ok(start)
    }

    fn skip(&mut self, header: &Header, at: u64) -> Result<(), TarError> {
        self.data(&header.name, at, header.size).map(drop)
    }

    /// The data of a header that speaks of another.
    fn own(&mut self, header: &Header, at: u64, most: u64) -> Result<Vec<u8>, TarError> {
        if header.size > most {
            return Err(TarError::Long { at, len: header.size, most });
        }
        let start = self.data(&header.name, at, header.size)?;
        let mut text = vec![0; header.size as usize];
        self.source.read_at(start, &mut text)?;
        Ok(text)
    }

    fn member(&mut self, header: Header, at: u64, before: Before) -> Result<(), MediumError> {
        let pax = before.pax.unwrap_or_else(|| self.global.clone());
        let name = pax.path.or(before.long_name).unwrap_or(header.name);
        let link = pax.link.or(before.long_link).unwrap_or(header.link);
        let size = pax.size.unwrap_or(header.size);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = self.path.join(OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(&name)));
        let wrong = |why| MediumError::Path { path: path.clone(), why };
        if header.kind == b'S' || pax.sparse {
            return Err(self.damaged(TarError::Sparse { name: text(&name) }));
        }
        let slash = name.ends_with(b"/");
        // Old archives have no type for directories, nor do Plan 9's without ustar.
        let old_dir = matches!(header.kind, b'0' | 0) && (slash || header.mode & 0o170_000 == 0o040_000);
        let is_dir = old_dir || matches!(header.kind, b'5' | b'D');
        let below = names::clean(&name).map_err(wrong)?;
        let perm = header.mode & 0o777;
        let mode = if is_dir { Mode::dir(perm) } else { Mode::file(perm) };
        let mtime = u32::try_from(pax.mtime.unwrap_or(header.mtime)).unwrap_or(u32::MAX);
        let uid = names::owner(pax.uname.as_ref().unwrap_or(&header.uname));
        let gid = names::owner(pax.gname.as_ref().unwrap_or(&header.gname));
        let attributes = Attributes::Archive(Meta::new(mode, uid, gid, mtime));
        if is_dir {
            // Only GNU's incremental archives have data here.
            let size = if header.kind == b'D' { size } else { 0 };
            self.data(&name, at, size).map_err(|e| self.damaged(e))?;
            if below.is_empty() {
                self.members.root(attributes);
                return Ok(());
            }
            return self.members.dir(&below, attributes).map_err(wrong);
        }
        if below.is_empty() {
            return Err(wrong(PathError::Leaves));
        }
        match header.kind {
            b'0' | 0 | b'7' => {
                let offset = self.data(&name, at, size).map_err(|e| self.damaged(e))?;
                let content = Content::Part { source: self.source.clone(), offset, len: size };
                self.members.file(&below, attributes, content).map_err(wrong)
            }
            b'1' => {
                self.hard_link_data(&name, at, size).map_err(|e| self.damaged(e))?;
                let target = names::clean(&link).map_err(wrong)?;
                match self.members.hard_link(&below, &target).map_err(wrong)? {
                    true => Ok(()),
                    false => Err(self.damaged(TarError::HardLink { name: text(&name), target: text(&link) })),
                }
            }
            // The second is 4BSD's.
            b'2' | b's' => self.members.link(&below, &link).map_err(wrong),
            b'3' | b'4' => Err(MediumError::Special { path, kind: directory::DEVICE }),
            b'6' => Err(MediumError::Special { path, kind: directory::PIPE }),
            kind => Err(self.damaged(TarError::Kind { name: text(&name), kind: char::from(kind) })),
        }
    }

    /// Some writers give a hard link its file's size without the bytes, others
    /// with them: what comes next tells.
    fn hard_link_data(&mut self, name: &[u8], at: u64, size: u64) -> Result<(), TarError> {
        let next = self.block(self.at)?;
        let header = next.is_some_and(|block| Header::parse(&block, self.at).is_ok());
        self.data(name, at, if header { 0 } else { size }).map(drop)
    }
}

#[cfg(test)]
mod tests;
