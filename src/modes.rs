//! File modes on a host whose file system may store none: Windows drives, some
//! network file systems.

use rustix::io::Errno;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Mode of a file for its owner alone.
pub const PRIVATE: u32 = 0o600;
/// The bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Gives a file that this process has made a mode. False where the file system
/// does not store modes: then it is as it was.
///
/// # Errors
/// Other errors of the operating system.
pub fn set(file: &File, mode: u32) -> io::Result<bool> {
    match change(file, mode) {
        Ok(()) => Ok(file.metadata()?.permissions().mode() & 0o777 == mode & 0o777),
        Err(e) if is_none(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether others have rights on a file.
///
/// # Errors
/// Fails when the file's metadata cannot be had.
pub fn is_shared(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.permissions().mode() & OTHERS != 0)
}

/// Whether files of a folder can belong to their owner alone: tried with a new
/// file, so that nothing that is there is touched.
///
/// # Errors
/// Fails when no file can be made there.
pub fn keeps(dir: &Path) -> io::Result<bool> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let file = tempfile::Builder::new().prefix(".secrets.toml.").tempfile_in(dir)?;
    Ok(set(file.as_file(), PRIVATE)? && !is_shared(file.as_file())?)
}

/// The errors of a file system that does not store modes. A file that this
/// process made is its own, so no right is missing.
fn is_none(e: &io::Error) -> bool {
    let none = [Errno::PERM, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    none.iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

fn change(file: &File, mode: u32) -> io::Result<()> {
    #[cfg(test)]
    if let Some(result) = testing::answer() {
        return result;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Other file systems, for the tests of code that sets modes.
#[cfg(test)]
pub mod testing {
    use super::Errno;
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static ANSWER: Cell<Option<Option<Errno>>> = const { Cell::new(None) };
    }

    /// Runs `work` where a change of a mode changes nothing, and ends with this error
    /// or with none.
    pub fn without<T>(error: Option<Errno>, work: impl FnOnce() -> T) -> T {
        ANSWER.set(Some(error));
        let result = work();
        ANSWER.set(None);
        result
    }

    pub(super) fn answer() -> Option<io::Result<()>> {
        ANSWER.get().map(|error| error.map_or(Ok(()), |errno| Err(errno.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::without;
    use super::*;

    #[test]
    fn a_file_system_that_keeps_no_modes_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("f")).unwrap();
        assert!(set(&file, 0o640).unwrap() && is_shared(&file).unwrap());
        for error in [Some(Errno::PERM), Some(Errno::OPNOTSUPP), None] {
            assert!(!without(error, || set(&file, PRIVATE)).unwrap());
        }
        assert!(without(Some(Errno::IO), || set(&file, PRIVATE)).is_err());
        assert!(is_shared(&file).unwrap());
        assert!(keeps(dir.path()).unwrap());
        assert!(!without(Some(Errno::PERM), || keeps(dir.path())).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
