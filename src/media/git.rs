//! A git directory without a work tree as a medium.
//!
//! A repository may come from anybody, and git does much that a repository
//! says. So git only ever sees a directory of p9img's own that has the other
//! one's objects (`own`), `HEAD` is read here (`refs`), and every object is
//! compared with its id before the store gets anything under that id
//! (`objects`, `tree`). Then all files of the commit's tree go into one file of
//! the store, named by the tree's id, and are read there (`snapshot`). Modes
//! are git's, so the release's records or the lab say the rest, as for a
//! folder.
//!
//! Nothing is fetched. Blobs that the repository does not have, as in a partial
//! clone, are left out and named, unless a node needs them to start.

mod id;
mod objects;
mod own;
pub mod refs;
mod snapshot;
pub mod tree;

mod error;

pub use error::GitError;

use super::error::MediumError;
use super::listed::Listed;
use super::listing::Attributes;
use super::members::Members;
use super::store::{Name, Store, StoreError, Stored};
use crate::count;
use crate::lab::Arch;
use crate::read_at::ReadAt;
use crate::tree::Content;
use objects::Objects;
use own::Own;
use snapshot::{Item, Snapshot};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use tree::{LINK, SUBMODULE};

/// Bytes of a symbolic link that are read.
const MAX_LINK: u64 = 4096;
/// Files that a note names.
const MAX_NAMED: usize = 20;
/// Bytes of the largest file: git holds it in memory when it is stored as a
/// difference.
const MAX_BLOB: u64 = 1 << 30;
/// Bytes of all files.
const MAX_BLOBS: u64 = 64 << 30;

/// Making a snapshot fails for either reason.
enum Fault {
    Git(GitError),
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}
impl From<GitError> for Fault {
    fn from(e: GitError) -> Self {
        Self::Git(e)
    }
}
impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Self::Git(e.into())
    }
}

/// Whether `path` is a repository of git, or the folder of one of its worktrees
/// in it, not a checkout. Its parts are not read yet.
pub fn is_directory(path: &Path) -> bool {
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    has("HEAD") && (has("objects") && has("refs") || has("commondir"))
}

/// Lists the tree of the commit that `HEAD` names in the git directory `path`.
///
/// # Errors
/// Fails when git cannot read it, a boot file's bytes are missing, or it holds
/// what Plan 9 cannot.
pub fn list(path: &Path, store: &Store) -> Result<Listed, MediumError> {
    let wrong = |fault| match fault {
        Fault::Git(source) => MediumError::Git { path: path.into(), source },
        Fault::Store(e) => e.into(),
    };
    let (stored, snapshot) = read(path, store).map_err(wrong)?;
    let mut members = Members::default();
    let mut notes = Vec::new();
    for item in &snapshot.items {
        let here = || path.join(OsStr::from_bytes(&item.path));
        let refused = |why| MediumError::Path { path: here(), why };
        match (item.mode, item.place) {
            (SUBMODULE, _) => notes.push(format!("{} is a commit of another repository: left out", here().display())),
            (_, None) => {}
            (LINK, Some((offset, len))) => {
                let mut target = vec![0; len.min(MAX_LINK + 1) as usize];
                stored.read_at(offset, &mut target).map_err(|source| MediumError::Read { path: here(), source })?;
                members.link(&item.path, &target).map_err(refused)?;
            }
            (mode, Some((offset, len))) => {
                let attributes = Attributes::Unix { executable: mode & 0o100 != 0 };
                let content = Content::Part { source: stored.clone(), offset, len };
                members.file(&item.path, attributes, content).map_err(refused)?;
            }
        }
    }
    let missing: Vec<String> = snapshot.missing().map(|i| String::from_utf8_lossy(&i.path).into_owned()).collect();
    if let Some(boot) = missing.iter().find(|path| starts(path)) {
        let source = GitError::NoBootFile { path: boot.clone() };
        return Err(MediumError::Git { path: path.into(), source });
    }
    notes.extend(lacks(path, &missing));
    Ok(Listed { listing: members.list(path)?, metadata: None, notes, ..Listed::default() })
}

/// Loaders, boot blocks and kernels are the files right in the folder of an
/// architecture.
fn starts(path: &str) -> bool {
    let arch = |name: &str| [Arch::I386, Arch::Amd64, Arch::Arm64].iter().any(|a| a.name() == name);
    path.split_once('/').is_some_and(|(top, name)| arch(top) && !name.contains('/'))
}

fn lacks(path: &Path, missing: &[String]) -> Option<String> {
    let named = missing.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match missing.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let n = missing.len();
    (n > 0).then(|| {
        format!(
            "{} lacks the bytes of {n} left out: {named}{more}",
            path.display(),
            n = count::either(n, "file, which is", "files, which are")
        )
    })
}

/// The snapshot of the commit, from the store or made now.
fn read(path: &Path, store: &Store) -> Result<(Arc<Stored>, Snapshot), Fault> {
    let own = Own::over(path)?;
    let mut objects = Objects::of(&own)?;
    let tree = tree::of_commit(&mut objects, &own.commit)?;
    // Version 1 was stored without comparing trees with their ids.
    let key = format!("git tree {tree} 2");
    let get = |objects: &mut Objects| -> Result<_, Fault> {
        let stored = store.derived(&key, |out| make(objects, &tree, out))?;
        let snapshot = Snapshot::read(&*stored)?;
        Ok((stored, snapshot))
    };
    let (stored, snapshot) = get(&mut objects)?;
    // Has what was missing come since?
    for item in snapshot.missing() {
        if objects.len(&item.oid, BLOB)?.is_some() {
            drop(stored);
            store.remove(&Name::derived(&key))?;
            return get(&mut objects);
        }
    }
    Ok((stored, snapshot))
}

const BLOB: &str = "blob";

/// Writes the snapshot of `tree`.
fn make(objects: &mut Objects, tree: &str, out: &mut dyn io::Write) -> Result<(), Fault> {
    let mut items = tree::files(objects, tree)?;
    let mut total: u64 = 0;
    for item in items.iter_mut().filter(|i| i.mode != SUBMODULE) {
        let len = objects.len(&item.oid, BLOB)?;
        if let Some(len) = len.filter(|len| *len > MAX_BLOB) {
            return Err(GitError::LargeObject { kind: BLOB, id: item.oid.clone(), len, most: MAX_BLOB }.into());
        }
        total = total.saturating_add(len.unwrap_or(0));
        item.place = len.map(|len| (0, len));
    }
    if total > MAX_BLOBS {
        return Err(GitError::LargeFiles { most: MAX_BLOBS }.into());
    }
    let snapshot = Snapshot::new(items);
    out.write_all(&snapshot.head())?;
    for Item { oid, place, .. } in &snapshot.items {
        let Some((_, len)) = *place else { continue };
        objects.copy(oid, BLOB, len, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
