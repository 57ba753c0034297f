//! The interface of a runner.

#[cfg(doc)]
use super::{LOG, NETWORK, PID, SERIAL};
use super::{MachineFolder, RunnerError};
use crate::guest::gateway::Gateway;
use crate::guest::machine::{Accel, Machine};
use crate::lab::Board;
use crate::read_at::ReadAt;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Opens a disk for reading.
pub type ReadDisk<'a> = &'a dyn Fn() -> io::Result<Arc<dyn ReadAt>>;

/// A program that runs machines.
pub trait Runner: Debug + Sync {
    /// Name of the program, for messages.
    fn name(&self) -> &'static str;

    /// Makes sure that the program is installed, and new enough.
    ///
    /// # Errors
    /// Fails when it is missing, too old, or cannot be run.
    fn check_host(&self) -> Result<(), RunnerError>;

    /// Fastest accelerator that works on this host.
    fn fastest(&self) -> Accel;

    /// Bytes of memory that a machine takes in addition to its own.
    fn overhead(&self) -> u64;

    /// Bytes of the disk of a board whose image has `len` bytes, where the program takes disks of
    /// some sizes alone.
    fn disk_len(&self, _board: Board, len: u64) -> u64 {
        len
    }

    /// Makes sure that this host has all that the machines are made of, before
    /// anything is copied.
    ///
    /// # Errors
    /// The first thing that is missing.
    fn check(&self, machines: &[Machine]) -> Result<(), RunnerError>;

    /// Starts a machine, as a process that goes on when p9img has ended. It
    /// writes its process id to [`PID`], listens for its serial port on
    /// [`SERIAL`] and writes what the port says to a new [`LOG`]. Its network card is
    /// connected to the switch at [`NETWORK`] when this returns. `read` opens its first
    /// disk, for a program that has to look at it.
    ///
    /// # Errors
    /// The program's message, or the lack that keeps it from starting.
    fn start(&self, machine: &Machine, folder: &MachineFolder, read: ReadDisk<'_>) -> Result<(), RunnerError>;

    /// Starts the gateway of a lab as [`Runner::start`] does a machine, but
    /// without a serial port.
    ///
    /// # Errors
    /// As [`Runner::start`]; [`RunnerError::Ports`] when a port is taken.
    fn start_gateway(&self, gateway: &Gateway, folder: &MachineFolder) -> Result<(), RunnerError>;

    /// Makes a gateway that runs as `from` forward the ports of `to`. Logins
    /// through its other ports go on.
    ///
    /// # Errors
    /// Fails when it cannot listen on a port.
    fn forward(&self, folder: &MachineFolder, from: &Gateway, to: &Gateway) -> Result<(), RunnerError>;

    /// Folder of the machine whose process has these arguments; `None` for a
    /// process that is not this runner's.
    fn owner(&self, arguments: &[&OsStr]) -> Option<MachineFolder>;

    /// Connection to the program that runs the machine, which tells its process
    /// where the list of processes does not.
    ///
    /// # Errors
    /// Fails when no such program runs.
    fn connect(&self, folder: &MachineFolder) -> io::Result<UnixStream>;

    /// Names of its own files in a machine's folder that mean nothing when the
    /// machine has ended.
    fn files(&self) -> &'static [&'static str];

    /// Turns the machine off at once, as pulling the plug would; what the
    /// program still holds of disks is written. It may still run for a moment.
    ///
    /// # Errors
    /// Fails when the program does not answer.
    fn turn_off(&self, folder: &MachineFolder) -> Result<(), RunnerError>;

    /// Reason why the machine is paused; `None` when it goes on, or the program
    /// does not answer.
    fn pause(&self, folder: &MachineFolder) -> Option<Pause>;

    /// Lets a paused machine go on.
    ///
    /// # Errors
    /// Fails when the program refuses.
    fn go_on(&self, folder: &MachineFolder) -> Result<(), RunnerError>;

    /// File with the machine's screen.
    ///
    /// # Errors
    /// Fails when the program does not answer, or writes none.
    fn screen(&self, folder: &MachineFolder, picture: Picture) -> Result<Vec<u8>, RunnerError>;
}

/// Format of a picture of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    Png,
    /// Portable pixmap, which [`Screen`](crate::guest::screen::Screen) reads.
    Pixmap,
}

/// Reason why a machine is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Its disk could not be read or written, as when the host has no room.
    Disk,
    /// Its processor met something that the accelerator cannot do.
    Processor,
    /// Somebody asked for it.
    Asked,
}
