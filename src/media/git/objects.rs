//! Objects of a repository, asked of `git cat-file` and compared with their ids.
//!
//! git finds an object by its id in an index or by the name of its file, and
//! does not compute the id again. Here everything that is read is.

use super::error::GitError;
use super::id::Sum;
use super::own::Own;
use crate::stop;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Bytes of one line of an answer, or of a complaint.
const MAX_LINE: u64 = 4096;
const BUFFER: usize = 64 << 10;
const CAT: &str = "cat-file";

/// A running `git cat-file` for what objects are, and one for their bytes.
pub struct Objects {
    sizes: Cat,
    bytes: Cat,
}

impl Objects {
    /// # Errors
    /// Fails when there is no git.
    pub fn of(own: &Own) -> Result<Self, GitError> {
        Ok(Self { sizes: Cat::start(own, "--batch-check")?, bytes: Cat::start(own, "--batch")? })
    }

    /// The length of an object; `None` if the repository lacks it.
    ///
    /// # Errors
    /// Fails when it is of another kind, or git cannot tell.
    pub fn len(&mut self, id: &str, kind: &'static str) -> Result<Option<u64>, GitError> {
        self.sizes.ask(id, kind)
    }

    /// The bytes of a small object; `None` if the repository lacks it.
    ///
    /// # Errors
    /// Fails when it is damaged, or has more than `most` bytes.
    pub fn small(&mut self, id: &str, kind: &'static str, most: u64) -> Result<Option<Vec<u8>>, GitError> {
        let Some(len) = self.len(id, kind)? else { return Ok(None) };
        if len > most {
            return Err(GitError::LargeObject { kind, id: id.into(), len, most });
        }
        let mut bytes = Vec::new();
        self.copy(id, kind, len, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Copies the bytes of an object, whose length was asked for, and compares
    /// them with its id. What was written of one that differs is of no use.
    ///
    /// # Errors
    /// Fails when it is damaged or cannot be written.
    pub fn copy(&mut self, id: &str, kind: &'static str, len: u64, out: &mut dyn io::Write) -> Result<(), GitError> {
        let damaged = || GitError::Damaged { kind, id: id.into() };
        if self.bytes.ask(id, kind)? != Some(len) {
            return Err(damaged());
        }
        let mut sum = Sum::new(id, kind, len);
        let mut left = len;
        while left > 0 {
            stop::go_on()?;
            let bytes = self.bytes.answer.fill_buf()?;
            let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if n == 0 {
                return Err(self.bytes.failed());
            }
            sum.add(&bytes[..n]);
            out.write_all(&bytes[..n])?;
            self.bytes.answer.consume(n);
            left -= n as u64;
        }
        // A new line ends it.
        self.bytes.answer.read_exact(&mut [0])?;
        if sum.finish().as_deref() == Some(id) { Ok(()) } else { Err(damaged()) }
    }
}

/// A running `git cat-file`.
struct Cat {
    /// Gone when it was waited for.
    child: Option<Child>,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Cat {
    fn start(own: &Own, how: &'static str) -> Result<Self, GitError> {
        let mut git = command(own);
        git.args([CAT, how]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => GitError::NoCommand,
            _ => e.into(),
        })?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(answer)) => {
                Ok(Self { child: Some(child), ask, answer: BufReader::with_capacity(BUFFER, answer) })
            }
            _ => unreachable!("both were asked for"),
        }
    }

    /// Asks for an object: its length, which the bytes may follow.
    fn ask(&mut self, id: &str, kind: &'static str) -> Result<Option<u64>, GitError> {
        let asked = writeln!(self.ask, "{id}").and_then(|()| self.ask.flush());
        let mut line = Vec::new();
        if asked.is_ok() {
            self.answer.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        }
        if line.is_empty() {
            return Err(self.failed());
        }
        let text = String::from_utf8_lossy(&line);
        match text.trim_end().split(' ').collect::<Vec<_>>()[..] {
            [of, "missing"] if of == id => Ok(None),
            [of, found, len] if of == id && len.parse::<u64>().is_ok() => match len.parse() {
                Ok(len) if found == kind => Ok(Some(len)),
                _ => Err(GitError::Kind { id: id.into(), found: found.into(), expected: kind }),
            },
            _ => Err(GitError::Nonsense { found: text.trim_end().to_owned() }),
        }
    }

    /// Reason why git ended, in its words.
    fn failed(&mut self) -> GitError {
        let mut said = String::new();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            if let Some(err) = child.stderr.take() {
                let _ = err.take(MAX_LINE).read_to_string(&mut said);
            }
            let _ = child.wait();
        }
        match said.trim() {
            "" => GitError::Nonsense { found: "nothing".into() },
            said => GitError::Says { said: said.to_owned() },
        }
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// git on a directory of p9img's own. Its config is all that git reads; should
/// a version of git find a way to others all the same, no protocol is allowed
/// to it, whatever any config says.
fn command(own: &Own) -> Command {
    let mut git = Command::new("git");
    // Variables of the user's may point git elsewhere; none is needed but where its parts are.
    for name in set_by_user() {
        git.env_remove(name);
    }
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
    git.env("GIT_ALLOW_PROTOCOL", "none").env("GIT_NO_LAZY_FETCH", "1").env("GIT_NO_REPLACE_OBJECTS", "1");
    git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    // Older versions know no GIT_CONFIG_GLOBAL: there is no config at home, either.
    git.env("HOME", own.path()).env("XDG_CONFIG_HOME", own.path()).current_dir(own.path());
    for setting in ["core.commitGraph=false", "core.multiPackIndex=false", "core.fsmonitor=false"] {
        git.args(["-c", setting]);
    }
    git.args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "--no-pager"]);
    git.arg("--git-dir").arg(own.path());
    git
}

#[expect(clippy::disallowed_methods, reason = "what is found is only taken away from git; reaches no artifact")]
fn set_by_user() -> impl Iterator<Item = std::ffi::OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("GIT_") && name != "GIT_EXEC_PATH"
    })
}
