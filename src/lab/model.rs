//! The checked lab: every value present, in its own type and unit.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};
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
    /// Users beside the mandatory ones.
    pub users: Vec<User>,
    /// Time that stamps everything p9img makes itself, seconds since 1970-01-01 UTC.
    pub epoch: u32,
    /// Name of a file in the medium's /adm/timezone, such as `GMT`.
    pub timezone: String,
    pub network: Network,
    pub formats: Vec<Format>,
    /// Controllers that formats have instead of their nodes'.
    pub controllers: BTreeMap<Format, Controller>,
    /// Where artifacts go, resolved against the lab file's folder.
    #[serde(skip)]
    pub out: PathBuf,
    /// Where that folder is served on the web; ends with a slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub media: BTreeMap<String, Medium>,
    pub tree: TreeRules,
    /// In the order of the file.
    pub nodes: Vec<Node>,
    /// Folder that holds the lab file; roles/, templates/ and secrets.toml beside it.
    #[serde(skip)]
    pub dir: PathBuf,
}

impl Lab {
    /// What a node's disk is attached to in a format. An OVA knows no virtio
    /// disk that Plan 9 drives: there it is on IDE.
    pub fn controller(&self, node: &Node, format: Format) -> Controller {
        match (self.controllers.get(&format).copied().unwrap_or(node.controller), format) {
            (Controller::Virtio, Format::Ova) => Controller::Ide,
            (controller, _) => controller,
        }
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
        if node.board != Board::Pc {
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

/// What the lab says of a medium. Left out of plans: the same medium from
/// elsewhere gives the same images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Medium {
    #[serde(skip)]
    pub origin: Origin,
    /// Of the file as it is fetched, or lies there.
    #[serde(skip)]
    pub sha256: Option<Digest>,
    /// Bytes of that file, where somebody has published it.
    #[serde(skip)]
    pub len: Option<u64>,
    /// Who says so: nobody but the command line, the lab, or p9img's releases.
    #[serde(skip)]
    pub said: Said,
}

impl Medium {
    /// A medium at a path that only the command line names.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::Path(path.into()), sha256: None, len: None, said: Said::Here }
    }
}

/// Who says where a medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The command line. Such a medium is not recorded in `p9img.lock`.
    Here,
    Lab,
    Releases,
}

/// Where a medium is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On this machine; resolved against the lab file's folder.
    Path(PathBuf),
    /// The same file at each of these addresses, to be tried in this order.
    Urls(Vec<String>),
}

/// Which of the medium's files go into an image: shell patterns over paths
/// without leading slash (`sys/src/**`). Nothing given: the distribution's default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TreeRules {
    pub include: Option<Vec<String>>,
    pub exclude: Vec<String>,
}

impl Node {
    /// What decides which kernel runs: a Pi's board, or an architecture.
    pub const fn machine(&self) -> &'static str {
        if self.board.is_pi() { self.board.name() } else { self.arch.name() }
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

/// What a node is: a PC, QEMU's machine for 64-bit ARM, or a Raspberry Pi, of
/// which the zeros are a 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Board {
    Pc,
    Virt,
    Pi1,
    Pi2,
    Pi3,
    Pi4,
}

impl Board {
    pub const fn is_pi(self) -> bool {
        !matches!(self, Self::Pc | Self::Virt)
    }
    /// Whether the disk begins with a FAT partition that firmware reads, and
    /// no boot sectors.
    pub const fn has_dos(self) -> bool {
        !matches!(self, Self::Pc)
    }
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    const fn is_pc(&self) -> bool {
        matches!(self, Self::Pc)
    }
    /// Whether QEMU has a board on which its kernel runs. A Pi 3 has that of a
    /// Pi 2, and runs there.
    pub const fn is_emulated(self) -> bool {
        matches!(self, Self::Pc | Self::Virt | Self::Pi2 | Self::Pi3)
    }
    /// As `lab.toml` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Virt => "virt",
            Self::Pi1 => "pi1",
            Self::Pi2 => "pi2",
            Self::Pi3 => "pi3",
            Self::Pi4 => "pi4",
        }
    }
    /// Processors of a Pi.
    pub const fn cpus(self) -> u32 {
        match self {
            Self::Pc | Self::Virt | Self::Pi1 => 1,
            Self::Pi2 | Self::Pi3 | Self::Pi4 => 4,
        }
    }
    /// Bytes of a Pi's memory: of the smallest one that is sold by this name.
    pub const fn memory(self) -> u64 {
        match self {
            Self::Pc | Self::Virt | Self::Pi1 => 512 << 20,
            Self::Pi2 | Self::Pi3 | Self::Pi4 => 1 << 30,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    #[serde(rename = "386")]
    I386,
    Amd64,
    /// 32-bit ARM, of a Pi.
    Arm,
    /// 64-bit ARM, of QEMU's machine `virt`.
    Arm64,
}

impl Arch {
    /// As Plan 9 names it (`$cputype`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::I386 => "386",
            Self::Amd64 => "amd64",
            Self::Arm => "arm",
            Self::Arm64 => "arm64",
        }
    }
}

/// What of a PC starts its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PcFirmware {
    /// Boot sectors: MBR, then 9fat.
    Bios,
    /// A loader on an EFI system partition.
    Uefi,
    Both,
}

impl PcFirmware {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    pub(crate) const fn is_bios(&self) -> bool {
        matches!(self, Self::Bios)
    }
    /// Whether the disk has boot sectors and a 9fat.
    pub const fn has_bios(self) -> bool {
        matches!(self, Self::Bios | Self::Both)
    }
    /// Whether the disk has an EFI system partition.
    pub const fn has_uefi(self) -> bool {
        matches!(self, Self::Uefi | Self::Both)
    }
}

/// What a node's root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fs {
    Fossil,
    Hjfs,
    Gefs,
    Cwfs64x,
}

impl Fs {
    /// The partition that the kernel starts from, as the distributions'
    /// installers call it.
    pub const fn partition(self) -> &'static str {
        match self {
            Self::Fossil => "fossil",
            Self::Hjfs | Self::Gefs => "fs",
            Self::Cwfs64x => "fscache",
        }
    }

    /// The partition with the files, which gets the room that is left.
    pub const fn data_partition(self) -> &'static str {
        match self {
            Self::Cwfs64x => "fsworm",
            other => other.partition(),
        }
    }

    /// What its server's console is called in /srv, without `.cmd`.
    pub const fn service(self) -> &'static str {
        match self {
            Self::Fossil => "fossil",
            Self::Hjfs => "hjfs",
            Self::Gefs => "gefs",
            Self::Cwfs64x => "cwfs",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    Ide,
    Sata,
    Virtio,
    /// The slot of a Pi's card.
    Sd,
}

impl Controller {
    /// Name of the first disk in Plan 9: IDE `sdC0`, AHCI `sdE0`, virtio-blk `sdF0`, card `sdM0`.
    pub const fn device(self) -> &'static str {
        match self {
            Self::Ide => "sdC0",
            Self::Sata => "sdE0",
            Self::Virtio => "sdF0",
            Self::Sd => "sdM0",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    E1000,
    Virtio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl std::fmt::Display for Mac {
    /// Lower-case hexadecimal with colons.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// An artifact's form, with the word users type for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Raw,
    Qcow2,
    /// qcow2 with zstd clusters.
    Qcow2Zstd,
    Ova,
    /// The image of a Pi's card in a zip archive.
    Sd,
    /// The same under xz.
    SdXz,
    /// The same under zstd.
    SdZst,
}

impl Format {
    /// Whether only the cards of Pis have this form.
    pub const fn is_card(self) -> bool {
        matches!(self, Self::Sd | Self::SdXz | Self::SdZst)
    }
    /// What stands for the format on a board: a Pi is not imported as a machine,
    /// QEMU's ARM machine by QEMU alone. None where there is no such thing.
    pub const fn on(self, board: Board) -> Option<Self> {
        match (board, self) {
            (Board::Pc | Board::Virt, Self::Sd | Self::SdXz | Self::SdZst) => None,
            (Board::Virt, Self::Ova) => Some(Self::Qcow2),
            (Board::Pi1 | Board::Pi2 | Board::Pi3 | Board::Pi4, Self::Ova) => Some(Self::Sd),
            (_, other) => Some(other),
        }
    }
}
