//! Reason why a git directory cannot be read.

use crate::count;
use std::io;
use std::path::PathBuf;

/// Reason why a git directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("There is no command `git`: install it, or give a folder or an archive of the tree")]
    NoCommand,
    #[error("git says: {}", said.escape_debug())]
    Says { said: String },
    #[error("git printed {found:?}, which p9img does not expect")]
    Nonsense { found: String },
    #[error(
        "Its file {file} names another repository, {names:?}, and p9img reads only the repository that you name: give \
         that repository, the folder of the checkout, or a copy made with `git clone --bare --no-local`"
    )]
    Elsewhere { file: &'static str, names: String },
    #[error(
        "Its branches are stored as reftables, which p9img cannot read: give a copy made with `git clone --bare \
         --ref-format=files`"
    )]
    Reftable,
    #[error(
        "{path} is a {kind}, which does not belong into a repository: give a copy made with `git clone --bare \
         --no-local`"
    )]
    Special { path: PathBuf, kind: &'static str },
    #[error(
        "HEAD names {name:?}, and there is no such branch: commit something, or name another with `git symbolic-ref HEAD`"
    )]
    NoCommit { name: String },
    #[error("{name} is neither an object's id nor the name of a branch in refs/")]
    BadRef { name: String },
    #[error("It lacks the {kind} {id}: make a full clone")]
    Missing { kind: &'static str, id: String },
    #[error("The object {id} is a {found}, expected a {expected}")]
    Kind { id: String, found: String, expected: &'static str },
    #[error("The {kind} {id} is damaged: its bytes have another id; `git fsck` says more")]
    Damaged { kind: &'static str, id: String },
    #[error("The {kind} {id} is damaged: {why}")]
    Malformed { kind: &'static str, id: String, why: &'static str },
    #[error("The {kind} {id} has {len}, but p9img reads at most {most}", len = count::of(len, "byte"))]
    LargeObject { kind: &'static str, id: String, len: u64, most: u64 },
    #[error(
        "Its tree has more than {most}, {folders}, {bytes} of paths, or {depth} inside each other, which is more than \
         any medium", most = count::of(most, "file"), folders = count::of(folders, "folder"),
        bytes = count::of(bytes, "byte"), depth = count::of(depth, "folder")
    )]
    Large { most: usize, folders: usize, bytes: usize, depth: usize },
    #[error("Its files have more than {most}", most = count::of(most, "byte"))]
    LargeFiles { most: u64 },
    #[error("It lacks the contents of {path}, which nodes need to start: fetch them into it, or make a full clone")]
    NoBootFile { path: String },
    #[error("Cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("Cannot make a temporary folder for git (TMPDIR says where)")]
    Own(#[source] io::Error),
    #[error("Cannot talk to git")]
    Io(#[from] io::Error),
}
