//! `p9img serve`: nodes' disks over NBD, without any image.

use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{interrupt, say};
use crate::guest::runner::short;
use crate::nbd::{Export, Exports, Fixed, Server};
use crate::ops::{self, LabRequest};
use anyhow::{Context as _, bail};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Name of the socket in this folder.
const SOCKET: &str = "p9img.sock";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes whose disks are served [default: all]
    pub nodes: Vec<String>,
    /// Medium to build from: a medium of the lab, a path, or a release of `media list`
    #[arg(long, value_name = "NAME|PATH")]
    pub media: Option<String>,
    /// Unix socket to listen on
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let request = LabRequest { medium: args.media.clone(), ..LabRequest::new(&cli.lab) };
    let disks = ops::disks(&request, &args.nodes, &Printer::new(cli))?;
    let names: Vec<(String, u64)> = disks.iter().map(|d| (d.node.clone(), d.disk.len())).collect();
    let exports = disks.into_iter().map(|d| (d.node, Arc::new(Fixed::new(d.disk)) as Arc<dyn Export>));
    let exports = Exports::new(exports);
    let (listener, _socket) = listen(&args.socket)?;
    let path = std::path::absolute(&args.socket).unwrap_or_else(|_| args.socket.clone());
    for (name, len) in names {
        say::line(format_args!("{name}  {len} bytes  nbd+unix:///{name}?socket={}", uri(&path)))?;
    }
    if !cli.quiet {
        say::progress("serving until Ctrl-C");
    }
    let failed = |error: io::Error| {
        // A client that has gone in the middle is no news, unless somebody looks for it.
        if cli.verbose > 0 {
            say::note(&format!("a client was served no further: {error}"));
        }
    };
    let served = Server::new(&exports).run(&listener, &|| stop.load(Ordering::Relaxed), &failed);
    served.with_context(|| format!("Cannot go on serving on {}", args.socket.display()))?;
    Ok(Outcome::Good)
}

/// A socket that is there while this is: its path, device and inode.
struct Socket<'a>(&'a Path, (u64, u64));

impl Drop for Socket<'_> {
    fn drop(&mut self) {
        // Another server may have taken its place.
        if id(self.0).is_ok_and(|id| id == self.1) {
            let _ = fs::remove_file(self.0);
        }
    }
}

/// Listens on a socket that only this user can open. One that nobody listens on any more is
/// replaced, and nothing else is.
fn listen(path: &Path) -> anyhow::Result<(UnixListener, Socket<'_>)> {
    let failed = || format!("Cannot listen on {}", path.display());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).with_context(failed)?;
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            bail!("{} is there and is no socket: name another path with --socket", path.display());
        }
        let nobody = |e: &io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
        if !short(folder, name, |path| UnixStream::connect(path)).is_err_and(|e| nobody(&e)) {
            bail!("{} is in use by another server: end that one, or name another path with --socket", path.display());
        }
    }
    // It gets its name when its mode is right.
    let own = tempfile::Builder::new().prefix(".p9img-").tempdir_in(folder).with_context(failed)?;
    let made = own.path().join("s");
    let listener = short(own.path(), "s", |path| UnixListener::bind(path)).with_context(failed)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600)).with_context(failed)?;
    let id = id(&made).with_context(failed)?;
    fs::rename(&made, path).with_context(failed)?;
    Ok((listener, Socket(path, id)))
}

/// Device and inode of a file.
fn id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// A path in a URI.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-~".contains(b);
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.map(|b| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_the_users_alone_and_replaces_nothing_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        {
            let (_listener, _socket) = listen(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(listen(&path).err().unwrap().to_string().contains("in use by another server"));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // One of a server that was killed.
        drop(UnixListener::bind(&path).unwrap());
        drop(listen(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(listen(&path).err().unwrap().to_string().contains("is no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert!(listen(&dir.path().join("none/s")).is_err());
    }

    #[test]
    fn paths_are_written_as_uris_have_them() {
        assert_eq!(uri(Path::new("/a b/c&d?é")), "/a%20b/c%26d%3F%C3%A9");
    }
}
