//! The local store: what was fetched, and what was made of it.
//!
//! ```text
//! content/SHA-256        a file by its own digest: what was fetched
//! derived/SHA-256        a file by the digest of how it was made: a medium without its compression
//! …/NAME.sums            its length and the digests of its chunks ([`Record`])
//! …/.new-…               being written, locked by who writes it
//! …/NAME.lock            held while NAME is being made
//! partial/               downloads that were cut off
//! ```
//!
//! Nothing in it is trusted: every chunk is compared with its digest before
//! the first of its bytes is used, and an entry that is damaged, cut off or
//! incomplete counts as absent and is removed. So it may be deleted, truncated
//! or overwritten at any time. An entry appears under its name when it is
//! complete; two who want the same one wait for each other, and the second
//! finds what the first has made.

mod care;
mod files;
mod folders;
mod new;
mod record;
mod room;
mod stored;

pub use care::Entry;
pub use files::Lock;
pub use folders::{Store, StoreError};
pub use record::{CHUNK, Name, Record};
pub use room::{Room, SPARE};
pub use stored::Stored;

use crate::digest::Digest;
use crate::lock::{self, Taken};
use crate::stop;
use files::{beside, list, read_record, same_file};
use folders::{Folder, LOCK, SUMS};
use new::{New, Sums, UNFINISHED};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Held while names appear or go. Nobody holds it for long.
const NAMES: &str = "names.lock";
/// Tells backup programs to leave the folder out (bford.info/cachedir).
const TAG: (&str, &str) =
    ("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# p9img can make all of it again.\n");

impl Store {
    /// The file with this digest; `None` when it is not there, or not whole.
    ///
    /// # Errors
    /// Fails when it is there and cannot be read.
    pub fn open(&self, sha256: &Digest) -> Result<Option<Arc<Stored>>, StoreError> {
        self.get(&Name::Content(*sha256))
    }

    /// The file that `key` names, written by `make` when it is not there. The
    /// key says all that the bytes depend on. Another run that makes the same
    /// file is waited for.
    ///
    /// # Errors
    /// Error of `make`, or of writing to the store.
    pub fn derived<E: From<StoreError>>(
        &self,
        key: &str,
        make: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<Arc<Stored>, E> {
        let name = Name::derived(key);
        if let Some(there) = self.get(&name)? {
            return Ok(there);
        }
        let _lock = Lock::wait(&self.prepare(Folder::Derived)?.join(name.file()))?;
        if let Some(there) = self.get(&name)? {
            return Ok(there);
        }
        let mut new = New::begin(self, Folder::Derived, false)?;
        let made = make(&mut new);
        if let Some(failure) = new.failure() {
            return Err(failure.into());
        }
        made?;
        Ok(new.publish(Some(name))?)
    }

    /// Takes in the bytes that `make` writes, under their own digest.
    ///
    /// # Errors
    /// Error of `make`, or of writing to the store.
    pub fn insert<E: From<StoreError>>(
        &self,
        make: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<Arc<Stored>, E> {
        let mut new = New::begin(self, Folder::Content, true)?;
        let made = make(&mut new);
        if let Some(failure) = new.failure() {
            return Err(failure.into());
        }
        made?;
        Ok(new.publish(None)?)
    }

    /// Path of the file for a download from the address `from`, which may be
    /// cut off, with its lock: other processes leave the file alone while the
    /// lock is held.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub fn partial(&self, from: &str) -> Result<(PathBuf, Lock), StoreError> {
        let path = self.prepare(Folder::Partial)?.join(Digest::of(from.as_bytes()).to_string());
        let lock = Lock::wait(&path)?;
        Ok((path, lock))
    }

    /// Removes what there is of a download from this address.
    ///
    /// # Errors
    /// Fails when it cannot be removed.
    pub fn forget(&self, from: &str) -> Result<(), StoreError> {
        let (path, _lock) = self.partial(from)?;
        for path in [&path, &path.with_extension("part")] {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::Write { path: path.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes over a file of the same host file system, if its bytes have this
    /// digest; `Err` in the result holds the digest that they have, and the
    /// file stays.
    ///
    /// # Errors
    /// Fails when the file cannot be read, the store cannot be written, or the user
    /// interrupts.
    pub fn adopt(&self, file: &Path, sha256: &Digest) -> Result<Result<Arc<Stored>, Digest>, StoreError> {
        self.prepare(Folder::Content)?;
        let fail = |source| StoreError::Read { path: file.into(), source };
        let mut handle = File::open(file).map_err(fail)?;
        let mut sums = Sums::new(true);
        let mut buffer = vec![0; 256 << 10];
        loop {
            stop::go_on().map_err(fail)?;
            match handle.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => sums.add(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(fail(e)),
            }
        }
        let record = sums.finish(None);
        match record.name {
            Name::Content(found) if found != *sha256 => Ok(Err(found)),
            _ => {
                let path = self.publish(file, &record)?;
                new::open(self, path, handle, record).map(Ok)
            }
        }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(Folder::of(name).name()).join(name.file())
    }

    fn get(&self, name: &Name) -> Result<Option<Arc<Stored>>, StoreError> {
        let path = self.path(name);
        let fail = |source| StoreError::Read { path: path.clone(), source };
        let handle = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        let meta = handle.metadata().map_err(fail)?;
        let record = read_record(&path).filter(|r| r.name == *name && r.len == meta.len() && meta.is_file());
        let Some(record) = record else {
            // When it cannot be removed, the next write of it fails with the
            // reason.
            let _ = self.discard(name, &handle);
            return Ok(None);
        };
        Stored::new(self, path.clone(), handle, record).map(|s| Some(Arc::new(s))).map_err(fail)
    }

    /// Removes an entry if it is still this file.
    fn discard(&self, name: &Name, file: &File) -> Result<(), StoreError> {
        let path = self.path(name);
        let _names = self.names()?;
        if same_file(&path, file) {
            self.unlink(&path)?;
        }
        Ok(())
    }

    /// Makes the folder, and removes once in each run what killed ones left.
    fn prepare(&self, folder: Folder) -> Result<PathBuf, StoreError> {
        let dir = self.root.join(folder.name());
        let fail = |source| StoreError::Write { path: self.root.clone(), source };
        fs::create_dir_all(&dir).map_err(fail)?;
        if !self.clean.swap(true, Ordering::Relaxed) {
            let tag = self.root.join(TAG.0);
            if !tag.exists() {
                fs::write(tag, TAG.1).map_err(fail)?;
            }
            self.sweep()?;
        }
        Ok(dir)
    }

    /// Removes files that nobody is writing any more, and halves of entries.
    fn sweep(&self) -> Result<(), StoreError> {
        let _names = self.names()?;
        for folder in Folder::ALL {
            let dir = self.root.join(folder.name());
            for file in list(&dir)? {
                let path = dir.join(&file);
                // The lock is held until the file is gone, so that no other
                // process finds it and takes it for its own.
                let lock = if file.starts_with(UNFINISHED) || file.ends_with(LOCK) {
                    // Open for writing, which locks need on NFS.
                    let file = OpenOptions::new().write(true).open(&path).ok();
                    file.filter(|f| lock::attempt(&path, f).is_ok_and(|taken| taken == Taken::Held))
                } else {
                    None
                };
                let half = match file.strip_suffix(SUMS) {
                    _ if folder == Folder::Partial || file.starts_with(UNFINISHED) || file.ends_with(LOCK) => false,
                    Some(of) => !dir.join(of).exists(),
                    None => !beside(&path, SUMS).exists(),
                };
                if lock.is_some() || half {
                    let _ = fs::remove_file(path);
                }
            }
        }
        Ok(())
    }

    /// Writes the record and gives the file its name.
    fn publish(&self, from: &Path, record: &Record) -> Result<PathBuf, StoreError> {
        let path = self.path(&record.name);
        let fail = |source| StoreError::Write { path: self.root.clone(), source };
        let dir = path.parent().unwrap_or(&self.root);
        // From here on: who cleans up could find the record before it is locked.
        let _names = self.names()?;
        let mut sums = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir).map_err(fail)?;
        let _ = lock::wait(sums.path(), sums.as_file());
        sums.write_all(record.text().as_bytes()).map_err(fail)?;
        sums.persist(beside(&path, SUMS)).map_err(|e| fail(e.error))?;
        fs::rename(from, &path).map_err(fail)?;
        Ok(path)
    }

    /// For the holder of the names.
    fn unlink(&self, path: &Path) -> Result<bool, StoreError> {
        let mut any = false;
        for path in [path, &beside(path, SUMS)] {
            match fs::remove_file(path) {
                Ok(()) => any = true,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::Write { path: self.root.clone(), source }),
            }
        }
        Ok(any)
    }

    fn names(&self) -> Result<File, StoreError> {
        let path = self.root.join(NAMES);
        let file = lock::open(&path).map_err(|source| StoreError::Write { path: self.root.clone(), source })?;
        // Where files cannot be locked, renaming still makes each entry whole.
        let _ = lock::wait(&path, &file);
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
