//! Opens any image as a disk.

use crate::artifact::container::qcow2::read::alone;
use crate::artifact::container::reader::{Below, Check, Opened};
use crate::artifact::container::{reader, unpacked, zip};
use crate::artifact::error::Error;
use crate::compression::{Compression, Sequential, Trailing};
use crate::count;
use crate::foreign;
use crate::read_at::{HostFile, ReadAt};
use crate::visible::visible;
use rustix::fs::OFlags;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images that may lie over each other.
const CHAIN: usize = 8;

/// Opens raw, qcow2, VMDK, OVA, or one of them in a zip or under gzip, bzip2, xz
/// or zstd, by what the file begins with; anything else is taken as raw.
///
/// A file that is compressed as a whole is unpacked first, into a temporary
/// file.
///
/// # Errors
/// [`Error::Read`] with the file's name; its source says what is wrong.
pub fn open(path: &Path) -> Result<Arc<dyn ReadAt>, Error> {
    let error = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.is_dir() {
        return Err(error(io::Error::new(io::ErrorKind::IsADirectory, "Is a directory")));
    }
    let file = Arc::new(HostFile::new(file).map_err(error)?);
    layers_over(file, &beside(path)).map(|layers| layers.disk).map_err(error)
}

/// Opens the disk under an image that has only what changed: a file beside the image. A
/// name that leads anywhere else is not followed, so that an image from somewhere else
/// gives nobody's files away.
pub fn beside(image: &Path) -> impl Fn(&str) -> io::Result<Arc<dyn ReadAt>> + use<> {
    let beside = Beside { folder: image.parent().map(Path::to_owned).unwrap_or_default(), left: CHAIN };
    move |name| beside.open(name)
}

/// The files beside an image.
struct Beside {
    folder: PathBuf,
    /// Images that may still lie under each other.
    left: usize,
}

impl Beside {
    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadAt>> {
        let refused = |why: String| io::Error::new(io::ErrorKind::Unsupported, why);
        if name.is_empty() || name.contains('/') || name.contains(':') || name == "." || name == ".." {
            return Err(refused(format!(
                "Unsupported image over {}, which is not beside it; flatten it with `qemu-img convert` first",
                visible(name)
            )));
        }
        if self.left == 0 {
            return Err(refused(format!("Unsupported chain of more than {CHAIN} images, each over another")));
        }
        let path = self.folder.join(name);
        let failed = |e: io::Error| io::Error::new(e.kind(), format!("The image under it, {}: {e}", path.display()));
        let file = regular(&path, |_| "it is no regular file".to_owned());
        let file = file.and_then(HostFile::new).map_err(failed)?;
        let next = Self { folder: self.folder.clone(), left: self.left - 1 };
        bare(Arc::new(file), &|name| next.open(name)).map(|layers| layers.disk).map_err(failed)
    }
}

/// Opens a file that is one: no link, which might lead elsewhere, and no pipe or device, which
/// might wait. `why` is what is said of anything else.
///
/// # Errors
/// `InvalidInput` for anything else; error of the operating system.
pub fn regular(path: &Path, why: impl FnOnce(&Metadata) -> String) -> io::Result<File> {
    let meta = path.symlink_metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why(&meta)));
    }
    OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

/// As [`open`], for bytes from anywhere.
///
/// # Errors
/// `InvalidData` for damage, `Unsupported` for features that p9img does not read.
pub fn from(file: Arc<dyn ReadAt>) -> io::Result<Arc<dyn ReadAt>> {
    layers(file).map(|layers| layers.disk)
}

/// A disk, and what it is wrapped in, for [`Layers::check()`].
pub struct Layers {
    pub disk: Arc<dyn ReadAt>,
    /// Check of the container; none for a raw disk.
    pub(in crate::artifact) check: Option<Check>,
    /// The zip archive around the container.
    pub(in crate::artifact) zip: Option<Arc<dyn ReadAt>>,
}

/// As [`from`], with what the disk is wrapped in.
///
/// # Errors
/// As [`from`].
pub fn layers(file: Arc<dyn ReadAt>) -> io::Result<Layers> {
    layers_over(file, &alone)
}

/// As [`layers`], of an image that may be over another.
///
/// # Errors
/// As [`from`], and those of `below`.
pub fn layers_over(file: Arc<dyn ReadAt>, below: Below<'_>) -> io::Result<Layers> {
    let mut start = [0; 512];
    let n = file.len().min(512) as usize;
    file.read_at(0, &mut start[..n])?;
    let start = &start[..n];
    if zip::matches(start) {
        // A disk in a zip may be in a container of its own, but not in one more
        // archive.
        return Ok(Layers { zip: Some(file.clone()), ..bare(zip::image(&file)?, &alone)? });
    }
    if let Some(compression) = Compression::of(start) {
        return bare(Arc::new(unpack(compression, &*file)?), &alone);
    }
    bare(file, below)
}

fn unpack(compression: Compression, file: &dyn ReadAt) -> io::Result<HostFile> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let reader = compression.decoder(io::BufReader::with_capacity(unpacked::STEP, Sequential::new(file)))?;
    unpacked::unpack(reader, None, |at, piece| {
        if at + piece.len() as u64 > unpacked::MOST {
            return Err(bad(format!(
                "unpacks to more than {}, the most of any image",
                count::of(unpacked::MOST, "byte")
            )));
        }
        Ok(())
    })
    .map_err(|e| match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => e,
        _ if Trailing::of(&e).is_some() => e,
        _ => bad(format!("The {} stream is damaged or cut off: {e}", compression.name())),
    })
}

/// As [`from`], of what is in no archive.
fn bare(file: Arc<dyn ReadAt>, below: Below<'_>) -> io::Result<Layers> {
    let mut start = [0; 512];
    let n = file.len().min(512) as usize;
    file.read_at(0, &mut start[..n])?;
    let start = &start[..n];
    if let Some(reader) = reader(start) {
        let Opened { disk, check } = (reader.open)(file, below)?;
        return Ok(Layers { disk, check: Some(check), zip: None });
    }
    foreign::refuse(&*file)?;
    Ok(Layers { disk: file, check: None, zip: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn an_image_over_one_beside_it_is_read_and_no_other_file_is_opened() {
        use crate::artifact::qcow2::Overlay;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let path = |name: &str| dir.path().join("d").join(name);
        std::fs::write(path("base.img"), vec![5; 8192]).unwrap();
        std::fs::write(dir.path().join("secret"), vec![6; 8192]).unwrap();
        let over = |name: &str, below: &str| {
            Overlay::create(&std::fs::File::create(path(name)).unwrap(), 8192, below, "raw").unwrap();
        };
        over("1", "base.img");
        for n in 2..=9 {
            over(&n.to_string(), &(n - 1).to_string());
        }
        let mut bytes = [0; 10];
        open(&path("8")).unwrap().read_at(100, &mut bytes).unwrap();
        assert_eq!(bytes, [5; 10]);
        let said = |name: &str| format!("{:#}", anyhow::Error::from(open(&path(name)).err().unwrap()));
        assert!(said("9").contains("chain of more than 8"), "{}", said("9"));
        for wrong in ["../secret", "/etc/passwd", "..", "json:{}", "nbd://host/x", "a\u{1b}[2J/"] {
            over("wrong", wrong);
            assert!(said("wrong").contains("not beside it") && !said("wrong").contains('\u{1b}'), "{}", said("wrong"));
        }
        std::os::unix::fs::symlink(dir.path().join("secret"), path("link")).unwrap();
        over("wrong", "link");
        assert!(said("wrong").contains("no regular file"), "{}", said("wrong"));
        over("wrong", "none");
        assert!(said("wrong").contains("The image under it, ") && said("wrong").contains("none"), "{}", said("wrong"));
        // Itself.
        over("self", "self");
        assert!(said("self").contains("chain of more than 8"), "{}", said("self"));
        // Bytes from anywhere have no neighbours.
        let alone: Arc<dyn ReadAt> = Arc::new(std::fs::read(path("1")).unwrap());
        assert!(from(alone).err().unwrap().to_string().contains("backing file"));
    }

    #[test]
    fn compressed_images_are_read_at_any_offset_or_refused() {
        let mut disk = vec![0; 300_001];
        disk[200_000..200_500].fill(7);
        let xz = || {
            let mut e = liblzma::write::XzEncoder::new(Vec::new(), 1);
            e.write_all(&disk).unwrap();
            e.finish().unwrap()
        };
        for packed in [xz(), zstd::bulk::compress(&disk, 1).unwrap()] {
            let image = from(Arc::new(packed.clone())).unwrap();
            let mut bytes = vec![1; disk.len()];
            image.read_at(0, &mut bytes).unwrap();
            assert!(bytes == disk);
            // A stream that is cut short is no shorter disk.
            for cut in [12, packed.len() / 2, packed.len() - 1] {
                let e = from(Arc::new(packed[..cut].to_vec())).map(|_| ()).unwrap_err();
                assert!(e.to_string().contains("stream is damaged or cut off"), "{e}");
            }
        }
    }
}
