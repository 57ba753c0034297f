//! A reference to a file's bytes.

use crate::count;
use crate::read_at::{Origin, ReadAt, check_range};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// Content of a file: a reference to its bytes. Cloning is cheap.
#[derive(Clone)]
pub enum Content {
    /// Bytes held in memory: rendered files, embedded media.
    Bytes(Arc<[u8]>),
    /// A file of the host, `len` bytes long when the tree was read.
    Host {
        /// Path of the file.
        path: Arc<Path>,
        /// Length in bytes.
        len: u64,
    },
    /// `len` bytes at `offset` of an opened image or archive.
    Part {
        /// Image or archive that holds the file.
        source: Arc<dyn ReadAt>,
        /// Offset of the first byte there.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
}

impl Content {
    /// Bytes held in memory.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// Origin of the `len` bytes at `offset`, if they are a part of something that knows.
    pub fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        match self {
            Self::Part { source, offset: start, .. } => source.origin(start + offset, len),
            Self::Bytes(_) | Self::Host { .. } => None,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(b) => b.len(),
            Self::Host { len, .. } | Self::Part { len, .. } => *len,
        }
    }

    /// Whether there is not a single byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end; `InvalidData` when a host file has
    /// become shorter since the tree was read; what the host says otherwise.
    /// The message names the file.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Bytes(b) => b.read_at(offset, buf),
            Self::Part { source, offset: start, len } => {
                check_range("file", offset, buf.len(), *len)?;
                source.read_at(start + offset, buf)
            }
            Self::Host { path, len } => {
                check_range("file", offset, buf.len(), *len)?;
                let fail = |e: io::Error| io::Error::new(e.kind(), format!("Cannot read {}: {e}", path.display()));
                let file = File::open(path).map_err(fail)?;
                file.read_exact_at(buf, offset).map_err(|e| match e.kind() {
                    io::ErrorKind::UnexpectedEof => io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "{} became shorter during the build: it had {len} when it was listed; build again",
                            path.display(),
                            len = count::of(len, "byte")
                        ),
                    ),
                    _ => fail(e),
                })
            }
        }
    }

    /// All bytes. For small files only.
    ///
    /// # Errors
    /// As [`Content::read_at`].
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.len()).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut out = vec![0; len];
        self.read_at(0, &mut out)?;
        Ok(out)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(b) => write!(f, "Bytes({})", b.len()),
            Self::Host { path, len } => write!(f, "Host({}, {len})", path.display()),
            Self::Part { offset, len, .. } => write!(f, "Part({offset}, {len})"),
        }
    }
}
