//! Lists a directory of a volume: `ls VOLUME [PATH]`.
//!
//! VOLUME is one partition as a file, of any kind that the crate knows.

use plan9_fs::read_at::HostFile;
use plan9_fs::{FileSystem, alone, open, shown};
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// Writes a line for each entry of the directory at `path`.
fn list(fs: &dyn FileSystem, path: &str, out: &mut dyn Write) -> io::Result<()> {
    for entry in fs.children(&fs.find(path.as_bytes())?)? {
        let (meta, name) = (&entry.meta, shown::name(&entry.name));
        writeln!(out, "{} {:8} {:8} {:>10} {} {name}", meta.mode, meta.uid, meta.gid, entry.len, meta.mtime)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let volume = args.next().ok_or("usage: ls VOLUME [PATH]")?;
    let bytes = HostFile::new(File::open(volume)?)?;
    let fs = open(Arc::new(bytes), None, &alone)?;
    list(&*fs, &args.next().unwrap_or_default(), &mut io::stdout())?;
    Ok(())
}
