//! Files that say what is read of them.

use crate::read_at::ReadAt;
use crate::tree::Content;
use std::io;
use std::sync::{Arc, Mutex};

/// Fills a buffer with a file's bytes from an offset on.
pub(crate) type Fill = fn(u64, &mut [u8]);

/// Bytes that depend on the offset, and a list of the reads they were asked
/// for.
pub(crate) struct Counted {
    len: u64,
    fill: Fill,
    pub reads: Mutex<Vec<(u64, usize)>>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reads.lock().unwrap().push((offset, buf.len()));
        (self.fill)(offset, buf);
        Ok(())
    }
}

pub(crate) fn counted(len: u64, fill: Fill) -> (Arc<Counted>, Content) {
    let source = Arc::new(Counted { len, fill, reads: Mutex::default() });
    (source.clone(), Content::Part { source, offset: 0, len })
}

/// A value for each `block` bytes.
pub(crate) fn value(at: u64, block: u64) -> u8 {
    (at / block).wrapping_mul(31) as u8 | 1
}

/// Fills a buffer with those values.
pub(crate) fn fill(mut at: u64, mut buf: &mut [u8], block: u64) {
    while !buf.is_empty() {
        let n = buf.len().min((block - at % block) as usize);
        let (piece, more) = buf.split_at_mut(n);
        piece.fill(value(at, block));
        (buf, at) = (more, at + n as u64);
    }
}
