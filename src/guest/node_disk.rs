//! The disk of a node that runs: an overlay with what the node wrote, over the image that
//! it was built as.
//!
//! ```text
//! OUT/run/NODE/disk.qcow2    what the node wrote: a qcow2 over the image
//! OUT/run/NODE/base.qcow2    the image (base.img if it is raw): another name of the artifact
//! OUT/run/NODE/base-….qcow2  the file that the artifact is over, if it has a part of the disk
//! OUT/run/NODE/base.json     instead of these: what the disk under it is computed from
//! OUT/run/NODE/disk.img      instead of both: a whole copy, as p9img made them until 2026
//! ```
//!
//! The image is not copied. A second name keeps its bytes when the artifact is built again,
//! as that is a new file; where the file system can share the blocks of two
//! files, it is a file of its own. Nothing of this follows a name that an image has in it.

use super::computed::{self, Compute, ComputedBase};
use super::folder::{self, FolderError};
use super::machine::{Disk, DiskFormat};
use crate::artifact::qcow2::{Overlay, Qcow2, alone, backing_name};
use crate::artifact::{self, is_base_name};
use crate::lock::{self, Held, Taken};
use crate::read_at::{HostFile, ReadAt};
use crate::stamp::{Moment, Stamp};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the node wrote.
pub const OVERLAY: &str = "disk.qcow2";
/// Names of the image under it, by its format.
const BASES: [(&str, DiskFormat); 2] = [(folder::SHARED[0], DiskFormat::Qcow2), (folder::SHARED[1], DiskFormat::Raw)];
/// A whole copy, of a lab that an earlier p9img started.
pub const COPY: &str = "disk.img";
/// Socket at which the disk is served while the node runs.
pub const SOCKET: &str = "disk.sock";

/// Disk of the node in `dir` for its machine: the socket at which it is served, or the whole
/// copy where that is what there is.
pub fn of(dir: &Path) -> Disk {
    match is_copy(dir) {
        true => Disk { keep_writes: true, ..Disk::new(COPY, DiskFormat::Raw) },
        false => served(),
    }
}

/// Disk of a node for its machine, served at the socket.
pub fn served() -> Disk {
    Disk { keep_writes: true, ..Disk::new(SOCKET, DiskFormat::Nbd) }
}

/// Whether the node in `dir` has a whole copy of its image.
pub fn is_copy(dir: &Path) -> bool {
    !is_there(&dir.join(OVERLAY)) && is_there(&dir.join(COPY))
}

/// Whether what the node in `dir` wrote is over a disk that is computed.
pub fn is_computed(dir: &Path) -> bool {
    is_there(&dir.join(computed::FILE))
}

/// File that the node in `dir` writes to, whether it is there or not.
pub fn file(dir: &Path) -> PathBuf {
    dir.join(if is_copy(dir) { COPY } else { OVERLAY })
}

/// Whether the node in `dir` has a disk.
pub fn exists(dir: &Path) -> bool {
    is_there(&file(dir))
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The image under the disk of the node in `dir`, if there is one.
pub fn base(dir: &Path) -> Option<PathBuf> {
    BASES.iter().map(|(name, _)| dir.join(name)).find(|path| is_there(path))
}

/// Makes the disk of a node that writes to `size` bytes over `image`. What was there is
/// removed first; the disk is there when this returns, and not before.
///
/// # Errors
/// Fails when the file system refuses, or for a disk that is too large.
pub fn make(dir: &Path, image: &Path, format: DiskFormat, size: u64) -> Result<(), FolderError> {
    clear(dir)?;
    let (name, _) = BASES.iter().find(|(_, of)| *of == format).unwrap_or(&BASES[0]);
    let base = dir.join(name);
    share(image, &base).map_err(|e| failed(&base, e))?;
    if let Some(below) = below(image) {
        let shared = dir.join(below.file_name().unwrap_or_default());
        share(&below, &shared).map_err(|e| failed(&shared, e))?;
    }
    make_overlay(dir, size, name, format)
}

/// As [`make`], over a disk that is computed.
///
/// # Errors
/// As [`make`].
pub fn make_computed(dir: &Path, base: &ComputedBase, size: u64) -> Result<(), FolderError> {
    clear(dir)?;
    base.save(dir)?;
    make_overlay(dir, size, &base.name(), DiskFormat::Raw)
}

/// Removes the disk of a node, first of all what it wrote.
fn clear(dir: &Path) -> Result<(), FolderError> {
    for name in [OVERLAY, COPY, computed::FILE].iter().chain(BASES.iter().map(|(name, _)| name)) {
        let path = dir.join(name);
        folder::remove(&path).map_err(|e| failed(&path, e))?;
    }
    for path in folder::sorted(dir).map_err(|e| failed(dir, e))?.iter().filter(|path| is_base(path)) {
        folder::remove(path).map_err(|e| failed(path, e))?;
    }
    Ok(())
}

fn make_overlay(dir: &Path, size: u64, base: &str, format: DiskFormat) -> Result<(), FolderError> {
    let path = dir.join(OVERLAY);
    let partial = path.with_extension("partial");
    let file = folder::create(&partial)?;
    Overlay::create(&file, size, base, format.name())
        .and_then(|()| fs::rename(&partial, &path))
        .map_err(|e| failed(&path, e))
}

fn failed(path: &Path, source: io::Error) -> FolderError {
    FolderError::Use { path: path.to_owned(), source }
}

/// Whether a file has the name of one that artifacts are over.
fn is_base(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_base_name)
}

/// The file that an image is over, which is beside it; none if the image has a whole disk, or
/// cannot be read.
pub fn below(image: &Path) -> Option<PathBuf> {
    let name = backing_name(&HostFile::new(regular(image).ok()?).ok()?).ok()??;
    is_base_name(&name).then(|| image.with_file_name(name))
}

/// Puts the image under the disk of the node in `dir` again, and what it is over.
///
/// # Errors
/// Fails when the file system refuses.
pub fn share_again(dir: &Path, image: &Path, format: DiskFormat) -> Result<(), FolderError> {
    let (name, _) = BASES.iter().find(|(_, of)| *of == format).unwrap_or(&BASES[0]);
    let below = below(image).and_then(|path| Some((dir.join(path.file_name()?), path)));
    let partial = dir.join("base.partial");
    for (to, from) in [(dir.join(name), image.to_owned())].into_iter().chain(below) {
        let failed = |source| FolderError::Use { path: to.clone(), source };
        folder::remove(&partial).map_err(failed)?;
        // Renaming one name of a file to another of the same does nothing.
        folder::remove(&to).map_err(failed)?;
        share(&from, &partial).and_then(|()| fs::rename(&partial, &to)).map_err(failed)?;
    }
    Ok(())
}

/// Stamp of the file at `path`, if a later write to it would show.
pub fn settled_stamp(path: &Path) -> Option<Stamp> {
    let stamp = || path.symlink_metadata().ok().map(|meta| Stamp::of(&meta));
    // A tick of the clock is the time in which a write might not show.
    stamp()?.wait(Moment::now()).into_iter().for_each(std::thread::sleep);
    let taken = Moment::now();
    stamp().filter(|stamp| stamp.settled(taken))
}

/// Gives a file a second name whose bytes stay, at no cost: a copy that shares its blocks, else
/// a link; where there are neither, a copy.
fn share(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o600);
        let (source, file) = (regular(from)?, new.open(to)?);
        if rustix::fs::ioctl_ficlone(&file, &source).is_ok() {
            return Ok(());
        }
        folder::remove(to)?;
    }
    // Only of a file of one's own: the folder of a run takes no others.
    let own = fs::symlink_metadata(from)?.uid() == rustix::process::geteuid().as_raw();
    if own && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    // The system copies with as little work as it can.
    fs::copy(from, to).map(drop)
}

/// Opens a file of the output folder that is one: no link, device or pipe.
///
/// # Errors
/// Fails when it is something else, or cannot be opened.
pub fn regular(path: &Path) -> io::Result<File> {
    artifact::regular(path, |meta| {
        let what = if meta.is_symlink() { "a symbolic link" } else { "no regular file" };
        format!("it is {what}, but an image is a regular file in the output folder: build it again")
    })
}

/// Opens an image of a format as the disk that it is. It refers to no other file but one that p9img
/// makes for images to be over, which is beside it.
///
/// # Errors
/// Fails when it is no file, not of its format, or refers to another file.
pub fn image(path: &Path, format: DiskFormat) -> io::Result<Arc<dyn ReadAt>> {
    let file = Arc::new(HostFile::new(regular(path)?)?);
    match format {
        DiskFormat::Raw => Ok(file),
        DiskFormat::Qcow2 => Ok(Arc::new(Qcow2::open_over(file, &|name| match is_base_name(name) {
            true => {
                let file = HostFile::new(regular(&path.with_file_name(name))?)?;
                Ok(Arc::new(Qcow2::open(Arc::new(file))?))
            }
            false => alone(name),
        })?)),
        DiskFormat::Vmdk | DiskFormat::Nbd => {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("a node cannot start from {}", format.name())))
        }
    }
}

/// Opens the image under the disk of the node in `dir`, or computes it.
fn open_base(dir: &Path, compute: Compute) -> io::Result<Arc<dyn ReadAt>> {
    if let Some(base) = ComputedBase::load(dir)? {
        return compute(&base);
    }
    for (name, format) in BASES {
        let path = dir.join(name);
        if is_there(&path) {
            return image(&path, format);
        }
    }
    let why = "the image that the node was started from is gone: without it, what the node wrote cannot be read";
    Err(io::Error::new(io::ErrorKind::NotFound, why))
}

/// Opens the disk of the node in `dir` for reading.
///
/// # Errors
/// Fails when it is not there, or damaged.
pub fn open(dir: &Path, compute: Compute) -> io::Result<Arc<dyn ReadAt>> {
    let file = Arc::new(HostFile::new(regular(&file(dir))?)?);
    if is_copy(dir) {
        return Ok(file);
    }
    Ok(Arc::new(Qcow2::open_over(file, &|_| open_base(dir, compute))?))
}

/// Opens the disk of the node in `dir` for writing; the other result is held as long as that
/// is done, so that nobody else writes meanwhile.
///
/// # Errors
/// As [`open`]; `ResourceBusy` when another process writes to it.
pub fn open_for_writing(dir: &Path, compute: Compute) -> io::Result<(Overlay, Held)> {
    let path = dir.join(OVERLAY);
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(&path)
    };
    let file = open()?;
    if lock::attempt(&path, &file)? == Taken::Busy {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes to it"));
    }
    Ok((Overlay::open(file.try_clone()?, open_base(dir, compute)?)?, Held::new(file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::computed::nothing;

    #[test]
    fn a_disk_is_made_over_the_image_and_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let (image, node) = (dir.path().join("n1.img"), dir.path().join("n1"));
        fs::create_dir(&node).unwrap();
        let bytes: Vec<u8> = (0..3 << 20).map(|i| (i % 251) as u8).collect();
        fs::write(&image, &bytes).unwrap();
        assert!(!exists(&node) && base(&node).is_none() && open(&node, nothing).is_err());
        make(&node, &image, DiskFormat::Raw, 4 << 20).unwrap();
        let disk = of(&node);
        assert_eq!((disk.path.to_str(), disk.format, disk.keep_writes), (Some(SOCKET), DiskFormat::Nbd, true));
        let written: u64 = folder::sorted(&node).unwrap().iter().map(|p| fs::metadata(p).unwrap().blocks() * 512).sum();
        let shared = fs::metadata(base(&node).unwrap()).unwrap().blocks() * 512;
        assert!(written - shared < 64 << 10, "{written} bytes");
        // The image is built again: the node's stays.
        fs::write(dir.path().join("new"), "other").unwrap();
        fs::rename(dir.path().join("new"), &image).unwrap();
        let mut expected = bytes;
        expected.resize(4 << 20, 0);
        {
            let (overlay, _held) = open_for_writing(&node, nothing).unwrap();
            overlay.write_at(5000, b"written").unwrap();
            assert_eq!(open_for_writing(&node, nothing).err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        }
        expected[5000..5007].copy_from_slice(b"written");
        let mut found = vec![0; 4 << 20];
        open(&node, nothing).unwrap().read_at(0, &mut found).unwrap();
        assert!(found == expected);
        open_for_writing(&node, nothing).unwrap();
        fs::remove_file(base(&node).unwrap()).unwrap();
        assert!(open(&node, nothing).err().unwrap().to_string().contains("is gone"));
    }

    #[test]
    fn a_whole_copy_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(COPY), [7; 1024]).unwrap();
        let disk = of(dir.path());
        assert_eq!((disk.path.to_str(), disk.format), (Some(COPY), DiskFormat::Raw));
        assert!(exists(dir.path()) && file(dir.path()).ends_with(COPY));
        assert_eq!(open(dir.path(), nothing).unwrap().len(), 1024);
        let image = dir.path().join("image");
        fs::write(&image, [1; 512]).unwrap();
        make(dir.path(), &image, DiskFormat::Raw, 512).unwrap();
        assert!(!is_copy(dir.path()) && !dir.path().join(COPY).exists());
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
        let (path, secret) = (dir.path().join("n1.qcow2"), dir.path().join("s"));
        fs::write(&secret, "secret".repeat(100_000)).unwrap();
        let said = |format| image(&path, format).err().unwrap().to_string();
        fs::write(&path, qcow2(0, "")).unwrap();
        assert_eq!(image(&path, DiskFormat::Qcow2).unwrap().len(), 1 << 20);
        fs::write(&path, qcow2(0, secret.to_str().unwrap())).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("backing file"));
        // The incompatible feature of bit 2: an external data file.
        fs::write(&path, qcow2(1 << 2, "")).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("data"), "{}", said(DiskFormat::Qcow2));
        // A base is beside the image, has a whole disk, and is no link.
        fs::write(&path, qcow2(0, "base-x.qcow2")).unwrap();
        let base = dir.path().join("base-x.qcow2");
        assert!(image(&path, DiskFormat::Qcow2).is_err());
        fs::write(&base, qcow2(0, "")).unwrap();
        assert_eq!(image(&path, DiskFormat::Qcow2).unwrap().len(), 1 << 20);
        assert_eq!(below(&path), Some(base.clone()));
        fs::write(&base, qcow2(0, "base-y.qcow2")).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("backing file"));
        fs::remove_file(&base).unwrap();
        std::os::unix::fs::symlink(&secret, &base).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("it is a symbolic link"));
        fs::write(&path, qcow2(0, "../base-x.qcow2")).unwrap();
        assert!(said(DiskFormat::Qcow2).contains("backing file") && below(&path).is_none());
        fs::write(&path, "raw").unwrap();
        assert!(said(DiskFormat::Qcow2).contains("qcow2 header"), "{}", said(DiskFormat::Qcow2));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        assert!(said(DiskFormat::Raw).contains("it is a symbolic link"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(said(DiskFormat::Raw).contains("no regular file"));
        // What is in the overlay is not asked for the name of its image.
        let node = dir.path().join("n1");
        fs::create_dir(&node).unwrap();
        let raw = dir.path().join("n1.img");
        fs::write(&raw, [1; 1 << 20]).unwrap();
        make(&node, &raw, DiskFormat::Raw, 1 << 20).unwrap();
        fs::write(node.join(OVERLAY), qcow2(0, secret.to_str().unwrap())).unwrap();
        let mut first = [0; 6];
        open(&node, nothing).unwrap().read_at(0, &mut first).unwrap();
        assert_eq!(first, [1; 6]);
    }
}
