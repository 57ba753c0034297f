//! Checks of values against each other: duplicates, roles that need others,
//! addresses of two nodes. Every function checks one rule, and changes nothing.

use super::board::{Board, Boot, SizeKey};
use super::draft::{Draft, NodeDraft, PORTS_MIN};
use super::format::Format;
use super::mistakes::{Kind, Notes, Problem, capital, choice, quote};
use super::model::*;
use super::needs::Need;
use super::once::Once;
use super::resolve::{MEMORY, disk_of};
use super::roles::{ESP, RoleFacts};
use super::value::At;
use super::words::Word as _;
use super::{SAMPLE, addresses, local_ports, names, releases};
use crate::count;
use crate::root::{Fs, ROOTS};
use crate::size;
use crate::suggest::nearest;
use std::collections::BTreeSet;

/// Notes everything that does not go together.
pub(crate) fn check(draft: &Draft, facts: &[RoleFacts], notes: &Notes<'_>) {
    check_names(draft, notes);
    addresses::check(draft, notes);
    check_media(draft, notes);
    check_layout(draft, notes);
    for node in &draft.nodes {
        check_roles(node, facts, notes);
        check_board(node, facts, notes);
        check_machine(draft, node, notes);
        check_partitions(draft, node, facts, notes);
    }
    check_roles_of_lab(draft, facts, notes);
    check_local_ports(draft, facts, notes);
    check_users_of_roots(draft, notes);
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
            duplicate(format!("Two users are called `{}`", name.value), "remove one of them")
        });
        if let Some(group) = user.groups.iter().find(|g| g.value == name.value) {
            let problem =
                Problem::bad(format!("User `{}` is always a member of the group with the same name", name.value));
            notes.note(&group.span, problem.help("take it out"));
        }
    }
}

/// Finds a layout that no format has.
fn check_layout(draft: &Draft, notes: &Notes<'_>) {
    let layered = Format::layered();
    let formats = draft.formats.as_ref().filter(|f| !f.iter().any(|at| layered.contains(&at.value)));
    if let (Some(layout), Some(_)) = (draft.layout.as_ref().filter(|at| !at.value.is_whole()), formats) {
        let words: Vec<&str> = layered.iter().map(|format| format.word()).collect();
        let problem =
            Problem::new(Kind::Conflict, "`layout` is for files that can be over others, and no format has such files");
        let help = "add one of them to `formats`, or take `layout` out";
        notes.note(&layout.span, problem.expected(choice(&words)).help(help));
    }
}

/// Finds users and groups that the file system of a node cannot have.
fn check_users_of_roots(draft: &Draft, notes: &Notes<'_>) {
    let root = |node: &NodeDraft| node.hardware.fs.or(draft.defaults.fs).map(Fs::kind);
    for kind in ROOTS.iter().filter(|kind| !kind.not_in_users.is_empty()) {
        let Some(node) = draft.nodes.iter().find(|node| root(node).is_some_and(|of| of.fs == kind.fs)) else {
            continue;
        };
        let of_users = draft.users.iter().flat_map(|u| u.name.iter().chain(&u.groups));
        for name in draft.hostowner.iter().chain(of_users).filter(|n| n.value.contains(kind.not_in_users)) {
            let (fs, of) = (kind.word, node.name.as_ref().map_or(String::new(), |n| format!(" of node `{}`", n.value)));
            let problem =
                Problem::new(Kind::Conflict, format!("User or group `{}` cannot be on the {fs}{of}", name.value));
            let without: Vec<_> = kind.not_in_users.iter().map(|c| format!("`{c}`")).collect();
            let problem = problem.expected(format!("a name without {}", without.join(" and ")));
            let problem = problem.help("choose another name, or another `fs`");
            notes.note_beside(&name.span, problem, Some(&node.span));
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

/// Problem of a medium that does not exist. `known` are the lab's media; the names
/// of p9img's releases are right, too, but they are so many that only a likely one
/// is suggested: one with a similar spelling, or the newest of the system that has
/// this name. `otherwise` is the help if there is none.
pub(crate) fn unknown_medium(name: &str, known: &[&str], otherwise: impl Into<String>) -> Problem {
    let problem = Problem::new(Kind::UnknownName, format!("Unknown medium {}", quote(name))).expected(choice(known));
    let releases = || releases::all().iter().map(|r| r.name.as_str());
    if let Some(near) = nearest(name, known.iter().copied().chain(releases())) {
        return problem.help(format!("did you mean `{near}`?"));
    }
    let of_system = |release: &&str| release.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
    let otherwise = otherwise.into();
    match releases().find(of_system) {
        Some(newest) => problem
            .help(format!("the newest release in p9img's list is `{newest}`; for a medium of your own, {otherwise}")),
        None => problem.help(otherwise),
    }
}

/// Advice on how to add a medium of this name.
fn section_of(name: &str) -> String {
    match names::label("", name) {
        Ok(_) => {
            format!("add a section `[media.{}]` with a line `path = \"…\"` or `url = \"…\"`", table_key(name))
        }
        Err(_) => "add a section `[media.NAME]` with its path or address, and give that name here".into(),
    }
}

/// The name as a TOML key: a dot would divide it.
pub(crate) fn table_key(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}

/// The roles of a need, as one of them is asked for.
fn alternatives(need: &Need) -> String {
    choice(&need.roles().collect::<Vec<_>>())
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
        for need in mine.needs.iter().filter(|need| !need.is_met(present.clone())) {
            let what = format!("Role `{}` needs {} on the same node", role.value, alternatives(need));
            let problem = Problem::new(Kind::Conflict, what);
            notes.note(&role.span, problem.help(format!("add it to the roles of node{name}")));
        }
    }
}

/// Checks the keys of a board: of a Pi's hardware, only the card can be chosen.
/// QEMU's ARM machine has virtio devices alone.
fn check_board(node: &NodeDraft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let board = node.board.as_ref().map_or(Board::default(), |b| b.value);
    let spec = board.spec();
    for key in &node.own {
        let (what, help) = match (spec.size, key.value.as_str()) {
            (SizeKey::Disk(what, help), "card") => (what.to_owned(), help),
            (SizeKey::Card, "disk") => {
                (format!("{} has a card, not a disk", capital(spec.of)), "write `card = \"2 GB\"`")
            }
            (_, key) if spec.choices.is_some_and(|all| !all.contains(&key)) => {
                (format!("The `{key}` of {} {}", spec.of, spec.not_chosen), "remove the line")
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

/// Bytes that Plan 9's kernels for the 386 can address: none uses PAE (9legacy
/// `/sys/src/9/pc/memory.c`, MemMax; 9front `/sys/src/9/pc/memory.c`, ramscan).
const MEMORY_386: u64 = 4 << 30;
/// Checks that the kernel for the node's architecture can use its processors and
/// memory, and that its firmware can start it.
fn check_machine(draft: &Draft, node: &NodeDraft, notes: &Notes<'_>) {
    let board = node.board.as_ref().map_or(Board::default(), |b| b.value);
    let (own, common) = (&node.hardware, &draft.defaults);
    let name = node.name.as_ref().map_or(String::new(), |n| format!(" `{}`", n.value));
    let at = |key: &str| node.own.iter().find(|k| k.value == key).map_or(&node.span, |k| &k.span);
    let cpus = own.cpus.or(common.cpus).unwrap_or(1);
    let spec = board.spec();
    if let Some(most) = spec.most_cpus.filter(|most| cpus > *most) {
        let what = format!("Node{name} has {cpus} cpus, but the kernel for {} runs on {most}", spec.of);
        notes.note(at("cpus"), Problem::new(Kind::Conflict, what).help(format!("write `cpus = {most}` or fewer")));
    }
    if spec.fixed.arch.is_some() || own.arch.or(common.arch).unwrap_or(Arch::I386) != Arch::I386 {
        return;
    }
    let memory = own.memory.or(common.memory).unwrap_or(MEMORY);
    if memory > MEMORY_386 {
        let what = format!(
            "Node{name} has {} of memory, but kernels for the 386 use {} at the most",
            size::exact(memory),
            size::exact(MEMORY_386)
        );
        let problem = Problem::new(Kind::Conflict, what);
        notes.note(at("memory"), problem.help("write `arch = \"amd64\"` if the medium has it, or give it less"));
    }
    let firmware = own.firmware.or(common.firmware).unwrap_or(PcFirmware::Bios);
    if firmware.has_uefi() {
        let what = format!("Node{name} is a 386, and machines with UEFI start Plan 9 with 64 bits only");
        let problem = Problem::new(Kind::Conflict, what);
        notes.note(at("firmware"), problem.help("write `arch = \"amd64\"`, or `firmware = \"bios\"`"));
    }
}

fn check_roles_of_lab(draft: &Draft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let all = draft.nodes.iter().flat_map(|n| n.roles.iter());
    for fact in facts {
        let mut holders = all.clone().filter(|role| role.value == fact.name);
        let Some(first) = holders.next() else { continue };
        for need in &fact.needs_in_lab {
            if !need.is_met(all.clone().map(|role| role.value.as_str())) {
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
                let problem = Problem::new(Kind::Duplicate, what).help("remove it from one of them");
                notes.note_beside(&role.span, problem, Some(&first.span));
            }
        }
    }
}

/// Notes each node with a role whose medium has no node with a role that it
/// needs; that the whole lab has none is noted elsewhere.
fn check_medium_of_need(draft: &Draft, fact: &RoleFacts, need: &Need, notes: &Notes<'_>) {
    let medium = |node: &NodeDraft| -> String {
        let own = node.hardware.medium.as_ref().or(draft.defaults.medium.as_ref()).or(draft.medium.as_ref());
        own.map_or_else(|| SAMPLE.to_owned(), |at| at.value.clone())
    };
    let has = |node: &NodeDraft| need.is_met(node.roles.iter().map(|r| r.value.as_str()));
    let with: Vec<String> = draft.nodes.iter().filter(|n| has(n)).map(medium).collect();
    for node in draft.nodes.iter().filter(|n| !with.is_empty() && !with.contains(&medium(n))) {
        let Some(role) = node.roles.iter().find(|r| r.value == fact.name) else { continue };
        let what = format!(
            "Role `{}` needs {} on a node built from the same medium ({})",
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
    let board = node.board.as_ref().map_or(Board::default(), |b| b.value);
    let mut known = board.partitions();
    let firmware = node.hardware.firmware.or(draft.defaults.firmware).unwrap_or(PcFirmware::Bios);
    if board.boot() == Boot::Pc && firmware.has_uefi() {
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
            notes.note(&name.span, problem.help("remove the line"));
        } else if !known.contains(&name.value.as_str()) {
            let what = format!("The node has no partition {}", quote(&name.value));
            let problem = Problem::new(Kind::UnknownName, what).expected(choice(&known));
            let elsewhere = facts.iter().find(|f| f.partitions.contains(&name.value));
            notes.note(
                &name.span,
                match (nearest(&name.value, known.iter().copied()), elsewhere) {
                    (_, Some(fact)) => problem.help(format!("role `{}` has it", fact.name)),
                    (Some(near), None) => problem.help(format!("did you mean `{near}`?")),
                    (None, None) => problem,
                },
            );
        }
    }
    if let Some((name, size)) = node.partitions.iter().max_by_key(|(_, size)| *size)
        && used > disk
    {
        let (used, disk) = (size::exact(used), size::exact(disk));
        let what = match node.partitions.len() {
            1 => format!("Partition `{}` has {used}, but the disk has {disk}", name.value),
            _ => format!("The partitions have {used} in total, but the disk has {disk}"),
        };
        let help = match node.partitions.len() {
            1 => "make the disk larger or the partition smaller".into(),
            _ => format!("make the disk larger, or `{}` smaller than {}", name.value, size::exact(*size)),
        };
        notes.note(&name.span, Problem::new(Kind::Conflict, what).help(help));
    }
}

/// Checks that the ports of this machine suffice for all nodes.
fn check_local_ports(draft: &Draft, facts: &[RoleFacts], notes: &Notes<'_>) {
    let Some(base) = &draft.ports else { return };
    let services = |node: &NodeDraft| {
        if node.board.as_ref().is_some_and(|b| b.value.is_pi()) {
            return 0;
        }
        let of_roles = facts.iter().filter(|f| node.roles.iter().any(|r| r.value == f.name));
        of_roles.flat_map(|f| &f.ports).collect::<BTreeSet<_>>().len()
    };
    let Some(highest) = local_ports::highest(base.value, draft.nodes.iter().map(services)) else { return };
    let over = highest.saturating_sub(usize::from(u16::MAX));
    if over == 0 {
        return;
    }
    let nodes = count::of(draft.nodes.len(), "node");
    let what = format!("Ports that begin at {} reach {highest} with {nodes}, but the last is {}", base.value, u16::MAX);
    let help = match usize::from(base.value).checked_sub(over).filter(|fits| *fits >= usize::from(PORTS_MIN)) {
        Some(fits) => format!("write `ports = {fits}` or less"),
        None => "a lab of so many nodes needs several files".into(),
    };
    notes.note(&base.span, Problem::new(Kind::Conflict, what).help(help));
}
