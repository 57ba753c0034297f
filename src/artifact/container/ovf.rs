//! The OVF 1.0 descriptor of a node, from `templates/lab/node.ovf`.
//!
//! One descriptor serves VMware, which reads the hardware items, and
//! VirtualBox, which reads its own `vbox:Machine`: only that says 82540EM, the
//! MAC address and the network's name in its terms. Both describe the same
//! machine. `doc/ova.md` tells why each value is what it is.

use crate::artifact::error::Error;
use crate::artifact::machine::Machine;
use crate::lab::identity::{disk_uuid, node_uuid};
use crate::lab::{Arch, Controller, Format, Nic, PcFirmware};
use crate::template::Templates;
use crate::xml;
use serde::Serialize;

/// Values that change with the disk's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// Length of the disk, bytes.
    pub size: u64,
    /// Bytes of the disk that the file holds.
    pub populated: u64,
    /// Length of the VMDK file, bytes.
    pub file_size: u64,
    /// Digest of the disk's content.
    pub content: [u8; 32],
}

#[derive(Serialize)]
struct Values<'a> {
    lab: &'a str,
    name: &'a str,
    annotation: &'a str,
    network: &'a str,
    cpus: u32,
    memory_mib: u64,
    x64: bool,
    sata: bool,
    uefi: bool,
    mac: String,
    vbox_nic: &'static str,
    machine_uuid: String,
    disk_file: &'a str,
    disk_file_size: u64,
    disk_size: u64,
    disk_populated: u64,
    disk_uuid: String,
    vbox_disk_uuid: String,
}

/// Renders a descriptor from a handlebars template.
///
/// # Errors
/// Fails when the template is wrong or names a value that does not exist.
pub fn render(template: &str, node: &Machine, disk_file: &str, disk: &Disk) -> Result<String, Error> {
    let mut templates = Templates::new(xml::escape).with_absent_values();
    templates.add("ovf", template).map_err(|source| Error::TemplateSyntax { source })?;
    let disk_uuid = disk_uuid(&disk.content).to_string();
    let values = Values {
        lab: &node.lab,
        name: &node.name,
        annotation: &node.annotation,
        network: &node.network,
        cpus: node.cpus,
        memory_mib: node.memory >> 20,
        x64: node.arch == Arch::Amd64,
        sata: Format::Ova.controller(node.controller) == Controller::Sata,
        // A disk that starts from both starts from BIOS, which every importer
        // has.
        uefi: node.firmware == PcFirmware::Uefi,
        mac: node.mac.0.iter().map(|b| format!("{b:02X}")).collect(),
        vbox_nic: match node.nic {
            Nic::E1000 => "82540EM",
            Nic::Virtio => "virtio",
        },
        machine_uuid: format!("{{{}}}", node_uuid(&node.lab, &node.name)),
        disk_file,
        disk_file_size: disk.file_size,
        disk_size: disk.size,
        disk_populated: disk.populated,
        vbox_disk_uuid: format!("{{{disk_uuid}}}"),
        disk_uuid,
    };
    templates.render_value("ovf", &values).map_err(|source| Error::Template { node: node.name.clone(), source })
}
