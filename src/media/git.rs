//! A git directory without a work tree as a medium.
//!
//! The `git` command lists a commit's tree and prints its blobs, once: all of
//! it goes into one file of the store, named by the tree's object id, and is
//! read there (`snapshot`). Modes are git's, so the release's records or the
//! lab say the rest, as for a folder.
//!
//! Nothing is fetched. Blobs that the repository does not have, as in a partial
//! clone, are left out and named, unless a node needs them to start.

mod command;
mod snapshot;

use super::MediumError;
use super::listing::Attributes;
use super::members::Members;
use super::open::Listed;
use super::store::{Name, Store, StoreError, Stored};
use crate::lab::Arch;
use crate::read_at::ReadAt;
use crate::tree::Content;
use command::{Blobs, Git};
use snapshot::{Item, Snapshot};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a symbolic link that are read.
const MAX_LINK: u64 = 4096;
/// Files that a note names.
const MAX_NAMED: usize = 20;

/// Why a git directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("There is no command `git`: install it, or give a folder or an archive of the tree")]
    NoCommand,
    #[error("git {what} says: {said}")]
    Says { what: &'static str, said: String },
    #[error("git {what} printed {found:?}, which makes no sense")]
    Nonsense { what: &'static str, found: String },
    #[error("The tree lists more than {most} bytes of names")]
    Large { most: u64 },
    #[error("The blob {oid} is damaged: its bytes have another id; `git fsck` says more")]
    Damaged { oid: String },
    #[error("It lacks the bytes of {path}, which nodes start with: fetch them into it, or make a full clone")]
    NoBootFile { path: String },
    #[error("Cannot talk to git")]
    Io(#[from] io::Error),
}

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

/// Whether `path` is where git keeps a repository, not a checkout of one.
pub fn is_directory(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
}

/// Lists the tree of the commit that `revision` names in the git directory `path`.
///
/// # Errors
/// When git cannot read it, a boot file's bytes are missing, or it holds what
/// Plan 9 cannot.
pub fn list(path: &Path, revision: &str, store: &Store) -> Result<Listed, MediumError> {
    let wrong = |fault| match fault {
        Fault::Git(source) => MediumError::Git { path: path.into(), source },
        Fault::Store(e) => e.into(),
    };
    let (stored, snapshot) = read(path, revision, store).map_err(wrong)?;
    let mut members = Members::default();
    let mut notes = Vec::new();
    for item in &snapshot.items {
        let here = || path.join(OsStr::from_bytes(&item.path));
        let refused = |why| MediumError::Path { path: here(), why };
        match (item.mode, item.place) {
            (0o160_000, _) => notes.push(format!("{} is another repository's commit: left out", here().display())),
            (_, None) => {}
            (0o120_000, Some((offset, len))) => {
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
    (n > 0).then(|| format!("{} lacks the bytes of {n} files, which are left out: {named}{more}", path.display()))
}

/// The snapshot of the commit, from the store or made now.
fn read(path: &Path, revision: &str, store: &Store) -> Result<(Arc<Stored>, Snapshot), Fault> {
    let git = Git::new(path);
    let tree = git.tree(revision)?;
    let key = format!("git tree {tree} 1");
    let get = || -> Result<_, Fault> {
        let stored = store.derived(&key, |out| make(&git, &tree, out))?;
        let snapshot = Snapshot::read(&*stored)?;
        Ok((stored, snapshot))
    };
    let (stored, snapshot) = get()?;
    // Has what was missing come since?
    let mut blobs = git.blobs("--batch-check")?;
    for item in snapshot.missing() {
        if blobs.ask(&item.oid)?.is_some() {
            drop(stored);
            store.remove(&Name::derived(&key))?;
            return get();
        }
    }
    Ok((stored, snapshot))
}

/// Writes the snapshot of `tree`.
fn make(git: &Git<'_>, tree: &str, out: &mut dyn io::Write) -> Result<(), Fault> {
    let mut items = git.list(tree)?;
    let mut sizes = git.blobs("--batch-check")?;
    for item in items.iter_mut().filter(|i| i.mode != 0o160_000) {
        item.place = sizes.ask(&item.oid)?.map(|len| (0, len));
    }
    let snapshot = Snapshot::new(items);
    out.write_all(&snapshot.head())?;
    let mut blobs: Blobs = git.blobs("--batch")?;
    for Item { oid, place, .. } in &snapshot.items {
        let Some((_, len)) = *place else { continue };
        if blobs.ask(oid)? != Some(len) {
            return Err(GitError::Damaged { oid: oid.clone() }.into());
        }
        blobs.copy(oid, len, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
