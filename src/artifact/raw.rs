//! Raw images: the disk's bytes, with holes where it has zeros.

use super::sink::{Cluster, Output, Sink};
use super::{CLUSTER, Error};
use sha2::{Digest as _, Sha256};

/// Holes are as fine as the blocks of most host file systems, in bytes.
const BLOCK: usize = 4096;

pub struct RawSink {
    output: Output,
    len: u64,
    data: u64,
    /// Start and end of each run of written clusters, in bytes.
    extents: Vec<(u64, u64)>,
}

impl RawSink {
    pub fn new(output: Output, len: u64) -> Result<Self, Error> {
        output.set_len(len)?;
        Ok(Self { output, len, data: 0, extents: Vec::new() })
    }
}

impl Sink for RawSink {
    fn cluster(&mut self, cluster: &Cluster<'_>) -> Result<Option<u64>, Error> {
        let at = cluster.index * CLUSTER as u64;
        let bytes = &cluster.bytes[..(self.len - at).min(CLUSTER as u64) as usize];
        let mut start = 0;
        while start < bytes.len() {
            let blocks = |from: usize, zero: bool| {
                bytes[from..].chunks(BLOCK).take_while(|b| is_zero(b) == zero).map(<[u8]>::len).sum::<usize>()
            };
            start += blocks(start, true);
            let len = blocks(start, false);
            self.output.write(at + start as u64, &bytes[start..start + len])?;
            self.data += len as u64;
            start += len;
        }
        match self.extents.last_mut() {
            Some((_, end)) if *end == at => *end += bytes.len() as u64,
            _ => self.extents.push((at, at + bytes.len() as u64)),
        }
        Ok(None)
    }

    fn finish(&mut self, _content: [u8; 32]) -> Result<(), Error> {
        Ok(())
    }

    fn file(&self) -> &Output {
        &self.output
    }

    fn into_output(self: Box<Self>) -> Output {
        self.output
    }

    fn data_bytes(&self) -> u64 {
        self.data
    }

    /// Hashes the data from the file and the holes from memory: reading a
    /// hole costs as much as reading data.
    fn seal(&mut self) -> Result<(u64, [u8; 32]), Error> {
        let zeros = vec![0; 1 << 20];
        let mut buffer = vec![0; CLUSTER];
        let mut hash = Sha256::new();
        let mut at = 0;
        let hole = |hash: &mut Sha256, mut n: u64| {
            while n > 0 {
                let step = n.min(zeros.len() as u64);
                hash.update(&zeros[..step as usize]);
                n -= step;
            }
        };
        for &(start, end) in &self.extents {
            hole(&mut hash, start - at);
            at = start;
            while at < end {
                let n = (end - at).min(CLUSTER as u64) as usize;
                self.output.read(at, &mut buffer[..n])?;
                hash.update(&buffer[..n]);
                at += n as u64;
            }
        }
        hole(&mut hash, self.len - at);
        Ok((self.len, hash.finalize().into()))
    }
}

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Pieces of fixed size that the compiler can turn into vector operations.
    let mut words = bytes.chunks_exact(64);
    words.by_ref().all(|w| w.iter().fold(0, |any, b| any | b) == 0) && words.remainder().iter().all(|b| *b == 0)
}
