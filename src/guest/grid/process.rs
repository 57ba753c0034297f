//! A QEMU that goes on when p9img has ended: its folder holds its sockets, its
//! process id and what its serial line said.

use super::GridError;
use crate::guest::probe;
use crate::guest::qemu::QEMU;
use crate::guest::qmp::{Qmp, QmpError};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONTROL: &str = "control.sock";
const SERIAL: &str = "serial.sock";
const PID: &str = "pid";
/// What the serial line said since the machine was started.
pub const LOG: &str = "serial.log";

/// How long QEMU may take to answer; it does nothing else meanwhile.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of a socket's path that every system takes.
const LONGEST_SOCKET: usize = 100;

/// One QEMU, running or not.
#[derive(Clone, Debug)]
pub struct Process {
    pub name: String,
    pub dir: PathBuf,
}

impl Process {
    pub fn new(dir: PathBuf, name: &str) -> Self {
        Self { name: name.to_owned(), dir }
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// Starts QEMU with `args`, and with a serial port if there shall be one.
    ///
    /// # Errors
    /// What QEMU says against it.
    pub fn start(&self, args: Vec<OsString>, serial: bool) -> Result<(), GridError> {
        self.start_with(QEMU, args, serial)
    }

    /// As [`Process::start`], with the emulator `program`.
    ///
    /// # Errors
    /// What QEMU says against it.
    pub fn start_with(&self, program: &'static str, args: Vec<OsString>, serial: bool) -> Result<(), GridError> {
        let failed = |source| GridError::Folder { path: self.dir.clone(), source };
        fs::create_dir_all(&self.dir).map_err(failed)?;
        for file in [CONTROL, SERIAL, PID] {
            remove(&self.dir.join(file)).map_err(failed)?;
        }
        let mut all = args;
        // All paths are relative to the folder: a socket's may not be long.
        for arg in ["-name", &self.name, "-daemonize", "-pidfile", PID] {
            all.push(arg.into());
        }
        all.extend(["-qmp".into(), format!("unix:{CONTROL},server=on,wait=off").into()]);
        if serial {
            let chardev = format!("socket,id=serial0,path={SERIAL},server=on,wait=off,logfile={LOG},logappend=off");
            all.extend(["-chardev".into(), chardev.into(), "-serial".into(), "chardev:serial0".into()]);
        }
        let output = duct::cmd(program, all)
            .dir(&self.dir)
            .stdin_null()
            .stdout_null()
            .stderr_capture()
            .unchecked()
            .run()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => GridError::Probe(probe::ProbeError::Missing { program }),
                _ => GridError::Probe(probe::ProbeError::Broken { program, source }),
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(GridError::Start { name: self.name.clone(), said });
        }
        Ok(())
    }

    /// Whether QEMU runs: its process is there, and is the one that was started.
    pub fn is_running(&self) -> bool {
        self.pid().is_some_and(|pid| alive(pid) && self.connect(CONTROL).is_ok())
    }

    fn pid(&self) -> Option<libc::pid_t> {
        fs::read_to_string(self.dir.join(PID)).ok()?.trim().parse().ok().filter(|pid| *pid > 1)
    }

    /// Runs one of QEMU's control commands.
    ///
    /// # Errors
    /// When it refuses, or does not run.
    pub fn control(&self, command: &str, arguments: Value) -> Result<Value, GridError> {
        let failed = |source| GridError::Control { name: self.name.clone(), source };
        let stream = self.connect(CONTROL).map_err(|e| failed(QmpError::Io(e)))?;
        let mut qmp = Qmp::new(stream, ANSWER).map_err(failed)?;
        qmp.run(command, arguments).map_err(failed)
    }

    /// The serial line. QEMU lets one client at a time on it; a second hears
    /// nothing until the first has gone.
    ///
    /// # Errors
    /// When QEMU does not run.
    pub fn serial(&self) -> Result<UnixStream, GridError> {
        self.connect(SERIAL).map_err(|_| GridError::NotRunning { name: self.name.clone() })
    }

    fn connect(&self, socket: &str) -> io::Result<UnixStream> {
        let path = self.dir.join(socket);
        if path.as_os_str().as_bytes().len() <= LONGEST_SOCKET {
            return UnixStream::connect(path);
        }
        // A detour with a short name.
        let detour = tempfile::tempdir()?;
        let short = detour.path().join("d");
        std::os::unix::fs::symlink(std::path::absolute(&self.dir)?, &short)?;
        UnixStream::connect(short.join(socket))
    }

    /// Turns the machine off at once, as pulling the plug would; QEMU writes
    /// what it still holds of its images.
    ///
    /// # Errors
    /// When it does not end within `limit`.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a process; no artifact sees it")]
    pub fn quit(&self, limit: Duration) -> Result<(), GridError> {
        let Some(pid) = self.pid().filter(|pid| alive(*pid)) else { return Ok(()) };
        let begin = Instant::now();
        if self.is_running() {
            // It may end before it has answered.
            let _ = self.control("quit", Value::Null);
        }
        while alive(pid) {
            if begin.elapsed() > limit {
                return Err(GridError::WillNotEnd { name: self.name.clone(), pid });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for file in [CONTROL, SERIAL, PID] {
            let _ = remove(&self.dir.join(file));
        }
        Ok(())
    }

    /// Whether nothing came from the serial line since the machine was started.
    pub fn has_said_nothing(&self) -> bool {
        fs::metadata(self.log()).is_ok_and(|m| m.len() == 0)
    }

    /// The end of what the serial line said, for messages.
    pub fn tail(&self) -> String {
        const LINES: usize = 12;
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].iter().map(|l| format!("  {l}\n")).collect()
    }
}

/// Whether a process exists. A zombie that nobody waits for does not count.
fn alive(pid: libc::pid_t) -> bool {
    // SAFETY: signal 0 only asks whether the process is there.
    if unsafe { libc::kill(pid, 0) } != 0 {
        return false;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold any byte.
    !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ran_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::new(dir.path().join("n1"), "n1");
        assert!(!process.is_running());
        process.quit(Duration::from_secs(1)).unwrap();
        assert!(process.serial().is_err());
        // A process id that is another program's by now.
        fs::create_dir(&process.dir).unwrap();
        fs::write(process.dir.join(PID), format!("{}\n", std::process::id())).unwrap();
        assert!(!process.is_running());
        assert_eq!(process.tail(), "");
    }

    #[test]
    fn sockets_with_long_paths_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a-folder-with-a-long-name/".repeat(6));
        fs::create_dir_all(&deep).unwrap();
        let short = dir.path().join("s");
        std::os::unix::fs::symlink(&deep, &short).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(short.join(SERIAL)).unwrap();
        Process::new(deep, "n1").serial().unwrap();
    }
}
