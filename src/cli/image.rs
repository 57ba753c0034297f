//! Places inside images: `IMAGE[:PARTITION[:PATH]]`.

use super::outcome::Usage;
use crate::artifact;
use crate::disk::{self, DiskImage};
use crate::foreign;
use crate::fs::{self, FileSystem, Node};
use crate::guest::computed::ComputedBase;
use crate::guest::node_disk;
use crate::media::store::Store;
use crate::media::{Medium, Source};
use crate::ops;
use crate::read_at::ReadAt;
use crate::shown;
use anyhow::Context as _;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An opened image or medium, and the partition and path in it that an argument names.
pub enum ImagePath {
    /// A disk with partitions.
    Disk { disk: DiskImage, partition: Option<String>, path: Option<String> },
    /// A file system without partitions, or a medium.
    Whole {
        fs: Box<dyn FileSystem>,
        path: Option<String>,
        /// Bytes of the image; [`u64::MAX`] for a medium.
        len: u64,
    },
}

/// Takes the disk in the file of this path out of its container, such as a qcow2 image.
pub type Unwrap<'a> = &'a mut dyn FnMut(&Path, Arc<dyn ReadAt>) -> std::io::Result<Arc<dyn ReadAt>>;

/// Opens the image or medium that `place` names.
///
/// # Errors
/// Fails when there is no such file or folder, or it is neither an image nor a medium.
pub fn open(place: &str) -> anyhow::Result<ImagePath> {
    open_by(place, &mut |path, bytes| Ok(artifact::layers_over(bytes, &below(path))?.disk))
}

/// Opens the disk under an image that has only what changed: a file beside it, or the disk that is
/// computed for the node that wrote the image.
pub fn below(image: &Path) -> impl Fn(&str) -> io::Result<Arc<dyn ReadAt>> + use<> {
    let (beside, folder) = (artifact::beside(image), image.parent().map(Path::to_owned));
    let folder = folder.filter(|_| image.file_name() == Some(OsStr::new(node_disk::OVERLAY)));
    move |name| match folder.as_deref().map(ComputedBase::load).transpose()?.flatten() {
        Some(base) if base.name() == name => ops::compute(&base),
        _ => beside(name),
    }
}

/// As [`open`]; `unwrap` takes the disk out of its container.
///
/// # Errors
/// As [`open`].
pub fn open_by(place: &str, unwrap: Unwrap<'_>) -> anyhow::Result<ImagePath> {
    if let Some(rest) = after(place, "sample").filter(|_| !Path::new(place).exists()) {
        let medium = Medium::sample();
        return Ok(ImagePath::Whole { fs: Box::new(fs::TreeFs::new(medium.tree)), path: rest, len: u64::MAX });
    }
    let (image, rest) = split(place)?;
    let bytes = match Source::open(image, Store::platform().ok().as_ref())? {
        Source::Other(bytes) => {
            unwrap(image, bytes).with_context(|| format!("Cannot open the image {}", image.display()))?
        }
        source => {
            let medium = Medium::read("medium", image, source, 0)?;
            return whole(Box::new(fs::TreeFs::new(medium.tree)), rest, u64::MAX, image);
        }
    };
    let disk = match disk::open_disk(bytes.clone()) {
        Ok(disk) => disk,
        Err(disk::OpenDiskError::NoPartitions) => {
            let len = bytes.len();
            let fs = fs::open(bytes.clone(), None, &fs::alone).map_err(|e| better(e, &*bytes));
            let fs = fs.with_context(|| format!("Cannot read {}", image.display()))?;
            return whole(fs, rest, len, image);
        }
        Err(e) => return Err(e).with_context(|| format!("Cannot read {} as a disk", image.display())),
    };
    let (partition, path) = match rest {
        None => (None, None),
        Some(rest) => match rest.split_once(':') {
            Some((p, path)) => (Some(p.to_owned()), Some(path.to_owned())),
            None => (Some(rest), None),
        },
    };
    Ok(ImagePath::Disk { disk, partition: partition.filter(|p| !p.is_empty()), path })
}

/// A file system without partitions; a place that names a partition of it is an error.
fn whole(fs: Box<dyn FileSystem>, path: Option<String>, len: u64, image: &Path) -> anyhow::Result<ImagePath> {
    if let Some(name) = path.as_deref().filter(|p| !p.is_empty() && !p.contains('/'))
        && fs.find(name.as_bytes()).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
    {
        let image = image.display();
        anyhow::bail!(
            "There is no {name:?} in {image}, which is one tree of files with no partitions: give {image}:/PATH"
        );
    }
    Ok(ImagePath::Whole { fs, path, len })
}

/// `place` without `head`, if it begins with that and a colon follows or nothing.
fn after(place: &str, head: &str) -> Option<Option<String>> {
    let rest = place.strip_prefix(head)?;
    match rest.strip_prefix(':') {
        Some(rest) => Some(Some(rest.to_owned())),
        None => rest.is_empty().then_some(None),
    }
}

/// Splits a place into the image and the rest. File names may have colons: the
/// shortest prefix that exists is the image.
pub fn split(place: &str) -> anyhow::Result<(&Path, Option<String>)> {
    let ends = place.match_indices(':').map(|(i, _)| i).chain([place.len()]);
    for end in ends {
        let image = Path::new(&place[..end]);
        if image.exists() {
            return Ok((image, place.get(end + 1..).map(str::to_owned)));
        }
    }
    let image = place.split(':').next().unwrap_or(place);
    Err(anyhow::anyhow!("There is no image {image}: give a disk image, a medium's folder, or `sample`"))
}

/// The file or directory at a path, which may be written as p9img shows it
/// (`%1B` for a control character), and its path in the file system.
///
/// # Errors
/// Fails when there is no such file or directory.
pub fn find(fs: &dyn FileSystem, path: &str) -> io::Result<(Vec<u8>, Node)> {
    let (plain, meant) = (path.as_bytes().to_vec(), shown::bytes(path));
    match fs.find(&plain) {
        Ok(node) => Ok((plain, node)),
        Err(e) if meant == plain => Err(e),
        Err(e) => fs.find(&meant).map(|node| (meant, node)).map_err(|_| e),
    }
}

/// Opens the file system of one partition.
///
/// # Errors
/// Fails when there is no such partition, or it has no file system that p9img reads.
pub fn open_partition(disk: &DiskImage, name: &str) -> anyhow::Result<Box<dyn FileSystem>> {
    let lba = disk.find(name).map_err(|e| Usage(e.to_string()))?.lba();
    let beside = |name: &str| disk.beside(name);
    let bytes = partition(disk, name)?;
    let fs = fs::open(bytes.clone(), Some(lba), &beside).map_err(|e| better(e, &*bytes));
    fs.with_context(|| format!("Cannot read the partition {name}"))
}

/// Error that names the format that is there instead of a file system, if p9img
/// knows its name.
fn better(e: fs::OpenError, bytes: &dyn ReadAt) -> anyhow::Error {
    match (&e, foreign::name(bytes)) {
        (fs::OpenError::Unknown { .. }, Ok(Some(found))) => found.into(),
        _ => e.into(),
    }
}

/// The bytes of one partition.
///
/// # Errors
/// Fails when there is no partition of that name.
pub fn partition(disk: &DiskImage, name: &str) -> anyhow::Result<Arc<dyn ReadAt>> {
    match disk.partition(name) {
        Ok(window) => Ok(Arc::new(window)),
        Err(e @ disk::OpenDiskError::NoSuchPartition { .. }) => Err(Usage(e.to_string()).into()),
        Err(e) => Err(e.into()),
    }
}
