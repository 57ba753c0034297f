//! A runner for tests, which is none of QEMU's: its machines are shells that say
//! they are up and wait for a line that never comes.

use crate::guest::gateway::Gateway;
use crate::guest::machine::{Accel, Machine};
use crate::guest::runner::{LOG, MachineFolder, PID, Pause, Picture, Runner, RunnerError};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// First argument of its machines, after the name and the text of the program.
const MARK: &str = "p9img-stub-machine";
/// File that pauses a machine while it is there.
pub const PAUSED: &str = "paused";

/// The runner.
#[derive(Clone, Copy, Debug)]
pub struct Stub {
    /// Whether no machine can be started; the start then leaves a process that
    /// goes on for a while, as QEMU's `-daemonize` does.
    pub refuses: bool,
}

fn start(folder: &MachineFolder) -> io::Result<()> {
    let child = Command::new("sh")
        .args(["-c", "while :; do sleep 1; done", "sh", MARK])
        .arg(&folder.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    fs::write(folder.file(PID), child.id().to_string())
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

    fn start(&self, machine: &Machine, folder: &MachineFolder) -> Result<(), RunnerError> {
        let own = |e: io::Error| RunnerError::Own(e.into());
        start(folder).map_err(own)?;
        if self.refuses {
            return Err(RunnerError::Own("no such port".into()));
        }
        // It starts from the disk that is in its folder.
        assert!(machine.disks.iter().all(|d| folder.dir.join(&d.path).is_file()));
        fs::write(folder.file(LOG), format!("\n{}# ", machine.name)).map_err(own)
    }

    fn start_gateway(&self, _: &Gateway, folder: &MachineFolder) -> Result<(), RunnerError> {
        start(folder).map_err(|e| RunnerError::Own(e.into()))
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

mod tests {
    use super::super::tests::spec;
    use super::super::{Grid, GridError, NodeState, Silent, UpSettings};
    use super::*;

    #[test]
    fn a_lab_runs_in_another_runner() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::with(&Stub { refuses: false }, dir.path());
        let mut spec = spec(2);
        // It ends at once: no machine here has a network.
        spec.program = "true".into();
        for node in &mut spec.nodes {
            node.image = dir.path().join(format!("{}.img", node.name));
            node.format = crate::guest::DiskFormat::Raw;
            (node.memory, node.shell) = (1 << 20, false);
            node.ports.clear();
            fs::write(&node.image, [1; 4096]).unwrap();
        }
        let names: Vec<String> = spec.nodes.iter().map(|n| n.name.clone()).collect();
        let settings = UpSettings { fresh: false, ports: None, accel: None, firmware: None, wait: true, force: false };
        let state = grid.up(&spec, &names, &settings, &Silent).unwrap();
        assert_eq!(state.accel, Accel::Tcg);
        let running: Vec<String> = grid.running_nodes().into_keys().collect();
        assert_eq!(running, names);
        let state = || grid.node_state(&spec.nodes[0]);
        assert_eq!(state(), NodeState::Up);
        let png = dir.path().join("n1.png");
        grid.screenshot("n1", &png).unwrap();
        assert_eq!(fs::read(png).unwrap(), b"Png of n1");
        fs::write(grid.node("n1").folder.file(PAUSED), "").unwrap();
        assert_eq!(state(), NodeState::Paused);
        assert!(grid.node("n1").go_on().unwrap());
        assert_eq!(state(), NodeState::Up);
        // One alone, and then the rest with the gateway.
        assert!(grid.down(&spec.nodes, &names[..1], false, &Silent).unwrap().is_empty());
        assert_eq!(state(), NodeState::Down);
        assert_eq!(grid.running().len(), 2);
        assert!(grid.down(&spec.nodes, &[], false, &Silent).unwrap().is_empty());
        assert!(grid.running().is_empty());
        assert!(matches!(grid.screenshot("n1", &dir.path().join("none")), Err(GridError::NotRunning { .. })));
        assert!(!grid.node("n1").folder.file(PID).exists());
    }
}
