//! Recognition of a medium by its first bytes, and its reader.
//!
//! A new container gets an arm in [`Source::open`] (how it is recognized) and
//! one in [`Source::list`] (its reader).

use super::distribution::Distribution;
use super::error::MediumError;
use super::listed::Listed;
use super::store::Store;
use super::zip::{self, Zip};
use super::{compressed, deb, directory, git, image, iso, tar};
use crate::artifact;
use crate::read_at::{HostFile, ReadAt};
use crate::root::ROOTS;
use crate::web_page;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Kinds of media, for the message when a file is none of them.
fn looked_for() -> String {
    let roots: Vec<_> = ROOTS.iter().map(|root| root.word).collect();
    let (last, others) = roots.split_last().map_or(("", &[][..]), |(last, others)| (*last, others));
    let roots = format!("{} or {last}", others.join(", "));
    format!(
        "a folder, a git directory, an ISO 9660 image, a tar or zip archive, a Debian package, or a disk image with \
         {roots}, also under gzip, bzip2, xz or zstd"
    )
}

/// Something that may be a medium, opened as far as telling its kind needs.
pub enum Source {
    /// A folder of plain files.
    Folder(PathBuf),
    /// The directory of a git repository, and the store for what is read of it.
    Git(PathBuf, Store),
    Tar(Arc<dyn ReadAt>),
    /// A Debian package.
    Deb(Arc<dyn ReadAt>),
    /// An ISO 9660 image.
    Iso(Arc<dyn ReadAt>),
    /// A zip archive of a tree.
    Zip(Zip),
    /// No archive of files: a disk image, or nothing of use.
    Other(Arc<dyn ReadAt>),
}

impl Source {
    /// Opens what is at `path`. What is compressed is unpacked into `store`.
    ///
    /// # Errors
    /// Fails when nothing is there or it cannot be read.
    pub fn open(path: &Path, store: Option<&Store>) -> Result<Self, MediumError> {
        let read = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => MediumError::Missing { path: path.into(), marks: Distribution::marks() },
            _ => MediumError::Read { path: path.into(), source },
        };
        let kind = std::fs::metadata(path).map_err(read)?.file_type();
        if kind.is_dir() && git::is_directory(path) {
            let store = store.ok_or_else(|| MediumError::NoCache { path: path.into() })?;
            return Ok(Self::Git(path.into(), store.clone()));
        }
        if kind.is_dir() {
            return Ok(Self::Folder(path.into()));
        }
        if !kind.is_file() && !kind.is_block_device() {
            let kind = directory::special(kind);
            return Err(MediumError::Special { path: path.into(), kind });
        }
        let file = File::open(path).and_then(HostFile::new).map_err(read)?;
        Self::of(Arc::new(file), path, store)
    }

    /// As [`Source::open`], for the bytes of the file at `path`: those of one in
    /// the store are verified while they are read.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn of(file: Arc<dyn ReadAt>, path: &Path, store: Option<&Store>) -> Result<Self, MediumError> {
        let read = |source: io::Error| MediumError::Read { path: path.into(), source };
        let meta = std::fs::metadata(path).map_err(read)?;
        let outer = file;
        let file = compressed::peel(path, &meta, outer.clone(), store)?;
        let mut start = [0; 512];
        let n = file.len().min(512) as usize;
        file.read_at(0, &mut start[..n]).map_err(read)?;
        let start = &start[..n];
        if web_page::matches(start) {
            return Err(MediumError::WebPage { path: path.into() });
        }
        Ok(match () {
            // An OVA is a tar archive, too, but of a disk.
            () if tar::matches(start) && artifact::reader(start).is_none() => Self::Tar(file),
            () if deb::matches(start) => Self::Deb(file),
            () if iso::matches(&*file) => Self::Iso(file),
            () if artifact::zip::matches(start) && zip::holds_tree(&*file) => {
                Self::Zip(Zip { bytes: file, file: outer, store: store.cloned() })
            }
            () => match iso::RawSectors::of(&file).filter(|disc| iso::matches(disc)) {
                Some(disc) => Self::Iso(Arc::new(disc)),
                None => Self::Other(file),
            },
        })
    }

    /// Lists the files in it; `path` is where it is, for messages.
    ///
    /// # Errors
    /// Fails when it is no container of files, is damaged, or holds what Plan 9
    /// cannot.
    pub fn list(self, path: &Path) -> Result<Listed, MediumError> {
        match self {
            Self::Folder(folder) => Ok(Listed { listing: directory::list(&folder)?, ..Listed::default() }),
            Self::Git(folder, store) => git::list(&folder, &store),
            Self::Tar(bytes) => tar::list(&bytes, path),
            Self::Deb(bytes) => deb::list(&bytes, path),
            Self::Iso(image) => {
                iso::list(&image).map_err(|source| MediumError::Iso { path: path.into(), source: Box::new(source) })
            }
            Self::Zip(archive) => archive.list(path),
            Self::Other(bytes) => image::list(&bytes, path, &looked_for()),
        }
    }
}
