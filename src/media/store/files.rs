//! Files and locks below the store.

use super::folders::{LOCK, SUMS, StoreError};
use super::record::{LARGEST, Record};
use crate::lock;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Held while something is being made; the file goes with it.
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits until nobody else makes `path`.
    pub(super) fn wait(path: &Path) -> Result<Self, StoreError> {
        let path = beside(path, LOCK);
        loop {
            let file = lock::open(&path).map_err(|source| StoreError::Write { path: path.clone(), source })?;
            let _ = lock::wait(&path, &file);
            // The holder before has removed the file, and others may have made
            // another.
            if same_file(&path, &file) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn same_file(path: &Path, file: &File) -> bool {
    let id = |m: fs::Metadata| (m.dev(), m.ino());
    matches!((path.metadata().map(id), file.metadata().map(id)), (Ok(a), Ok(b)) if a == b)
}

pub(super) fn read_record(path: &Path) -> Option<Record> {
    let mut text = String::new();
    File::open(beside(path, SUMS)).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
    Record::parse(&text)
}

/// Names in a folder, sorted; none when it is not there.
#[expect(clippy::disallowed_methods, reason = "sorted at once")]
pub(super) fn list(dir: &Path) -> Result<Vec<String>, StoreError> {
    let fail = |source| StoreError::Read { path: dir.into(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(fail)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
