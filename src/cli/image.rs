//! Places inside images: `IMAGE[:PARTITION[:PATH]]`.

use super::Usage;
use crate::disk::{self, DiskImage};
use crate::fs::{self, FileSystem};
use crate::media::store::Store;
use crate::media::{Medium, Source};
use crate::read_at::ReadAt;
use anyhow::Context as _;
use std::path::Path;
use std::sync::Arc;

/// An opened image or medium and the rest of the place.
pub enum Place {
    /// A disk with partitions.
    Disk { disk: DiskImage, partition: Option<String>, path: Option<String> },
    /// A file system without partitions, or a medium.
    Whole {
        fs: Box<dyn FileSystem>,
        path: Option<String>,
        /// Bytes of the image; of a medium without end.
        len: u64,
    },
}

/// Opens what `place` names.
///
/// # Errors
/// When there is no such image or it is none.
pub fn open(place: &str) -> anyhow::Result<Place> {
    if let Some(rest) = after(place, "sample").filter(|_| !Path::new(place).exists()) {
        let medium = Medium::sample();
        return Ok(Place::Whole { fs: Box::new(fs::tree::TreeFs::new(medium.tree)), path: rest, len: u64::MAX });
    }
    let (image, rest) = split(place)?;
    let bytes = match Source::open(image, Store::platform().ok().as_ref())? {
        Source::Other(bytes) => {
            crate::artifact::from(bytes).with_context(|| format!("Cannot open the image {}", image.display()))?
        }
        source => {
            let medium = Medium::read("medium", image, source, 0)?;
            return Ok(Place::Whole { fs: Box::new(fs::tree::TreeFs::new(medium.tree)), path: rest, len: u64::MAX });
        }
    };
    let disk = match disk::open_disk(bytes.clone()) {
        Ok(disk) => disk,
        Err(disk::OpenDiskError::NoPartitions) => {
            let len = bytes.len();
            let fs = fs::open(bytes, None, &fs::alone).with_context(|| format!("Cannot read {}", image.display()))?;
            return Ok(Place::Whole { fs, path: rest, len });
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
    Ok(Place::Disk { disk, partition: partition.filter(|p| !p.is_empty()), path })
}

/// `place` without `head`, if it begins with that and a colon follows or nothing.
fn after(place: &str, head: &str) -> Option<Option<String>> {
    let rest = place.strip_prefix(head)?;
    match rest.strip_prefix(':') {
        Some(rest) => Some(Some(rest.to_owned())),
        None => rest.is_empty().then_some(None),
    }
}

/// File names may hold colons: the shortest prefix that exists is the image.
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

/// Opens the file system of one partition.
///
/// # Errors
/// When there is no such partition or it holds no file system that is known.
pub fn open_partition(disk: &DiskImage, name: &str) -> anyhow::Result<Box<dyn FileSystem>> {
    let lba = disk.find(name).map_err(|e| Usage(e.to_string()))?.lba();
    let beside = |name: &str| disk.beside(name);
    fs::open(partition(disk, name)?, Some(lba), &beside).with_context(|| format!("Cannot read the partition {name}"))
}

/// The bytes of one partition.
///
/// # Errors
/// When there is none of that name.
pub fn partition(disk: &DiskImage, name: &str) -> anyhow::Result<Arc<dyn ReadAt>> {
    match disk.partition(name) {
        Ok(window) => Ok(Arc::new(window)),
        Err(e @ disk::OpenDiskError::NoSuchPartition { .. }) => Err(Usage(e.to_string()).into()),
        Err(e) => Err(e.into()),
    }
}

/// Whether a partition is the MBR's Plan 9 partition, of which others are parts.
pub fn is_container(disk: &DiskImage, p: &disk::PartInfo) -> bool {
    let inside = |q: &disk::PartInfo| q.in_plan9 && p.start <= q.start && q.end() <= p.end();
    !p.in_plan9 && disk.partitions().iter().any(inside)
}
