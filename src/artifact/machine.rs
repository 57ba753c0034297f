//! The machine that an artifact is for, as far as the artifact says it.

use crate::lab::{Arch, Controller, Mac, Nic, PcFirmware};
use serde::Serialize;

/// The machine that an artifact is for.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Name of the lab, part of the machine's UUID.
    pub lab: String,
    pub name: String,
    /// A sentence for people, such as the node's roles.
    pub annotation: String,
    pub arch: Arch,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    pub mac: Mac,
    pub nic: Nic,
    pub controller: Controller,
    #[serde(skip_serializing_if = "PcFirmware::is_bios")]
    pub firmware: PcFirmware,
    /// Name of the lab's network.
    pub network: String,
}

#[cfg(test)]
impl Machine {
    /// A node for tests.
    pub fn sample(name: &str) -> Self {
        Self {
            lab: "lab".into(),
            name: name.into(),
            annotation: String::new(),
            arch: Arch::I386,
            cpus: 1,
            memory: 512 << 20,
            mac: Mac([0x52, 0x54, 0, 9, 0, 1]),
            nic: Nic::E1000,
            controller: Controller::Ide,
            firmware: PcFirmware::Bios,
            network: "net".into(),
        }
    }
}
