//! A compressed image as one that can be read at any offset: unpacked once,
//! into a file without a name, with holes where it has zeros.

use crate::read_at::HostFile;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

/// Largest image that is unpacked, bytes.
pub const MOST: u64 = 64 << 30;
/// Bytes unpacked at a time, and how fine holes are.
pub const STEP: usize = 64 << 10;

/// Unpacks all of `from`; `seen` gets every piece in order, with the bytes
/// that came before it, and may refuse it.
///
/// # Errors
/// Those of `from` and `seen`; else what the operating system says.
pub fn unpack(mut from: impl Read, mut seen: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<HostFile> {
    let out: File = tempfile::tempfile()?;
    let mut buf = vec![0; STEP];
    let mut at = 0;
    loop {
        let mut n = 0;
        while n < buf.len() {
            match from.read(&mut buf[n..])? {
                0 => break,
                more => n += more,
            }
        }
        if n == 0 {
            break;
        }
        seen(at, &buf[..n])?;
        if buf[..n].iter().any(|b| *b != 0) {
            out.write_all_at(&buf[..n], at)?;
        }
        at += n as u64;
    }
    out.set_len(at)?;
    HostFile::new(out)
}
