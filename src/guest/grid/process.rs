//! A machine that goes on when p9img has ended: its folder holds its sockets, its
//! process id and what its serial line said.

use super::running::{self, Part, ends};
use super::{GridError, disk};
use crate::guest::computed::Compute;
use crate::guest::console::{find, printed};
use crate::guest::folder::{self, FolderError};
use crate::guest::gateway::Gateway;
use crate::guest::machine::{DiskFormat, Machine};
use crate::guest::node_disk::{self, SOCKET};
use crate::guest::runner::{LOG, MachineFolder, PID, RUNNERS, Runner, RunnerError, SERIAL};
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const CONSOLE_LOCK: &str = "console.lock";

/// Longest time until it ends after a signal.
const SIGNAL: Duration = Duration::from_secs(5);

/// One machine, running or not, and the program that runs it.
#[derive(Clone, Debug)]
pub struct Process {
    pub folder: MachineFolder,
    pub(super) runner: &'static dyn Runner,
}

impl Process {
    pub fn new(dir: PathBuf, name: &str) -> Self {
        Self::with(RUNNERS[0], dir, name)
    }

    pub(super) fn with(runner: &'static dyn Runner, dir: PathBuf, name: &str) -> Self {
        Self { folder: MachineFolder { name: name.to_owned(), dir }, runner }
    }

    pub fn name(&self) -> &str {
        &self.folder.name
    }

    pub fn dir(&self) -> &Path {
        &self.folder.dir
    }

    pub fn log(&self) -> PathBuf {
        self.folder.file(LOG)
    }

    /// Prepares the start of a machine, whose disk `program`, p9img, serves from now on if it is
    /// one that is served. The folder is made, or rid of what an earlier machine left.
    ///
    /// # Errors
    /// Fails when the disk cannot be used.
    pub fn prepare(&self, machine: &Machine, program: &Path) -> Result<(), GridError> {
        self.prepare_folder()?;
        if machine.disks.iter().any(|disk| disk.format == DiskFormat::Nbd) {
            // One of a start that was killed before its machine came waits in vain.
            self.end_disk(Duration::ZERO)?;
            disk::start(program, self.dir())?;
        }
        Ok(())
    }

    fn prepare_folder(&self) -> Result<(), GridError> {
        folder::make(self.dir())?;
        Ok(self.sweep().map_err(|source| FolderError::Use { path: self.dir().to_owned(), source })?)
    }

    /// Starts a machine that is prepared. `compute` is for a disk under its own that is no file.
    ///
    /// # Errors
    /// Error message of the runner.
    pub fn start(&self, machine: &Machine, compute: Compute) -> Result<(), GridError> {
        let read = || node_disk::open(self.dir(), compute);
        self.start_with(|runner, folder| runner.start(machine, folder, &read))
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// Error message of the runner.
    pub fn start_gateway(&self, gateway: &Gateway) -> Result<(), GridError> {
        self.prepare_folder()?;
        self.start_with(|runner, folder| runner.start_gateway(gateway, folder))
    }

    fn start_with(
        &self,
        start: impl FnOnce(&dyn Runner, &MachineFolder) -> Result<(), RunnerError>,
    ) -> Result<(), GridError> {
        let result = start(self.runner, &self.folder);
        if result.is_err() {
            // The process that gave up may still be on its way out, and would be
            // taken for one that runs.
            let _ = self.end_disk(Duration::ZERO);
            let _ = self.quit(SIGNAL);
        }
        Ok(result?)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// The process: the one that was started with this folder, or, where the
    /// folder was moved since or the system tells less, the one that listens in it.
    pub fn pid(&self) -> Option<i32> {
        let here = self.dir().parent().map(running::real);
        let is_it = |found: &running::Found| {
            Some(&found.run) == here.as_ref() && found.part == Part::Machine(self.name().to_owned())
        };
        if let Some(pid) = self.noted().filter(|pid| running::of(*pid).is_some_and(|found| is_it(&found))) {
            return Some(pid);
        }
        let found = running::all().into_iter().find(is_it).map(|found| found.pid);
        found.or_else(|| self.listener())
    }

    /// The process that the runner is connected to.
    pub fn listener(&self) -> Option<i32> {
        running::listener(&self.runner.connect(&self.folder).ok()?, self.noted())
    }

    /// The process whose id its runner left in the folder; by now it may be another.
    fn noted(&self) -> Option<i32> {
        fs::read_to_string(self.folder.file(PID)).ok()?.trim().parse().ok()
    }

    /// The serial line, on which one client is let at a time; a second hears
    /// nothing until the first has gone.
    ///
    /// # Errors
    /// Fails when the machine does not run.
    pub fn serial(&self) -> Result<UnixStream, GridError> {
        self.folder.connect(SERIAL).map_err(|_| GridError::NotRunning { name: self.name().to_owned() })
    }

    /// Turns the machine off at once, as pulling the plug would; the runner writes
    /// what it still holds of its disks. One that does not end is told by a
    /// signal, and then ended by one.
    ///
    /// # Errors
    /// Fails when it still runs after all of that.
    pub fn quit(&self, limit: Duration) -> Result<(), GridError> {
        if let Some(pid) = self.pid() {
            // It may end before it has answered.
            let told = self.runner.turn_off(&self.folder);
            if told.is_err() || !ends(pid, limit) {
                self.signal(pid)?;
            }
        }
        self.end_disk(SIGNAL)?;
        // The files that are left name nothing any more.
        let _ = self.sweep();
        Ok(())
    }

    /// Waits for the end of the process that serves the disk, which ends with the machine, and then
    /// ends it.
    fn end_disk(&self, patience: Duration) -> Result<(), GridError> {
        let here = self.dir().parent().map(running::real);
        let part = Part::Disk(self.name().to_owned());
        for found in running::all() {
            if found.part == part && Some(&found.run) == here.as_ref() && !ends(found.pid, patience) {
                self.signal(found.pid)?;
            }
        }
        Ok(())
    }

    fn signal(&self, pid: i32) -> Result<(), GridError> {
        for force in [false, true] {
            running::end(pid, force);
            if ends(pid, SIGNAL) {
                return Ok(());
            }
        }
        Err(GridError::WillNotEnd { name: self.name().to_owned(), pid })
    }

    /// Removes what belongs to a machine that runs, when none does.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn sweep(&self) -> io::Result<()> {
        let own = self.runner.files().iter().chain(&[SERIAL, PID, CONSOLE_LOCK, SOCKET]);
        own.into_iter().try_for_each(|file| folder::remove(&self.folder.file(file)))
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

/// Whether a node's console says that it is up.
pub fn is_up(said: &[u8], ready: &str) -> bool {
    let text: Vec<u8> = said.iter().copied().filter(|b| *b != b'\r').collect();
    find(&text, ready.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::computed::nothing;
    use crate::guest::machine::Disk;
    use crate::guest::runner::short;
    use crate::guest::runner::stub::Stub;
    use crate::lab::Controller;

    #[test]
    fn what_never_ran_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::new(dir.path().join("n1"), "n1");
        assert!(!process.is_running());
        process.quit(Duration::from_secs(1)).unwrap();
        assert!(process.serial().is_err());
        // A process id that is another program's by now: it is not ended.
        fs::create_dir(process.dir()).unwrap();
        for pid in [std::process::id() as i32, 1, 0, -1] {
            fs::write(process.dir().join(PID), format!("{pid}\n")).unwrap();
            assert!(!process.is_running());
            process.quit(Duration::from_secs(1)).unwrap();
        }
        assert!(!process.dir().join(PID).exists());
        assert_eq!(process.tail(), "");
    }

    #[test]
    fn what_gave_up_at_its_start_does_not_run_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::with(&Stub { refuses: true }, dir.path().join("n1"), "n1");
        let machine = Machine::new(Controller::Ide, Disk::new("disk.img", DiskFormat::Raw));
        process.prepare(&machine, Path::new("true")).unwrap();
        let error = process.start(&machine, nothing).unwrap_err();
        assert_eq!(error.to_string(), "no such port");
        assert!(!process.is_running());
    }

    #[test]
    fn sockets_with_long_paths_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a-folder-with-a-long-name/".repeat(6));
        fs::create_dir_all(&deep).unwrap();
        let bind = |socket| short(&deep, socket, |path| std::os::unix::net::UnixListener::bind(path)).unwrap();
        let _listeners = [bind(SERIAL), bind(RUNNERS[0].files()[0])];
        assert!(deep.join(SERIAL).exists());
        let process = Process::new(deep, "n1");
        process.serial().unwrap();
        // Where nothing else says so, who listens is who runs.
        if cfg!(target_os = "linux") {
            assert_eq!(process.pid(), Some(std::process::id() as i32));
        }
    }
}
