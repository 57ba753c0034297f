//! Looking after the store: what is in it, whether it is whole, removing it.

use super::files::{beside, list, read_record};
use super::folders::{Folder, SUMS, Store, StoreError};
use super::new::Sums;
use super::record::Name;
use std::path::PathBuf;

/// A complete entry, as [`Store::entries`] lists it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Name,
    /// Bytes.
    pub len: u64,
    pub path: PathBuf,
}

impl Store {
    /// Every entry, in the order of names; those with a damaged record are left out.
    ///
    /// # Errors
    /// Fails when the folder cannot be listed.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for folder in [Folder::Content, Folder::Derived] {
            let dir = self.root.join(folder.name());
            for file in list(&dir)? {
                let path = dir.join(&file);
                let record = read_record(&path).filter(|r| r.name.file() == file && Folder::of(&r.name) == folder);
                if let Some(record) = record.filter(|r| path.metadata().is_ok_and(|m| m.len() == r.len)) {
                    entries.push(Entry { name: record.name, len: record.len, path });
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Compares every byte of an entry with its digests; false when it is not
    /// there or damaged, which removes it.
    ///
    /// # Errors
    /// Fails when it cannot be read, or is damaged and cannot be removed.
    pub fn verify(&self, name: &Name) -> Result<bool, StoreError> {
        let Some(stored) = self.get(name)? else { return Ok(false) };
        let mut sums = Sums::new(matches!(name, Name::Content(_)));
        let mut bytes = Vec::new();
        for chunk in 0..stored.chunks() {
            match stored.verified_chunk(chunk, &mut bytes) {
                Ok(()) => sums.add(&bytes),
                Err(e) => match e.into_inner().map(|e| e.downcast::<StoreError>().map(|e| *e)) {
                    Some(Ok(StoreError::Damaged { .. })) => return Ok(false),
                    Some(Ok(error)) => return Err(error),
                    _ => return Ok(false),
                },
            }
        }
        let given = matches!(name, Name::Derived(_)).then(|| name.clone());
        Ok(sums.finish(given).name == *name)
    }

    /// Removes an entry; whether there was one. A process that has it open can
    /// go on reading.
    ///
    /// # Errors
    /// Fails when it cannot be removed.
    pub fn remove(&self, name: &Name) -> Result<bool, StoreError> {
        let path = self.path(name);
        if !path.exists() && !beside(&path, SUMS).exists() {
            return Ok(false);
        }
        let _names = self.names()?;
        self.unlink(&path)
    }

    /// Bytes of all files in the store, unfinished ones included.
    ///
    /// # Errors
    /// Fails when a folder cannot be listed.
    pub fn size(&self) -> Result<u64, StoreError> {
        let mut size = 0;
        for folder in Folder::ALL {
            let dir = self.root.join(folder.name());
            let len = |file: String| dir.join(file).symlink_metadata().map_or(0, |m| m.len());
            size += list(&dir)?.into_iter().map(len).sum::<u64>();
        }
        Ok(size)
    }
}
