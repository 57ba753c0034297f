//! A machine that is to run: what it is made of, whatever program runs it.

pub use crate::lab::format::Driver as DiskFormat;
use crate::lab::{Board, Boot, Controller, Mac, Nic};
use std::path::PathBuf;

/// One disk of a machine.
#[derive(Clone, Debug)]
pub struct Disk {
    /// File of the disk, or the socket at which it is served; a relative path begins in the
    /// machine's folder.
    pub path: PathBuf,
    pub format: DiskFormat,
    /// Whether the guest's writes go to the disk; if that is a raw file or served, they
    /// survive even when the runner is killed right after. Otherwise they go
    /// into a temporary file, and the disk stays as it is.
    pub keep_writes: bool,
}

impl Disk {
    /// A disk whose file stays as it is.
    pub fn new(path: impl Into<PathBuf>, format: DiskFormat) -> Self {
        Self { path: path.into(), format, keep_writes: false }
    }
}

/// Network card, whose cable leads to the switch of the lab.
#[derive(Clone, Copy, Debug)]
pub struct NetworkCard {
    pub model: Nic,
    pub mac: Mac,
}

/// Accelerator: whether KVM runs the guest or its processor is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// The host's processor (Linux).
    Kvm,
    /// Software, everywhere.
    Tcg,
}

impl Accel {
    /// Word of the command line and of QEMU.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// The two ways in which a PC starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    Bios,
    Uefi,
}

impl Firmware {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

/// Machine that is to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Name, for messages and for the process.
    pub name: String,
    pub board: Board,
    /// Firmware of a PC. Other boards have one of their own.
    pub firmware: Firmware,
    /// The machine starts from the first.
    pub disks: Vec<Disk>,
    pub controller: Controller,
    pub network: Option<NetworkCard>,
    /// Bytes.
    pub memory: u64,
    pub cpus: u32,
    pub accel: Accel,
}

impl Machine {
    /// A PC with a BIOS, one processor, 512 MiB and no network.
    pub fn new(controller: Controller, disk: Disk) -> Self {
        Self {
            name: "machine".to_owned(),
            board: Board::Pc,
            firmware: Firmware::Bios,
            disks: vec![disk],
            controller,
            network: None,
            memory: 512 << 20,
            cpus: 1,
            accel: Accel::Tcg,
        }
    }

    /// Whether UEFI starts it.
    pub fn has_uefi(&self) -> bool {
        self.board.boot() == Boot::Pc && self.firmware == Firmware::Uefi
    }
}
