//! Defaults: a draft without mistakes, with all that it leaves out filled in, is the
//! lab.

use super::board::{Board, SizeKey};
use super::draft::{Draft, Hardware, NodeDraft, UserDraft};
use super::format::Format;
use super::model::*;
use super::value::At;
use super::{SAMPLE, addresses, releases};
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of memory of a node that gives none.
pub(super) const MEMORY: u64 = 512 << 20;
/// Bytes of a disk.
const DISK: u64 = 2 << 30;
/// Bytes of a card, in the units that cards are sold by.
const CARD: u64 = 2_000_000_000;

/// Bytes of the node's disk, or card.
pub(super) fn disk_of(node: &NodeDraft, common: &Hardware) -> u64 {
    match node.board.as_ref().map_or(Board::default(), |b| b.value).spec().size {
        SizeKey::Card => node.hardware.card.or(common.card).unwrap_or(CARD),
        SizeKey::Disk(..) => node.hardware.disk.or(common.disk).unwrap_or(DISK),
    }
}

/// The lab of a draft without mistakes; paths in it are relative to `dir`.
pub(super) fn lab(draft: Draft, dir: &Path) -> Lab {
    let addresses = addresses::assign(&draft);
    let text = |at: Option<At<String>>, default: &str| at.map_or_else(|| default.to_owned(), |at| at.value);
    let plain = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect::<Vec<String>>();
    let name = text(draft.name, "");
    let network = Network {
        name: text(draft.network.name, &name),
        subnet: draft.network.subnet.map_or(addresses::SUBNET, |at| at.value),
        gateway: draft.network.gateway.map(|at| at.value),
        dns: draft.network.dns.into_iter().map(|at| at.value).collect(),
        domain: text(draft.network.domain, super::DOMAIN),
    };
    let user = |user: UserDraft| User { name: text(user.name, ""), groups: plain(user.groups) };
    let formats = draft.formats.map(|list| list.into_iter().map(|at| at.value).collect());
    let located = |medium: Medium| match medium.origin {
        Origin::Path(path) => Medium { origin: Origin::Path(dir.join(path)), ..medium },
        Origin::Urls(_) => medium,
    };
    let media = draft.media.into_iter().filter_map(|(name, medium)| Some((name.value, located(medium?))));
    let mut media: BTreeMap<String, Medium> = media.collect();
    let medium = text(draft.medium, SAMPLE);
    let common = draft.defaults;
    let of_nodes = draft.nodes.iter().filter_map(|n| n.hardware.medium.as_ref()).chain(&common.medium);
    for name in of_nodes.map(|at| &at.value).chain([&medium]) {
        if let (false, Some(release)) = (media.contains_key(name), releases::find(name)) {
            media.insert(name.clone(), release.medium());
        }
    }
    let node = |(node, address): (NodeDraft, addresses::Assigned)| {
        let disk = disk_of(&node, &common);
        let board = node.board.map_or(Board::default(), |b| b.value);
        let pc = Node {
            name: text(node.name, ""),
            roles: plain(node.roles),
            medium: node.hardware.medium.or_else(|| common.medium.clone()).map(|at| at.value),
            cpus: node.hardware.cpus.or(common.cpus).unwrap_or(1),
            memory: node.hardware.memory.or(common.memory).unwrap_or(MEMORY),
            disk,
            board,
            arch: node.hardware.arch.or(common.arch).unwrap_or(Arch::I386),
            firmware: node.hardware.firmware.or(common.firmware).unwrap_or(PcFirmware::Bios),
            fs: node.hardware.fs.or(common.fs),
            controller: node.hardware.controller.or(common.controller).unwrap_or(Controller::Ide),
            nic: node.hardware.nic.or(common.nic).unwrap_or(Nic::E1000),
            mac: address.mac,
            ip: address.ip,
            partitions: node.partitions.into_iter().map(|(name, size)| (name.value, size)).collect(),
        };
        pc.of_board()
    };
    Lab {
        medium,
        authdom: text(draft.authdom, &network.domain),
        hostowner: text(draft.hostowner, super::HOSTOWNER),
        users: draft.users.into_iter().map(user).collect(),
        epoch: draft.epoch.map_or(super::EPOCH, |at| at.value),
        epoch_from: None,
        timezone: text(draft.timezone, "GMT"),
        formats: formats.unwrap_or_else(|| Format::DEFAULT.to_vec()),
        layout: draft.layout.map_or(Layout::default(), |at| at.value),
        controllers: draft.controllers.into_iter().collect(),
        out: dir.join(text(draft.out, "output")),
        url: draft.url.map(|at| at.value),
        media,
        ports: draft.ports.map(|at| at.value),
        tree: TreeRules { include: draft.include.map(plain), exclude: draft.exclude.map(plain).unwrap_or_default() },
        nodes: draft.nodes.into_iter().zip(addresses).map(node).collect(),
        dir: dir.to_path_buf(),
        notes: Vec::new(),
        name,
        network,
    }
}
