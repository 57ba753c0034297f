//! Digests of files that were digested before.
//!
//! A compressed medium is named in the store by its SHA-256, and reading all of
//! it each time to learn that would cost more than what is saved. So the store
//! remembers it, with what the host says of the file: place, length, times of
//! change. A file that changed so lately that another change might show the
//! same times is not remembered.

use crate::digest::Digest;
use crate::hex::hex;
use crate::media::store::Store;
use crate::read_at::ReadAt;
use crate::stop;
use sha2::{Digest as _, Sha256};
use std::fs::{self, Metadata};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Folder of the store, one file a path.
const FOLDER: &str = "known";
/// Seconds that a file must have been left alone: some host file systems count
/// in two.
const QUIET: i64 = 3;
/// Bytes of a record.
const MAX_RECORD: u64 = 1000;
/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;

/// The digest of `file`, whose path and metadata are given.
///
/// # Errors
/// Fails when it cannot be read, or the user interrupts.
pub fn digest(store: &Store, path: &Path, meta: &Metadata, file: &dyn ReadAt) -> io::Result<Digest> {
    let real = path.canonicalize()?;
    let folder = store.root().join(FOLDER);
    let record = folder.join(hex(&Sha256::digest(real.as_os_str().as_bytes())));
    let state = state(meta);
    if let Some(digest) = read(&record, &state) {
        return Ok(digest);
    }
    let digest = compute(file)?;
    // A digest that is not remembered is computed again: no error.
    let _ = remember(&folder, &record, &state, meta, digest);
    Ok(digest)
}

/// Metadata that changes when the file does.
fn state(m: &Metadata) -> String {
    format!("{} {} {} {}.{} {}.{}", m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())
}

fn read(record: &Path, state: &str) -> Option<Digest> {
    if fs::symlink_metadata(record).ok()?.len() > MAX_RECORD {
        return None;
    }
    let text = fs::read_to_string(record).ok()?;
    text.strip_suffix('\n')?.strip_prefix(state)?.strip_prefix(' ')?.parse().ok()
}

fn remember(folder: &Path, record: &Path, state: &str, meta: &Metadata, digest: Digest) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(new, "{state} {digest}")?;
    // The host's clock as its files show it; no other is asked.
    let now = new.as_file().metadata()?.mtime();
    if now - meta.ctime() >= QUIET && now - meta.mtime() >= QUIET {
        new.persist(record)?;
    }
    Ok(())
}

fn compute(file: &dyn ReadAt) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; file.len().min(CHUNK) as usize];
    let mut at = 0;
    while at < file.len() {
        stop::go_on()?;
        let n = (file.len() - at).min(CHUNK) as usize;
        file.read_at(at, &mut buf[..n])?;
        hash.update(&buf[..n]);
        at += n as u64;
    }
    Ok(Digest(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_at::HostFile;

    fn of(store: &Store, path: &Path) -> Digest {
        let file = fs::File::open(path).unwrap();
        let meta = file.metadata().unwrap();
        digest(store, path, &meta, &HostFile::new(file).unwrap()).unwrap()
    }

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let t = tempfile::tempdir().unwrap();
        let store = Store::at(t.path().join("store"));
        let path = t.path().join("file");
        fs::write(&path, "one").unwrap();
        assert_eq!(of(&store, &path), Digest::of(b"one"));
        let records =
            || fs::read_dir(store.root().join(FOLDER)).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
        assert!(records().is_empty(), "changed only now");

        // As if written long ago, when the record was: whatever it says is believed.
        let meta = fs::metadata(&path).unwrap();
        let name = hex(&Sha256::digest(path.canonicalize().unwrap().as_os_str().as_bytes()));
        let record = store.root().join(FOLDER).join(name);
        let lie = Digest::of(b"lie");
        fs::write(&record, format!("{} {lie}\n", state(&meta))).unwrap();
        assert_eq!(of(&store, &path), lie);
        // Another file of the same length, with the same time, in its place.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "two").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(meta.modified().unwrap()).unwrap();
        assert_eq!(of(&store, &path), Digest::of(b"two"));
        // A record that is damaged counts for nothing.
        for bad in ["", "x", &format!("{} {lie}", state(&fs::metadata(&path).unwrap()))] {
            fs::write(&record, bad).unwrap();
            assert_eq!(of(&store, &path), Digest::of(b"two"), "{bad}");
        }
    }
}
