//! Variables of templates: `lab`, `node`, `slots` and, in some places, `user`.
//!
//! Everything is present on every node, empty where there is nothing, so that
//! strict templates need no tests for existence. Passwords and keys are not
//! here: a template cannot leak what it cannot name.

use super::schema::{Kernel, SystemUser};
use crate::lab::words::Word as _;
use crate::lab::{Fs, Lab, Node};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Groups of a host owner that the lab does not list as a user: they let the owner
/// of a machine change its system files.
const OWNER_GROUPS: [&str; 2] = ["adm", "sys"];

/// Facts of one node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeView {
    pub name: String,
    /// Full DNS name.
    pub dom: String,
    /// Distribution that it is built from, such as `9legacy`.
    pub distribution: String,
    pub roles: Vec<String>,
    /// Every role there is, true for those of the node.
    pub is: BTreeMap<String, bool>,
    pub ip: String,
    /// With colons.
    pub mac: String,
    /// Without colons, as ndb(6) writes it.
    pub ether: String,
    /// `pc`, `pi1`, …
    pub board: String,
    /// Whether it is a Raspberry Pi.
    pub pi: bool,
    pub arch: String,
    pub cpus: u32,
    pub memory_mib: u64,
    /// Device of the first disk, such as `sdC0`.
    pub device: String,
    /// `cpu` or `terminal`.
    pub kind: String,
    /// Name of the kernel's file in 9fat; empty when the distribution has none.
    pub kernel: String,
    /// Listeners that are on.
    pub services: BTreeSet<String>,
    /// TCP ports that its roles and its distribution listen on.
    pub listens: BTreeSet<u16>,
    /// The root file system, the partition that the kernel finds it by, and the
    /// name of its server's console in /srv.
    pub fs: &'static str,
    pub root: &'static str,
    pub srv: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct LabView {
    pub name: String,
    /// Of the node that is rendered.
    pub distribution: String,
    pub authdom: String,
    pub hostowner: String,
    pub timezone: String,
    pub epoch: u32,
    pub users: Vec<UserView>,
    /// Everybody who can log in: the host owner, then the users.
    pub logins: Vec<UserView>,
    pub nodes: Vec<NodeView>,
    /// For every role there is, the nodes that have it.
    pub with: BTreeMap<String, Vec<NodeView>>,
    /// The same of the nodes that are built from the medium of the node that is rendered.
    pub alike: BTreeMap<String, Vec<NodeView>>,
    pub network: NetworkView,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct UserView {
    pub name: String,
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct NetworkView {
    pub name: String,
    /// The network's own address.
    pub address: String,
    /// Such as `255.255.255.0`.
    pub mask: String,
    /// Empty when there is none.
    pub gateway: String,
    pub dns: Vec<String>,
    pub domain: String,
    /// The domains of the nodes' addresses, such as `0.9.10.in-addr.arpa`.
    pub reverse: Vec<String>,
}

/// A line of the file system's list of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Account {
    /// The number that hjfs, cwfs64x and gefs store; fossil stores names.
    pub id: i16,
    pub name: String,
    pub leader: String,
    /// Separated by commas.
    pub members: String,
}

/// Facts for a node's view that come from the catalog.
pub(super) struct NodeFacts<'a> {
    pub distribution: &'a str,
    pub kind: Option<Kernel>,
    pub kernel: &'a str,
    pub services: BTreeSet<String>,
    pub listens: BTreeSet<u16>,
    pub fs: Fs,
}

pub(super) fn node_view<'a>(
    lab: &Lab,
    node: &Node,
    roles: impl Iterator<Item = &'a str>,
    facts: NodeFacts<'_>,
) -> NodeView {
    let mac = node.mac.to_string();
    NodeView {
        name: node.name.clone(),
        dom: format!("{}.{}", node.name, lab.network.domain),
        distribution: facts.distribution.into(),
        roles: node.roles.clone(),
        is: roles.map(|r| (r.to_owned(), node.roles.iter().any(|n| n == r))).collect(),
        ip: node.ip.to_string(),
        ether: mac.replace(':', ""),
        mac,
        board: node.board.name().into(),
        pi: node.board.is_pi(),
        arch: node.arch.name().into(),
        cpus: node.cpus,
        memory_mib: node.memory >> 20,
        device: node.controller.device().into(),
        kind: facts.kind.map_or("", Kernel::name).into(),
        kernel: facts.kernel.rsplit('/').next().unwrap_or_default().into(),
        services: facts.services,
        listens: facts.listens,
        fs: facts.fs.word(),
        root: facts.fs.kind().partitions.start,
        srv: facts.fs.kind().service,
    }
}

/// The lab as templates about `node` see it; `nodes` are the views of all nodes,
/// in their order.
pub(super) fn lab_view<'a>(
    lab: &Lab,
    node: &Node,
    distribution: &str,
    nodes: Vec<NodeView>,
    roles: impl Iterator<Item = &'a str>,
) -> LabView {
    let medium = lab.medium_of(node);
    let (mut with, mut alike) = (BTreeMap::new(), BTreeMap::new());
    for role in roles {
        let having = lab.nodes.iter().zip(&nodes).filter(|(_, view)| view.is.get(role) == Some(&true));
        let same = having.clone().filter(|(n, _)| lab.medium_of(n) == medium);
        alike.insert(role.to_owned(), same.map(|(_, view)| view.clone()).collect());
        with.insert(role.to_owned(), having.map(|(_, view)| view.clone()).collect());
    }
    LabView {
        name: lab.name.clone(),
        distribution: distribution.into(),
        authdom: lab.authdom.clone(),
        hostowner: lab.hostowner.clone(),
        timezone: lab.timezone.clone(),
        epoch: lab.epoch,
        logins: logins(lab),
        users: users(lab),
        with,
        alike,
        nodes,
        network: NetworkView {
            name: lab.network.name.clone(),
            address: lab.network.subnet.network().to_string(),
            mask: lab.network.subnet.netmask().to_string(),
            gateway: lab.network.gateway.map(|g| g.to_string()).unwrap_or_default(),
            dns: lab.network.dns.iter().map(ToString::to_string).collect(),
            domain: lab.network.domain.clone(),
            reverse: reverse(lab.nodes.iter().map(|n| n.ip)),
        },
    }
}

fn users(lab: &Lab) -> Vec<UserView> {
    lab.users.iter().map(|u| UserView { name: u.name.clone(), groups: u.groups.clone() }).collect()
}

/// Everybody who can log in: the host owner, then the users.
pub(super) fn logins(lab: &Lab) -> Vec<UserView> {
    let (owner, others): (Vec<_>, Vec<_>) = users(lab).into_iter().partition(|u| u.name == lab.hostowner);
    let unlisted = || UserView { name: lab.hostowner.clone(), groups: OWNER_GROUPS.map(Into::into).to_vec() };
    std::iter::once(owner.into_iter().next().unwrap_or_else(unlisted)).chain(others).collect()
}

/// The domains that hold the names of the addresses, each once, one for 256
/// addresses.
fn reverse(addresses: impl Iterator<Item = Ipv4Addr>) -> Vec<String> {
    let nets: BTreeSet<[u8; 3]> = addresses.map(|ip| ip.octets()).map(|[a, b, c, _]| [a, b, c]).collect();
    nets.into_iter().map(|[a, b, c]| format!("{c}.{b}.{a}.in-addr.arpa")).collect()
}

/// The file system's users: those of the distribution and the roles, then the
/// lab's. A user who can log in leads a group of their own name; a group that only
/// a user's `groups` names is made.
///
/// A user or group without a number gets the next that is free, users who can log
/// in from 3 on and others from 10000 on, as newuser of hjfs(8) does.
pub(super) fn accounts<'a>(system: impl Iterator<Item = &'a SystemUser> + Clone, logins: &[UserView]) -> Vec<Account> {
    let numbered = system.clone().filter_map(|u| Some((u.name.clone(), u.id?)));
    let mut ids: BTreeMap<String, i16> = numbered.collect();
    let mut list: Vec<(String, String, Vec<String>)> = Vec::new();
    let mut add = |name: &str, leader: &str, members: &[String]| {
        let at = list.iter().position(|(n, ..)| n == name).unwrap_or_else(|| {
            list.push((name.into(), String::new(), Vec::new()));
            list.len() - 1
        });
        let (_, own_leader, own_members) = &mut list[at];
        if own_leader.is_empty() {
            *own_leader = leader.into();
        }
        for m in members {
            if !own_members.contains(m) && m != name {
                own_members.push(m.clone());
            }
        }
    };
    for user in system {
        add(&user.name, &user.leader, &user.members);
    }
    for user in logins {
        add(&user.name, &user.name, &[]);
    }
    for user in logins {
        for group in &user.groups {
            add(group, "", std::slice::from_ref(&user.name));
        }
    }
    for (name, ..) in &list {
        if !ids.contains_key(name) {
            let first = if logins.iter().any(|u| u.name == *name) { 3 } else { 10_000 };
            let free = (first..i16::MAX).find(|id| ids.values().all(|taken| taken != id));
            ids.insert(name.clone(), free.unwrap_or(i16::MAX));
        }
    }
    let id = |name: &str| ids.get(name).copied().unwrap_or_default();
    let account = |(name, leader, members): (String, String, Vec<String>)| Account {
        id: id(&name),
        name,
        leader,
        members: members.join(","),
    };
    list.into_iter().map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_256_addresses_has_one_reverse_domain() {
        let addresses = [[10, 9, 1, 4], [10, 9, 0, 11], [10, 9, 0, 12]].map(Ipv4Addr::from);
        assert_eq!(reverse(addresses.into_iter()), ["0.9.10.in-addr.arpa", "1.9.10.in-addr.arpa"]);
    }

    #[test]
    fn groups_gather_their_members_once() {
        let system = [
            SystemUser {
                name: "adm".into(),
                id: Some(-1),
                leader: "adm".into(),
                members: vec!["sys".into(), "bootes".into()],
            },
            SystemUser { name: "none".into(), id: Some(3), leader: String::new(), members: vec![] },
        ];
        let user = |name: &str, groups: &[&str]| UserView {
            name: name.into(),
            groups: groups.iter().map(|g| (*g).into()).collect(),
        };
        let logins = [user("bootes", &["adm"]), user("glenda", &["adm", "dev", "glenda"])];
        let line = |a: &Account| format!("{}:{}:{}:{}", a.id, a.name, a.leader, a.members);
        let lines: Vec<_> = accounts(system.iter(), &logins).iter().map(line).collect();
        let want = ["-1:adm:adm:sys,bootes,glenda", "3:none::", "4:bootes:bootes:", "5:glenda:glenda:"];
        assert_eq!(lines[..4], want);
        assert_eq!(lines[4..], ["10000:dev::glenda"]);
    }
}
