//! The folder that artifacts are written to.
//!
//! One build at a time holds the folder's lock. An artifact grows in a hidden
//! file of the folder and is renamed when everything is complete, so that the
//! folder has a complete artifact or none. Because the lock proves that no
//! other build is running, hidden files found when it is taken are what a
//! killed build left, and are removed.
//!
//! A build does not wait until its gigabytes are on the platter: killing it at
//! any moment is safe, cutting the power right after it is what
//! `sha256sum -c SHA256SUMS` is for.

use crate::artifact::error::Error;
use crate::lock::{self, Held, Taken};
use crate::modes;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// File whose lock is that of the folder.
pub const LOCK: &str = ".p9img.lock";
const PARTIAL: &str = ".p9img-partial";

/// Behaviour while another build has locked the folder.
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
    _lock: Held,
    /// A private file was made here that others may read all the same.
    modeless: AtomicBool,
}

/// Makes a folder that only its owner looks into: images hold keys. One that is
/// there keeps its mode.
fn make(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

impl Folder {
    /// Creates the folder if need be, for its owner alone, takes its lock and removes what a killed
    /// build left in it.
    ///
    /// # Errors
    /// [`Error::Busy`] for `Wait::No` while another build holds it; else what
    /// the operating system says.
    pub fn lock(path: &Path, wait: Wait) -> Result<Self, Error> {
        make(path).map_err(|source| Error::Folder { path: path.to_owned(), source })?;
        let lock_path = path.join(LOCK);
        let file = lock::open(&lock_path).map_err(|e| Error::write(&lock_path, e))?;
        let take = if wait == Wait::Yes { lock::wait } else { lock::attempt };
        let taken = take(&lock_path, &file).map_err(|source| Error::Lock { path: lock_path, source })?;
        let folder = Self { path: path.to_owned(), _lock: Held::new(file), modeless: AtomicBool::new(false) };
        match taken {
            Taken::Busy => return Err(Error::Busy { path: path.to_owned() }),
            Taken::Held => folder.sweep()?,
            // Without a lock they may be another build's.
            Taken::Without => {}
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no build writes to the folder at `path`, and keeps builds
    /// from beginning until the result is dropped. Creates and removes nothing:
    /// for those who only read, and may not even be allowed to write.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when `stopped` says so meanwhile; else what the
    /// operating system says when the lock is there and cannot be taken.
    pub fn hold(path: &Path, stopped: &dyn Fn() -> bool) -> Result<Option<Held>, Error> {
        let path = path.join(LOCK);
        let (file, writable) = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => (file, true),
            Err(_) => match File::open(&path) {
                Ok(file) => (file, false),
                Err(_) => return Ok(None),
            },
        };
        match lock::wait_unless(&path, &file, stopped) {
            Ok(Taken::Held) => Ok(Some(Held::new(file))),
            Ok(Taken::Busy) => Err(Error::Interrupted),
            Ok(Taken::Without) => Ok(None),
            // NFS, where only who may write can lock.
            Err(_) if !writable => Ok(None),
            Err(source) => Err(Error::Lock { path, source }),
        }
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
    /// Error of the operating system.
    pub fn create(&self, name: &str) -> Result<Partial, Error> {
        self.start(name, 0o666)
    }

    /// As [`Folder::create`], for its owner alone from its first byte on, whatever
    /// the umask.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn create_private(&self, name: &str) -> Result<Partial, Error> {
        let partial = self.start(name, modes::PRIVATE)?;
        let failed = |e| Error::write(&partial.path, e);
        let kept = modes::set(&partial.file, modes::PRIVATE).map_err(failed)?;
        if !kept && modes::is_shared(&partial.file).map_err(failed)? {
            self.modeless.store(true, Ordering::Relaxed);
        }
        Ok(partial)
    }

    /// Whether a private file was made that others may read all the same, because
    /// the file system does not store modes.
    pub fn is_modeless(&self) -> bool {
        self.modeless.load(Ordering::Relaxed)
    }

    fn start(&self, name: &str, mode: u32) -> Result<Partial, Error> {
        let path = self.path.join(format!(".{name}{PARTIAL}"));
        // Made anew: nothing that is there gives it a mode, or leads elsewhere.
        let _ = std::fs::remove_file(&path);
        let mut options = OpenOptions::new();
        options.create_new(true).read(true).write(true).mode(mode);
        let file = options.open(&path).map_err(|e| Error::write(&path, e))?;
        Ok(Partial { target: self.path.join(name), path, file, armed: true })
    }

    /// As [`Folder::replace`], for the eyes of the file's owner only.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn replace_private(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let partial = self.create_private(name)?;
        std::io::Write::write_all(&mut &partial.file, bytes).map_err(|e| Error::write(&partial.target, e))?;
        partial.commit()
    }

    /// Writes a small file in one go and renames it into place.
    ///
    /// # Errors
    /// Error of the operating system.
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
    /// Error of the operating system; the hidden file is removed then.
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
    use crate::lock::testing::{Locks, with};
    use rustix::io::Errno;

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
        assert!(Folder::hold(dir.path(), &|| false).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        drop(Folder::lock(dir.path(), Wait::No).unwrap());
        let held = Folder::hold(dir.path(), &|| false).unwrap();
        assert!(held.is_some());
        assert!(matches!(Folder::lock(dir.path(), Wait::No), Err(Error::Busy { .. })));
        drop(held);
        let building = Folder::lock(dir.path(), Wait::No).unwrap();
        assert!(matches!(Folder::hold(dir.path(), &|| true), Err(Error::Interrupted)));
        drop(building);
    }

    #[test]
    fn locks_are_taken_on_nfs_and_done_without_where_there_are_none() {
        let dir = tempfile::tempdir().unwrap();
        with(Locks::Nfs, || {
            let first = Folder::lock(dir.path(), Wait::No).unwrap();
            assert!(matches!(Folder::lock(dir.path(), Wait::No), Err(Error::Busy { .. })));
            drop(first);
            assert!(Folder::hold(dir.path(), &|| false).unwrap().is_some());
        });
        std::fs::write(dir.path().join(format!(".n{PARTIAL}")), b"perhaps another build's").unwrap();
        with(Locks::Fail(Errno::NOLCK), || {
            let folder = Folder::lock(dir.path(), Wait::Yes).unwrap();
            folder.replace("a", b"written").unwrap();
            assert!(Folder::hold(dir.path(), &|| false).unwrap().is_none());
        });
        assert!(dir.path().join("a").exists() && dir.path().join(format!(".n{PARTIAL}")).exists());
    }

    #[test]
    fn a_private_file_is_its_owners_and_needs_no_modes() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/output");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = Folder::lock(&out, Wait::No).unwrap();
        assert_eq!(mode(&out), 0o700);
        // What lies in the way is neither followed nor taken over.
        let other = dir.path().join("other");
        std::fs::write(&other, b"mine").unwrap();
        std::os::unix::fs::symlink(&other, out.join(format!(".k{PARTIAL}"))).unwrap();
        let partial = folder.create_private("k").unwrap();
        assert_eq!(mode(&partial.path), 0o600);
        partial.exchange().unwrap();
        assert_eq!((mode(&out.join("k")), std::fs::read(&other).unwrap()), (0o600, b"mine".to_vec()));
        assert!(!folder.is_modeless());
        std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(folder);
        let folder = Folder::lock(&out, Wait::No).unwrap();
        assert_eq!(mode(&out), 0o755, "a folder that is there keeps its mode");
        crate::modes::testing::without(Some(Errno::PERM), || folder.replace_private("m", b"memory")).unwrap();
        assert_eq!(std::fs::read(out.join("m")).unwrap(), b"memory");
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
