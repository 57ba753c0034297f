//! `p9img console`: a node's serial console in this terminal.

use super::args::{Cli, Console};
use super::{Outcome, grid, say};
use crate::guest::session::Line;
use anyhow::Context as _;
use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The key that ends the session: Ctrl-].
const LEAVE: u8 = 0x1D;
/// Without a terminal: a node that is silent for so long wants the next line,
/// or has no more to say.
const QUIET: Duration = Duration::from_secs(2);
/// How long the last line may work in silence when the node has a prompt to
/// say that it has ended.
const LAST: Duration = Duration::from_secs(60);

pub fn run(cli: &Cli, args: &Console) -> anyhow::Result<Outcome> {
    let lab = grid::load(cli, args.out.as_ref())?;
    let node = lab.node(&args.node)?;
    let process = lab.grid.node(&node.name);
    let line = Line::take(&process)?;
    if !io::stdin().is_terminal() {
        let prompt = node.shell.then(|| format!("{}# ", node.name));
        piped(&line.stream, prompt.as_deref(), io::stdin().lock())?;
        return Ok(Outcome::Good);
    }
    if !cli.quiet {
        say::note(&format!("the console of {}; Ctrl-] leaves it", node.name));
        io::stderr().write_all(process.tail().as_bytes())?;
    }
    let _raw = RawMode::new().context("Cannot switch the terminal to raw mode")?;
    let mut to_node = line.stream.try_clone()?;
    std::thread::spawn(move || {
        // A node that has gone ends the other direction, too.
        let _ = type_all(&mut to_node);
        let _ = to_node.shutdown(Shutdown::Both);
    });
    while hear(&line.stream)?.is_some() {}
    Ok(Outcome::Good)
}

/// Types line after line, each when the one before has ended.
fn piped(node: &UnixStream, prompt: Option<&str>, mut lines: impl BufRead) -> anyhow::Result<()> {
    let (mut line, mut ended) = (Vec::new(), false);
    node.set_read_timeout(Some(QUIET))?;
    while lines.read_until(b'\n', &mut line)? > 0 {
        let mut to_node = node;
        to_node.write_all(&line)?;
        to_node.flush()?;
        line.clear();
        ended = until(node, prompt)?;
    }
    if !ended && prompt.is_some() {
        node.set_read_timeout(Some(LAST))?;
        until(node, prompt)?;
    }
    Ok(())
}

/// Prints what the node says until it shows its prompt: true; or is silent.
fn until(node: &UnixStream, prompt: Option<&str>) -> anyhow::Result<bool> {
    let mut tail = Vec::new();
    loop {
        match hear(node) {
            Ok(None) => return Ok(true),
            Ok(Some(said)) => {
                tail.extend(said);
                if prompt.is_some_and(|prompt| tail.ends_with(prompt.as_bytes())) {
                    return Ok(true);
                }
                tail.drain(..tail.len().saturating_sub(256));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(false),
            Err(e) => return Err(e).context("The console broke off"),
        }
    }
}

/// Prints the next piece of what the node says, and returns it; `None` when it
/// has gone.
fn hear(mut node: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut buf = [0; 4096];
    let n = node.read(&mut buf)?;
    let mut out = io::stdout().lock();
    say::quiet_pipe(out.write_all(&buf[..n]).and_then(|()| out.flush()))?;
    Ok((n > 0).then(|| buf[..n].to_vec()))
}

/// Types what comes on standard input, until its end or the leaving key.
fn type_all(to: &mut impl io::Write) -> io::Result<()> {
    let mut buf = [0; 256];
    loop {
        let n = io::stdin().read(&mut buf)?;
        let typed = &buf[..n];
        let leave = typed.iter().position(|b| *b == LEAVE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_line_waits_for_the_prompt() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // A node that loses what is typed before it has shown its prompt.
        let node = std::thread::spawn(move || {
            let (mut heard, mut buf) = (Vec::new(), [0; 64]);
            let mut theirs = &theirs;
            loop {
                match theirs.read(&mut buf).unwrap() {
                    0 => return heard,
                    n => heard.push(String::from_utf8(buf[..n].to_vec()).unwrap()),
                }
                theirs.write_all(b"what n1# says\r\nn1# ").unwrap();
            }
        });
        piped(&ours, Some("n1# "), &b"one\ntwo\nthree\n"[..]).unwrap();
        drop(ours);
        assert_eq!(node.join().unwrap(), ["one\n", "two\n", "three\n"]);
    }

    #[test]
    fn a_node_without_a_prompt_is_left_when_it_is_silent() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        piped(&ours, None, &b"one\n"[..]).unwrap();
        drop(ours);
        let mut heard = String::new();
        (&theirs).read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "one\n");
    }
}
