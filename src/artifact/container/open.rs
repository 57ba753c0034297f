//! Opens any image as a disk.

use crate::artifact::container::reader::{Check, Opened};
use crate::artifact::container::{reader, unpacked, zip};
use crate::artifact::error::Error;
use crate::compression::{Compression, Sequential, Trailing};
use crate::count;
use crate::foreign;
use crate::read_at::{HostFile, ReadAt};
use std::io;
use std::path::Path;
use std::sync::Arc;

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
    let file = std::fs::File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.is_dir() {
        return Err(error(io::Error::new(io::ErrorKind::IsADirectory, "Is a directory")));
    }
    from(Arc::new(HostFile::new(file).map_err(error)?)).map_err(error)
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
    let mut start = [0; 512];
    let n = file.len().min(512) as usize;
    file.read_at(0, &mut start[..n])?;
    let start = &start[..n];
    if zip::matches(start) {
        // A disk in a zip may be in a container of its own, but not in one more
        // archive.
        return Ok(Layers { zip: Some(file.clone()), ..bare(zip::image(&file)?)? });
    }
    if let Some(compression) = Compression::of(start) {
        return bare(Arc::new(unpack(compression, &*file)?));
    }
    bare(file)
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
fn bare(file: Arc<dyn ReadAt>) -> io::Result<Layers> {
    let mut start = [0; 512];
    let n = file.len().min(512) as usize;
    file.read_at(0, &mut start[..n])?;
    let start = &start[..n];
    if let Some(reader) = reader(start) {
        let Opened { disk, check } = (reader.open)(file)?;
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
