//! The folder of a machine that runs: the place where p9img and the runner meet.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// File with the machine's process id.
pub const PID: &str = "pid";
/// Socket of the serial port.
pub const SERIAL: &str = "serial.sock";
/// Log of the serial port since the machine was started.
pub const LOG: &str = "serial.log";
/// Socket of the lab's switch, from the folder of a machine: a path of any
/// length would not do. On it, a frame follows its length in four bytes, the
/// highest first.
pub const NETWORK: &str = "../network.sock";
/// Bytes of a socket's path that every system takes.
const LONGEST_SOCKET: usize = 100;

/// Name and folder of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFolder {
    pub name: String,
    pub dir: PathBuf,
}

impl MachineFolder {
    /// Path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Connection to one of its sockets.
    ///
    /// # Errors
    /// Fails when nothing listens.
    pub fn connect(&self, socket: &str) -> io::Result<std::os::unix::net::UnixStream> {
        short(&self.dir, socket, |path| std::os::unix::net::UnixStream::connect(path))
    }
}

/// Calls `with` with a path of a socket in `dir` that is short enough for one,
/// however long the folder's own is.
///
/// # Errors
/// Error of `with`, or of opening the folder.
pub fn short<T>(dir: &Path, socket: &str, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(socket);
    if path.as_os_str().as_bytes().len() <= LONGEST_SOCKET {
        return with(&path);
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        // By the number of the open folder.
        let open = std::fs::File::open(dir)?;
        with(&Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(socket))
    }
    #[cfg(not(target_os = "linux"))]
    {
        // A detour with a short name, whatever TMPDIR is.
        let detour = tempfile::tempdir_in("/tmp")?;
        let link = detour.path().join("d");
        std::os::unix::fs::symlink(std::path::absolute(dir)?, &link)?;
        with(&link.join(socket))
    }
}
