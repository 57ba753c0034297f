//! Values judged against each other: what is there twice, who needs whom, which
//! address is whose. Then the draft, with its defaults filled in, is the lab.

use super::draft::{Draft, Hardware, NodeDraft};
use super::mistakes::{Kind, Notes, Problem, choice, quote, suggest};
use super::model::*;
use super::roles::{BASE_PARTITIONS, CARD_PARTITIONS, ESP, RoleFacts, VIRT_PARTITIONS};
use super::value::At;
use super::{SAMPLE, addresses, names, releases, units};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// Notes everything that does not go together.
pub(crate) fn check(draft: &Draft, facts: &[RoleFacts], notes: &Notes<'_>) {
    check_names(draft, notes);
    addresses::check(draft, notes);
    check_media(draft, notes);
    for node in &draft.nodes {
        check_roles(node, facts, notes);
        check_board(node, facts, notes);
        check_partitions(draft, node, facts, notes);
    }
    check_roles_of_lab(draft, facts, notes);
}

/// Finds what is there twice.
pub(crate) struct Once<'n, 't, K> {
    notes: &'n Notes<'t>,
    seen: BTreeMap<K, Range<usize>>,
}

impl<'n, 't, K: Ord> Once<'n, 't, K> {
    pub fn new(notes: &'n Notes<'t>) -> Self {
        Self { notes, seen: BTreeMap::new() }
    }

    pub fn see(&mut self, key: K, span: &Range<usize>, problem: impl FnOnce() -> Problem) {
        match self.seen.get(&key) {
            Some(first) => self.notes.note_beside(span, problem(), Some(first)),
            None => drop(self.seen.insert(key, span.clone())),
        }
    }
}

fn check_names(draft: &Draft, notes: &Notes<'_>) {
    let duplicate = |what: String, help: &str| Problem::new(Kind::Duplicate, what).help(help);
    let mut nodes = Once::new(notes);
    for name in draft.nodes.iter().filter_map(|n| n.name.as_ref()) {
        // DNS and some file systems that artifacts land on do not know case.
        nodes.see(name.value.to_ascii_lowercase(), &name.span, || {
            duplicate(
                format!("Two nodes are called `{}`", name.value),
                "give each node its own name; case makes no difference",
            )
        });
    }
    let mut users = Once::new(notes);
    for user in &draft.users {
        let Some(name) = &user.name else { continue };
        users.see(&name.value, &name.span, || {
            duplicate(format!("Two users are called `{}`", name.value), "take one of them out")
        });
        if let Some(group) = user.groups.iter().find(|g| g.value == name.value) {
            let problem = Problem::bad(format!("User `{}` is always a member of the group of that name", name.value));
            notes.note(&group.span, problem.help("take it out"));
        }
    }
}

fn check_media(draft: &Draft, notes: &Notes<'_>) {
    let names = draft.media.iter().map(|(name, _)| name.value.as_str()).filter(|name| *name != SAMPLE);
    let known: Vec<&str> = names.chain([SAMPLE]).collect();
    let of_nodes = draft.nodes.iter().map(|n| &n.hardware.medium);
    for medium in [&draft.medium, &draft.defaults.medium].into_iter().chain(of_nodes).flatten() {
        if !known.contains(&medium.value.as_str()) && releases::find(&medium.value).is_none() {
            notes.note(&medium.span, unknown_medium(&medium.value, &known, section_of(&medium.value)));
        }
    }
}

/// `known` are the lab's media; the releases that p9img knows are no mistake
/// either, but so many that only a likely one is named: one that is spelled
/// alike, or the newest of the system that has this name. `otherwise` is the
/// help where there is none.
pub(crate) fn unknown_medium(name: &str, known: &[&str], otherwise: impl Into<String>) -> Problem {
    let problem = Problem::new(Kind::UnknownName, format!("Unknown medium {}", quote(name))).expected(choice(known));
    let releases = || releases::all().iter().map(|r| r.name.as_str());
    if let Some(near) = suggest(name, known.iter().copied().chain(releases())) {
        return problem.help(format!("did you mean `{near}`?"));
    }
    let of_system = |release: &&str| release.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
    let otherwise = otherwise.into();
    match releases().find(of_system) {
        Some(newest) => {
            problem.help(format!("the newest release that p9img knows is `{newest}`; for what you have, {otherwise}"))
        }
        None => problem.help(otherwise),
    }
}

/// How a medium of this name is given.
fn section_of(name: &str) -> String {
    match names::label("", name) {
        Ok(_) => {
            format!("say where it is: `[media.{}]` with a line `path = \"…\"` or `url = \"…\"`", table_key(name))
        }
        Err(_) => "say where it is in a section `[media.NAME]`, and give that name here".into(),
    }
}

/// The name as a TOML key: a dot would divide it.
pub(crate) fn table_key(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}

/// Whether one of the alternatives `a|b` is in the list.
fn satisfied<'a>(need: &str, roles: impl Iterator<Item = &'a str> + Clone) -> bool {
    need.split('|').any(|alternative| roles.clone().any(|role| role == alternative.trim()))
}

fn alternatives(need: &str) -> String {
    choice(&need.split('|').map(str::trim).collect::<Vec<_>>())
}

fn check_roles(node: &NodeDraft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let fact = |role: &At<String>| facts.iter().find(|fact| fact.name == role.value);
    let name = node.name.as_ref().map_or(String::new(), |n| format!(" `{}`", n.value));
    for (i, role) in node.roles.iter().enumerate() {
        let Some(mine) = fact(role) else { continue };
        for other in &node.roles[..i] {
            let theirs = fact(other).is_some_and(|f| f.conflicts.contains(&role.value));
            if theirs || mine.conflicts.contains(&other.value) {
                let what = format!("Roles `{}` and `{}` cannot be on the same node", other.value, role.value);
                let problem = Problem::new(Kind::Conflict, what).help("give them to different nodes");
                notes.note_beside(&role.span, problem, Some(&other.span));
            }
        }
        let present = node.roles.iter().map(|r| r.value.as_str());
        for need in mine.needs.iter().filter(|need| !satisfied(need, present.clone())) {
            let what = format!("Role `{}` needs {} on the same node", role.value, alternatives(need));
            let problem = Problem::new(Kind::Conflict, what);
            notes.note(&role.span, problem.help(format!("add it to the roles of node{name}")));
        }
    }
}

/// What can be said of the hardware of QEMU's ARM machine.
const VIRT: [&str; 4] = ["cpus", "memory", "disk", "fs"];

/// A Pi is what it is: only its card can be chosen. QEMU's ARM machine has
/// virtio devices alone.
fn check_board(node: &NodeDraft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let board = node.board.as_ref().map_or(Board::Pc, |b| b.value);
    for key in &node.own {
        let (what, help) = match (board.is_pi(), key.value.as_str()) {
            (false, "card") if board == Board::Virt => {
                ("QEMU's ARM machine has no card".to_owned(), "its size is that of its `disk`")
            }
            (false, "card") => ("A PC has no card".to_owned(), "its size is that of its `disk`; or give it a `board`"),
            (false, key) if board == Board::Virt && !VIRT.contains(&key) => {
                (format!("The `{key}` of QEMU's ARM machine cannot be chosen"), "take the line out")
            }
            (true, "disk") => (format!("A {} has a card, not a disk", board.name()), "say `card = \"2 GB\"`"),
            (true, key) if key != "card" => {
                (format!("The `{key}` of a {} is the board's own", board.name()), "take the line out")
            }
            _ => continue,
        };
        let problem = Problem::new(Kind::Conflict, what).help(help);
        notes.note_beside(&key.span, problem, node.board.as_ref().map(|b| &b.span));
    }
    for role in &node.roles {
        let Some(fact) = facts.iter().find(|f| f.name == role.value) else { continue };
        if !fact.boards.is_empty() && !fact.boards.iter().any(|b| b == board.name()) {
            let what = format!("Role `{}` cannot be on a {}", role.value, board.name());
            let boards: Vec<&str> = fact.boards.iter().map(String::as_str).collect();
            let problem =
                Problem::new(Kind::Conflict, what).expected(format!("a node whose `board` is {}", choice(&boards)));
            notes.note_beside(&role.span, problem, node.board.as_ref().map(|b| &b.span));
        }
    }
}

/// Bytes of the node's disk, or card.
fn disk_of(node: &NodeDraft, common: &Hardware) -> u64 {
    match node.board.as_ref().is_some_and(|b| b.value.is_pi()) {
        true => node.hardware.card.or(common.card).unwrap_or(CARD),
        false => node.hardware.disk.or(common.disk).unwrap_or(DISK),
    }
}

fn check_roles_of_lab(draft: &Draft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let all = draft.nodes.iter().flat_map(|n| n.roles.iter());
    for fact in facts {
        let mut holders = all.clone().filter(|role| role.value == fact.name);
        let Some(first) = holders.next() else { continue };
        for need in &fact.needs_in_lab {
            if !satisfied(need, all.clone().map(|role| role.value.as_str())) {
                let what = format!("Role `{}` needs {} on some node of the lab", fact.name, alternatives(need));
                let problem = Problem::new(Kind::Conflict, what).help("add it to the roles of one node");
                notes.note(&first.span, problem);
            }
        }
        for need in &fact.needs_on_medium {
            check_medium_of_need(draft, fact, need, notes);
        }
        if fact.at_most_one {
            for role in holders {
                let what = format!("Role `{}` can be on one node only", fact.name);
                let problem = Problem::new(Kind::Duplicate, what).help("take it from one of them");
                notes.note_beside(&role.span, problem, Some(&first.span));
            }
        }
    }
}

/// Notes each node with a role whose medium has no node with a role that it
/// needs; that the whole lab has none is noted elsewhere.
fn check_medium_of_need(draft: &Draft, fact: &RoleFacts, need: &str, notes: &Notes<'_>) {
    let medium = |node: &NodeDraft| -> String {
        let own = node.hardware.medium.as_ref().or(draft.defaults.medium.as_ref()).or(draft.medium.as_ref());
        own.map_or_else(|| SAMPLE.to_owned(), |at| at.value.clone())
    };
    let has = |node: &NodeDraft| satisfied(need, node.roles.iter().map(|r| r.value.as_str()));
    let with: Vec<String> = draft.nodes.iter().filter(|n| has(n)).map(medium).collect();
    for node in draft.nodes.iter().filter(|n| !with.is_empty() && !with.contains(&medium(n))) {
        let Some(role) = node.roles.iter().find(|r| r.value == fact.name) else { continue };
        let what = format!(
            "Role `{}` needs {} on some node built from the same medium, which is {}",
            role.value,
            alternatives(need),
            quote(&medium(node))
        );
        let problem = Problem::new(Kind::Conflict, what);
        notes.note(&role.span, problem.help("build both from one medium, or add the role to such a node"));
    }
}

fn check_partitions(draft: &Draft, node: &NodeDraft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let of_roles = facts.iter().filter(|f| node.roles.iter().any(|r| r.value == f.name)).flat_map(|f| &f.partitions);
    let board = node.board.as_ref().map_or(Board::Pc, |b| b.value);
    let mut known = match board {
        Board::Pc => BASE_PARTITIONS,
        Board::Virt => VIRT_PARTITIONS,
        Board::Pi1 | Board::Pi2 | Board::Pi3 | Board::Pi4 => CARD_PARTITIONS,
    }
    .to_vec();
    let firmware = node.hardware.firmware.or(draft.defaults.firmware).unwrap_or(PcFirmware::Bios);
    if board == Board::Pc && firmware.has_uefi() {
        known.push(ESP);
        known.retain(|p| firmware.has_bios() || *p != "9fat");
    }
    known.extend(of_roles.map(String::as_str));
    let disk = disk_of(node, &draft.defaults);
    let mut used = 0u64;
    for (name, size) in &node.partitions {
        used = used.saturating_add(*size);
        if name.value == "nvram" {
            let problem = Problem::bad("The size of partition `nvram` cannot be chosen: it is one sector");
            notes.note(&name.span, problem.help("take the line out"));
        } else if !known.contains(&name.value.as_str()) {
            let what = format!("The node has no partition {}", quote(&name.value));
            let problem = Problem::new(Kind::UnknownName, what).expected(choice(&known));
            let elsewhere = facts.iter().find(|f| f.partitions.contains(&name.value));
            notes.note(
                &name.span,
                match (suggest(&name.value, known.iter().copied()), elsewhere) {
                    (_, Some(fact)) => problem.help(format!("role `{}` would bring it", fact.name)),
                    (Some(near), None) => problem.help(format!("did you mean `{near}`?")),
                    (None, None) => problem,
                },
            );
        }
    }
    if let Some((name, size)) = node.partitions.iter().max_by_key(|(_, size)| *size)
        && used > disk
    {
        let (used, disk) = (units::show_size(used), units::show_size(disk));
        let what = match node.partitions.len() {
            1 => format!("Partition `{}` has {used}, but the disk has {disk}", name.value),
            _ => format!("The partitions have {used} together, but the disk has {disk}"),
        };
        let help = match node.partitions.len() {
            1 => "make the disk larger or the partition smaller".into(),
            _ => format!("make the disk larger, or `{}` smaller than {}", name.value, units::show_size(*size)),
        };
        notes.note(&name.span, Problem::new(Kind::Conflict, what).help(help));
    }
}

/// What every node has unless the file says otherwise.
pub const MEMORY: u64 = 512 << 20;
pub const DISK: u64 = 2 << 30;
/// Bytes of a card, in the units that cards are sold by.
pub const CARD: u64 = 2_000_000_000;

/// The lab of a draft without mistakes.
pub(crate) fn finish(draft: Draft, dir: &Path) -> Lab {
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
    let user = |user: super::draft::UserDraft| User { name: text(user.name, ""), groups: plain(user.groups) };
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
        let board = node.board.map_or(Board::Pc, |b| b.value);
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
        match board {
            Board::Pc => pc,
            Board::Virt => Node {
                arch: Arch::Arm64,
                firmware: PcFirmware::Bios,
                controller: Controller::Virtio,
                nic: Nic::Virtio,
                ..pc
            },
            pi => Node {
                cpus: pi.cpus(),
                memory: pi.memory(),
                arch: Arch::Arm,
                firmware: PcFirmware::Bios,
                controller: Controller::Sd,
                ..pc
            },
        }
    };
    Lab {
        medium,
        authdom: text(draft.authdom, &network.domain),
        hostowner: text(draft.hostowner, super::HOSTOWNER),
        users: draft.users.into_iter().map(user).collect(),
        epoch: draft.epoch.map_or(super::EPOCH, |at| at.value),
        timezone: text(draft.timezone, "GMT"),
        formats: formats.unwrap_or_else(|| vec![Format::Qcow2, Format::Ova]),
        controllers: draft.controllers.into_iter().collect(),
        out: dir.join(text(draft.out, "output")),
        url: draft.url.map(|at| at.value),
        media,
        tree: TreeRules { include: draft.include.map(plain), exclude: draft.exclude.map(plain).unwrap_or_default() },
        nodes: draft.nodes.into_iter().zip(addresses).map(node).collect(),
        dir: dir.to_path_buf(),
        name,
        network,
    }
}
