//! Compression of a stream in blocks on several threads, whose results come out in
//! the order of the blocks.

use crate::artifact::cluster::is_zero;
use crate::poison::IgnorePoison as _;
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Bytes of a block. Smaller ones cost size, as each is compressed by itself, and
/// larger ones memory: each thread has four.
pub const BLOCK: usize = 2 << 20;
/// Most threads.
const THREADS: usize = 16;

/// Compressor of blocks, each by itself.
pub type Pack = Box<dyn FnMut(&[u8]) -> io::Result<Vec<u8>>>;

type Packed = io::Result<Vec<u8>>;

pub struct Blocks {
    make: fn() -> io::Result<Pack>,
    /// Until the end.
    work: Option<SyncSender<(u64, Vec<u8>)>>,
    results: Receiver<(u64, Packed)>,
    threads: Vec<JoinHandle<()>>,
    /// Results that wait for an earlier one.
    waiting: BTreeMap<u64, Packed>,
    sent: u64,
    written: u64,
    /// A whole block of zeros, compressed.
    zeros: Option<Vec<u8>>,
}

impl Blocks {
    /// Starts threads, each with a compressor that `make` makes.
    pub fn new(threads: NonZeroUsize, make: fn() -> io::Result<Pack>) -> Self {
        let count = threads.get().min(THREADS);
        let (work, next) = sync_channel::<(u64, Vec<u8>)>(count);
        let (sender, results) = channel();
        let next = Arc::new(Mutex::new(next));
        let threads = (0..count).map(|_| {
            let (next, sender) = (Arc::clone(&next), sender.clone());
            std::thread::spawn(move || {
                let mut pack = make();
                loop {
                    let taken = next.lock().ignore_poison().recv();
                    let Ok((number, block)) = taken else { return };
                    let packed = match &mut pack {
                        Ok(pack) => pack(&block),
                        Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
                    };
                    if sender.send((number, packed)).is_err() {
                        return;
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { make, work: Some(work), results, threads, waiting: BTreeMap::new(), sent: 0, written: 0, zeros: None }
    }

    /// Takes the next block; gives to `write` what is compressed by now, in order.
    pub fn push(&mut self, block: Vec<u8>, write: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let number = self.sent;
        self.sent += 1;
        if block.len() == BLOCK && is_zero(&block) {
            if self.zeros.is_none() {
                self.zeros = Some((self.make)()?(&block)?);
            }
            self.waiting.insert(number, Ok(self.zeros.clone().unwrap_or_default()));
        } else if let Some(work) = &self.work {
            work.send((number, block)).map_err(|_| died())?;
        }
        while self.sent - self.written > 2 * self.threads.len() as u64 {
            self.write_next(write)?;
        }
        Ok(())
    }

    /// Gives the rest to `write`.
    pub fn finish(mut self, write: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        while self.written < self.sent {
            self.write_next(write)?;
        }
        Ok(())
    }

    fn write_next(&mut self, write: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        loop {
            if let Some(packed) = self.waiting.remove(&self.written) {
                self.written += 1;
                return write(&packed?);
            }
            let (number, packed) = self.results.recv().map_err(|_| died())?;
            self.waiting.insert(number, packed);
        }
    }
}

fn died() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            // A panic was printed, and is an error of whoever waited for its result.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of a block and its last byte.
    fn short() -> io::Result<Pack> {
        Ok(Box::new(|block| Ok([&block.len().to_le_bytes()[..], &block[block.len() - 1..]].concat())))
    }

    fn run(threads: usize, make: fn() -> io::Result<Pack>, blocks: &[Vec<u8>]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut write = |packed: &[u8]| {
            out.extend_from_slice(packed);
            Ok(())
        };
        let mut all = Blocks::new(NonZeroUsize::new(threads).unwrap(), make);
        for block in blocks {
            all.push(block.clone(), &mut write)?;
        }
        all.finish(&mut write)?;
        Ok(out)
    }

    #[test]
    fn blocks_come_out_in_order_whatever_the_threads() {
        let blocks: Vec<_> = (0..40u8).map(|i| vec![i % 3; if i == 39 { 5 } else { BLOCK }]).collect();
        let want: Vec<u8> = blocks.iter().flat_map(|b| short().unwrap()(b).unwrap()).collect();
        for threads in [1, 2, 16, 1000] {
            assert!(run(threads, short, &blocks).unwrap() == want, "{threads}");
        }
    }

    #[test]
    fn an_error_ends_it_and_so_does_a_panic() {
        let blocks = vec![vec![1; 9]; 100];
        let fails = || -> io::Result<Pack> { Ok(Box::new(|_| Err(io::Error::other("no")))) };
        assert_eq!(run(3, fails, &blocks).unwrap_err().to_string(), "no");
        let none = || -> io::Result<Pack> { Err(io::Error::other("none")) };
        assert_eq!(run(3, none, &blocks).unwrap_err().to_string(), "none");
        let panics = || -> io::Result<Pack> { Ok(Box::new(|_| panic!("for a test"))) };
        assert_eq!(run(3, panics, &blocks).unwrap_err().to_string(), died().to_string());
    }
}
