//! Addresses of the nodes.
//!
//! An address that the file leaves out is derived, the same on every machine: a
//! MAC from the names of lab and node (so that it stays when other nodes come and
//! go), an IP as the first one in the subnet, in the order of the file, that
//! nobody has. The names alone decide a MAC; should two nodes hash to the same
//! one, the later is hashed again.

use super::draft::{Draft, NodeDraft};
use super::mistakes::{Kind, Notes, Problem};
use super::model::Mac;
use super::once::Once;
use crate::count;
use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The subnet of a lab that names none.
pub const SUBNET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 9, 0, 0), 24);

/// First half of derived MACs: locally administered, as QEMU gives them.
const PREFIX: [u8; 3] = [0x52, 0x54, 0x00];

pub(crate) struct Assigned {
    pub mac: Mac,
    pub ip: Ipv4Addr,
}

/// The subnet, unless what the file says of it is a mistake.
fn subnet(draft: &Draft) -> Option<Ipv4Net> {
    let network = &draft.network;
    network.subnet.as_ref().map(|at| at.value).or((!network.has_subnet).then_some(SUBNET))
}

/// Addresses of the subnet that no node may have.
fn reserved(draft: &Draft, net: Ipv4Net) -> BTreeSet<Ipv4Addr> {
    let network = &draft.network;
    let others = network.gateway.iter().chain(&network.dns).map(|at| at.value);
    others.chain([net.network(), net.broadcast()]).collect()
}

pub(crate) fn check(draft: &Draft, notes: &Notes<'_>) {
    let mut macs = Once::new(notes);
    for mac in draft.nodes.iter().filter_map(|n| n.mac.as_ref()) {
        macs.see(mac.value, &mac.span, || {
            Problem::new(Kind::Duplicate, format!("Two nodes have the MAC address {}", mac.value))
                .help("give each node its own, or leave `mac` out and p9img derives one")
        });
    }
    let mut ips = Once::new(notes);
    for ip in draft.nodes.iter().filter_map(|n| n.ip.as_ref()) {
        ips.see(ip.value, &ip.span, || {
            Problem::new(Kind::Duplicate, format!("Two nodes have the address {}", ip.value))
                .help("give each node its own, or leave `ip` out and p9img chooses a free one")
        });
    }
    let Some(net) = subnet(draft) else { return };
    let network = &draft.network;
    if let Some(gateway) = &network.gateway
        && let Err(problem) = host_of(net, gateway.value, "Gateway")
    {
        notes.note_beside(&gateway.span, problem, network.subnet.as_ref().map(|at| &at.span));
    }
    for ip in draft.nodes.iter().filter_map(|n| n.ip.as_ref()) {
        if let Err(problem) = host_of(net, ip.value, "Address") {
            notes.note_beside(&ip.span, problem, network.subnet.as_ref().map(|at| &at.span));
        } else if let Some(gateway) = network.gateway.as_ref().filter(|g| g.value == ip.value) {
            let problem = Problem::new(Kind::Conflict, format!("Address {} is the gateway's", ip.value));
            notes.note_beside(&ip.span, problem.help("give the node another one"), Some(&gateway.span));
        } else if let Some(dns) = network.dns.iter().find(|d| d.value == ip.value) {
            let problem = Problem::new(Kind::Conflict, format!("Address {} is that of a DNS server", ip.value));
            let problem = problem.help("`dns` names servers outside the lab; give the node another address");
            notes.note_beside(&ip.span, problem, Some(&dns.span));
        }
    }
    check_room(draft, net, notes);
}

fn host_of(net: Ipv4Net, ip: Ipv4Addr, noun: &str) -> Result<(), Problem> {
    let what = if !net.contains(&ip) {
        format!("{noun} {ip} is outside the subnet {net}")
    } else if ip == net.network() {
        format!("{noun} {ip} is the address of the network itself")
    } else if ip == net.broadcast() {
        format!("{noun} {ip} is the broadcast address of {net}")
    } else {
        return Ok(());
    };
    // A subnet has at least four addresses.
    Err(Problem::new(Kind::Conflict, what).expected(format!(
        "{} to {}",
        Ipv4Addr::from_bits(net.network().to_bits() + 1),
        Ipv4Addr::from_bits(net.broadcast().to_bits() - 1)
    )))
}

fn check_room(draft: &Draft, net: Ipv4Net, notes: &Notes<'_>) {
    let taken = reserved(draft, net).iter().filter(|ip| net.contains(*ip)).count();
    let room = 2u64.pow(32 - u32::from(net.prefix_len())).saturating_sub(taken as u64);
    let nodes = draft.nodes.len() as u64;
    if let Some(node) = draft.nodes.get(usize::try_from(room).unwrap_or(usize::MAX)) {
        let problem = Problem::new(
            Kind::Conflict,
            format!(
                "The subnet {net} has {room} for {nodes}",
                room = count::of(room, "address"),
                nodes = count::of(nodes, "node")
            ),
        );
        let problem = problem.help("make the subnet larger: a smaller number after the slash");
        notes.note_beside(&node.span, problem, draft.network.subnet.as_ref().map(|at| &at.span));
    }
}

/// The addresses of every node, in the order of the file.
pub(crate) fn assign(draft: &Draft) -> Vec<Assigned> {
    let net = subnet(draft).unwrap_or(SUBNET);
    let mut taken = reserved(draft, net);
    taken.extend(draft.nodes.iter().filter_map(|n| n.ip.as_ref()).map(|at| at.value));
    let mut free = net.hosts().filter(|ip| !taken.contains(ip));
    let mut macs: BTreeSet<Mac> = draft.nodes.iter().filter_map(|n| n.mac.as_ref()).map(|at| at.value).collect();
    let lab = draft.name.as_ref().map_or("", |at| &at.value);
    let mut assign = |node: &NodeDraft| Assigned {
        mac: node.mac.as_ref().map_or_else(|| derive_mac(lab, node, &mut macs), |at| at.value),
        // There is room: check_room has counted.
        ip: node.ip.as_ref().map_or_else(|| free.next().unwrap_or(net.network()), |at| at.value),
    };
    draft.nodes.iter().map(&mut assign).collect()
}

fn derive_mac(lab: &str, node: &NodeDraft, taken: &mut BTreeSet<Mac>) -> Mac {
    let name = node.name.as_ref().map_or("", |at| &at.value);
    let mut attempt = 0u32;
    loop {
        let hash = Sha256::new().chain_update("p9img mac\0").chain_update(lab).chain_update([0]).chain_update(name);
        let hash = hash.chain_update([0]).chain_update(attempt.to_le_bytes()).finalize();
        let [a, b, c] = PREFIX;
        let mac = Mac([a, b, c, hash[0], hash[1], hash[2]]);
        // 2^24 addresses; a file of a mebibyte has no room for that many nodes.
        if taken.insert(mac) {
            return mac;
        }
        attempt = attempt.wrapping_add(1);
    }
}
