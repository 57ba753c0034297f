//! Requirements of machines on this host: emulators that have their boards and
//! devices, and firmware.

use super::probe::Offer;
use super::{QemuError, devices, uboot, uefi};
use crate::guest::machine::Machine;
use crate::lab::Boot;
use std::collections::BTreeMap;

/// The devices that the machine is made of, where they are none of its board's.
fn parts(machine: &Machine) -> Vec<&'static str> {
    if machine.board.is_pi() {
        return Vec::new();
    }
    let mut parts = vec![devices::disk(machine)];
    parts.extend(devices::controller(machine));
    parts.extend(machine.network.map(|card| devices::card(machine, card.model)));
    if machine.board.boot() == Boot::Pc {
        parts.push("VGA");
    }
    parts
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
        let (program, board) = (devices::emulator(machine), devices::board(machine));
        if !offers.contains_key(program) {
            offers.insert(program, Offer::of(program)?);
        }
        if let Some((kind, what)) = offers.get(program).and_then(|o| o.lacks(board, &parts(machine))) {
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
    use crate::lab::{Board, Controller, Mac, Nic};

    #[test]
    fn a_machine_needs_what_it_is_made_of() {
        let mut machine = Machine::new(Controller::Ide, Disk::new("d", DiskFormat::Raw));
        assert_eq!(parts(&machine), ["ide-hd", "VGA"]);
        let card = |model| Some(NetworkCard { model, mac: Mac([2, 0, 0, 0, 0, 1]) });
        machine.network = card(Nic::E1000);
        assert_eq!(devices::board(&machine), "pc");
        assert_eq!(parts(&machine), ["ide-hd", "e1000", "VGA"]);
        (machine.controller, machine.network) = (Controller::Sata, card(Nic::Virtio));
        assert_eq!(parts(&machine), ["ide-hd", "ahci", "virtio-net-pci", "VGA"]);
        machine.board = Board::Virt;
        assert_eq!(parts(&machine), ["virtio-blk-pci-non-transitional", "virtio-net-pci-non-transitional"]);
        machine.board = Board::Pi2;
        assert_eq!((devices::emulator(&machine), devices::board(&machine)), ("qemu-system-arm", "raspi2b"));
        assert!(parts(&machine).is_empty());
        machine.board = Board::Pi4;
        assert!(matches!(check(&[machine]), Err(QemuError::NotEmulated { .. })));
    }
}
