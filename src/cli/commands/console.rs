//! `p9img console`: a node's serial console in this terminal.

use crate::cli::outcome::Outcome;
use crate::cli::running::Seen;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{running, say};
use crate::guest::grid::Process;
use crate::guest::grid::session::Line;
use crate::guest::piped::{self, End, Silences};
use anyhow::{Context as _, bail};
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, BufReader, IsTerminal as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The key that ends the session: Ctrl-].
const LEAVE: u8 = 0x1D;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node
    pub node: String,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let running = running::look(cli, args.out.as_ref())?.lab_or_running()?;
    let node = running.node(&args.node)?;
    let process = running.grid.node(&node.name);
    let line = Line::take(&process)?;
    if let Some(paused) = process.paused() {
        say::note(&paused.to_string());
    }
    if !io::stdin().is_terminal() {
        return piped(node, &process, &line);
    }
    if !cli.quiet {
        say::note(&format!("the console of {}; Ctrl-] leaves it", node.name));
        io::stderr().write_all(process.tail().as_bytes())?;
    }
    let _raw = RawMode::new().context("Cannot switch the terminal to raw mode")?;
    let mut to_node = line.stream.try_clone()?;
    std::thread::spawn(move || {
        // If the node has gone, the other direction ends, too.
        let _ = type_all(&mut to_node);
        let _ = to_node.shutdown(Shutdown::Both);
    });
    while hear(&line.stream)?.is_some() {}
    Ok(Outcome::Good)
}

/// Types the lines of a pipe, each when the node waits for one.
fn piped(node: &Seen, process: &Process, line: &Line) -> anyhow::Result<Outcome> {
    let prompt = node.shell.then(|| format!("{}# ", node.name));
    let before = std::fs::read(process.log()).unwrap_or_default();
    let pipe = BufReader::new(io::stdin());
    let mut out = Closable(io::stdout().lock());
    let end = piped::run(&line.stream, prompt.as_deref(), &before, pipe, &mut out, Silences::default());
    match end.context("The connection to the console ended")? {
        End::Done | End::Gone(None) => Ok(Outcome::Good),
        End::StillRuns => {
            say::note(&format!("the last command still runs on {}, and has been silent for a minute", node.name));
            Ok(Outcome::Good)
        }
        End::Gone(Some(line)) => bail!("{} ended before this line was typed: {line}", node.name),
    }
}

/// An output whose reader may go away.
struct Closable<W>(W);

impl<W: io::Write> io::Write for Closable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say::quiet_pipe(self.0.write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        say::quiet_pipe(self.0.flush())
    }
}

/// Prints the next piece of the node's output, and returns it; `None` when the node
/// has gone.
fn hear(mut node: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut buf = [0; 4096];
    let n = node.read(&mut buf)?;
    let mut out = io::stdout().lock();
    say::quiet_pipe(out.write_all(&buf[..n]).and_then(|()| out.flush()))?;
    Ok((n > 0).then(|| buf[..n].to_vec()))
}

/// Types the bytes of standard input, until its end or the leaving key.
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

/// Mode in which the terminal passes every key on unchanged; restored when dropped.
struct RawMode(Termios);

impl RawMode {
    fn new() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is no remedy if it fails.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
