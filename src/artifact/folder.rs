//! The folder that artifacts are written to.
//!
//! One build at a time holds the folder's lock. An artifact grows in a hidden
//! file beside its final name and is renamed when everything is complete, so
//! whoever looks finds a complete artifact or none. Because the lock proves
//! that no other build is running, hidden files found when it is taken are
//! what a killed build left behind, and are removed.
//!
//! A build does not wait until its gigabytes are on the platter: killing it at
//! any moment is safe, cutting the power right behind it is what
//! `sha256sum -c SHA256SUMS` is for.

use super::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

const LOCK: &str = ".p9img.lock";
const PARTIAL: &str = ".p9img-partial";

/// What to do while another build holds the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait until it ends.
    Yes,
    /// Fail with [`Error::Busy`].
    No,
}

/// A locked output folder. Dropping it releases the lock.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds the advisory lock; the file stays, because removing a lock file
    /// that others may already have opened would let two builds in.
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be, takes its lock and removes what a killed
    /// build left in it.
    ///
    /// # Errors
    /// [`Error::Busy`] for `Wait::No` while another build holds it; else what
    /// the operating system says.
    pub fn lock(path: &Path, wait: Wait) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(|source| Error::Folder { path: path.to_owned(), source })?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|e| Error::write(&lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if wait == Wait::No => return Err(Error::Busy { path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => {
                lock.lock().map_err(|source| Error::Lock { path: lock_path, source })?;
            }
            Err(TryLockError::Error(source)) => return Err(Error::Lock { path: lock_path, source }),
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.sweep()?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no build writes to the folder at `path`, and keeps builds
    /// from beginning until the result is dropped. Creates and removes nothing:
    /// for those who only read.
    ///
    /// # Errors
    /// What the operating system says when the lock is there and cannot be taken.
    pub fn hold(path: &Path) -> Result<Option<File>, Error> {
        let path = path.join(LOCK);
        let Ok(lock) = File::open(&path) else { return Ok(None) };
        lock.lock().map_err(|source| Error::Lock { path, source })?;
        Ok(Some(lock))
    }

    /// Removes hidden partial files. Only for the holder of the lock.
    #[expect(clippy::disallowed_methods, reason = "the order of removal reaches nothing")]
    fn sweep(&self) -> Result<(), Error> {
        let read = |source| Error::Read { path: self.path.clone(), source };
        for entry in std::fs::read_dir(&self.path).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(b".") && name.ends_with(PARTIAL.as_bytes()) {
                let path = entry.path();
                std::fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
            }
        }
        Ok(())
    }

    /// Starts a file that will be called `name`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(&self, name: &str) -> Result<Partial, Error> {
        let path = self.path.join(format!(".{name}{PARTIAL}"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| Error::write(&path, e))?;
        Ok(Partial { target: self.path.join(name), path, file, armed: true })
    }

    /// As [`Folder::replace`], for the eyes of the file's owner only.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn replace_private(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt as _;
        let partial = self.create(name)?;
        let failed = |e| Error::write(&partial.target, e);
        partial.file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        std::io::Write::write_all(&mut &partial.file, bytes).map_err(failed)?;
        partial.commit()
    }

    /// Writes a small file in one go and renames it into place.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let partial = self.create(name)?;
        std::io::Write::write_all(&mut &partial.file, bytes).map_err(|e| Error::write(&partial.target, e))?;
        partial.commit()
    }
}

/// A file under its hidden name; removed on drop unless committed.
#[derive(Debug)]
pub struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    armed: bool,
}

impl Partial {
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name that the file will have, for messages.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the file its final name, replacing what was there.
    ///
    /// # Errors
    /// What the operating system says; the hidden file is removed then.
    pub fn commit(mut self) -> Result<(), Error> {
        std::fs::rename(&self.path, &self.target).map_err(|e| Error::write(&self.target, e))?;
        self.armed = false;
        Ok(())
    }

    /// As [`Partial::commit`], for large files: the two change places, the old one
    /// is removed, and a thread of its own waits until its blocks are free. (Before
    /// ext4 renames a file over another it writes all of it to the disk.) Killed in
    /// between, the old file has the hidden name, which the next build sweeps.
    ///
    /// # Errors
    /// As [`Partial::commit`].
    pub fn exchange(mut self) -> Result<(), Error> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        // Not every file system can, there need not be an old file, and a folder is
        // nobody's artifact.
        if self.target.is_dir() || renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::EXCHANGE).is_err() {
            return self.commit();
        }
        // The name goes at once, the blocks with the last who has the file open.
        let old = File::open(&self.path);
        std::fs::remove_file(&self.path).map_err(|e| Error::write(&self.path, e))?;
        self.armed = false;
        std::thread::spawn(|| drop(old));
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.armed {
            // Nothing can be done about a failure here; the next build sweeps.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_build_is_told_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/output");
        let first = Folder::lock(&out, Wait::No).unwrap();
        assert!(matches!(Folder::lock(&out, Wait::No), Err(Error::Busy { .. })));
        let partial = first.create("n.img").unwrap();
        let hidden = partial.path.clone();
        std::mem::forget(partial);
        std::fs::write(out.join("mine.p9img-partial"), b"not hidden, so not ours").unwrap();
        drop(first);
        assert!(hidden.exists());
        let _second = Folder::lock(&out, Wait::No).unwrap();
        assert!(!hidden.exists());
        assert!(out.join("mine.p9img-partial").exists());
    }

    #[test]
    fn waits_for_the_other_build() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::lock(dir.path(), Wait::No).unwrap();
        let path = dir.path().to_owned();
        let waiter = std::thread::spawn(move || Folder::lock(&path, Wait::Yes).map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiter.is_finished());
        drop(first);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn who_only_reads_holds_builds_off_and_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Folder::hold(dir.path()).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        drop(Folder::lock(dir.path(), Wait::No).unwrap());
        let held = Folder::hold(dir.path()).unwrap();
        assert!(held.is_some());
        assert!(matches!(Folder::lock(dir.path(), Wait::No), Err(Error::Busy { .. })));
        drop(held);
        assert!(Folder::lock(dir.path(), Wait::No).is_ok());
    }

    #[test]
    fn dropped_partial_leaves_the_old_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        folder.replace("a", b"old").unwrap();
        drop(folder.create("a").unwrap());
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"old");
        folder.replace("a", b"new").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_changes_places_with_the_old_one_or_with_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        for text in ["first", "second"] {
            let partial = folder.create("a").unwrap();
            std::fs::write(&partial.path, text).unwrap();
            partial.exchange().unwrap();
            assert_eq!(std::fs::read_to_string(dir.path().join("a")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/mine"), "kept").unwrap();
        assert!(folder.create("d").unwrap().exchange().is_err());
        assert_eq!(std::fs::read_to_string(dir.path().join("d/mine")).unwrap(), "kept");
    }
}
