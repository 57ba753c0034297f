//! Advisory locks, also where they are NFS's or where there are none.
//!
//! NFS makes a lock of byte ranges of `flock`, and such a lock is exclusive only
//! on a file that is open for writing; a folder cannot be. Other file systems
//! have no locks at all: then p9img goes on without, and [`without`] says where,
//! so that the command line can warn of it, once.

use crate::poison::IgnorePoison as _;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// File that stands for a folder which cannot be locked itself. It is there only
/// while it is locked.
pub const FOLDER: &str = ".p9img-folder.lock";

/// Time between two attempts of who waits and listens for interrupts.
const PAUSE: Duration = Duration::from_millis(50);

/// First place of this run where there are no locks.
static WITHOUT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Result of an attempt to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Held,
    /// Somebody else holds it.
    Busy,
    /// The file system has no locks.
    Without,
}

/// First place of this run where there were no locks.
pub fn without() -> Option<PathBuf> {
    WITHOUT.lock().ignore_poison().clone()
}

/// Opens a file for locking: for writing, and makes it when it is not there. A
/// link is not followed: that would make a file wherever it leads.
///
/// # Errors
/// Error of the operating system.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

/// Locks `file`, which is at `path`, unless somebody else has.
///
/// # Errors
/// Error of the operating system, but for a file system without locks.
pub fn attempt(path: &Path, file: &File) -> io::Result<Taken> {
    judge(path, call(file, |file| file.try_lock()))
}

/// Locks `file`, which is at `path`, and waits for that.
///
/// # Errors
/// As [`attempt`].
pub fn wait(path: &Path, file: &File) -> io::Result<Taken> {
    judge(path, call(file, |file| file.lock().map_err(TryLockError::Error)))
}

/// As [`wait`], until `stopped` says so: then it is busy.
///
/// # Errors
/// As [`attempt`].
pub fn wait_unless(path: &Path, file: &File, stopped: &dyn Fn() -> bool) -> io::Result<Taken> {
    loop {
        match attempt(path, file)? {
            Taken::Busy if !stopped() => std::thread::sleep(PAUSE),
            other => return Ok(other),
        }
    }
}

/// A locked file, whose lock is released when this is dropped. Closing alone would not do:
/// a program that another thread is starting has the file open, too, until it runs.
#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// Takes a file over that [`attempt`] or [`wait`] has locked.
    pub const fn new(file: File) -> Self {
        Self(file)
    }

    pub const fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Where there are no locks, there is nothing to release.
        let _ = self.0.unlock();
    }
}

/// A lock on a folder, released when it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _lock: Held,
    /// The file that stands for the folder, to be removed.
    stands: Option<PathBuf>,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if let Some(path) = &self.stands {
            // Still locked: who waits for it sees that it is gone, and begins again.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Locks a folder, and waits for that; where folders cannot be locked, a file in it.
///
/// # Errors
/// As [`attempt`], or when the folder cannot be opened.
pub fn folder(dir: &Path) -> io::Result<FolderLock> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let lock = File::open(dir)?;
    match wait(dir, &lock) {
        Ok(_) => return Ok(FolderLock { _lock: Held::new(lock), stands: None }),
        // NFS.
        Err(e) if e.raw_os_error() == Some(Errno::BADF.raw_os_error()) => {}
        Err(e) => return Err(e),
    }
    let path = dir.join(FOLDER);
    loop {
        let lock = open(&path)?;
        let taken = wait(&path, &lock)?;
        if taken == Taken::Without || is_at(&path, &lock) {
            return Ok(FolderLock { _lock: Held::new(lock), stands: Some(path) });
        }
    }
}

/// Whether `file` is what is at `path` now.
fn is_at(path: &Path, file: &File) -> bool {
    let id = |m: std::fs::Metadata| (m.dev(), m.ino());
    matches!((path.metadata().map(id), file.metadata().map(id)), (Ok(a), Ok(b)) if a == b)
}

fn judge(path: &Path, result: Result<(), TryLockError>) -> io::Result<Taken> {
    let none = [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS].map(|e| Some(e.raw_os_error()));
    match result {
        Ok(()) => Ok(Taken::Held),
        Err(TryLockError::WouldBlock) => Ok(Taken::Busy),
        Err(TryLockError::Error(e)) if none.contains(&e.raw_os_error()) => {
            let mut first = WITHOUT.lock().ignore_poison();
            first.get_or_insert_with(|| path.to_owned());
            Ok(Taken::Without)
        }
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(not(test))]
fn call(file: &File, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    lock(file)
}

/// Answer of the system, unless a test has chosen another file system.
#[cfg(test)]
fn call(file: &File, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    testing::answer(file).and_then(|()| lock(file))
}

/// Other file systems' locks, for the tests of code that locks.
#[cfg(test)]
pub mod testing {
    use super::{Errno, File, TryLockError};
    use rustix::fs::{OFlags, fcntl_getfl};
    use std::cell::Cell;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Locks {
        /// Exclusive only on what is open for writing.
        Nfs,
        /// Each lock ends with this error.
        Fail(Errno),
    }

    thread_local! {
        static LOCKS: Cell<Option<Locks>> = const { Cell::new(None) };
    }

    /// Runs `work` on a file system that has such locks.
    pub fn with<T>(locks: Locks, work: impl FnOnce() -> T) -> T {
        LOCKS.set(Some(locks));
        let result = work();
        LOCKS.set(None);
        result
    }

    pub(super) fn answer(file: &File) -> Result<(), TryLockError> {
        let errno = match LOCKS.get() {
            None => return Ok(()),
            Some(Locks::Fail(errno)) => errno,
            Some(Locks::Nfs) => match fcntl_getfl(file).map_err(|e| TryLockError::Error(e.into()))? {
                flags if flags.intersects(OFlags::WRONLY | OFlags::RDWR) => return Ok(()),
                _ => Errno::BADF,
            },
        };
        Err(TryLockError::Error(errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Locks, with};
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_no_error_and_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = open(&path).unwrap();
        for errno in [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert_eq!(with(Locks::Fail(errno), || attempt(&path, &file)).unwrap(), Taken::Without);
            assert_eq!(with(Locks::Fail(errno), || wait(&path, &file)).unwrap(), Taken::Without);
            drop(with(Locks::Fail(errno), || folder(dir.path())).unwrap());
        }
        assert!(without().is_some());
        let failed = with(Locks::Fail(Errno::IO), || attempt(&path, &file)).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(Errno::IO.raw_os_error()));
        assert_eq!(attempt(&path, &file).unwrap(), Taken::Held);
        assert_eq!(attempt(&path, &open(&path).unwrap()).unwrap(), Taken::Busy);
        assert_eq!(wait_unless(&path, &open(&path).unwrap(), &|| true).unwrap(), Taken::Busy);
    }

    /// Programs that are started have the files of this one open for a moment.
    #[test]
    fn a_lock_that_was_released_is_free_whatever_is_started_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::process::Command::new("true").status().unwrap();
                }
            });
            let taken = (0..20_000).map(|_| {
                let file = Held::new(open(&path).unwrap());
                attempt(&path, file.file()).unwrap()
            });
            let busy = taken.filter(|taken| *taken == Taken::Busy).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(busy, 0);
        });
    }

    #[test]
    fn where_folders_cannot_be_locked_a_file_stands_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stands) = (dir.path().to_owned(), dir.path().join(FOLDER));
        let first = with(Locks::Nfs, || folder(&path)).unwrap();
        assert_eq!(attempt(&stands, &open(&stands).unwrap()).unwrap(), Taken::Busy);
        let waiter = std::thread::spawn(move || {
            let lock = with(Locks::Nfs, || folder(&path)).unwrap();
            assert!(path.join(FOLDER).exists(), "its own, not that of the one before");
            drop(lock);
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiter.is_finished());
        drop(first);
        waiter.join().unwrap();
        assert!(!stands.exists());
        drop(folder(dir.path()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
