//! Programs that run machines: one folder for each, and one table.
//!
//! A runner starts a [`Machine`](super::Machine) as a process that outlives p9img, in a
//! [`MachineFolder`] in which [`grid`](super::grid) finds its console, its log
//! and its process again. No other module knows a runner's command line or
//! protocol; tests, which start machines of their own, use QEMU's.

mod error;
mod interface;
mod machine_folder;
pub mod qemu;
#[cfg(test)]
pub mod stub;

pub use error::RunnerError;
pub use interface::{Pause, Picture, ReadDisk, Runner};
pub use machine_folder::{LOG, MachineFolder, NETWORK, PID, SERIAL, short};

/// All runners. Machines of each are found while they run; labs are started
/// with the first.
pub const RUNNERS: &[&dyn Runner] = &[
    &qemu::Qemu,
    #[cfg(test)]
    &stub::Stub { refuses: false },
];
