//! The checked lab: every value present, in its own type and unit.

use super::board::{Board, Boot, Fixed};
use super::format::Format;
pub use super::hardware::{Arch, Controller, Layout, Mac, Nic, PcFirmware};
use crate::digest::Digest;
use crate::root::Fs;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// One lab: a network of nodes in one authentication domain.
#[derive(Clone, Debug, Serialize)]
pub struct Lab {
    /// Name of the lab: part of every derived identity (UUIDs).
    pub name: String,
    /// Name of the medium that nodes are built from which name none of their
    /// own: a key of `media`, or `sample` for the embedded one.
    pub medium: String,
    /// Authentication domain of the whole lab.
    pub authdom: String,
    /// Owner of the hosts (`bootes`).
    pub hostowner: String,
    /// Users in addition to the mandatory ones.
    pub users: Vec<User>,
    /// Time that stamps everything p9img makes itself, seconds since 1970-01-01 UTC.
    pub epoch: u32,
    /// Environment variable that the epoch comes from, where it is not the lab's own.
    #[serde(skip)]
    pub epoch_from: Option<&'static str>,
    /// Name of a file in the medium's /adm/timezone, such as `GMT`.
    pub timezone: String,
    pub network: Network,
    pub formats: Vec<Format>,
    /// Files that hold a disk.
    #[serde(skip_serializing_if = "Layout::is_whole")]
    pub layout: Layout,
    /// Controllers that formats have instead of their nodes'.
    pub controllers: BTreeMap<Format, Controller>,
    /// Folder for artifacts, resolved against the lab file's folder.
    #[serde(skip)]
    pub out: PathBuf,
    /// Address at which that folder is served on the web; ends with a slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub media: BTreeMap<String, Medium>,
    pub tree: TreeRules,
    /// Base of the ports of this machine when the lab runs; none: p9img finds
    /// one with free ports. No artifact depends on it.
    #[serde(skip)]
    pub ports: Option<u16>,
    /// In the order of the file.
    pub nodes: Vec<Node>,
    /// Folder with the lab file, roles/, templates/ and secrets.toml.
    #[serde(skip)]
    pub dir: PathBuf,
    /// Remarks for its author, such as sizes that were rounded.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Lab {
    /// Controller that a node's disk is attached to in a format.
    pub fn controller(&self, node: &Node, format: Format) -> Controller {
        format.controller(self.controllers.get(&format).copied().unwrap_or(node.controller))
    }

    /// Name of the medium that a node is built from.
    pub fn medium_of<'a>(&'a self, node: &'a Node) -> &'a str {
        node.medium.as_deref().unwrap_or(&self.medium)
    }

    /// Names of the media that some node is built from, each once: in the order
    /// of the nodes.
    pub fn media_in_use(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for name in self.nodes.iter().map(|n| self.medium_of(n)) {
            if !out.contains(&name) {
                out.push(name);
            }
        }
        out
    }

    /// A node once for each controller that its formats need, with those
    /// formats: its disk names the controller, so each has a disk of its own.
    /// A Pi has one disk, its card, and QEMU's ARM machine has one controller.
    pub fn variants(&self, node: &Node) -> Vec<(Node, Vec<Format>)> {
        let mut out: Vec<(Node, Vec<Format>)> = Vec::new();
        if node.board.spec().fixed.controller.is_some() {
            let mut formats: Vec<Format> = Vec::new();
            for format in self.formats.iter().filter_map(|f| f.on(node.board)) {
                if !formats.contains(&format) {
                    formats.push(format);
                }
            }
            return vec![(node.clone(), formats)];
        }
        for format in self.formats.iter().filter(|f| !f.is_card()) {
            let controller = self.controller(node, *format);
            match out.iter_mut().find(|(n, _)| n.controller == controller) {
                Some((_, formats)) => formats.push(*format),
                None => out.push((Node { controller, ..node.clone() }, vec![*format])),
            }
        }
        out
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct User {
    pub name: String,
    /// Groups that the user is a member of, such as `sys`, `adm`, `upas`.
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Network {
    /// Name of the network, also the OVF network's name.
    pub name: String,
    pub subnet: ipnet::Ipv4Net,
    pub gateway: Option<Ipv4Addr>,
    /// DNS servers outside the lab, asked for names that are not the lab's.
    pub dns: Vec<Ipv4Addr>,
    /// DNS domain of the nodes, such as `plan9.lab`.
    pub domain: String,
}

/// A medium as the lab describes it. Left out of plans: the same medium from
/// elsewhere gives the same images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Medium {
    #[serde(skip)]
    pub origin: Origin,
    /// SHA-256 of the file, before it is decompressed.
    #[serde(skip)]
    pub sha256: Option<Digest>,
    /// Bytes of that file, where somebody has published it.
    #[serde(skip)]
    pub len: Option<u64>,
    /// Source of this description.
    #[serde(skip)]
    pub said: Said,
}

impl Medium {
    /// A medium at a path that only the command line names.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::Path(path.into()), sha256: None, len: None, said: Said::Here }
    }
}

/// Source of the description of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The command line. Such a medium is not recorded in `p9img.lock`.
    Here,
    Lab,
    Releases,
}

/// Path or addresses of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On this machine; resolved against the lab file's folder.
    Path(PathBuf),
    /// The same file at each of these addresses, to be tried in this order.
    Urls(Vec<String>),
}

/// Selection of the medium's files for an image: shell patterns over paths
/// without leading slash (`sys/src/**`). Nothing given: the distribution's
/// default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TreeRules {
    pub include: Option<Vec<String>>,
    pub exclude: Vec<String>,
}

impl Node {
    /// Name that a distribution has its kernel under.
    pub const fn kernel_name(&self) -> &'static str {
        self.board.kernel_name(self.arch)
    }

    /// The node as its board makes it.
    pub(super) fn of_board(self) -> Self {
        let Fixed { arch, cpus, memory, controller, nic } = self.board.spec().fixed;
        Self {
            firmware: if self.board.boot() == Boot::Pc { self.firmware } else { PcFirmware::Bios },
            arch: arch.unwrap_or(self.arch),
            cpus: cpus.unwrap_or(self.cpus),
            memory: memory.unwrap_or(self.memory),
            controller: controller.unwrap_or(self.controller),
            nic: nic.unwrap_or(self.nic),
            ..self
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Node {
    pub name: String,
    /// Names of folders in `roles/`, in the order of the file.
    pub roles: Vec<String>,
    /// Name of the medium that it is built from instead of the lab's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Bytes, a multiple of 512.
    pub disk: u64,
    #[serde(skip_serializing_if = "Board::is_pc")]
    pub board: Board,
    pub arch: Arch,
    #[serde(skip_serializing_if = "PcFirmware::is_bios")]
    pub firmware: PcFirmware,
    /// The root file system; none: the distribution's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs: Option<Fs>,
    pub controller: Controller,
    pub nic: Nic,
    pub mac: Mac,
    pub ip: Ipv4Addr,
    /// Sizes in bytes that replace the plan's own for partitions by name.
    pub partitions: BTreeMap<String, u64>,
}
