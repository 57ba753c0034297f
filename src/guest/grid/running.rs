//! Processes of a run, found by the system's list of processes: whatever became
//! of the files of the run, its machines and its switch are found and ended.
//!
//! Each of them has the folder of its run among its arguments: a machine as its
//! runner says, the switch and what serves a disk after their own names.

use super::GridError;
use crate::guest::folder::FolderError;
use crate::guest::runner::RUNNERS;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time until a process ends after a request.
const END: Duration = Duration::from_secs(5);

/// First argument of the p9img that is a switch.
pub const SWITCH: &str = "switch";
/// First argument of a p9img that serves a node's disk.
pub const DISK: &str = "disk";

/// One process of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub pid: i32,
    /// Folder of its run, as it was called when the process was started.
    pub run: PathBuf,
    pub part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A machine, or the gateway, by the name of its folder.
    Machine(String),
    /// The switch, and the lab file that it was started for.
    Switch(PathBuf),
    /// What serves the disk of a node, by the name of its folder.
    Disk(String),
}

/// All processes of this user that belong to some run; none where the system
/// has no /proc.
#[expect(clippy::disallowed_methods, reason = "sorted at once")]
pub fn all() -> Vec<Found> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<Found> = pids.filter_map(of).collect();
    found.sort_by_key(|f| f.pid);
    found
}

/// The path of a folder without links in it, also when it is gone.
pub fn real(dir: &Path) -> PathBuf {
    let path = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = path.ancestors().find_map(|p| Some((p.canonicalize().ok()?, p)));
    match there {
        // An empty rest joined to it would end in a slash.
        Some((real, p)) if p == path => real,
        Some((real, p)) => path.strip_prefix(p).map_or_else(|_| path.clone(), |rest| real.join(rest)),
        None => path,
    }
}

/// Role of a process of this user in some run; `None` when it has none.
pub fn of(pid: i32) -> Option<Found> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    if fs::metadata(&dir).ok()?.uid() != rustix::process::geteuid().as_raw() || !alive(pid) {
        return None;
    }
    let line = fs::read(dir.join("cmdline")).ok()?;
    let (run, part) = part(&line)?;
    Some(Found { pid, run, part })
}

/// The meaning of a command line, whose arguments each end with a zero byte.
fn part(line: &[u8]) -> Option<(PathBuf, Part)> {
    let args: Vec<&OsStr> = line.strip_suffix(b"\0")?.split(|b| *b == 0).map(OsStr::from_bytes).collect();
    if let [_, first, run, lab] = args[..]
        && first == SWITCH
    {
        return Some((run.into(), Part::Switch(lab.into())));
    }
    if let [_, first, dir] = args[..]
        && first == DISK
    {
        let dir = Path::new(dir);
        return Some((dir.parent()?.to_owned(), Part::Disk(dir.file_name()?.to_str()?.to_owned())));
    }
    let folder = RUNNERS.iter().find_map(|runner| runner.owner(&args))?;
    Some((folder.dir.parent()?.to_owned(), Part::Machine(folder.name)))
}

/// Whether a process exists. A zombie that nobody waits for does not count.
pub fn alive(pid: i32) -> bool {
    let Some(id) = id(pid) else { return false };
    if rustix::process::test_kill_process(id).is_err() {
        return false;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold any byte.
    !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn id(pid: i32) -> Option<rustix::process::Pid> {
    (pid > 1).then(|| rustix::process::Pid::from_raw(pid)).flatten()
}

/// Starts a part of a run as a process that goes on when p9img has ended: `program` with a word
/// and the paths as its arguments, and a listening socket as its standard input.
///
/// # Errors
/// Fails when the program cannot be started.
pub fn start(program: &Path, word: &str, paths: &[&Path], listener: UnixListener) -> Result<(), GridError> {
    Command::new(program)
        .arg(word)
        .args(paths.iter().map(|path| real(path)))
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // Ctrl-C at the terminal is meant for p9img alone.
        .process_group(0)
        .spawn()
        .map_err(|source| FolderError::Use { path: program.to_owned(), source })?;
    Ok(())
}

/// Asks a process to end; `force` does not ask.
pub fn end(pid: i32, force: bool) {
    let signal = if force { rustix::process::Signal::KILL } else { rustix::process::Signal::TERM };
    if let Some(id) = id(pid) {
        // One that has ended meanwhile is what was wanted.
        let _ = rustix::process::kill_process(id, signal);
    }
}

/// Waits until a process has ended; false when it still runs after `limit`.
#[expect(clippy::disallowed_methods, reason = "a deadline for a process; no artifact sees it")]
pub fn ends(pid: i32, limit: Duration) -> bool {
    let begin = Instant::now();
    while alive(pid) {
        if begin.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Ends a process of p9img's own.
///
/// # Errors
/// Fails when it will not end.
pub fn stop(pid: i32) -> Result<(), GridError> {
    end(pid, false);
    if !ends(pid, END) {
        end(pid, true);
        if !ends(pid, END) {
            return Err(GridError::WillNotEnd { name: "p9img".into(), pid });
        }
    }
    Ok(())
}

/// The process that listens at the other end; where the system does not tell,
/// `hint`.
pub fn listener(stream: &UnixStream, hint: Option<i32>) -> Option<i32> {
    #[cfg(target_os = "linux")]
    {
        let _ = hint;
        let pid = rustix::net::sockopt::socket_peercred(stream).ok()?.pid;
        Some(pid.as_raw_nonzero().get()).filter(|pid| alive(*pid))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        hint.filter(|pid| alive(*pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Option<(PathBuf, Part)> {
        part(args.iter().flat_map(|a| [a.as_bytes(), b"\0"].concat()).collect::<Vec<u8>>().as_slice())
    }

    #[test]
    fn processes_are_known_by_their_arguments() {
        let machine = ["qemu-system-x86_64", "-m", "512M", "-name", "n1", "-daemonize", "-pidfile", "/a b/run/n1/pid"];
        assert_eq!(parsed(&machine), Some(("/a b/run".into(), Part::Machine("n1".into()))));
        let switch = ["/bin/p9img", "switch", "/a b/run", "/a b/lab.toml"];
        assert_eq!(parsed(&switch), Some(("/a b/run".into(), Part::Switch("/a b/lab.toml".into()))));
        let disk = ["/bin/p9img", "disk", "/a b/run/n1"];
        assert_eq!(parsed(&disk), Some(("/a b/run".into(), Part::Disk("n1".into()))));
        let others: [&[&str]; 3] = [&[], &["sh"], &["git", "switch", "main"]];
        for other in others {
            assert_eq!(parsed(other), None, "{other:?}");
        }
        assert_eq!(part(b"no end"), None);
    }

    #[test]
    fn a_process_that_runs_is_found_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run/n1/pid");
        // A shell that forks nothing: a child would be found as well until it has become another program.
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line", "-name", "n1", "-pidfile"])
            .arg(&file)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        let mine = || all().into_iter().filter(|f| f.run == dir.path().join("run")).collect::<Vec<_>>();
        // Between fork and exec it is still this program.
        while mine().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(mine(), [Found { pid, run: dir.path().join("run"), part: Part::Machine("n1".into()) }]);
        end(pid, true);
        child.wait().unwrap();
        assert!(!alive(pid) && mine().is_empty());
        assert!(alive(std::process::id() as i32) && !alive(0) && !alive(-1));
    }
}
