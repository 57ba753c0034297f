//! SHA-256 of finished files.
//!
//! A format's first bytes point to its last ones, so a digest cannot be
//! computed while the file is written from front to back. It is read once
//! more, from the kernel's cache.

use super::Error;
use super::sink::Output;
use sha2::{Digest as _, Sha256};

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
        let n = (len - done).min(STEP as u64) as usize;
        output.read(start + done, &mut buffer[..n])?;
        hash.update(&buffer[..n]);
        done += n as u64;
    }
    Ok((len, hash.finalize().into()))
}
