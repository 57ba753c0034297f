//! Variables of the page's template that the picture shows, too.

use crate::lab::Node;
use serde::Serialize;

/// Links with the same end.
#[derive(Serialize)]
pub struct Bundle {
    /// Line of the bundle in the picture, from 0; none when the picture has
    /// enough.
    pub line: Option<usize>,
    pub from: Vec<String>,
    pub does: String,
    pub to: String,
}

#[derive(Serialize)]
pub struct NodeView<'a> {
    #[serde(flatten)]
    pub node: &'a Node,
    pub memory_mib: u64,
    pub disk_bytes: u64,
    pub disk_size: String,
    pub uefi: bool,
    /// QEMU's ARM machine.
    pub virt: bool,
    /// Bytes of the card of a Pi that QEMU runs, when QEMU takes none of the
    /// node's size: a power of two.
    pub qemu_card: Option<u64>,
    pub virtio_nic: bool,
    /// `name tcp`, of what it serves.
    pub ports: Vec<String>,
    /// Used part of the root; empty before the node is built.
    pub used: String,
    /// File names, empty when there is none.
    pub ova: &'a str,
    pub image: &'a str,
    pub image_format: &'static str,
    /// Controller of the image's disk.
    pub image_controller: &'static str,
}
