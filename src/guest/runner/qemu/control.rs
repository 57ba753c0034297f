//! Control of a machine that runs.

use super::QemuError;
use super::qmp::{Qmp, QmpError};
use crate::guest::runner::{MachineFolder, RunnerError};
use serde_json::Value;
use std::time::Duration;

/// Socket of QEMU's machine protocol, in a machine's folder.
pub const CONTROL: &str = "control.sock";
/// Longest time for an answer of QEMU; it does nothing else meanwhile.
const ANSWER: Duration = Duration::from_secs(10);

/// Runs one of QEMU's control commands on the machine in `folder`.
///
/// # Errors
/// Fails when QEMU refuses, or does not run.
pub fn control(folder: &MachineFolder, command: &str, arguments: Value) -> Result<Value, RunnerError> {
    let failed = |source| QemuError::Control { name: folder.name.clone(), source };
    let stream = folder.connect(CONTROL).map_err(|e| failed(QmpError::Io(e)))?;
    let mut qmp = Qmp::new(stream, ANSWER).map_err(failed)?;
    Ok(qmp.run(command, arguments).map_err(failed)?)
}
