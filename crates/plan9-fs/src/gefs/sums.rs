//! Hashes of files' blocks: the only thing that a gefs has to read files for
//! before its trees can be written.
//!
//! Eight bytes for each block of 16 KiB stay in memory; what is read goes
//! through one buffer of a megabyte for each core. Nothing is read before the
//! first hash is asked for, and then everything once.

use super::format::{BLOCK, BLOCK64};
use super::hash::hash;
use crate::tree::Content;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Blocks read at a time.
const MANY: u64 = 64;

/// Something computed once, or the error that it came to.
pub(super) struct Once<T>(OnceLock<Result<T, (io::ErrorKind, String)>>);

impl<T> Once<T> {
    pub(super) fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The value; `make` runs the first time only.
    ///
    /// # Errors
    /// The error that `make` returned then.
    pub(super) fn get(&self, make: impl FnOnce() -> io::Result<T>) -> io::Result<&T> {
        let made = self.0.get_or_init(|| make().map_err(|e| (e.kind(), e.to_string())));
        made.as_ref().map_err(|(kind, message)| io::Error::new(*kind, message.clone()))
    }
}

/// The blocks of a file of `len` bytes.
pub(super) fn blocks_of(len: u64) -> u64 {
    len.div_ceil(BLOCK64)
}

/// A piece of a file that is read at once.
struct Piece<'a> {
    content: &'a Content,
    first: u64,
    count: u64,
}

/// The hashes of all blocks of `files`, one file after the other; the last
/// block of each is filled up with zeros.
///
/// # Errors
/// The first, in that order, that a file reports.
pub(super) fn sums<'a>(files: impl Iterator<Item = &'a Content>) -> io::Result<Vec<u64>> {
    let mut pieces = Vec::new();
    for content in files {
        let blocks = blocks_of(content.len());
        let some = (0..blocks).step_by(MANY as usize);
        pieces.extend(some.map(|first| Piece { content, first, count: MANY.min(blocks - first) }));
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, io::Result<Vec<u64>>)>> = Mutex::new(Vec::with_capacity(pieces.len()));
    std::thread::scope(|scope| {
        for _ in 0..cores.min(pieces.len()) {
            scope.spawn(|| {
                let mut buf = vec![0; MANY as usize * BLOCK];
                let mut own = Vec::new();
                while let Some((i, piece)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    pieces.get(i).map(|p| (i, p))
                } {
                    own.push((i, piece.sums(&mut buf)));
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(i, _)| *i);
    let mut out = Vec::with_capacity(pieces.iter().map(|p| p.count as usize).sum());
    for (_, some) in done {
        out.extend(some?);
    }
    Ok(out)
}

impl Piece<'_> {
    fn sums(&self, buf: &mut [u8]) -> io::Result<Vec<u64>> {
        let start = self.first * BLOCK64;
        let have = (self.content.len() - start).min(self.count * BLOCK64) as usize;
        let buf = &mut buf[..self.count as usize * BLOCK];
        self.content.read_at(start, &mut buf[..have])?;
        buf[have..].fill(0);
        Ok(buf.chunks(BLOCK).map(hash).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn files_are_hashed_in_order_with_zeros_behind_them() {
        let bytes = |len: usize, n: u8| (0..len).map(|i| n ^ (i / 1000) as u8).collect::<Vec<_>>();
        let all = [bytes(1, 1), Vec::new(), bytes(BLOCK * 150 + 7, 2), bytes(BLOCK, 3)];
        let files: Vec<_> = all.iter().map(|b| Content::bytes(b.as_slice())).collect();
        let want: Vec<u64> =
            all.iter().flat_map(|b| b.chunks(BLOCK)).map(|c| hash(&[c, &vec![0; BLOCK - c.len()]].concat())).collect();
        assert_eq!(want.len(), 153);
        assert_eq!(sums(files.iter()).unwrap(), want);
        assert_eq!(sums([].into_iter()).unwrap(), [0; 0]);
    }

    #[test]
    fn an_error_stays_and_is_the_first_one() {
        let gone = |n: u32| Content::Host { path: Path::new(&format!("/nowhere/{n}")).into(), len: 5 };
        let files = [Content::bytes(*b"x"), gone(1), gone(2)];
        let once = Once::new();
        for _ in 0..2 {
            let e = once.get(|| sums(files.iter())).unwrap_err();
            assert!(e.to_string().starts_with("Cannot read /nowhere/1: "), "{e}");
            assert_eq!(e.kind(), io::ErrorKind::NotFound);
        }
    }
}
