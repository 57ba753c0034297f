//! Requirements of nodes on this machine: emulators that have their machines
//! and devices, and firmware. They are looked for before anything is copied.

use super::{GridError, NodeSpec};
use crate::guest::probe::Offer;
use crate::guest::{pi, qemu, uboot, uefi};
use crate::lab::{Boot, Controller, Nic, PcFirmware};
use std::collections::BTreeMap;

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

impl NodeSpec {
    /// Firmware that starts the node when `wanted` is asked for. One that can
    /// do both is started by the BIOS unless UEFI is asked for.
    pub fn starts_by(&self, wanted: Option<Firmware>) -> Firmware {
        match self.firmware {
            PcFirmware::Uefi => Firmware::Uefi,
            PcFirmware::Both => wanted.unwrap_or(Firmware::Bios),
            PcFirmware::Bios => Firmware::Bios,
        }
    }

    /// Whether it has a choice of firmware.
    pub fn is_pc(&self) -> bool {
        self.board.boot() == Boot::Pc
    }

    /// The emulator, its machine, and the devices that the node is made of.
    fn machine(&self) -> (&'static str, &'static str, Vec<&'static str>) {
        if self.board.is_pi() {
            return (pi::QEMU, "raspi2b", Vec::new());
        }
        let nic = match (self.board.boot(), self.nic) {
            (Boot::UBoot, _) => "virtio-net-pci-non-transitional",
            (_, Nic::Virtio) => "virtio-net-pci",
            (_, Nic::E1000) => "e1000",
        };
        let disk: &[_] = match (self.board.boot(), self.controller) {
            (Boot::UBoot, _) => &["virtio-blk-pci-non-transitional"],
            (_, Controller::Ide) => &["ide-hd"],
            (_, Controller::Sata) => &["ide-hd", "ahci"],
            (_, Controller::Virtio | Controller::Sd) => &["virtio-blk-pci"],
        };
        let devices = |more: &[&'static str]| [disk, &[nic], more].concat();
        match self.board.boot() {
            Boot::UBoot => (qemu::arm64(), "virt", devices(&[])),
            _ => (qemu::pc(), "pc", devices(&["VGA"])),
        }
    }
}

/// Makes sure that this machine has all that the nodes need to be started by
/// the firmware that is `wanted`.
///
/// # Errors
/// The first thing that is missing.
pub fn check(nodes: &[&NodeSpec], wanted: Option<Firmware>) -> Result<(), GridError> {
    let mut offers: BTreeMap<&str, Offer> = BTreeMap::new();
    for node in nodes {
        let name = || node.name.clone();
        if !node.board.is_emulated() {
            return Err(GridError::NotEmulated { node: name(), board: node.board.name() });
        }
        let (program, machine, devices) = node.machine();
        if !offers.contains_key(program) {
            offers.insert(program, Offer::of(program)?);
        }
        if let Some((kind, what)) = offers.get(program).and_then(|o| o.lacks(machine, &devices)) {
            return Err(GridError::Lacks { node: name(), program, kind, what });
        }
        if node.board.boot() == Boot::UBoot && uboot::find().is_none() {
            return Err(GridError::NoUboot { node: name() });
        }
        if node.starts_by(wanted) == Firmware::Uefi && uefi::find().is_none() {
            return Err(GridError::NoUefi { node: name() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;
    use crate::lab::Board;

    #[test]
    fn a_disk_with_both_starts_as_it_is_asked_to() {
        let mut node = spec(1).nodes.remove(0);
        let mut starts = |firmware, wanted| {
            node.firmware = firmware;
            node.starts_by(wanted)
        };
        for wanted in [None, Some(Firmware::Bios), Some(Firmware::Uefi)] {
            assert_eq!(starts(PcFirmware::Bios, wanted), Firmware::Bios);
            assert_eq!(starts(PcFirmware::Uefi, wanted), Firmware::Uefi);
            assert_eq!(starts(PcFirmware::Both, wanted), wanted.unwrap_or(Firmware::Bios));
        }
    }

    #[test]
    fn a_node_needs_what_it_is_made_of() {
        let mut node = spec(1).nodes.remove(0);
        assert_eq!(node.machine().1, "pc");
        assert_eq!(node.machine().2, ["ide-hd", "e1000", "VGA"]);
        (node.controller, node.nic) = (Controller::Sata, Nic::Virtio);
        assert_eq!(node.machine().2, ["ide-hd", "ahci", "virtio-net-pci", "VGA"]);
        node.board = Board::Virt;
        assert_eq!(node.machine().2, ["virtio-blk-pci-non-transitional", "virtio-net-pci-non-transitional"]);
        node.board = Board::Pi2;
        assert_eq!(node.machine(), ("qemu-system-arm", "raspi2b", vec![]));
        node.board = Board::Pi4;
        assert!(matches!(check(&[&node], None), Err(GridError::NotEmulated { .. })));
    }
}
