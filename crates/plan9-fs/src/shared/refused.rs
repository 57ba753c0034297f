//! Errors about entries of a tree that a file system cannot store.

use super::bad_name;
use crate::count;
use crate::tree::Meta;
use thiserror::Error;

/// Reason why an entry of a tree has no place in a file system, `fs`.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum Refused {
    /// Name that servers or the kernel take for something else.
    #[error("/{path}: {fs} cannot store this name: {why}")]
    BadName { fs: &'static str, path: String, why: &'static str },
    /// Name that is too long for its field.
    #[error("/{path}: the name has {len}, but {fs} stores at most {max}; use a shorter one", len = count::of(len, "byte"))]
    NameTooLong { fs: &'static str, path: String, len: usize, max: usize },
    /// Owner or group without a number in `/adm/users`.
    #[error(
        "/{path}: its {what} {name:?} is not in /adm/users, where {fs} finds the numbers of users; add it there, or \
         change the owner of the file"
    )]
    UnknownUser { fs: &'static str, path: String, what: &'static str, name: String },
    /// File that is longer than its pointers reach.
    #[error("/{path}: {len} are more than the {max} that a file may have", len = count::of(len, "byte"))]
    FileTooBig { path: String, len: u64, max: u64 },
}

/// Refuses a name that servers or the kernel do not take, or that has more than
/// `max` bytes.
///
/// # Errors
/// Reason why the name is refused.
pub(crate) fn check_name(fs: &'static str, max: usize, name: &[u8], path: impl Fn() -> String) -> Result<(), Refused> {
    match bad_name(name) {
        Some(why) => Err(Refused::BadName { fs, path: path(), why }),
        None if name.len() > max => Err(Refused::NameTooLong { fs, path: path(), len: name.len(), max }),
        None => Ok(()),
    }
}

/// The numbers of owner, last user and group; `id` gives the number of a name.
///
/// # Errors
/// Fails when the owner or the group is not in the user table.
pub(crate) fn owner<N: Copy>(
    fs: &'static str,
    meta: &Meta,
    id: impl Fn(&str) -> Option<N>,
    path: impl Fn() -> String,
) -> Result<[N; 3], Refused> {
    let known =
        |what, name: &str| id(name).ok_or_else(|| Refused::UnknownUser { fs, path: path(), what, name: name.into() });
    let uid = known("owner", &meta.uid)?;
    // The last user of a file may not be in this user table: the medium may
    // come from elsewhere.
    Ok([uid, id(&meta.muid).unwrap_or(uid), known("group", &meta.gid)?])
}
