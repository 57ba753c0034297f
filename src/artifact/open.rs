//! Opens any image as a disk.

use super::qcow2::Qcow2;
use super::vmdk::Vmdk;
use super::{Error, ova, zip};
use crate::read_at::{HostFile, ReadAt};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Opens raw, qcow2, VMDK, OVA, or a zip with one of them, by what the file begins with; anything else
/// is taken as raw.
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
    let mut start = [0; 512];
    let n = file.len().min(512) as usize;
    file.read_at(0, &mut start[..n])?;
    let start = &start[..n];
    if zip::matches(start) {
        // What is in it may be in a container of its own, but not in one more archive.
        return bare(zip::image(&file)?);
    }
    bare(file)
}

/// As [`from`], of what is in no archive.
fn bare(file: Arc<dyn ReadAt>) -> io::Result<Arc<dyn ReadAt>> {
    let mut start = [0; 512];
    let n = file.len().min(512) as usize;
    file.read_at(0, &mut start[..n])?;
    let start = &start[..n];
    if Qcow2::matches(start) {
        Ok(Arc::new(Qcow2::open(file)?))
    } else if Vmdk::matches(start) {
        Ok(Arc::new(Vmdk::open(file)?))
    } else if ova::matches(start) {
        Ok(Arc::new(Vmdk::open(Arc::new(ova::vmdk(file)?))?))
    } else {
        Ok(file)
    }
}
