//! `p9img cat`: the bytes of a file, or of a partition without a file system.

use crate::cli::image::{self, ImagePath};
use crate::cli::outcome::{Outcome, Usage};
use crate::cli::say;
use crate::fs::FileSystem;
use crate::read_at::ReadAt;
use anyhow::Context as _;
use std::io::{self, Write as _};

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// IMAGE:PARTITION:PATH
    pub place: String,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    match image::open(&args.place)? {
        ImagePath::Disk { partition: None, .. } | ImagePath::Whole { path: None, .. } => {
            return Err(Usage(format!("{} names no file: give IMAGE:PARTITION:PATH", args.place)).into());
        }
        ImagePath::Disk { disk, partition: Some(name), path: None } => raw(&*image::partition(&disk, &name)?)?,
        ImagePath::Disk { disk, partition: Some(name), path: Some(path) } => {
            file(&*image::open_partition(&disk, &name)?, &path)?;
        }
        ImagePath::Whole { fs, path: Some(path), .. } => file(&*fs, &path)?,
    }
    Ok(Outcome::Good)
}

fn file(fs: &dyn FileSystem, path: &str) -> anyhow::Result<()> {
    let (_, node) = image::find(fs, path).with_context(|| format!("Cannot print {path}"))?;
    copy(fs, &node, &mut io::stdout().lock()).with_context(|| format!("Cannot print {path}"))
}

/// Writes all of a file's bytes to `out`.
///
/// # Errors
/// Fails when the image cannot be read or `out` cannot be written.
pub fn copy(fs: &dyn FileSystem, node: &crate::fs::Node, out: &mut dyn io::Write) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let n = fs.read(node, at, &mut buf)?;
        if n == 0 {
            return say::quiet_pipe(out.flush());
        }
        say::quiet_pipe(out.write_all(&buf[..n]))?;
        at += n as u64;
    }
}

fn raw(bytes: &dyn ReadAt) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    while at < bytes.len() {
        let n = (bytes.len() - at).min(CHUNK as u64) as usize;
        bytes.read_at(at, &mut buf[..n])?;
        say::quiet_pipe(out.write_all(&buf[..n]))?;
        at += n as u64;
    }
    Ok(say::quiet_pipe(out.flush())?)
}
