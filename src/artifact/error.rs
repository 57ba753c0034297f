//! Errors of writing and opening artifacts.

use crate::count;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Cannot create the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("Cannot lock {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("Another build is writing to {}; wait until it ends or choose another folder", path.display())]
    Busy { path: PathBuf },
    #[error("Cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("The disk with {} is full; free some space and build again", path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("The quota for {} is used up; free some space and build again", path.display())]
    Quota { path: PathBuf, source: io::Error },
    #[error(
        "The limit `ulimit -f` of this shell is {limit} per file, and {} needs more: raise the limit, or make the \
         disk smaller",
        path.display(), limit = count::of(limit, "byte")
    )]
    Limit { path: PathBuf, limit: u64, source: io::Error },
    #[error(
        "The file system of {} cannot store a file as large as this one{}",
        path.display(),
        size.map_or_else(String::new, |size| format!(" ({size})", size = count::of(size, "byte")))
    )]
    FileTooLarge { path: PathBuf, size: Option<u64>, source: io::Error },
    #[error("The file system of {} is read-only", path.display())]
    ReadOnly { path: PathBuf, source: io::Error },
    #[error("Cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("Cannot compute the disk of {node} at byte {offset}")]
    Disk { node: String, offset: u64, source: io::Error },
    #[error("The disk of {node} has {len}, which is not a whole number of 512-byte sectors", len = count::of(len, "byte"))]
    Length { node: String, len: u64 },
    #[error("The disk of {node} has data at bytes {start} to {end}, but its length is {len}", len = count::of(len, "byte"))]
    Extent { node: String, start: u64, end: u64, len: u64 },
    #[error("{path} is more than the {format} format can address: found {found}, at most {limit} fit", path = path.display())]
    TooLarge { path: PathBuf, format: &'static str, found: u64, limit: u64 },
    #[error(
        "The compressors of this p9img give other bytes than its version does, so an image would differ from \
         everybody else's (their digest is {found}, expected {expected}): build p9img with the Cargo.lock that it \
         comes with"
    )]
    Codec { found: String, expected: &'static str },
    #[error("Two artifacts are called {name}; give each node and format a name of its own")]
    Twice { name: String },
    #[error(
        "{name:?} cannot be the name of an artifact: expected a file name of 1 to 90 bytes that has no slash or \
         control character and does not start with a dot"
    )]
    Name { name: String },
    #[error("Cannot render the OVF descriptor of {node}")]
    Template { node: String, source: crate::template::Refused },
    #[error("Cannot parse the OVF template")]
    TemplateSyntax { source: crate::template::Refused },
    #[error(
        "The OVF descriptor of {node} grew to {found} when its sizes were filled in, but {reserved} were reserved", found = count::of(found, "byte")
    )]
    Descriptor { node: String, found: u64, reserved: u64 },
    #[error("Line {line} of {} is not a SHA-256 digest, two spaces and a file name", path.display())]
    Sums { path: PathBuf, line: usize },
    #[error("Interrupted; nothing was replaced")]
    Interrupted,
}

impl Error {
    /// The error of a failed write to `path`: what a file system has no room for,
    /// or does not do at all, gets its own words.
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::write_to(path, None, source)
    }

    /// As [`Error::write`], when byte `size` of the file was to be written.
    pub(crate) fn write_to(path: &Path, size: Option<u64>, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull => Self::Full { path, source },
            io::ErrorKind::QuotaExceeded => Self::Quota { path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            // EFBIG has two reasons.
            io::ErrorKind::FileTooLarge => match file_limit() {
                Some(limit) if size.is_none_or(|size| size > limit) => Self::Limit { path, limit, source },
                _ => Self::FileTooLarge { path, size, source },
            },
            _ => Self::Write { path, source },
        }
    }
}

/// Bytes that a file of this process may grow to, where that is limited.
fn file_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_a_file_system_refuses_is_called_by_its_name() {
        let says = |errno: Errno, size| Error::write_to(Path::new("out/n.img"), size, errno.into()).to_string();
        assert!(says(Errno::NOSPC, None).contains("out/n.img is full"));
        assert!(says(Errno::DQUOT, None).contains("quota"));
        assert!(says(Errno::ROFS, None).contains("read-only"));
        let large = says(Errno::FBIG, Some(5 << 30));
        assert!(large.contains("cannot store a file as large") && large.contains("(5368709120 bytes)"), "{large}");
        assert!(says(Errno::IO, None).starts_with("Cannot write"));
    }
}
