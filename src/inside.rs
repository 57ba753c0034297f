//! Files of a folder whose author may be a stranger: a lab's own.
//!
//! A file that such a folder names is read only if it is a regular file in that
//! folder. A symbolic link out of it would carry files of the reader's machine
//! into what is built and published; a FIFO would make the reader wait for
//! ever.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Opens a file for reading that lies in `folder`, also through symbolic links.
/// Does not wait, whatever is there.
///
/// # Errors
/// Fails when it lies elsewhere, is not a regular file or cannot be opened.
pub fn open(folder: &Path, path: &Path) -> io::Result<File> {
    stays(folder, path)?;
    open_regular(path)
}

/// Opens a regular file for reading, and nothing else: the open descriptor is
/// what is looked at.
///
/// # Errors
/// Fails when it is something else or cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32).open(path);
    // A socket cannot be opened at all.
    let meta = match &file {
        Ok(file) => file.metadata()?,
        Err(_) => std::fs::metadata(path)?,
    };
    let kind = meta.file_type();
    let what = match kind {
        _ if kind.is_file() => return file,
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::other(format!("It is {what}, not a regular file")))
}

/// Refuses a path that leads out of `folder`.
///
/// # Errors
/// Fails when it does, or nothing is there.
pub fn stays(folder: &Path, path: &Path) -> io::Result<()> {
    let Some(target) = leads_out(folder, path)? else { return Ok(()) };
    let link = link(here(folder), path);
    Err(io::Error::other(format!(
        "{} is a symbolic link to {}, which is not in the lab's folder; copy the file into the folder",
        link.display(),
        target.display()
    )))
}

/// Target of a path of `folder`, if it is not in the folder.
///
/// # Errors
/// Fails when nothing is there.
pub fn leads_out(folder: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let target = path.canonicalize()?;
    Ok(if target.starts_with(here(folder).canonicalize()?) { None } else { Some(target) })
}

fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// The part of `path` below `folder` that is a symbolic link.
fn link(folder: &Path, path: &Path) -> PathBuf {
    let within = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && *p != folder);
    within.filter(|p| p.is_symlink()).last().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_of_the_folder_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (lab, path) = (dir.path().join("lab"), |name: &str| dir.path().join("lab").join(name));
        std::fs::create_dir_all(path("sub")).unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::fs::write(path("file"), "x").unwrap();
        symlink("../secret", path("out")).unwrap();
        symlink("..", path("up")).unwrap();
        symlink("../file", path("sub/in")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), rustix::fs::Mode::RUSR).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for good in ["file", "sub/in"] {
            open(&lab, &path(good)).unwrap();
        }
        for (bad, want) in [
            ("out", "out is a symbolic link to /"),
            ("up/secret", "up is a symbolic link to /"),
            ("fifo", "It is a FIFO"),
            ("socket", "It is a socket"),
            ("sub", "It is a folder"),
        ] {
            let said = open(&lab, &path(bad)).unwrap_err().to_string();
            assert!(said.contains(want), "{bad}: {said}");
        }
        assert!(open_regular(Path::new("/dev/null")).unwrap_err().to_string().contains("It is a device"));
        assert_eq!(open(&lab, &path("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
