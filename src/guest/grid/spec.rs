//! A lab that is to be run: its nodes, and the settings of a start.

use crate::guest::computed::ComputedBase;
use crate::guest::machine::{Accel, Disk, DiskFormat, Firmware, Machine, NetworkCard};
use crate::lab::{Board, Boot, Controller, Mac, Nic, PcFirmware};
use crate::render::Port;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// A lab to be run: all of its nodes, in its order.
#[derive(Clone, Debug)]
pub struct GridSpec {
    pub lab: String,
    /// File that describes it.
    pub file: PathBuf,
    /// User whom people log in as.
    pub user: String,
    /// Base of the lab's ports of this machine.
    pub base: Option<u16>,
    /// The p9img to be started as the lab's switch, which outlives this one.
    pub program: PathBuf,
    pub subnet: ipnet::Ipv4Net,
    pub gateway: Option<Ipv4Addr>,
    pub nodes: Vec<NodeSpec>,
}

/// A file that artifacts are over.
#[derive(Clone, Debug)]
pub struct BaseSpec {
    pub path: PathBuf,
    /// In hexadecimal.
    pub sha256: String,
}

/// One node of it.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    pub name: String,
    /// The artifact that the node starts from, and its SHA-256 in hexadecimal.
    pub image: PathBuf,
    pub format: DiskFormat,
    pub sha256: String,
    /// The file that the artifact is over, if it has only a part of the disk.
    pub base: Option<BaseSpec>,
    /// Instead of an artifact: what the disk is computed from. Its digest is then in `sha256`.
    pub computed: Option<ComputedBase>,
    pub board: Board,
    pub controller: Controller,
    /// Firmware that can start it.
    pub firmware: PcFirmware,
    pub nic: Nic,
    pub mac: Mac,
    pub ip: Ipv4Addr,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Text on its console that shows that it is up.
    pub ready: String,
    /// Whether a shell of the host owner is on its console.
    pub shell: bool,
    /// Whether rio is to come on its screen before it is up.
    pub screen: bool,
    pub ports: Vec<Port>,
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

    /// The machine that it is, with this disk.
    pub fn machine(&self, disk: Disk, wanted: Option<Firmware>, accel: Accel) -> Machine {
        Machine {
            name: self.name.clone(),
            board: self.board,
            firmware: self.starts_by(wanted),
            network: Some(NetworkCard { model: self.nic, mac: self.mac }),
            memory: self.memory,
            cpus: self.cpus,
            accel,
            ..Machine::new(self.controller, disk)
        }
    }
}

/// Settings of a start.
#[derive(Clone, Copy, Debug)]
pub struct UpSettings {
    /// Throw away what the nodes have written.
    pub fresh: bool,
    /// Local ports begin after this; `None`: where the lab wants them, else
    /// where they were, else where some are free.
    pub ports: Option<u16>,
    /// `None`: the fastest that works.
    pub accel: Option<Accel>,
    /// Firmware for PCs that support both.
    pub firmware: Option<Firmware>,
    /// Wait until the nodes are up.
    pub wait: bool,
    /// Start more nodes than this machine can carry.
    pub force: bool,
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A lab of `n` nodes without disks.
    pub fn spec(n: u8) -> GridSpec {
        let node = |i: u8| NodeSpec {
            name: format!("n{i}"),
            image: format!("n{i}.qcow2").into(),
            format: DiskFormat::Qcow2,
            sha256: format!("{i:064}"),
            base: None,
            computed: None,
            board: Board::Pc,
            controller: Controller::Ide,
            firmware: PcFirmware::Bios,
            nic: Nic::E1000,
            mac: Mac([0x52, 0x54, 0, 9, 0, i]),
            ip: [10, 9, 0, 10 + i].into(),
            cpus: 1,
            memory: 512 << 20,
            ready: format!("\nn{i}# "),
            shell: true,
            screen: false,
            ports: vec![Port { name: "cpu".into(), tcp: 17010, only: None }],
        };
        GridSpec {
            lab: "test".into(),
            file: "lab.toml".into(),
            user: "glenda".into(),
            base: None,
            program: "p9img".into(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            gateway: Some([10, 9, 0, 1].into()),
            nodes: (1..=n).map(node).collect(),
        }
    }

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
}
