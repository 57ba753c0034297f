//! Reason why QEMU cannot do something.

use super::{PiError, ProbeError, QmpError, probe, uboot};
use crate::guest::folder::FolderError;
use crate::guest::runner::RunnerError;

/// See each message.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("Cannot start {node} from its card")]
    Pi { node: String, source: Box<PiError> },
    #[error(
        "{node} is started by U-Boot, and there is none for QEMU's ARM machine: install it (Debian: u-boot-qemu), or \
         name its u-boot.bin in {}",
        uboot::VARIABLE
    )]
    NoUboot { node: String },
    #[error(
        "{program} has no {kind} {what:?}, which {node} needs: install a QEMU that has it (Debian: {}), or put one \
         before it into PATH",
        probe::package(program)
    )]
    Lacks { node: String, program: &'static str, kind: &'static str, what: &'static str },
    #[error("QEMU has no board that starts the kernel of {node}, a {board}: see doc/pi.md")]
    NotEmulated { node: String, board: &'static str },
    #[error(
        "{node} starts from UEFI, but there is no UEFI firmware for QEMU here: install it (Debian: ovmf), or build the \
         node with `firmware = \"both\"`"
    )]
    NoUefi { node: String },
    #[error("QEMU does not start {name}: {said}")]
    Start { name: String, said: String },
    #[error("{name} did not do what QEMU was told")]
    Control { name: String, source: QmpError },
}

impl From<QemuError> for RunnerError {
    fn from(error: QemuError) -> Self {
        match error {
            QemuError::Folder(error) => Self::Folder(error),
            other => Self::Own(Box::new(other)),
        }
    }
}

impl From<ProbeError> for RunnerError {
    fn from(error: ProbeError) -> Self {
        QemuError::Probe(error).into()
    }
}
