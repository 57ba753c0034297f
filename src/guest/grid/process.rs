//! A QEMU that goes on when p9img has ended: its folder holds its sockets, its
//! process id and what its serial line said.

use super::running::{self, PID, Part};
use super::{GridError, folder};
use crate::guest::console::printed;
use crate::guest::probe;
use crate::guest::qemu;
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
const CONSOLE_LOCK: &str = "console.lock";
/// Bytes of a socket's path that every system takes.
const LONGEST_SOCKET: usize = 100;
/// Log of the serial line since the machine was started.
pub const LOG: &str = "serial.log";

/// Longest time for an answer of QEMU; it does nothing else meanwhile.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest time until it ends after a signal.
const SIGNAL: Duration = Duration::from_secs(5);

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
    /// Error message of QEMU.
    pub fn start(&self, args: Vec<OsString>, serial: bool) -> Result<(), GridError> {
        self.start_with(qemu::pc(), args, serial)
    }

    /// As [`Process::start`], with the emulator `program`.
    ///
    /// # Errors
    /// Error message of QEMU.
    pub fn start_with(&self, program: &'static str, args: Vec<OsString>, serial: bool) -> Result<(), GridError> {
        let failed = |source| GridError::Folder { path: self.dir.clone(), source };
        folder::make(&self.dir)?;
        self.sweep().map_err(failed)?;
        if serial {
            folder::create(&self.log())?;
        }
        let mut all = args;
        // Sockets by paths relative to the folder, as theirs may not be long; the
        // process id by a whole path, by which `running` knows the machine.
        let pid = self.dir.canonicalize().map_err(failed)?.join(PID);
        for arg in ["-name", &self.name, "-daemonize", "-pidfile"] {
            all.push(arg.into());
        }
        all.push(pid.into());
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
            // The process that gave up may still be on its way out, and would be
            // taken for one that runs.
            let _ = self.quit(SIGNAL);
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(GridError::Start { name: self.name.clone(), said });
        }
        Ok(())
    }

    /// Whether QEMU runs.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// The process: the one that was started with this folder, or, where the
    /// folder was moved since or the system tells less, the one that listens in it.
    pub fn pid(&self) -> Option<i32> {
        let noted = fs::read_to_string(self.dir.join(PID)).ok().and_then(|text| text.trim().parse().ok());
        let here = self.dir.parent().map(running::real);
        let is_it = |found: &running::Found| {
            Some(&found.run) == here.as_ref() && found.part == Part::Machine(self.name.clone())
        };
        if let Some(pid) = noted.filter(|pid| running::of(*pid).is_some_and(|found| is_it(&found))) {
            return Some(pid);
        }
        let found = running::all().into_iter().find(is_it).map(|found| found.pid);
        found.or_else(|| self.listener())
    }

    /// The process that listens on the control socket.
    pub fn listener(&self) -> Option<i32> {
        let noted = fs::read_to_string(self.dir.join(PID)).ok().and_then(|text| text.trim().parse().ok());
        running::listener(&self.connect(CONTROL).ok()?, noted)
    }

    /// Runs one of QEMU's control commands.
    ///
    /// # Errors
    /// Fails when it refuses, or does not run.
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
    /// Fails when QEMU does not run.
    pub fn serial(&self) -> Result<UnixStream, GridError> {
        self.connect(SERIAL).map_err(|_| GridError::NotRunning { name: self.name.clone() })
    }

    fn connect(&self, socket: &str) -> io::Result<UnixStream> {
        short(&self.dir, socket, |path| UnixStream::connect(path))
    }

    /// Turns the machine off at once, as pulling the plug would; QEMU writes
    /// what it still holds of its images. One that does not end is told by a
    /// signal, and then ended by one.
    ///
    /// # Errors
    /// Fails when it still runs after all of that.
    pub fn quit(&self, limit: Duration) -> Result<(), GridError> {
        if let Some(pid) = self.pid() {
            // It may end before it has answered.
            let told = self.control("quit", Value::Null);
            if told.is_err() || !ends(pid, limit) {
                self.signal(pid)?;
            }
        }
        // The files that are left name nothing any more.
        let _ = self.sweep();
        Ok(())
    }

    fn signal(&self, pid: i32) -> Result<(), GridError> {
        for force in [false, true] {
            running::end(pid, force);
            if ends(pid, SIGNAL) {
                return Ok(());
            }
        }
        Err(GridError::WillNotEnd { name: self.name.clone(), pid })
    }

    /// Removes what belongs to a machine that runs, when none does.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn sweep(&self) -> io::Result<()> {
        [CONTROL, SERIAL, PID, CONSOLE_LOCK].iter().try_for_each(|file| folder::remove(&self.dir.join(file)))
    }

    /// Output of the serial line since the machine was started.
    pub fn said(&self) -> Vec<u8> {
        fs::read(self.log()).unwrap_or_default()
    }

    /// The end of what the serial line said, for messages.
    pub fn tail(&self) -> String {
        const LINES: usize = 12;
        let text = printed(&String::from_utf8_lossy(&self.said()));
        let lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].iter().map(|l| format!("  {l}\n")).collect()
    }
}

/// Waits until a process has ended; false when it still runs after `limit`.
#[expect(clippy::disallowed_methods, reason = "a deadline for a process; no artifact sees it")]
pub fn ends(pid: i32, limit: Duration) -> bool {
    let begin = Instant::now();
    while running::alive(pid) {
        if begin.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Calls `with` with a path of a socket in `dir` that is short enough for one,
/// however long the folder's own is.
///
/// # Errors
/// Error of `with`, or of opening the folder.
pub fn short<T>(dir: &Path, socket: &str, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(socket);
    if path.as_os_str().as_bytes().len() <= LONGEST_SOCKET {
        return with(&path);
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        // By the number of the open folder.
        let open = fs::File::open(dir)?;
        with(&Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(socket))
    }
    #[cfg(not(target_os = "linux"))]
    {
        // A detour with a short name, whatever TMPDIR is.
        let detour = tempfile::tempdir_in("/tmp")?;
        let link = detour.path().join("d");
        std::os::unix::fs::symlink(std::path::absolute(dir)?, &link)?;
        with(&link.join(socket))
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
        // A process id that is another program's by now: it is not ended.
        fs::create_dir(&process.dir).unwrap();
        for pid in [std::process::id() as i32, 1, 0, -1] {
            fs::write(process.dir.join(PID), format!("{pid}\n")).unwrap();
            assert!(!process.is_running());
            process.quit(Duration::from_secs(1)).unwrap();
        }
        assert!(!process.dir.join(PID).exists());
        assert_eq!(process.tail(), "");
    }

    #[test]
    fn what_gave_up_at_its_start_does_not_run_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::new(dir.path().join("n1"), "n1");
        // As QEMU's `-daemonize` does it: the child goes on for a while after the
        // parent has said why not.
        let script = "sh -c 'sleep 20; :' \"$0\" \"$@\" 2>&- & echo 'no such port' >&2; exit 1";
        let error = process.start_with("sh", vec!["-c".into(), script.into()], false).unwrap_err();
        assert!(matches!(&error, GridError::Start { said, .. } if said == "no such port"), "{error:?}");
        assert!(!process.is_running());
    }

    #[test]
    fn sockets_with_long_paths_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a-folder-with-a-long-name/".repeat(6));
        fs::create_dir_all(&deep).unwrap();
        let bind = |socket| short(&deep, socket, |path| std::os::unix::net::UnixListener::bind(path)).unwrap();
        let _listeners = [bind(SERIAL), bind(CONTROL)];
        assert!(deep.join(SERIAL).exists());
        let process = Process::new(deep, "n1");
        process.serial().unwrap();
        // Where nothing else says so, who listens is who runs.
        if cfg!(target_os = "linux") {
            assert_eq!(process.pid(), Some(std::process::id() as i32));
        }
    }
}
