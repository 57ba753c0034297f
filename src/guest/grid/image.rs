//! From a node's image to the disk that the node writes to: a raw copy with
//! holes, made by p9img's own readers. They follow no name that an image has
//! in it, so that a file which is not the lab's never gets into a node.

use super::{GridError, NodeSpec, Watch};
use crate::artifact::qcow2::Qcow2;
use crate::guest::DiskFormat;
use crate::guest::folder::{self, FolderError};
use crate::read_at::{HostFile, ReadAt};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// Bytes that are copied at once.
const STEP: usize = 1 << 20;
/// Holes are as fine as the blocks of most file systems.
const BLOCK: usize = 4096;

/// Opens a node's image as the disk that it is.
///
/// # Errors
/// Fails when it is no file of the output folder, not of its format, or refers
/// to another file.
pub fn open(node: &NodeSpec) -> Result<Arc<dyn ReadAt>, GridError> {
    let failed = |source| GridError::Image { node: node.name.clone(), path: node.image.clone(), source };
    let file = Arc::new(HostFile::new(regular(&node.image).map_err(failed)?).map_err(failed)?);
    match node.format {
        DiskFormat::Raw => Ok(file),
        DiskFormat::Qcow2 => Ok(Arc::new(Qcow2::open(file).map_err(failed)?)),
        DiskFormat::Vmdk => Err(failed(io::Error::new(io::ErrorKind::Unsupported, "a node cannot start from a VMDK"))),
    }
}

/// Opens a file that is one: no link, device or pipe.
///
/// # Errors
/// Fails when it is something else, or cannot be opened.
pub fn regular(path: &Path) -> io::Result<File> {
    let meta = path.symlink_metadata()?;
    if !meta.is_file() {
        let what = if meta.is_symlink() { "a symbolic link" } else { "no regular file" };
        let why = format!("it is {what}, but an image is a regular file in the output folder: build it again");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

/// Copies an image to `path`, for its owner alone. Nothing is there until all
/// of it is.
///
/// # Errors
/// As [`open`], and when the copy cannot be written.
pub fn copy(node: &NodeSpec, path: &Path, watch: &dyn Watch) -> Result<(), GridError> {
    let disk = open(node)?;
    let partial = path.with_extension("partial");
    let result = write(node, &*disk, &partial, watch).and_then(|()| {
        Ok(std::fs::rename(&partial, path).map_err(|e| FolderError::Use { path: path.to_owned(), source: e })?)
    });
    if result.is_err() {
        // The first error says more.
        let _ = folder::remove(&partial);
    }
    result
}

fn write(node: &NodeSpec, disk: &dyn ReadAt, path: &Path, watch: &dyn Watch) -> Result<(), GridError> {
    let file = folder::create(path)?;
    let failed = |source| FolderError::Use { path: path.to_owned(), source };
    file.set_len(disk.len()).map_err(failed)?;
    let mut buf = vec![0; STEP];
    for extent in disk.extents() {
        let mut at = extent.offset;
        while at < extent.end() {
            if watch.cancelled() {
                return Err(GridError::Interrupted);
            }
            let piece = &mut buf[..(extent.end() - at).min(STEP as u64) as usize];
            let unreadable = |source| GridError::Image { node: node.name.clone(), path: node.image.clone(), source };
            disk.read_at(at, piece).map_err(unreadable)?;
            write_data(&file, at, piece).map_err(failed)?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}

/// Writes runs of blocks that are not all zeros.
fn write_data(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut start = 0;
    while start < bytes.len() {
        let run = |zero: bool, from: usize| {
            let blocks = bytes[from..].chunks(BLOCK).take_while(|b| b.iter().all(|x| *x == 0) == zero);
            blocks.map(<[u8]>::len).sum::<usize>()
        };
        start += run(true, start);
        let len = run(false, start);
        file.write_all_at(&bytes[start..start + len], at + start as u64)?;
        start += len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Silent, spec::tests::spec};
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    fn node(image: &Path, format: DiskFormat) -> NodeSpec {
        NodeSpec { image: image.to_owned(), format, ..spec(1).nodes.remove(0) }
    }

    #[test]
    fn a_copy_has_the_bytes_and_the_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (image, copy) = (dir.path().join("n1.img"), dir.path().join("disk.img"));
        let mut bytes = vec![0; 5 << 20];
        bytes[4097..9000].fill(7);
        bytes[(5 << 20) - 3..].fill(9);
        fs::write(&image, &bytes).unwrap();
        super::copy(&node(&image, DiskFormat::Raw), &copy, &Silent).unwrap();
        assert!(fs::read(&copy).unwrap() == bytes);
        let meta = fs::metadata(&copy).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
        let stop = std::sync::atomic::AtomicBool::new(true);
        fs::remove_file(&copy).unwrap();
        let error = super::copy(&node(&image, DiskFormat::Raw), &copy, &stop).unwrap_err();
        assert!(matches!(error, GridError::Interrupted), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// The header of a qcow2 image of 1 MiB, with `features`, and with a
    /// backing file if it has a name.
    fn qcow2(features: u64, backing: &str) -> Vec<u8> {
        let mut file = vec![0; 3 << 16];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"QFI\xfb");
        put(4, &3_u32.to_be_bytes());
        if !backing.is_empty() {
            put(8, &0x200_u64.to_be_bytes());
            put(16, &(backing.len() as u32).to_be_bytes());
            put(0x200, backing.as_bytes());
        }
        put(20, &16_u32.to_be_bytes());
        put(24, &(1_u64 << 20).to_be_bytes());
        put(36, &1_u32.to_be_bytes());
        put(40, &(1_u64 << 16).to_be_bytes());
        put(48, &(2_u64 << 16).to_be_bytes());
        put(56, &1_u32.to_be_bytes());
        put(72, &features.to_be_bytes());
        put(96, &4_u32.to_be_bytes());
        put(100, &104_u32.to_be_bytes());
        file
    }

    #[test]
    fn an_image_that_names_another_file_gets_nothing_into_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let (image, copy, secret) = (dir.path().join("n1.qcow2"), dir.path().join("disk.img"), dir.path().join("s"));
        fs::write(&secret, "secret".repeat(100_000)).unwrap();
        let said = |format| {
            let error = super::copy(&node(&image, format), &copy, &Silent).unwrap_err();
            assert!(!copy.exists() && !copy.with_extension("partial").exists());
            format!("{:#}", anyhow::Error::from(error))
        };
        fs::write(&image, qcow2(0, "")).unwrap();
        super::copy(&node(&image, DiskFormat::Qcow2), &copy, &Silent).unwrap();
        assert_eq!(fs::metadata(&copy).unwrap().len(), 1 << 20);
        fs::remove_file(&copy).unwrap();
        fs::write(&image, qcow2(0, secret.to_str().unwrap())).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("backing file"));
        // The incompatible feature of bit 2: an external data file.
        fs::write(&image, qcow2(1 << 2, "")).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("data"), "{}", said(DiskFormat::Qcow2));
        fs::write(&image, "raw").unwrap();
        assert!(said(DiskFormat::Qcow2).contains("Cannot use the image of n1"));
        fs::remove_file(&image).unwrap();
        std::os::unix::fs::symlink(&secret, &image).unwrap();
        assert!(said(DiskFormat::Raw).contains("it is a symbolic link"));
        fs::remove_file(&image).unwrap();
        fs::create_dir(&image).unwrap();
        assert!(said(DiskFormat::Raw).contains("no regular file"));
    }
}
