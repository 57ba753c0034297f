//! The console of a node of a running lab, held by one p9img at a time.

use super::process::CONSOLE_LOCK;
use super::{GridError, Process};
use crate::guest::console::{Console, ConsoleError, Output, Shell, find};
use crate::guest::folder::FolderError;
use crate::lock::{self, Held, Taken};
use std::fs::OpenOptions;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time until a prompt on an idle node.
const PROMPT: Duration = Duration::from_secs(20);
/// Plan 9's key for "stop what you are doing".
const INTERRUPT: &[u8] = b"\x7f";

/// A shell of the host owner on a node's console.
pub struct Session {
    console: Console,
    prompt: String,
    line: Line,
    /// Log of all output.
    log: PathBuf,
    hidden: Vec<String>,
}

/// A node's serial line; others cannot have it meanwhile.
pub struct Line {
    pub stream: UnixStream,
    _lock: Held,
}

impl Line {
    /// Takes the serial line of a node.
    ///
    /// # Errors
    /// Fails when it does not run, or another p9img has the line.
    pub fn take(process: &Process) -> Result<Self, GridError> {
        let path = process.folder.file(CONSOLE_LOCK);
        let not_running = || GridError::NotRunning { name: process.name().to_owned() };
        if !process.is_running() {
            return Err(not_running());
        }
        let failed = |source| FolderError::Use { path: path.clone(), source };
        let lock = lock::open(&path).map_err(failed)?;
        match lock::attempt(&path, &lock).map_err(failed)? {
            Taken::Busy => Err(GridError::ConsoleBusy { name: process.name().to_owned() }),
            Taken::Held | Taken::Without => Ok(Self { stream: process.serial()?, _lock: Held::new(lock) }),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The runner lets the next one in when this one has gone.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Session {
    /// Takes a node's console, which has a shell or not, and waits for its prompt,
    /// for `patience` at most.
    ///
    /// # Errors
    /// Fails when the node does not run, its console is in use, or no prompt
    /// comes.
    pub fn open(process: &Process, shell: bool, patience: Duration) -> Result<Self, GridError> {
        let no_prompt = || GridError::NoPrompt { name: process.name().to_owned() };
        if !shell {
            return Err(no_prompt());
        }
        let line = Line::take(process)?;
        let failed = |source| FolderError::Use { path: process.dir().to_owned(), source };
        let (input, output) = (line.stream.try_clone().map_err(failed)?, line.stream.try_clone().map_err(failed)?);
        let prompt = format!("{}# ", process.name());
        let mut session = Self {
            console: Console::new(input, vec![Box::new(output)]),
            prompt,
            line,
            log: process.log(),
            hidden: Vec::new(),
        };
        session.find_prompt(patience).map_err(|_| process.paused().map_or_else(no_prompt, Into::into))?;
        Ok(session)
    }

    pub fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    /// Passwords that are going to be typed: neither the transcript nor the
    /// log shall show them.
    pub fn hide(&mut self, words: &[String]) {
        self.console.hide(words);
        self.hidden = words.to_vec();
    }

    /// Runs a command as [`Shell::run_with`]. One that does not end in time is
    /// interrupted.
    ///
    /// # Errors
    /// As [`Shell::run_with`].
    pub fn run(
        &mut self,
        command: &str,
        answers: &[(String, String)],
        limit: Duration,
    ) -> Result<Output, ConsoleError> {
        let result = Shell::at_prompt(&mut self.console, &self.prompt).run_with(command, answers, limit);
        if result.is_err() {
            // The error says what was wrong; the next command finds out whether this helped.
            let _ = self.find_prompt(PROMPT);
        }
        if !answers.is_empty() {
            // A log that cannot be written to was none of p9img's.
            let _ = blacken(&self.log, &self.hidden);
        }
        result
    }

    /// An empty line brings the prompt, unless something runs: that is
    /// interrupted.
    fn find_prompt(&mut self, patience: Duration) -> Result<(), ConsoleError> {
        self.console.send(b"\n")?;
        if self.console.wait_for(&self.prompt, PROMPT.min(patience)).is_ok() {
            return self.settle();
        }
        self.console.send(INTERRUPT)?;
        self.console.send(b"\n")?;
        self.console.wait_for(&self.prompt, patience)?;
        self.settle()
    }

    /// Prompts that are still on their way must not be taken for later ones.
    fn settle(&mut self) -> Result<(), ConsoleError> {
        let mark = "p9img-is-here";
        self.console.type_line("echo p9img^-is^-here", PROMPT)?;
        self.console.wait_for(mark, PROMPT)?;
        self.console.wait_for(&self.prompt, PROMPT).map(drop)
    }

    /// Everything that came so far.
    pub fn transcript(&mut self) -> String {
        self.console.transcript()
    }
}

/// Writes stars over each of `words` in the file. Its length stays, since the runner
/// goes on writing where it was.
fn blacken(path: &Path, words: &[String]) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut text = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut text, 0)?;
    for word in words.iter().filter(|w| !w.is_empty()) {
        let mut from = 0;
        while let Some(at) = find(&text[from..], word.as_bytes()) {
            file.write_all_at(&vec![b'*'; word.len()], (from + at) as u64)?;
            from += at + word.len();
        }
    }
    Ok(())
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.line.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_loses_its_passwords_and_not_its_length() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), b"\xffPassword: sesame\r\nsesamesesame\n").unwrap();
        blacken(log.path(), &["sesame".to_owned(), String::new()]).unwrap();
        assert_eq!(std::fs::read(log.path()).unwrap(), b"\xffPassword: ******\r\n************\n");
    }
}
