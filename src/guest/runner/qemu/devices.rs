//! Names that QEMU has for what a machine is made of: the emulator, its board, and
//! the devices for disks and network cards.

use super::{pi, program};
use crate::guest::machine::Machine;
use crate::lab::{Boot, Controller, Nic};

/// The emulator that has the machine.
pub fn emulator(machine: &Machine) -> &'static str {
    match machine.board.boot() {
        Boot::Pi => pi::QEMU,
        Boot::UBoot => program::arm64(),
        Boot::Pc => program::pc(),
    }
}

/// The machine's board.
pub fn board(machine: &Machine) -> &'static str {
    match machine.board.boot() {
        Boot::Pi => pi::BOARD,
        Boot::UBoot => "virt",
        Boot::Pc => "pc",
    }
}

/// The device that a disk of the machine is, where it is one of its own.
///
/// Plan 9 drives virtio 1.0 on ARM, and what PCs have before it.
pub fn disk(machine: &Machine) -> &'static str {
    match (machine.board.boot(), machine.controller) {
        (Boot::UBoot, _) => "virtio-blk-pci-non-transitional",
        (_, Controller::Ide | Controller::Sata) => "ide-hd",
        (_, Controller::Virtio | Controller::Sd) => "virtio-blk-pci",
    }
}

/// The device that disks of the machine are connected to, where it is none of the
/// board's.
pub fn controller(machine: &Machine) -> Option<&'static str> {
    (machine.controller == Controller::Sata && machine.board.boot() == Boot::Pc).then_some("ahci")
}

/// The device that a network card of the machine is.
pub fn card(machine: &Machine, model: Nic) -> &'static str {
    match (machine.board.boot(), model) {
        (Boot::UBoot, _) => "virtio-net-pci-non-transitional",
        (_, Nic::Virtio) => "virtio-net-pci",
        (_, Nic::E1000) => "e1000",
    }
}
