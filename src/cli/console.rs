//! `p9img console`: a node's serial console in this terminal.

use super::args::{Cli, Console};
use super::{Outcome, grid, say};
use crate::guest::session::Line;
use anyhow::Context as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// The key that ends the session: Ctrl-].
const LEAVE: u8 = 0x1D;
/// Without a terminal: how long the node must be silent after the last line.
const QUIET: Duration = Duration::from_secs(2);

pub fn run(cli: &Cli, args: &Console) -> anyhow::Result<Outcome> {
    let lab = grid::load(cli, args.out.as_ref())?;
    let node = lab.node(&args.node)?;
    let process = lab.grid.node(&node.name);
    let line = Line::take(&process)?;
    let interactive = io::stdin().is_terminal();
    if interactive && !cli.quiet {
        say::note(&format!("the console of {}; Ctrl-] leaves it", node.name));
        io::stderr().write_all(process.tail().as_bytes())?;
    }
    let _raw = interactive.then(RawMode::new).transpose().context("Cannot switch the terminal to raw mode")?;
    let mut from_node = line.stream.try_clone()?;
    from_node.set_read_timeout(if interactive { None } else { Some(QUIET) })?;
    let mut to_node = line.stream.try_clone()?;
    let typist = std::thread::spawn(move || {
        // A node that has gone ends the other direction, too.
        let _ = type_all(&mut to_node, interactive);
        if interactive {
            let _ = to_node.shutdown(Shutdown::Both);
        }
    });
    let mut buf = [0; 4096];
    loop {
        match from_node.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                let mut out = io::stdout().lock();
                say::quiet_pipe(out.write_all(&buf[..n]).and_then(|()| out.flush()))?;
            }
            // Silence ends the session once everything was typed.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if typist.is_finished() {
                    break;
                }
            }
            Err(e) => return Err(e).context("The console broke off"),
        }
    }
    Ok(Outcome::Good)
}

/// Types what comes on standard input, until its end or the leaving key.
fn type_all(to: &mut impl io::Write, interactive: bool) -> io::Result<()> {
    let mut buf = [0; 256];
    loop {
        let n = io::stdin().read(&mut buf)?;
        let typed = &buf[..n];
        let leave = typed.iter().position(|b| interactive && *b == LEAVE);
        to.write_all(&typed[..leave.unwrap_or(n)])?;
        to.flush()?;
        if n == 0 || leave.is_some() {
            return Ok(());
        }
    }
}

/// The terminal passes every key on as it is; restored when dropped.
struct RawMode(libc::termios);

impl RawMode {
    fn new() -> io::Result<Self> {
        let fd = io::stdin().as_raw_fd();
        // SAFETY: termios is plain data, and all zeros is a value of it.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: both calls get a descriptor that is open and a valid termios.
        unsafe {
            if libc::tcgetattr(fd, &raw mut before) != 0 {
                return Err(io::Error::last_os_error());
            }
            let mut raw = before;
            libc::cfmakeraw(&raw mut raw);
            if libc::tcsetattr(fd, libc::TCSANOW, &raw const raw) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // SAFETY: as above. Nothing can be done when it fails.
        unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSANOW, &raw const self.0) };
    }
}
