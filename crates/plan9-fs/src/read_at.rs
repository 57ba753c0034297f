//! Bytes as a function of an offset: the one interface that volumes, disks and
//! opened images share.

use crate::count;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in a sector of a disk.
pub const SECTOR: u64 = 512;

/// A run of bytes, `offset..offset + len`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset of the first byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Extent {
    /// Offset after the last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// Identity of bytes that several volumes have: two ranges with equal origins
/// have equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of what they are a part of; within this process no two things
    /// have the same.
    pub base: u64,
    /// Bytes from its start.
    pub offset: u64,
}

impl Origin {
    /// Start of a new shared thing, whose number nothing else in this process
    /// has.
    pub fn unique() -> Self {
        static BASES: AtomicU64 = AtomicU64::new(0);
        Self { base: BASES.fetch_add(1, Ordering::Relaxed), offset: 0 }
    }
}

/// Something whose bytes can be computed or read at any offset, from any
/// thread, in any order, always with the same answer.
pub trait ReadAt: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// True when there is not a single byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when `offset + buf.len()` lies past the end;
    /// otherwise what the source of the bytes reports.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// The extents that may hold something else than zeros: ascending,
    /// disjoint, none of them empty. Bytes outside them read as zero.
    fn extents(&self) -> Vec<Extent> {
        if self.is_empty() { Vec::new() } else { vec![Extent { offset: 0, len: self.len() }] }
    }

    /// Origin of the `len` bytes at `offset`, if all of them belong to one
    /// piece that several volumes have.
    fn origin(&self, _offset: u64, _len: u64) -> Option<Origin> {
        None
    }
}

/// The error for a read that leaves the readable range. Lengths in bytes.
pub fn out_of_range(what: &str, offset: u64, want: usize, len: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{what}: read of {want} at offset {offset} passes the end at {len}", want = count::of(want, "byte")),
    )
}

/// Checks that `want` bytes at `offset` lie within `len`.
///
/// # Errors
/// `UnexpectedEof` if they do not, overflow included.
pub fn check_range(what: &str, offset: u64, want: usize, len: u64) -> io::Result<()> {
    match offset.checked_add(want as u64) {
        Some(end) if end <= len => Ok(()),
        _ => Err(out_of_range(what, offset, want, len)),
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("memory", offset, buf.len(), ReadAt::len(self))?;
        let start = offset as usize;
        buf.copy_from_slice(&self[start..start + buf.len()]);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        (**self).extents()
    }
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        (**self).origin(offset, len)
    }
}

/// An opened host file.
pub struct HostFile {
    file: std::fs::File,
    len: u64,
}

impl HostFile {
    /// Wraps an open file; its length is taken once, now.
    ///
    /// # Errors
    /// Error of the operating system when asked for the length.
    pub fn new(mut file: std::fs::File) -> io::Result<Self> {
        use std::io::Seek as _;
        let len = file.seek(io::SeekFrom::End(0))?;
        Ok(Self { file, len })
    }
}

impl ReadAt for HostFile {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        check_range("file", offset, buf.len(), self.len)?;
        self.file.read_exact_at(buf, offset)
    }
}

/// A part of something larger, with offsets of its own from zero.
#[derive(Clone)]
pub struct Window<R> {
    inner: R,
    start: u64,
    len: u64,
}

impl<R: ReadAt> Window<R> {
    /// The `len` bytes of `inner` from `start`, both in bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` when that range leaves `inner`.
    pub fn new(inner: R, start: u64, len: u64) -> io::Result<Self> {
        match start.checked_add(len) {
            Some(end) if end <= inner.len() => Ok(Self { inner, start, len }),
            _ => Err(out_of_range("window", start, len as usize, inner.len())),
        }
    }
}

impl<R: ReadAt> ReadAt for Window<R> {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("window", offset, buf.len(), self.len)?;
        self.inner.read_at(self.start + offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        let (start, end) = (self.start, self.start + self.len);
        self.inner
            .extents()
            .into_iter()
            .filter_map(|e| {
                let (a, b) = (e.offset.max(start), e.end().min(end));
                (a < b).then(|| Extent { offset: a - start, len: b - a })
            })
            .collect()
    }
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        (offset.checked_add(len)? <= self.len).then(|| self.inner.origin(self.start + offset, len)).flatten()
    }
}

/// Sorts extents and joins those that touch or overlap; drops empty ones.
pub fn normalize(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.retain(|e| e.len > 0);
    extents.sort_by_key(|e| e.offset);
    let mut out: Vec<Extent> = Vec::with_capacity(extents.len());
    for e in extents {
        match out.last_mut() {
            Some(last) if e.offset <= last.end() => last.len = last.len.max(e.end() - last.offset),
            _ => out.push(e),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_cuts_extents_and_refuses_what_lies_outside() {
        let w = Window::new(vec![1u8; 100], 10, 20).unwrap();
        assert_eq!(w.extents(), [Extent { offset: 0, len: 20 }]);
        let mut b = [0u8; 21];
        assert_eq!(w.read_at(0, &mut b).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(Window::new(vec![0u8; 10], u64::MAX, 2).is_err());
    }

    #[test]
    fn normalize_joins_neighbours() {
        let e = |offset, len| Extent { offset, len };
        assert_eq!(normalize(vec![e(8, 2), e(0, 4), e(4, 4), e(20, 0)]), [e(0, 10)]);
    }
}
