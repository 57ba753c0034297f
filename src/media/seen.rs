//! Fingerprint of a medium from the stamps of its files, without reading them:
//! equal when nothing was changed.

use crate::digest::FieldHasher;
use crate::poison::IgnorePoison as _;
use crate::stamp::{Moment, Stamp};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

/// Directories are listed by so many threads at the most.
const THREADS: usize = 8;

/// The digest of the names and stamps of everything at a medium's path; none
/// when something cannot be read, or was changed so lately that another
/// change would not show. `from` is the folder for a medium in the binary.
pub fn seen(path: &Path) -> Option<[u8; 32]> {
    let taken = Moment::now();
    let real = path.canonicalize().ok()?;
    let meta = real.metadata().ok()?;
    let mut found = if meta.is_dir() { walk(&real).ok()? } else { vec![(PathBuf::new(), Some(Stamp::of(&meta)))] };
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut hash = FieldHasher::new();
    hash.bare(real.as_os_str().as_bytes());
    for (path, stamp) in found {
        hash.field(path.as_os_str().as_bytes());
        match stamp {
            Some(stamp) if !stamp.settled(taken) => return None,
            Some(stamp) => hash.bare(stamp.bytes()),
            None => hash.bare([0]),
        }
    }
    Some(hash.finish().0)
}

/// A path below the medium's own; the stamp of what is not a directory.
type Found = (PathBuf, Option<Stamp>);

#[derive(Default)]
struct State {
    /// Directories to be listed, as paths below the root.
    waiting: Vec<PathBuf>,
    /// Threads that list one.
    busy: usize,
    found: Vec<Found>,
    failed: Option<io::Error>,
}

/// Everything below `root`, in any order. Does not follow links to directories:
/// what they lead to must lie in the medium, and is found there.
fn walk(root: &Path) -> io::Result<Vec<Found>> {
    let state = Mutex::new(State { waiting: vec![PathBuf::new()], ..State::default() });
    let changed = Condvar::new();
    let lock = || -> MutexGuard<'_, State> { state.lock().ignore_poison() };
    let work = || {
        let mut state = lock();
        loop {
            if state.failed.is_some() {
                return;
            }
            let Some(dir) = state.waiting.pop() else {
                if state.busy == 0 {
                    changed.notify_all();
                    return;
                }
                state = changed.wait(state).ignore_poison();
                continue;
            };
            state.busy += 1;
            drop(state);
            let listed = list(root, &dir);
            state = lock();
            state.busy -= 1;
            match listed {
                Ok((below, found)) => {
                    state.waiting.extend(below);
                    state.found.extend(found);
                }
                Err(e) => state.failed = Some(e),
            }
            changed.notify_all();
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let state = state.into_inner().ignore_poison();
    state.failed.map_or(Ok(state.found), Err)
}

/// The directories in `dir`, and everything in it.
#[expect(clippy::disallowed_methods, reason = "sorted by the caller; reaches no artifact")]
fn list(root: &Path, dir: &Path) -> io::Result<(Vec<PathBuf>, Vec<Found>)> {
    let (mut below, mut found) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below.push(path.clone());
            found.push((path, None));
            continue;
        }
        found.push((path.clone(), Some(Stamp::of(&entry.metadata()?))));
        if kind.is_symlink() {
            // The link's target as well, under a name that no file can have.
            let target = std::fs::metadata(entry.path())?;
            if target.is_dir() && !entry.path().canonicalize()?.starts_with(root) {
                return Err(io::Error::other("a link to a directory elsewhere, of which nothing is seen"));
            }
            let target = if target.is_dir() { None } else { Some(Stamp::of(&target)) };
            found.push((path.join("\0"), target));
        }
    }
    Ok((below, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// Long enough for everything to be settled.
    fn later() {
        std::thread::sleep(Duration::from_millis(60));
    }

    #[test]
    fn every_change_shows() {
        let t = tempfile::tempdir().unwrap();
        let at = |name: &str| t.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/f"), "abc").unwrap();
        fs::write(at("g"), "x").unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        let mut all = vec![None];
        let mut next = |what: &str| {
            later();
            let now = seen(t.path());
            assert!(now.is_some() && now == seen(t.path()), "{what}");
            assert!(!all.contains(&now), "{what}");
            all.push(now);
        };
        next("at first");
        let modified = fs::metadata(at("a/b/f")).unwrap().modified().unwrap();
        fs::write(at("a/b/f"), "abd").unwrap();
        fs::File::options().write(true).open(at("a/b/f")).unwrap().set_modified(modified).unwrap();
        next("same length, time restored");
        fs::rename(at("g"), at("h")).unwrap();
        next("renamed");
        fs::create_dir(at("empty")).unwrap();
        next("an empty directory");
        fs::remove_file(at("link")).unwrap();
        std::os::unix::fs::symlink("a/b", at("link")).unwrap();
        next("a link");
        fs::remove_file(at("h")).unwrap();
        next("removed");
        // Another file in its place with its times.
        fs::rename(at("a/b/f"), at("old")).unwrap();
        fs::copy(at("old"), at("a/b/f")).unwrap();
        fs::remove_file(at("old")).unwrap();
        fs::File::options().write(true).open(at("a/b/f")).unwrap().set_modified(modified).unwrap();
        next("replaced by a copy");
    }

    #[test]
    fn what_was_just_written_or_cannot_be_read_is_not_known() {
        let t = tempfile::tempdir().unwrap();
        fs::write(t.path().join("f"), "abc").unwrap();
        let future = std::time::SystemTime::now() + Duration::from_secs(1000);
        fs::File::options().write(true).open(t.path().join("f")).unwrap().set_modified(future).unwrap();
        later();
        assert_eq!(seen(t.path()), None);
        fs::write(t.path().join("f"), "abd").unwrap();
        later();
        assert!(seen(t.path()).is_some());
        assert!(seen(&t.path().join("f")).is_some());
        std::os::unix::fs::symlink("nowhere", t.path().join("l")).unwrap();
        later();
        assert_eq!(seen(t.path()), None);
        assert_eq!(seen(&t.path().join("none")), None);
        // What lies elsewhere is not looked at: a repository's shared refs.
        fs::remove_file(t.path().join("l")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), t.path().join("refs")).unwrap();
        later();
        assert_eq!(seen(t.path()), None);
    }
}
