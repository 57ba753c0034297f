//! Raw images: the disk's bytes, with holes where it has zeros.

use crate::artifact::cluster::{CLUSTER, is_zero};
use crate::artifact::container::sink::{Cluster, Sink};
use crate::artifact::container::writer::{Writer, no_parts};
use crate::artifact::error::Error;
use crate::artifact::output::file::Output;
use crate::lab::Format;
use sha2::{Digest as _, Sha256};

/// Holes are as fine as the blocks of most host file systems, in bytes.
const BLOCK: usize = 4096;

/// Writer of raw images.
pub(in crate::artifact) const WRITER: Writer = Writer {
    format: Format::Raw,
    method: None,
    parts: no_parts,
    open: |output, job, _, _| Ok(Box::new(RawSink::new(output, job.disk.len())?)),
};

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
        let output = &self.output;
        let hole = |hash: &mut Sha256, mut n: u64| {
            while n > 0 {
                output.go_on()?;
                let step = n.min(zeros.len() as u64);
                hash.update(&zeros[..step as usize]);
                n -= step;
            }
            Ok(())
        };
        for &(start, end) in &self.extents {
            hole(&mut hash, start - at)?;
            at = start;
            while at < end {
                self.output.go_on()?;
                let n = (end - at).min(CLUSTER as u64) as usize;
                self.output.read(at, &mut buffer[..n])?;
                hash.update(&buffer[..n]);
                at += n as u64;
            }
        }
        hole(&mut hash, self.len - at)?;
        Ok((self.len, hash.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::container::card::CardSink;
    use crate::artifact::output::folder::{Folder, Wait};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Without the check, each of these takes minutes.
    #[test]
    fn terabytes_of_zeros_end_when_the_build_is_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let output = |name: &str| Output::new(folder.create(name).unwrap(), stop.clone()).unwrap();
        let mut raw = RawSink::new(output("n.img"), 2 << 40).unwrap();
        let mut card = CardSink::zip(output("n.sd.img.zip"), 2 << 40, std::num::NonZeroUsize::MIN, "n", 0).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(raw.seal(), Err(Error::Interrupted)));
        assert!(matches!(card.finish([0; 32]), Err(Error::Interrupted)));
        assert!(matches!(crate::artifact::output::digest::file(raw.file(), 0, None), Err(Error::Interrupted)));
        drop((raw, card));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the lock is left");
    }
}
