//! The folder of a run is its owner's alone, and nothing in it leads
//! elsewhere: a lab folder that somebody else made may bring links along.

use crate::artifact::is_base_name;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Names of files that may have another name elsewhere: the images under nodes' disks, which are
/// only read. So may those with names that [`is_base_name`] knows.
pub const SHARED: [&str; 3] = ["base.qcow2", "base.img", "base.partial"];

/// Reason why a folder of a run, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("Cannot use {}", path.display())]
    Use { path: PathBuf, source: io::Error },
    #[error(
        "{} is {what}, which does not belong in the folder of a run: remove it, or name another folder",
        path.display()
    )]
    NotOwn { path: PathBuf, what: &'static str },
}

/// Makes the folder, or makes one that is there private: for its owner alone,
/// whatever the umask is, and without links among its files.
///
/// # Errors
/// Fails when something else is at its place, or in it.
pub fn make(dir: &Path) -> Result<(), FolderError> {
    let failed = |source| FolderError::Use { path: dir.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir).map_err(failed)?;
    if !meta.is_dir() {
        return Err(FolderError::NotOwn { path: dir.to_owned(), what: kind(&meta) });
    }
    private(dir, &meta, 0o700)?;
    for entry in sorted(dir).map_err(failed)? {
        let meta = fs::symlink_metadata(&entry).map_err(failed)?;
        // The artifact under a node's disk is only read.
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let shared =
            (SHARED.contains(&name) || is_base_name(name)) && meta.uid() == rustix::process::geteuid().as_raw();
        if meta.is_symlink() || meta.is_file() && meta.nlink() > 1 && !shared {
            return Err(FolderError::NotOwn { path: entry, what: kind(&meta) });
        }
        if meta.is_file() && !shared {
            private(&entry, &meta, 0o600)?;
        }
    }
    Ok(())
}

/// Takes from others what they may do with a file or folder.
fn private(path: &Path, meta: &fs::Metadata, mode: u32) -> Result<(), FolderError> {
    if meta.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        // A file system without modes of its own (a Windows drive, a share).
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && meta.uid() == rustix::process::geteuid().as_raw() => {
            Ok(())
        }
        Err(source) => Err(FolderError::Use { path: path.to_owned(), source }),
        Ok(()) => Ok(()),
    }
}

/// Entries of a folder, sorted by name.
///
/// # Errors
/// Fails when it cannot be read.
#[expect(clippy::disallowed_methods, reason = "sorted at once")]
pub fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// A new file for its owner alone, in the place of whatever has the name: a
/// link is replaced, not followed.
///
/// # Errors
/// Error of the operating system.
pub fn create(path: &Path) -> Result<File, FolderError> {
    let failed = |source| FolderError::Use { path: path.to_owned(), source };
    remove(path).map_err(failed)?;
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path).map_err(failed)
}

/// Writes a small file whole or not at all, for its owner alone.
///
/// # Errors
/// Error of the operating system.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let failed = |source| FolderError::Use { path: path.to_owned(), source };
    let partial = path.with_extension("partial");
    let mut file = create(&partial)?;
    io::Write::write_all(&mut file, bytes).and_then(|()| fs::rename(&partial, path)).map_err(failed)
}

/// Writes a value as JSON, as [`replace`] does.
///
/// # Errors
/// Error of the operating system.
pub fn replace_json(path: &Path, value: &impl serde::Serialize) -> Result<(), FolderError> {
    let failed = |e: serde_json::Error| FolderError::Use { path: path.to_owned(), source: e.into() };
    replace(path, &serde_json::to_vec_pretty(value).map_err(failed)?)
}

/// Removes a file, if it is there.
///
/// # Errors
/// Error of the operating system.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn kind(meta: &fs::Metadata) -> &'static str {
    match () {
        () if meta.is_symlink() => "a symbolic link",
        () if meta.is_file() => "a file with another name elsewhere (a hard link)",
        () => "not a folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_in_it_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::write(run.join("disk.img"), "x").unwrap();
        fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(run.join("disk.img"), Permissions::from_mode(0o644)).unwrap();
        make(&run).unwrap();
        assert_eq!((mode(&run), mode(&run.join("disk.img"))), (0o700, 0o600));
        drop(create(&run.join("new")).unwrap());
        replace(&run.join("small.json"), b"{}").unwrap();
        assert_eq!((mode(&run.join("new")), mode(&run.join("small.json"))), (0o600, 0o600));
        assert_eq!(sorted(&run).unwrap().len(), 3);
    }

    #[test]
    fn links_are_refused_by_name_and_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (run, theirs) = (dir.path().join("run"), dir.path().join("theirs"));
        fs::write(&theirs, "precious").unwrap();
        make(&run).unwrap();
        let said = |run: &Path| make(run).unwrap_err().to_string();
        for target in [theirs.clone(), dir.path().join("nothing")] {
            symlink(&target, run.join("serial.log")).unwrap();
            let said = said(&run);
            assert!(said.contains("serial.log is a symbolic link"), "{said}");
            // A write all the same makes a new file.
            io::Write::write_all(&mut create(&run.join("serial.log")).unwrap(), b"mine").unwrap();
            replace(&run.join("serial.log"), b"mine").unwrap();
            assert!(!target.ends_with("nothing") || !target.exists());
            fs::remove_file(run.join("serial.log")).unwrap();
        }
        fs::hard_link(&theirs, run.join("disk.img")).unwrap();
        assert!(said(&run).contains("disk.img is a file with another name elsewhere"));
        fs::remove_file(run.join("disk.img")).unwrap();
        // But for the image under a disk, whose other name is the artifact.
        fs::hard_link(&theirs, run.join("base.img")).unwrap();
        make(&run).unwrap();
        fs::remove_dir_all(&run).unwrap();
        symlink(dir.path(), &run).unwrap();
        assert!(said(&run).contains("run is a symbolic link"));
        fs::remove_file(&run).unwrap();
        fs::write(&run, "").unwrap();
        assert!(said(&run).contains("run is a"));
        assert_eq!(fs::read_to_string(theirs).unwrap(), "precious");
    }
}
