//! Requirements of machines on this host: emulators that have their boards and
//! devices, and firmware.

use super::probe::Offer;
use super::{QemuError, pi, program, uboot, uefi};
use crate::guest::machine::Machine;
use crate::lab::{Boot, Controller, Nic};
use std::collections::BTreeMap;

/// The emulator, its board, and the devices that the machine is made of.
fn parts(machine: &Machine) -> (&'static str, &'static str, Vec<&'static str>) {
    let boot = machine.board.boot();
    if machine.board.is_pi() {
        return (pi::QEMU, "raspi2b", Vec::new());
    }
    let nic = machine.network.map(|card| match (boot, card.model) {
        (Boot::UBoot, _) => "virtio-net-pci-non-transitional",
        (_, Nic::Virtio) => "virtio-net-pci",
        (_, Nic::E1000) => "e1000",
    });
    let disk: &[_] = match (boot, machine.controller) {
        (Boot::UBoot, _) => &["virtio-blk-pci-non-transitional"],
        (_, Controller::Ide) => &["ide-hd"],
        (_, Controller::Sata) => &["ide-hd", "ahci"],
        (_, Controller::Virtio | Controller::Sd) => &["virtio-blk-pci"],
    };
    let devices = |more: &[&'static str]| [disk, nic.as_slice(), more].concat();
    match boot {
        Boot::UBoot => (program::arm64(), "virt", devices(&[])),
        _ => (program::pc(), "pc", devices(&["VGA"])),
    }
}

/// Makes sure that this host has all that the machines are made of.
///
/// # Errors
/// The first thing that is missing.
pub fn check(machines: &[Machine]) -> Result<(), QemuError> {
    let mut offers: BTreeMap<&str, Offer> = BTreeMap::new();
    for machine in machines {
        let node = || machine.name.clone();
        if !machine.board.is_emulated() {
            return Err(QemuError::NotEmulated { node: node(), board: machine.board.name() });
        }
        let (program, board, devices) = parts(machine);
        if !offers.contains_key(program) {
            offers.insert(program, Offer::of(program)?);
        }
        if let Some((kind, what)) = offers.get(program).and_then(|o| o.lacks(board, &devices)) {
            return Err(QemuError::Lacks { node: node(), program, kind, what });
        }
        if machine.board.boot() == Boot::UBoot && uboot::find().is_none() {
            return Err(QemuError::NoUboot { node: node() });
        }
        if machine.has_uefi() && uefi::find().is_none() {
            return Err(QemuError::NoUefi { node: node() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::machine::{Disk, DiskFormat, NetworkCard};
    use crate::lab::{Board, Mac};

    #[test]
    fn a_machine_needs_what_it_is_made_of() {
        let mut machine = Machine::new(Controller::Ide, Disk::new("d", DiskFormat::Raw));
        assert_eq!(parts(&machine).2, ["ide-hd", "VGA"]);
        let card = |model| Some(NetworkCard { model, mac: Mac([2, 0, 0, 0, 0, 1]) });
        machine.network = card(Nic::E1000);
        assert_eq!(parts(&machine).1, "pc");
        assert_eq!(parts(&machine).2, ["ide-hd", "e1000", "VGA"]);
        (machine.controller, machine.network) = (Controller::Sata, card(Nic::Virtio));
        assert_eq!(parts(&machine).2, ["ide-hd", "ahci", "virtio-net-pci", "VGA"]);
        machine.board = Board::Virt;
        assert_eq!(parts(&machine).2, ["virtio-blk-pci-non-transitional", "virtio-net-pci-non-transitional"]);
        machine.board = Board::Pi2;
        assert_eq!(parts(&machine), ("qemu-system-arm", "raspi2b", vec![]));
        machine.board = Board::Pi4;
        assert!(matches!(check(&[machine]), Err(QemuError::NotEmulated { .. })));
    }
}
