//! The `git` command, kept from the network and from the user's settings.

use super::GitError;
use super::snapshot::Item;
use crate::hex::hex;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Bytes of a tree's list that are read: twenty times a large tree's.
const MAX_LIST: u64 = 128 << 20;
/// Bytes of one line of an answer, or of a complaint.
const MAX_LINE: u64 = 4096;
const BUFFER: usize = 64 << 10;

/// Variables that would point git elsewhere.
const OTHERS: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
];

/// git on one repository.
pub struct Git<'a> {
    dir: &'a Path,
}

impl<'a> Git<'a> {
    pub fn new(dir: &'a Path) -> Self {
        Self { dir }
    }

    fn command(&self) -> Command {
        let mut git = Command::new("git");
        OTHERS.iter().for_each(|name| {
            git.env_remove(name);
        });
        // What is missing is not fetched: newer versions are told so, older
        // ones find no protocol to fetch by.
        git.env("GIT_NO_LAZY_FETCH", "1").args(["-c", "protocol.allow=never"]);
        git.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        // Named like this, a repository of another user is read, too: no hook
        // or filter of it is run by what is asked here.
        git.arg("--git-dir").arg(self.dir).stdin(Stdio::null()).stderr(Stdio::piped());
        git
    }

    /// The id of the tree of the commit that `revision` names.
    pub fn tree(&self, revision: &str) -> Result<String, GitError> {
        const WHAT: &str = "rev-parse";
        let mut git = self.command();
        git.args([WHAT, "--verify", "--quiet", "--end-of-options"]).arg(format!("{revision}^{{tree}}"));
        let out = git.output().map_err(start)?;
        let id = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        match out.status.success() {
            true if is_id(&id) => Ok(id),
            true => Err(GitError::Nonsense { what: WHAT, found: id }),
            false => {
                let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
                let none = || format!("no commit or tree is called {revision}");
                Err(GitError::Says { what: WHAT, said: if said.is_empty() { none() } else { said } })
            }
        }
    }

    /// All files of a tree, with nothing known of their bytes.
    pub fn list(&self, tree: &str) -> Result<Vec<Item>, GitError> {
        const WHAT: &str = "ls-tree";
        let mut child = self
            .command()
            .args([WHAT, "-r", "-z", "--full-tree", tree])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let mut text = Vec::new();
        // Complaints are few bytes: they fit into the pipe until they are read.
        if let Some(out) = child.stdout.take() {
            out.take(MAX_LIST + 1).read_to_end(&mut text)?;
        }
        let large = text.len() as u64 > MAX_LIST;
        if large {
            let _ = child.kill();
        }
        finish(child, WHAT, large)?;
        if large {
            return Err(GitError::Large { most: MAX_LIST });
        }
        let lines = text.split(|b| *b == 0).filter(|line| !line.is_empty());
        let nonsense =
            |line: &[u8]| GitError::Nonsense { what: WHAT, found: String::from_utf8_lossy(line).into_owned() };
        lines.map(|line| item(line).ok_or_else(|| nonsense(line))).collect()
    }

    /// Starts `git cat-file` that is asked for one object after another.
    pub fn blobs(&self, how: &'static str) -> Result<Blobs, GitError> {
        let mut git = self.command();
        let mut child =
            git.args(["cat-file", how]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(start)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(answer)) => {
                Ok(Blobs { child: Some(child), ask, answer: BufReader::with_capacity(BUFFER, answer) })
            }
            _ => unreachable!("both were asked for"),
        }
    }
}

fn start(e: io::Error) -> GitError {
    if e.kind() == io::ErrorKind::NotFound { GitError::NoCommand } else { e.into() }
}

/// An object's id: of SHA-1, or of SHA-256 in repositories that use that.
pub fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// One line of `ls-tree`: mode, type, id, a tab, the path.
fn item(line: &[u8]) -> Option<Item> {
    let tab = line.iter().position(|b| *b == b'\t')?;
    let mut words = str::from_utf8(&line[..tab]).ok()?.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    words.next()?;
    let oid = words.next().filter(|id| is_id(id))?.to_owned();
    Some(Item { mode, oid, place: None, path: line[tab + 1..].to_vec() })
}

/// Waits for git to end; `killed` if it was made to.
fn finish(mut child: Child, what: &'static str, killed: bool) -> Result<(), GitError> {
    let mut said = String::new();
    if let Some(err) = child.stderr.take() {
        let _ = err.take(MAX_LINE).read_to_string(&mut said);
    }
    if child.wait()?.success() || killed { Ok(()) } else { Err(GitError::Says { what, said: said.trim().to_owned() }) }
}

/// A running `git cat-file`.
pub struct Blobs {
    /// Gone when it was waited for.
    child: Option<Child>,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Blobs {
    /// The length of an object; `None` if the repository lacks it.
    pub fn ask(&mut self, oid: &str) -> Result<Option<u64>, GitError> {
        let asked = writeln!(self.ask, "{oid}").and_then(|()| self.ask.flush());
        let mut line = Vec::new();
        if asked.is_ok() {
            self.answer.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        }
        if line.is_empty() {
            if let Some(child) = self.child.take() {
                finish(child, "cat-file", false)?;
            }
            return Err(GitError::Nonsense { what: "cat-file", found: "nothing".into() });
        }
        let text = String::from_utf8_lossy(&line);
        match text.trim_end().split(' ').collect::<Vec<_>>()[..] {
            [id, "missing"] if id == oid => Ok(None),
            [id, "blob", len] if id == oid && len.parse::<u64>().is_ok() => Ok(len.parse().ok()),
            _ => Err(GitError::Nonsense { what: "cat-file", found: text.trim_end().to_owned() }),
        }
    }

    /// Copies the bytes of the object that was asked for last, and compares
    /// them with its id.
    pub fn copy(&mut self, oid: &str, len: u64, out: &mut dyn io::Write) -> Result<(), GitError> {
        let mut sum = Sum::new(oid.len() == 40);
        sum.add(format!("blob {len}\0").as_bytes());
        let mut left = len;
        while left > 0 {
            let bytes = self.answer.fill_buf()?;
            let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            sum.add(&bytes[..n]);
            out.write_all(&bytes[..n])?;
            self.answer.consume(n);
            left -= n as u64;
        }
        // A new line ends it.
        self.answer.read_exact(&mut [0])?;
        if sum.finish() == oid { Ok(()) } else { Err(GitError::Damaged { oid: oid.into() }) }
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

enum Sum {
    Sha1(sha1_smol::Sha1),
    Sha256(Sha256),
}

impl Sum {
    fn new(sha1: bool) -> Self {
        if sha1 { Self::Sha1(sha1_smol::Sha1::new()) } else { Self::Sha256(Sha256::new()) }
    }
    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
        }
    }
    fn finish(self) -> String {
        match self {
            Self::Sha1(sum) => hex(&sum.digest().bytes()),
            Self::Sha256(sum) => hex(&sum.finalize()),
        }
    }
}
