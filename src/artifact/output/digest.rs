//! SHA-256 of files.
//!
//! A format's first bytes point to its last ones, so as a rule a digest cannot
//! be computed while the file is written from front to back. It is read once
//! more, from the kernel's cache. If the first bytes are computed before, a
//! [`Running`] digest saves that.

use crate::artifact::error::Error;
use crate::artifact::output::file::Output;
use crate::hex::hex;
use crate::read_at::{HostFile, ReadAt};
use crate::stop;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

/// Pieces that may wait for a [`Running`] digest.
const WAITING: usize = 64;

/// A digest that a thread of its own computes while the bytes come.
pub struct Running {
    pieces: SyncSender<Vec<u8>>,
    thread: JoinHandle<[u8; 32]>,
}

impl Running {
    pub fn new() -> Self {
        let (pieces, receiver) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let thread = std::thread::spawn(move || {
            let mut hash = Sha256::new();
            receiver.into_iter().for_each(|piece| hash.update(piece));
            hash.finalize().into()
        });
        Self { pieces, thread }
    }

    pub fn update(&self, piece: Vec<u8>) {
        // Without a receiver its thread has panicked, which `finish` passes on.
        let _ = self.pieces.send(piece);
    }

    pub fn finish(self) -> [u8; 32] {
        drop(self.pieces);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

const STEP: usize = 256 * 1024;

/// Length in bytes and SHA-256 of `output` from `start` for `len` bytes, or to
/// the end.
pub fn file(output: &Output, start: u64, len: Option<u64>) -> Result<(u64, [u8; 32]), Error> {
    let len = match len {
        Some(len) => len,
        None => output.len()?.saturating_sub(start),
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut done = 0;
    while done < len {
        output.go_on()?;
        let n = (len - done).min(STEP as u64) as usize;
        output.read(start + done, &mut buffer[..n])?;
        hash.update(&buffer[..n]);
        done += n as u64;
    }
    Ok((len, hash.finalize().into()))
}

/// SHA-256 of all bytes.
pub fn whole(bytes: &dyn ReadAt) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut done = 0;
    while done < bytes.len() {
        stop::go_on()?;
        let n = (bytes.len() - done).min(STEP as u64) as usize;
        bytes.read_at(done, &mut buffer[..n])?;
        hash.update(&buffer[..n]);
        done += n as u64;
    }
    Ok(hash.finalize().into())
}

/// SHA-256 of a file of the host, in hexadecimal.
///
/// # Errors
/// When it cannot be read, or the user interrupts.
pub fn of(file: File) -> io::Result<String> {
    Ok(hex(&whole(&HostFile::new(file)?)?))
}
