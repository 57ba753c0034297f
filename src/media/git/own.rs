//! A git directory of p9img's own, over the objects of one that nobody vouches for.
//!
//! git runs programs that a repository's `config` names, follows it to other
//! repositories (`commondir`, `alternates`) and believes what it says of its
//! objects (`replace`, `grafts`, the commit graph). So git never sees the
//! directory that the user names. It gets a temporary one, with a config of
//! four lines and no refs, whose `objects` holds links to the loose objects
//! and the packs of the other: those that lie right there, and are plain files.

use super::error::GitError;
use super::id::SHA256;
use super::refs;
use crate::count;
use crate::media::directory::special;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Files that name other repositories, and how a git directory without them is made.
const ELSEWHERE: [&str; 3] = ["commondir", "objects/info/alternates", "objects/info/http-alternates"];
/// Folder in which newer versions of git keep refs in a form of their own.
const REFTABLE: &str = "reftable";
/// Bytes of a file that names another repository which are shown.
const MAX_SHOWN: u64 = 4096;

/// Directory for git, removed with the value.
pub struct Own {
    dir: TempDir,
    /// The commit that `HEAD` of the other one names.
    pub commit: String,
}

impl Own {
    /// Makes one for the git directory `path`.
    ///
    /// # Errors
    /// Fails when the directory names others, holds what no repository does, or
    /// has no commit.
    pub fn over(path: &Path) -> Result<Self, GitError> {
        let path = path.canonicalize()?;
        for file in ELSEWHERE {
            if let Some(text) = read(&path.join(file), MAX_SHOWN)?.filter(|text| !text.trim_ascii().is_empty()) {
                let names = String::from_utf8_lossy(text.trim_ascii()).into_owned();
                return Err(GitError::Elsewhere { file, names });
            }
        }
        if kind(&path.join(REFTABLE))?.is_some() {
            return Err(GitError::Reftable);
        }
        let commit = refs::head(&path)?;
        let dir = tempfile::Builder::new().prefix("p9img-git-").tempdir().map_err(GitError::Own)?;
        let own = Self { dir, commit };
        own.fill().map_err(GitError::Own)?;
        own.link(&path.join("objects"))?;
        Ok(own)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn fill(&self) -> io::Result<()> {
        let at = |name: &str| self.path().join(name);
        fs::create_dir_all(at("objects/pack"))?;
        fs::create_dir(at("refs"))?;
        fs::write(at("HEAD"), "ref: refs/heads/none\n")?;
        let (version, extensions) = match self.commit.len() {
            SHA256 => (1, "[extensions]\n\tobjectFormat = sha256\n"),
            _ => (0, ""),
        };
        fs::write(at("config"), format!("[core]\n\trepositoryFormatVersion = {version}\n\tbare = true\n{extensions}"))
    }

    /// Links to what git needs of the folder `objects`.
    fn link(&self, objects: &Path) -> Result<(), GitError> {
        let own = self.path().join("objects");
        let hexadecimal = |name: &str| name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        for name in names(objects)?.iter().filter(|name| name.len() == 2 && hexadecimal(name)) {
            let folder = objects.join(name);
            for object in names(&folder)? {
                plain(&folder.join(object))?;
            }
            symlink(&folder, own.join(name)).map_err(GitError::Own)?;
        }
        let packs = objects.join("pack");
        if kind(&packs)?.is_none() {
            return Ok(());
        }
        // Only these two of each: an index over several packs, or a mark of
        // those that are promised by a server, is not needed.
        for name in names(&packs)? {
            let Some(stem) = name.strip_suffix(".idx") else { continue };
            for name in [name.clone(), format!("{stem}.pack")] {
                let file = packs.join(&name);
                plain(&file)?;
                symlink(file, own.join("pack").join(name)).map_err(GitError::Own)?;
            }
        }
        Ok(())
    }
}

/// Kind of an entry of a git directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
}

/// Kind of the entry at `path` itself; `None` if there is none.
///
/// # Errors
/// Fails when it is a link, a pipe, a socket or a device.
pub fn kind(path: &Path) -> Result<Option<Kind>, GitError> {
    let found = match fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(source) => return Err(GitError::Read { path: path.into(), source }),
    };
    match () {
        () if found.is_file() => Ok(Some(Kind::File)),
        () if found.is_dir() => Ok(Some(Kind::Folder)),
        () if found.is_symlink() => Err(GitError::Special { path: path.into(), kind: "symbolic link" }),
        () => Err(GitError::Special { path: path.into(), kind: special(found) }),
    }
}

/// The first bytes of a plain file; `None` if nothing is there.
///
/// # Errors
/// Fails when something else is there, or it cannot be read or has more than
/// `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, GitError> {
    match kind(path)? {
        None => return Ok(None),
        Some(Kind::Folder) => return Err(GitError::Special { path: path.into(), kind: "folder" }),
        Some(Kind::File) => {}
    }
    let fail = |source| GitError::Read { path: path.into(), source };
    // Should it become a pipe meanwhile, nobody waits for its other end.
    let file =
        OpenOptions::new().read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32).open(path);
    let mut bytes = Vec::new();
    file.and_then(|file: File| file.take(most + 1).read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(fail(io::Error::other(format!("it has more than {most}", most = count::of(most, "byte")))));
    }
    Ok(Some(bytes))
}

fn plain(path: &Path) -> Result<(), GitError> {
    match kind(path)? {
        Some(Kind::File) => Ok(()),
        Some(Kind::Folder) => Err(GitError::Special { path: path.into(), kind: "folder" }),
        None => Err(GitError::Read { path: path.into(), source: io::ErrorKind::NotFound.into() }),
    }
}

/// Names in a real folder, sorted. What is not UTF-8 is not git's.
#[expect(clippy::disallowed_methods, reason = "sorted at once")]
fn names(folder: &Path) -> Result<Vec<String>, GitError> {
    if kind(folder)? != Some(Kind::Folder) {
        return Err(GitError::Special { path: folder.into(), kind: "file" });
    }
    let fail = |source| GitError::Read { path: PathBuf::from(folder), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        names.extend(entry.map_err(fail)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
