//! zip archives of trees, such as a forge gives them out. Stored files are read
//! where they are; deflated ones cannot be read at any offset, so they are
//! unpacked once, one after another, into one file of the store. An archive of
//! a disk image is not for this reader. `doc/media.md` says what is made of
//! names, modes and times.

mod error;

pub use error::ZipError;

use super::compressed::{known, most, room};
use super::distribution::Distribution;
use super::error::MediumError;
use super::listed::Listed;
use super::listing::{Attributes, PathError};
use super::members::Members;
use super::store::{Store, StoreError};
use super::{directory, names};
use crate::artifact::zip::method::STORED;
use crate::artifact::zip::{self, Member};
use crate::compression::Sequential;
use crate::count;
use crate::leftovers::{Leftovers, in_zip};
use crate::read_at::ReadAt;
use crate::stop;
use crate::tree::{Content, Meta, Mode};
use error::MAX_LINK;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are unpacked into memory where there is no store.
const IN_MEMORY: u64 = 16 << 20;
/// Bytes inflated at a time.
const STEP: usize = 64 << 10;
/// Type bits of Unix's modes.
const TYPE: u32 = 0o170_000;

/// An archive of a tree.
pub struct Zip {
    pub bytes: Arc<dyn ReadAt>,
    /// The file that it is, or that it is in under a compression.
    pub file: Arc<dyn ReadAt>,
    pub store: Option<Store>,
}

/// Whether a zip archive holds a tree and not a disk image: it has what a
/// system cannot lack, at its top or in its one folder, or no image.
pub fn holds_tree(bytes: &dyn ReadAt) -> bool {
    // Damage is reported when the archive is listed.
    let Ok(all) = zip::members(bytes) else { return false };
    if !all.iter().any(zip::is_image) {
        return true;
    }
    let names: BTreeSet<&str> = all.iter().map(|m| m.name.as_str()).filter(|name| !in_zip(name)).collect();
    let top = names.first().and_then(|name| name.split_once('/')).map_or("", |(top, _)| top);
    let has = |path: &str| names.contains(path) || names.contains(&*format!("{top}/{path}"));
    Distribution::recognise_by(has).is_some()
}

impl Zip {
    /// Lists the archive, which is at `path`.
    ///
    /// # Errors
    /// Fails when it is damaged, holds what Plan 9 cannot, or would grow too
    /// much.
    pub fn list(&self, path: &Path) -> Result<Listed, MediumError> {
        let wrong = |source| MediumError::Zip { path: path.into(), source };
        let all = zip::directory(&*self.bytes).map_err(|e| wrong(e.into()))?;
        let mut leftovers = Leftovers::default();
        let mut files: Vec<File<'_>> = Vec::new();
        let mut seen = BTreeSet::new();
        for member in &all {
            let name = member.name.as_bytes();
            let at = path.join(OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name)));
            let refused = |why| MediumError::Path { path: at.clone(), why };
            let below = names::clean(name).map_err(refused)?;
            if below.is_empty() || leftovers.takes(&below) {
                continue;
            }
            if !member.is_dir && !seen.insert(below.clone()) {
                return Err(wrong(ZipError::Twice { name: member.name.clone() }));
            }
            files.push(File { member, below, data: 0 });
        }
        let unpacked = self.unpack(&mut files, path)?;
        let mut members = Members::default();
        for File { member, below, data } in files {
            let refused = |why: PathError| MediumError::Path { path: path.join(OsStr::from_bytes(&below)), why };
            let kind = member.mode.map_or(0, |mode| mode & TYPE);
            if member.is_dir {
                members.dir(&below, attributes(member)).map_err(refused)?;
                continue;
            }
            let source = if member.method == STORED { &self.bytes } else { &unpacked };
            let content = Content::Part { source: source.clone(), offset: data, len: member.len };
            match kind {
                0o120_000 if member.len > MAX_LINK => {
                    return Err(wrong(ZipError::Link { name: member.name.clone(), len: member.len }));
                }
                0o120_000 => {
                    let target = content.read_all().map_err(|e| wrong(e.into()))?;
                    members.link(&below, &target).map_err(refused)?;
                }
                0 | 0o100_000 => members.file(&below, attributes(member), content).map_err(refused)?,
                0o010_000 => return Err(MediumError::Special { path: path.join(&member.name), kind: directory::PIPE }),
                _ => return Err(MediumError::Special { path: path.join(&member.name), kind: directory::DEVICE }),
            }
        }
        let mut listing = members.list(path)?;
        listing.leave_out(leftovers);
        let metadata = "the archive itself: its modes and times where it has them";
        Ok(Listed { listing, metadata: Some(metadata), ..Listed::default() })
    }

    /// Finds the bytes of every file, and unpacks those that are deflated.
    fn unpack(&self, files: &mut [File<'_>], path: &Path) -> Result<Arc<dyn ReadAt>, MediumError> {
        let wrong = |source| MediumError::Zip { path: path.into(), source };
        let mut places = Vec::new();
        let mut len = 0u64;
        for file in files.iter_mut().filter(|f| !f.member.is_dir) {
            let (data, _) = file.member.packed_bytes(&self.bytes).map_err(|e| wrong(e.into()))?;
            places.push((file.member.place(), data + file.member.packed, &file.member.name));
            let stored = file.member.method == STORED;
            file.data = if stored { data } else { len };
            len = len.saturating_add(if stored { 0 } else { file.member.len });
        }
        places.sort_unstable();
        if let Some(pair) = places.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            return Err(wrong(ZipError::Overlap { name: pair[0].2.clone(), other: pair[1].2.clone() }));
        }
        let most = most(self.bytes.len());
        if len > most {
            return Err(MediumError::Bomb { path: path.into(), how: "deflate", most });
        }
        if len == 0 {
            return Ok(Arc::new(Vec::new()));
        }
        let Some(store) = &self.store else {
            if len > IN_MEMORY {
                return Err(MediumError::NoCache { path: path.into() });
            }
            let mut out = Vec::new();
            files.iter().filter(|f| f.deflated()).try_for_each(|f| self.inflate(f.member, &mut out).map_err(wrong))?;
            return Ok(Arc::new(out));
        };
        let read = |source| MediumError::Read { path: path.into(), source };
        let meta = std::fs::metadata(path).map_err(read)?;
        let digest = known::digest(store, path, &meta, &*self.file).map_err(read)?;
        // The key has the names of the files: another version of p9img may
        // leave out others.
        let names: Vec<u8> =
            files.iter().filter(|f| f.deflated()).flat_map(|f| [&f.below[..], b"\n"].concat()).collect();
        let key = format!("{digest} deflated files {} of the zip archive", super::Digest::of(&names));
        let stored = store.derived(&key, |out| {
            for file in files.iter().filter(|f| f.deflated()) {
                stop::go_on().map_err(read)?;
                room(store, path)?;
                self.inflate(file.member, out).map_err(wrong)?;
            }
            Ok::<(), MediumError>(())
        })?;
        if stored.len() != len {
            let root = store.root().to_owned();
            let source = io::Error::new(io::ErrorKind::InvalidData, "a file made of a zip archive has another length");
            return Err(StoreError::Read { path: root, source }.into());
        }
        Ok(stored)
    }

    /// Writes a file of the archive without its compression: as many bytes as
    /// the directory says, and with the sum that it says.
    fn inflate(&self, member: &Member, out: &mut dyn Write) -> Result<(), ZipError> {
        let name = || member.name.clone();
        let (_, packed) = member.packed_bytes(&self.bytes)?;
        let packed = io::BufReader::with_capacity(STEP, Sequential::new(&packed));
        let mut from = flate2::bufread::DeflateDecoder::new(packed);
        let (mut crc, mut len) = (flate2::Crc::new(), 0u64);
        let mut piece = vec![0; STEP];
        loop {
            let n = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(source) => return Err(ZipError::Inflate { name: name(), source }),
            };
            len += n as u64;
            if len > member.len {
                return Err(ZipError::Length { name: name(), found: "more".into(), len: member.len });
            }
            crc.update(&piece[..n]);
            out.write_all(&piece[..n])?;
        }
        if len != member.len {
            return Err(ZipError::Length { name: name(), found: count::of(len, "byte"), len: member.len });
        }
        if crc.sum() != member.crc {
            return Err(ZipError::Crc { name: name(), found: crc.sum(), crc: member.crc });
        }
        Ok(())
    }
}

/// A member that is taken.
struct File<'m> {
    member: &'m Member,
    /// Its path without what the archive's maker put around it.
    below: Vec<u8>,
    /// Offset of its bytes: in the archive, or in the file of unpacked members.
    data: u64,
}

impl File<'_> {
    fn deflated(&self) -> bool {
        !self.member.is_dir && self.member.method != STORED
    }
}

/// Modes and times, as far as the archive has them. Archives of DOS and git have
/// no modes of files that nobody executes.
fn attributes(member: &Member) -> Attributes {
    let plain = if member.is_dir { 0o775 } else { 0o664 };
    let perm = member.mode.map_or(plain, |mode| mode & 0o777);
    let mode = if member.is_dir { Mode::dir(perm) } else { Mode::file(perm) };
    Attributes::Archive(Meta::new(mode, "sys", "sys", member.seconds()))
}

#[cfg(test)]
mod tests;
