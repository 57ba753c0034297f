//! The disk of a node that runs, served to its machine: a process of p9img's own for each
//! node, which writes what the machine writes to the node's overlay.
//!
//! QEMU could write the overlay itself. But it keeps the tables that lead to new clusters in
//! memory until the guest asks for a flush, which Plan 9 does not: when QEMU is killed, what
//! the guest believes written would be lost. This process holds nothing back, and when it is
//! killed, too, the system still has all that it wrote.

use super::GridError;
use super::running::{self, DISK, Part};
use crate::artifact::qcow2::Overlay;
use crate::guest::computed::Compute;
use crate::guest::folder::{self, FolderError};
use crate::guest::node_disk::{self, SOCKET};
use crate::guest::runner::short;
use crate::nbd::{Export, Exports, Server, WriteAt};
use crate::read_at::ReadAt;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time that the process waits for its machine.
const FIRST: Duration = Duration::from_secs(60);
/// Longest time until the process of an earlier start has let go of the disk.
const BEFORE: Duration = Duration::from_secs(5);
/// Between two looks for the machine.
const LOOK: Duration = Duration::from_millis(10);

/// Starts the process that serves the disk of the node in `dir`, whose machine is started
/// next: `program` with `disk` and the folder as its arguments and the listening socket as
/// its standard input. It ends with the machine.
///
/// # Errors
/// Fails when the disk cannot be used, the socket not be made or the program not be started.
pub fn start(program: &Path, dir: &Path) -> Result<(), GridError> {
    let path = node_disk::file(dir);
    let failed = |source| FolderError::Use { path: path.clone(), source };
    // Here somebody reads why it cannot be used. A disk that is computed was a moment ago.
    drop(open(dir, |_| Ok(Arc::new(Vec::new()))).map_err(failed)?);
    folder::remove(&dir.join(SOCKET)).map_err(failed)?;
    let listener = short(dir, SOCKET, |path| UnixListener::bind(path)).map_err(failed)?;
    running::start(program, DISK, &[dir], listener)
}

/// Ends the processes of a run that serve disks to nobody.
///
/// # Errors
/// Fails when one will not end.
pub fn stop(run: &Path) -> Result<(), GridError> {
    let path = running::real(run);
    for found in running::all() {
        if found.run == path && matches!(found.part, Part::Disk(_)) {
            running::stop(found.pid)?;
        }
    }
    Ok(())
}

/// Opens the disk, when a process that served it before has ended.
#[expect(clippy::disallowed_methods, reason = "a deadline for a process; no artifact sees it")]
fn open(dir: &Path, compute: Compute) -> io::Result<(Overlay, crate::lock::Held)> {
    let begin = Instant::now();
    loop {
        match node_disk::open_for_writing(dir, compute) {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && begin.elapsed() < BEFORE => std::thread::sleep(LOOK),
            other => return other,
        }
    }
}

/// Serves the disk of the node in `dir` to the first machine that connects to the socket which
/// is standard input, until it leaves. `compute` is for a disk under it that is no file.
///
/// # Errors
/// Fails when the disk cannot be used, or no machine comes.
pub fn serve_disk_on_stdin(dir: &Path, compute: Compute) -> io::Result<()> {
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    serve(dir, compute, &listener, FIRST)
}

#[expect(clippy::disallowed_methods, reason = "a deadline for a machine; no artifact sees it")]
fn serve(dir: &Path, compute: Compute, listener: &UnixListener, patience: Duration) -> io::Result<()> {
    let (overlay, _held) = open(dir, compute)?;
    listener.set_nonblocking(true)?;
    let begin = Instant::now();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break Ok(stream),
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => break Err(e),
            Err(_) if begin.elapsed() > patience => break Err(io::ErrorKind::TimedOut.into()),
            Err(_) => std::thread::sleep(LOOK),
        }
    };
    // There is one machine.
    let removed = folder::remove(&dir.join(SOCKET));
    let stream = stream?;
    stream.set_nonblocking(false)?;
    let disk: Arc<dyn Export> = Arc::new(NodeDisk(overlay));
    let served = Server::new(&Exports::new([(String::new(), disk)])).serve(&stream);
    served.and(removed)
}

/// A node's disk as it is served.
struct NodeDisk(Overlay);

impl Export for NodeDisk {
    fn disk(&self) -> &dyn ReadAt {
        &self.0
    }

    fn writable(&self) -> Option<&dyn WriteAt> {
        Some(self)
    }
}

impl WriteAt for NodeDisk {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::DiskFormat;
    use crate::guest::computed::nothing;
    use std::fs;

    #[test]
    fn a_disk_that_nobody_wants_is_let_go_and_its_socket_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        fs::write(&image, [1; 8192]).unwrap();
        node_disk::make(dir.path(), &image, DiskFormat::Raw, 8192).unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let error = serve(dir.path(), nothing, &listener, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!dir.path().join(SOCKET).exists());
        open(dir.path(), nothing).unwrap();
        fs::write(node_disk::file(dir.path()), "nonsense").unwrap();
        let said = start(Path::new("true"), dir.path()).unwrap_err();
        assert!(format!("{:#}", anyhow::Error::from(said)).contains("qcow2"));
    }
}
