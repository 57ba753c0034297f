//! A runner for tests, which is none of QEMU's: its machines are shells that sleep.
//! They are up at once, and have neither a console nor a network.

use crate::guest::gateway::Gateway;
use crate::guest::machine::{Accel, Machine};
use crate::guest::runner::{LOG, MachineFolder, PID, Pause, Picture, ReadDisk, Runner, RunnerError};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// First argument of its machines, after the name and the text of the program.
const MARK: &str = "p9img-stub-machine";
/// Seconds after which a machine ends that a test has left.
const LONGEST: &str = "60";
/// File that pauses a machine while it is there.
pub const PAUSED: &str = "paused";

/// The runner.
#[derive(Clone, Copy, Debug)]
pub struct Stub {
    /// Whether no machine can be started; the start then leaves a process that
    /// goes on for a while, as QEMU's `-daemonize` does.
    pub refuses: bool,
}

fn start(folder: &MachineFolder, seconds: &str) -> io::Result<i32> {
    let child = Command::new("sh")
        .args(["-c", &format!("sleep {seconds}; :"), "sh", MARK])
        .arg(&folder.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(child.id() as i32)
}

impl Runner for Stub {
    fn name(&self) -> &'static str {
        "the stub"
    }

    fn check_host(&self) -> Result<(), RunnerError> {
        Ok(())
    }

    fn fastest(&self) -> Accel {
        Accel::Tcg
    }

    fn overhead(&self) -> u64 {
        0
    }

    fn check(&self, _: &[Machine]) -> Result<(), RunnerError> {
        Ok(())
    }

    fn start(&self, machine: &Machine, folder: &MachineFolder, _: ReadDisk<'_>) -> Result<(), RunnerError> {
        let own = |e: io::Error| RunnerError::Own(e.into());
        if self.refuses {
            // It has not come to write its process id.
            start(folder, "20").map_err(own)?;
            return Err(RunnerError::Own("no such port".into()));
        }
        let pid = start(folder, LONGEST).map_err(own)?;
        fs::write(folder.file(PID), pid.to_string()).map_err(own)?;
        // It starts from the disk that is in its folder, or served there.
        assert!(machine.disks.iter().all(|d| folder.dir.join(&d.path).exists()));
        fs::write(folder.file(LOG), format!("\n{}# ", machine.name)).map_err(own)
    }

    fn start_gateway(&self, _: &Gateway, folder: &MachineFolder) -> Result<(), RunnerError> {
        let own = |e: io::Error| RunnerError::Own(e.into());
        fs::write(folder.file(PID), start(folder, LONGEST).map_err(own)?.to_string()).map_err(own)
    }

    fn forward(&self, _: &MachineFolder, _: &Gateway, _: &Gateway) -> Result<(), RunnerError> {
        Ok(())
    }

    fn owner(&self, arguments: &[&OsStr]) -> Option<MachineFolder> {
        let at = arguments.iter().position(|a| *a == MARK)?;
        let dir = Path::new(arguments.get(at + 1)?);
        Some(MachineFolder { name: dir.file_name()?.to_str()?.to_owned(), dir: dir.to_owned() })
    }

    fn connect(&self, _: &MachineFolder) -> io::Result<UnixStream> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn files(&self) -> &'static [&'static str] {
        &[PAUSED]
    }

    fn turn_off(&self, _: &MachineFolder) -> Result<(), RunnerError> {
        // p9img then ends the process.
        Err(RunnerError::Own("no".into()))
    }

    fn pause(&self, folder: &MachineFolder) -> Option<Pause> {
        folder.file(PAUSED).exists().then_some(Pause::Disk)
    }

    fn go_on(&self, folder: &MachineFolder) -> Result<(), RunnerError> {
        fs::remove_file(folder.file(PAUSED)).map_err(|e| RunnerError::Own(e.into()))
    }

    fn screen(&self, folder: &MachineFolder, picture: Picture) -> Result<Vec<u8>, RunnerError> {
        Ok(format!("{picture:?} of {}", folder.name).into_bytes())
    }
}
