//! A file whose writes are gathered: a writer that adds to its end in small
//! steps causes few large ones, which the host's file system takes at less than
//! half the cost. What is still gathered is read as if it were in the file.

use crate::poison::IgnorePoison as _;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard};

/// Writes end at multiples of this, bytes.
const STEP: u64 = 1 << 20;

#[derive(Debug)]
pub struct Gather {
    file: File,
    tail: Mutex<Tail>,
}

/// Bytes that are not in the file yet.
#[derive(Debug, Default)]
struct Tail {
    start: u64,
    bytes: Vec<u8>,
}

impl Tail {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Writes the first `n` bytes to the file.
    fn write_out(&mut self, file: &File, n: usize) -> io::Result<()> {
        file.write_all_at(&self.bytes[..n], self.start)?;
        self.bytes.drain(..n);
        self.start += n as u64;
        Ok(())
    }

    fn flush(&mut self, file: &File) -> io::Result<()> {
        self.write_out(file, self.bytes.len())
    }
}

impl Gather {
    pub fn new(file: File) -> Self {
        Self { file, tail: Mutex::default() }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().ignore_poison()
    }

    /// # Errors
    /// Error of the operating system for these bytes or for earlier ones.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let tail = &mut *self.tail();
        let end = offset + bytes.len() as u64;
        if offset >= tail.start && end <= tail.end() {
            let from = (offset - tail.start) as usize;
            tail.bytes[from..from + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        if end <= tail.start {
            return self.file.write_all_at(bytes, offset);
        }
        if offset != tail.end() {
            tail.flush(&self.file)?;
            tail.start = offset;
        }
        tail.bytes.extend_from_slice(bytes);
        let whole = (tail.end() - tail.end() % STEP).saturating_sub(tail.start);
        if whole > 0 { tail.write_out(&self.file, whole as usize) } else { Ok(()) }
    }

    /// # Errors
    /// `UnexpectedEof` past the end; else what the operating system says.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut tail = self.tail();
        let end = offset + buf.len() as u64;
        if offset >= tail.start && end <= tail.end() {
            let from = (offset - tail.start) as usize;
            buf.copy_from_slice(&tail.bytes[from..from + buf.len()]);
            return Ok(());
        }
        if offset < tail.end() && end > tail.start {
            tail.flush(&self.file)?;
        }
        let all_in_file = tail.bytes.is_empty();
        drop(tail);
        match self.file.read_exact_at(buf, offset) {
            // A hole before what is gathered comes into the file with it.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && !all_in_file => {
                self.tail().flush(&self.file)?;
                self.file.read_exact_at(buf, offset)
            }
            result => result,
        }
    }

    /// Brings what is gathered into the file and gives it out.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn file(&self) -> io::Result<&File> {
        let tail = &mut *self.tail();
        tail.flush(&self.file)?;
        // The caller has come to the end; the files of many nodes stay open.
        tail.bytes = Vec::new();
        Ok(&self.file)
    }

    /// Metadata of the file after all of it is written.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file()?.metadata()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Writes and reads in any order give the same bytes as a plain file.
        #[test]
        fn no_difference_to_a_plain_file(steps in proptest::collection::vec(
            (any::<bool>(), 0u64..4, 0u64..3000, 1usize..700_000, any::<u8>()), 1..40,
        )) {
            let gather = Gather::new(tempfile::tempfile().unwrap());
            let mut plain: Vec<u8> = Vec::new();
            for (write, from, by, len, value) in steps {
                // At the end, near it, or at the start.
                let end = plain.len() as u64;
                let offset = match from { 0 => by, 1 => end.saturating_sub(by), 2 => end, _ => end + by };
                let range = offset as usize..offset as usize + len;
                if write {
                    plain.resize(plain.len().max(range.end), 0);
                    plain[range].fill(value);
                    gather.write_all_at(&vec![value; len], offset).unwrap();
                } else {
                    let mut found = vec![0; len];
                    let result = gather.read_exact_at(&mut found, offset);
                    match plain.get(range) {
                        Some(expected) => {
                            result.unwrap();
                            prop_assert!(found == expected);
                        }
                        None => prop_assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
                    }
                }
            }
            prop_assert_eq!(gather.metadata().unwrap().len(), plain.len() as u64);
            let mut found = vec![0; plain.len()];
            gather.file().unwrap().read_exact_at(&mut found, 0).unwrap();
            prop_assert!(found == plain);
        }
    }

    #[test]
    fn a_hole_before_what_is_gathered_reads_as_zeros() {
        let gather = Gather::new(tempfile::tempfile().unwrap());
        gather.write_all_at(b"a few", 0).unwrap();
        gather.write_all_at(b"more", 10).unwrap();
        let mut found = [1; 8];
        gather.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(&found, b"a few\0\0\0");
    }

    #[test]
    fn what_does_not_fit_is_an_error_at_last() {
        let read_only = File::open("/dev/null").unwrap();
        let gather = Gather::new(read_only);
        gather.write_all_at(b"a few", 0).unwrap();
        assert!(gather.file().is_err());
        assert!(gather.write_all_at(&vec![0; STEP as usize], 5).is_err());
    }
}
