//! A compressed image as one that can be read at any offset: unpacked once,
//! into a file without a name, with holes where it has zeros.

use crate::count;
use crate::read_at::HostFile;
use crate::stop;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Largest image that is unpacked, bytes.
pub const MOST: u64 = 64 << 30;
/// Bytes unpacked at a time, and how fine holes are.
pub const STEP: usize = 64 << 10;

/// Folder for such files: the cache's file system has room for a medium, which
/// that of temporary files often has not.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Says once where images are to be unpacked: in this folder, which need not be
/// there yet. Without that, and where it cannot be written to, the system's
/// folder for temporary files is used.
pub fn unpack_in(folder: PathBuf) {
    // A second call comes from the same process, with the same folder.
    let _ = FOLDER.set(folder);
}

/// A file without a name, and where it takes room.
struct Scratch {
    file: File,
    folder: PathBuf,
    /// Environment variable that names another folder.
    variable: &'static str,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        if let Some(folder) = FOLDER.get()
            && let Ok(file) = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder))
        {
            return Ok(Self { file, folder: folder.clone(), variable: "P9IMG_CACHE" });
        }
        let folder = std::env::temp_dir();
        let fail = |e: io::Error| {
            let text = format!("Cannot unpack into {}: set TMPDIR to another folder ({e})", folder.display());
            io::Error::new(e.kind(), text)
        };
        let file = tempfile::tempfile_in(&folder).map_err(fail)?;
        Ok(Self { file, folder, variable: "TMPDIR" })
    }

    /// The error of a write, with the way out where there is no room.
    fn refused(&self, need: Option<u64>, e: io::Error) -> io::Error {
        let need = need.map_or_else(
            || "what is unpacked".into(),
            |n| format!("the {n} that are unpacked", n = count::of(n, "byte")),
        );
        let Self { folder, variable, .. } = self;
        let folder = folder.display();
        let text = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("{folder} has no room for {need}: make room, or set {variable} to another folder ({e})")
            }
            io::ErrorKind::FileTooLarge => format!(
                "No file in {folder} can hold {need}: raise the limit `ulimit -f` if there is one, or set {variable} to \
                 a folder of another file system ({e})"
            ),
            _ => return e,
        };
        io::Error::new(e.kind(), text)
    }
}

/// Unpacks all of `from`; `seen` gets every piece in order, with the bytes
/// that came before it, and may refuse it. `need` is the number of bytes that
/// come, if the format tells it.
///
/// # Errors
/// Errors of `from` and `seen`; else what the operating system says.
pub fn unpack(
    from: impl Read,
    need: Option<u64>,
    seen: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<HostFile> {
    fill(Scratch::new()?, from, need, seen)
}

fn fill(
    out: Scratch,
    mut from: impl Read,
    need: Option<u64>,
    mut seen: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<HostFile> {
    let mut buf = vec![0; STEP];
    let mut at = 0;
    loop {
        stop::go_on()?;
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
            out.file.write_all_at(&buf[..n], at).map_err(|e| out.refused(need, e))?;
        }
        at += n as u64;
    }
    out.file.set_len(at).map_err(|e| out.refused(need, e))?;
    HostFile::new(out.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_folder_is_named_with_what_was_needed_and_the_way_out() {
        let full = |variable| {
            let file = File::options().read(true).write(true).open("/dev/full").unwrap();
            Scratch { file, folder: "/small".into(), variable }
        };
        let e = fill(full("TMPDIR"), &[1; 9][..], Some(9), |_, _| Ok(())).err().unwrap();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
        let words = "/small has no room for the 9 bytes that are unpacked: make room, or set TMPDIR to another";
        assert!(e.to_string().starts_with(words), "{e}");
        let e = fill(full("P9IMG_CACHE"), &[1; 9][..], None, |_, _| Ok(())).err().unwrap();
        assert!(e.to_string().contains("for what is unpacked: make room, or set P9IMG_CACHE to another"), "{e}");
        let e = full("TMPDIR").refused(Some(9), io::ErrorKind::FileTooLarge.into()).to_string();
        assert!(e.starts_with("No file in /small can hold the 9 bytes") && e.contains("`ulimit -f`"), "{e}");
        let e = full("TMPDIR").refused(Some(9), io::Error::other("odd")).to_string();
        assert_eq!(e, "odd");
    }
}
