//! What can go wrong while artifacts are written or opened.

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
    #[error("The disk that holds {} is full; free some space and build again", path.display())]
    Full { path: PathBuf, source: io::Error },
    #[error("Cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("Cannot compute the disk of {node} at byte {offset}")]
    Disk { node: String, offset: u64, source: io::Error },
    #[error("The disk of {node} has {len} bytes, which is not a whole number of 512-byte sectors")]
    Length { node: String, len: u64 },
    #[error("The disk of {node} says that bytes {start} to {end} hold data, but it has {len} bytes")]
    Extent { node: String, start: u64, end: u64, len: u64 },
    #[error("{path} is more than the {format} format can address: found {found}, at most {limit} fit", path = path.display())]
    TooLarge { path: PathBuf, format: &'static str, found: u64, limit: u64 },
    #[error("Two artifacts are called {name}; give every node and format its own name")]
    Twice { name: String },
    #[error(
        "{name:?} cannot be the name of an artifact: expected a file name of 1 to 90 bytes without slash or control character that does not start with a dot"
    )]
    Name { name: String },
    #[error("Cannot render the OVF descriptor of {node}")]
    Template { node: String, source: Box<handlebars::RenderError> },
    #[error("Cannot understand the OVF template")]
    TemplateSyntax { source: Box<handlebars::TemplateError> },
    #[error(
        "The OVF descriptor of {node} grew to {found} bytes when its sizes were filled in, but {reserved} were reserved"
    )]
    Descriptor { node: String, found: u64, reserved: u64 },
    #[error("Line {line} of {} is not a SHA-256 digest, two spaces and a file name", path.display())]
    Sums { path: PathBuf, line: usize },
    #[error("Interrupted; nothing was replaced")]
    Interrupted,
}

impl Error {
    /// The error of a failed write to `path`; a full disk gets its own words.
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Write { path, source },
        }
    }
}
