//! Writes a file of a volume to standard output: `cat VOLUME PATH`.
//!
//! VOLUME is one partition as a file, of any kind that the crate knows.

use plan9_fs::read_at::HostFile;
use plan9_fs::{FileSystem, alone, open};
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// Copies the file at `path`, in pieces.
fn copy(fs: &dyn FileSystem, path: &str, out: &mut dyn Write) -> io::Result<()> {
    let file = fs.find(path.as_bytes())?;
    let (mut buf, mut at) = (vec![0; 1 << 16], 0);
    loop {
        let n = fs.read(&file, at, &mut buf)?;
        if n == 0 {
            return Ok(());
        }
        out.write_all(&buf[..n])?;
        at += n as u64;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [volume, path] = &args[..] else { return Err("usage: cat VOLUME PATH".into()) };
    let bytes = HostFile::new(File::open(volume)?)?;
    let fs = open(Arc::new(bytes), None, &alone)?;
    copy(&*fs, path, &mut io::stdout())?;
    Ok(())
}
