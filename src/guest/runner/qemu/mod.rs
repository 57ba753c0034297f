//! QEMU, with KVM or in software: PCs, its own machine for 64-bit ARM, and the
//! Raspberry Pi 2.

mod arguments;
mod control;
mod devices;
mod error;
mod gateway;
mod needs;
pub mod pi;
mod probe;
mod program;
mod qmp;
pub mod uboot;
pub mod uefi;

pub use arguments::{hardware, to_switch};
pub use control::control;
pub use devices::emulator;
pub use error::QemuError;
pub use pi::PiError;
pub use probe::ProbeError;
pub use program::option;
pub use qmp::QmpError;

use control::CONTROL;

use super::{LOG, MachineFolder, NETWORK, PID, Pause, Picture, ReadDisk, Runner, RunnerError, SERIAL};
use crate::guest::folder::{self, FolderError};
use crate::guest::gateway::Gateway;
use crate::guest::machine::{Accel, DiskFormat, Machine};
use crate::lab::Board;
use rustix::io::FdFlags;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Memory that QEMU needs in addition to the machine's own, in bytes.
const ITSELF: u64 = 96 << 20;
/// Words of QEMU for a port that it cannot listen on.
const PORT_IS_TAKEN: &str = "host forwarding";

/// The runner.
#[derive(Clone, Copy, Debug)]
pub struct Qemu;

impl Runner for Qemu {
    fn name(&self) -> &'static str {
        "QEMU"
    }

    fn check_host(&self) -> Result<(), RunnerError> {
        Ok(probe::version().map(drop)?)
    }

    fn fastest(&self) -> Accel {
        probe::accel()
    }

    fn overhead(&self) -> u64 {
        ITSELF
    }

    fn disk_len(&self, board: Board, len: u64) -> u64 {
        if board.is_pi() { pi::card_len(len).unwrap_or(len) } else { len }
    }

    fn check(&self, machines: &[Machine]) -> Result<(), RunnerError> {
        Ok(needs::check(machines)?)
    }

    fn start(&self, machine: &Machine, folder: &MachineFolder, read: ReadDisk<'_>) -> Result<(), RunnerError> {
        if machine.board.is_pi() {
            return start_pi(machine, folder, read);
        }
        let network = connect(folder)?;
        let hardware = hardware(machine, to_switch("net0", network.as_fd()))?;
        Ok(run(emulator(machine), hardware, folder, Some(network), true)?)
    }

    fn start_gateway(&self, gateway: &Gateway, folder: &MachineFolder) -> Result<(), RunnerError> {
        let network = connect(folder)?;
        let arguments = gateway::arguments(gateway, network.as_fd());
        run(program::pc(), arguments, folder, Some(network), false).map_err(of_gateway)
    }

    fn forward(&self, folder: &MachineFolder, from: &Gateway, to: &Gateway) -> Result<(), RunnerError> {
        gateway::forward(folder, from, to)
    }

    fn owner(&self, arguments: &[&OsStr]) -> Option<MachineFolder> {
        let value = |flag: &str| arguments.iter().position(|a| *a == flag).and_then(|i| arguments.get(i + 1));
        let file = Path::new(value("-pidfile")?);
        let dir = file.parent()?;
        let name = dir.file_name()?;
        (file.ends_with(PID) && *value("-name")? == name)
            .then(|| MachineFolder { name: name.to_string_lossy().into_owned(), dir: dir.to_owned() })
    }

    fn connect(&self, folder: &MachineFolder) -> io::Result<UnixStream> {
        folder.connect(CONTROL)
    }

    fn files(&self) -> &'static [&'static str] {
        &[CONTROL]
    }

    fn turn_off(&self, folder: &MachineFolder) -> Result<(), RunnerError> {
        control(folder, "quit", Value::Null).map(drop)
    }

    fn pause(&self, folder: &MachineFolder) -> Option<Pause> {
        let status = control(folder, "query-status", Value::Null).ok()?;
        pause(status.get("status")?.as_str()?)
    }

    fn go_on(&self, folder: &MachineFolder) -> Result<(), RunnerError> {
        control(folder, "cont", Value::Null).map(drop)
    }

    fn screen(&self, folder: &MachineFolder, picture: Picture) -> Result<Vec<u8>, RunnerError> {
        // A folder of its own: QEMU follows links.
        let own = tempfile::tempdir();
        let own = own.map_err(|source| FolderError::Use { path: std::env::temp_dir(), source })?;
        let path = own.path().join("screen");
        let failed = |source| FolderError::Use { path: path.clone(), source };
        let mut asked = json!({ "filename": std::path::absolute(&path).map_err(failed)?.to_string_lossy() });
        if picture == Picture::Png {
            asked["format"] = "png".into();
        }
        control(folder, "screendump", asked)?;
        Ok(std::fs::read(&path).map_err(failed)?)
    }
}

/// The error of a gateway that QEMU does not start.
fn of_gateway(error: QemuError) -> RunnerError {
    match &error {
        QemuError::Start { said, .. } if said.contains(PORT_IS_TAKEN) => RunnerError::Ports(Box::new(error)),
        _ => error.into(),
    }
}

/// The meaning of QEMU's word for the state of a machine; `None` when it goes on.
fn pause(status: &str) -> Option<Pause> {
    match status {
        "io-error" => Some(Pause::Disk),
        "internal-error" | "guest-panicked" => Some(Pause::Processor),
        "paused" => Some(Pause::Asked),
        _ => None,
    }
}

/// Connection of a machine to the lab's switch.
fn connect(folder: &MachineFolder) -> Result<UnixStream, FolderError> {
    folder.connect(NETWORK).map_err(|source| FolderError::Use { path: folder.file(NETWORK), source })
}

/// Starts an emulator with `args` in a machine's folder. It inherits `network`.
fn run(
    program: &'static str,
    mut args: Vec<OsString>,
    folder: &MachineFolder,
    network: Option<UnixStream>,
    serial: bool,
) -> Result<(), QemuError> {
    if serial {
        // Only now: whatever was lacking before leaves the log of the last start.
        folder::create(&folder.file(LOG))?;
    }
    // Sockets by paths relative to the folder, as theirs may not be long; the
    // process id by a whole path, by which the machine's process is known.
    let pid = folder.dir.canonicalize().map_err(|source| FolderError::Use { path: folder.dir.clone(), source })?;
    for arg in ["-name", &folder.name, "-daemonize", "-pidfile"] {
        args.push(arg.into());
    }
    args.push(pid.join(PID).into());
    args.extend(["-qmp".into(), format!("unix:{CONTROL},server=on,wait=off").into()]);
    if serial {
        let chardev = format!("socket,id=serial0,path={SERIAL},server=on,wait=off,logfile={LOG},logappend=off");
        args.extend(["-chardev".into(), chardev.into(), "-serial".into(), "chardev:serial0".into()]);
    }
    let output = duct::cmd(program, args)
        .dir(&folder.dir)
        .stdin_null()
        .stdout_null()
        .stderr_capture()
        .unchecked()
        .before_spawn(move |_| match &network {
            // It is closed here, for the next program, when this one has its own.
            Some(connection) => Ok(rustix::io::fcntl_setfd(connection, FdFlags::empty())?),
            None => Ok(()),
        })
        .run()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProbeError::Missing { program },
            _ => ProbeError::Broken { program, source },
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(QemuError::Start { name: folder.name.clone(), said });
    }
    Ok(())
}

/// Starts a Pi from its card, as its firmware would.
fn start_pi(machine: &Machine, folder: &MachineFolder, read: ReadDisk<'_>) -> Result<(), RunnerError> {
    let Some(disk) = machine.disks.first() else {
        let source = io::Error::new(io::ErrorKind::NotFound, "the machine has no card");
        return Err(FolderError::Use { path: folder.dir.clone(), source }.into());
    };
    let card = folder.dir.join(&disk.path);
    let failed = |source| FolderError::Use { path: card.clone(), source };
    let opened = read().map_err(failed)?;
    let loaded = pi::Loaded::from_card(&opened, pi::CMDLINE)
        .map_err(|source| QemuError::Pi { node: machine.name.clone(), source: Box::new(source) })?;
    for (file, bytes) in [(pi::START, &loaded.start), (pi::KERNEL, &loaded.kernel)] {
        folder::replace(&folder.dir.join(file), bytes)?;
    }
    if disk.format == DiskFormat::Raw {
        pi::grow(&card).map_err(failed)?;
    }
    Ok(run(pi::QEMU, pi::arguments(disk, pi::START.as_ref(), pi::KERNEL.as_ref()), folder, None, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_program_has_its_connection_wherever_it_goes_and_nobody_else_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = MachineFolder { name: "n1".into(), dir: dir.path().to_owned() };
        let (mut switch, machine) = UnixStream::pair().unwrap();
        let script = format!("cd /; test -S /dev/fd/{}", machine.as_raw_fd());
        run("sh", vec!["-c".into(), script.into()], &folder, Some(machine), false).unwrap();
        // The end, which comes when the last of those who have it has gone.
        assert_eq!(switch.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_machine_without_a_switch_is_not_started() {
        let dir = tempfile::tempdir().unwrap();
        let folder = MachineFolder { name: "n1".into(), dir: dir.path().join("n1") };
        std::fs::create_dir(&folder.dir).unwrap();
        let error = connect(&folder).unwrap_err().to_string();
        assert!(error.contains("network.sock"), "{error}");
    }

    #[test]
    fn a_gateway_whose_port_is_taken_is_told_from_others() {
        let said = |said: &str| of_gateway(QemuError::Start { name: ".gateway".into(), said: said.into() });
        let taken =
            "qemu-system-x86_64: -netdev user,id=host0: Could not set up host forwarding rule 'tcp:127.0.0.1:1-…'";
        assert!(matches!(said(taken), RunnerError::Ports(e) if e.to_string().contains("does not start .gateway")));
        assert!(matches!(said("no such option"), RunnerError::Own(_)));
    }

    #[test]
    fn a_machine_that_goes_on_is_not_paused() {
        for status in ["running", "prelaunch", "shutdown", "", "Paused"] {
            assert_eq!(pause(status), None, "{status}");
        }
        for (status, why) in [("io-error", Pause::Disk), ("guest-panicked", Pause::Processor), ("paused", Pause::Asked)]
        {
            assert_eq!(pause(status), Some(why));
        }
    }

    #[test]
    fn machines_are_known_by_their_arguments() {
        let owner = |args: &[&str]| Qemu.owner(&args.iter().map(OsStr::new).collect::<Vec<_>>());
        let machine = ["qemu-system-x86_64", "-m", "512M", "-name", "n1", "-daemonize", "-pidfile", "/a b/run/n1/pid"];
        assert_eq!(owner(&machine), Some(MachineFolder { name: "n1".into(), dir: "/a b/run/n1".into() }));
        let others: [&[&str]; 5] = [
            &[],
            &["sh"],
            &["qemu-system-x86_64", "-pidfile"],
            &["qemu-system-x86_64", "-name", "other", "-pidfile", "/a b/run/n1/pid"],
            &["qemu-system-x86_64", "-name", "n1", "-pidfile", "/run/n1/qemu.pid"],
        ];
        for other in others {
            assert_eq!(owner(other), None, "{other:?}");
        }
    }
}
