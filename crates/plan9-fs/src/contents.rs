//! Reading all that the files of a file system hold.

use super::{FileSystem, Finding, Node, walk};
use crate::shared::join;
use std::io;

/// A hostile image can claim files without end that share the same blocks, or
/// that are all hole; a real one holds a few times its own size at the most.
pub const MOST_TIMES: u64 = 16;
/// Sum of file lengths that every image may have, bytes.
const LEAST: u64 = 1 << 30;
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// Findings about files that cannot be read, one by one.
const SHOWN: u64 = 100;

/// Most bytes that the files of an image of `len` bytes are read for.
pub fn most(len: u64) -> u64 {
    len.saturating_mul(MOST_TIMES).max(LEAST)
}

/// Number of files and bytes that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Number of files that were read to their ends.
    pub files: u64,
    /// Sum of the lengths of these files, in bytes.
    pub bytes: u64,
}

/// Reads every file of a file system on an image of `len` bytes, and reports
/// those that cannot be read, or not to their ends.
///
/// # Errors
/// Error of the operating system on reading the image.
pub fn read_contents(fs: &dyn FileSystem, len: u64, report: &mut dyn FnMut(Finding)) -> io::Result<Contents> {
    let mut r = Reader { fs, left: most(len), read: Contents::default(), wrong: 0, in_venti: 0, report };
    let walked = fs.root().and_then(|root| walk(fs, &root, &mut |path, node| r.file(path, node)));
    if let Err(e) = walked {
        let Err(e) = r.damage("tree", e) else { return Ok(r.read) };
        if e.kind() != io::ErrorKind::FileTooLarge {
            return Err(e);
        }
        let m = format!(
            "The lengths of the files add up to more than {MOST_TIMES} times the image's length; the rest was not read"
        );
        (r.report)(Finding { kind: "claims", message: m });
    }
    if r.wrong > SHOWN {
        let message = format!("{} cannot be read", crate::count::of(r.wrong - SHOWN, "more file"));
        (r.report)(Finding { kind: "contents", message });
    }
    if r.in_venti > 0 {
        let files = super::shared::count(r.in_venti, "file is", "files are");
        (r.report)(Finding { kind: "in-venti", message: format!("{files} in a venti, and not in this image") });
    }
    Ok(r.read)
}

struct Reader<'a> {
    fs: &'a dyn FileSystem,
    /// Bytes that may still be read.
    left: u64,
    read: Contents,
    wrong: u64,
    in_venti: u64,
    report: &'a mut dyn FnMut(Finding),
}

impl Reader<'_> {
    /// Makes a finding of damage; other errors stay errors.
    fn damage(&mut self, kind: &'static str, e: io::Error) -> io::Result<()> {
        if !matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) {
            return Err(e);
        }
        (self.report)(Finding { kind, message: e.to_string() });
        Ok(())
    }

    fn file(&mut self, path: &[u8], node: &Node) -> io::Result<()> {
        if node.meta.mode.is_dir() {
            return Ok(());
        }
        self.left = self.left.checked_sub(node.len).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut buf = vec![0; CHUNK.min(usize::try_from(node.len).unwrap_or(CHUNK))];
        let mut at = 0;
        while at < node.len {
            let why = match self.fs.read(node, at, &mut buf) {
                Ok(0) => format!("it ends at byte {at}, but its length is {}", node.len),
                Ok(n) => {
                    at += n as u64;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::InvalidData => format!("at byte {at}: {e}"),
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                    self.in_venti += 1;
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            self.wrong += 1;
            if self.wrong <= SHOWN {
                let message = format!("{}: {why}", join("", path));
                (self.report)(Finding { kind: "contents", message });
            }
            return Ok(());
        }
        self.read.files += 1;
        self.read.bytes += node.len;
        Ok(())
    }
}
