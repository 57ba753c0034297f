//! The lab file as it is written: each value in its type and with its place.
//!
//! Here a value is judged alone; [`super::check`] judges values against each
//! other. None means that the file does not say, or that what it says was a
//! mistake and is noted: the draft of a file with mistakes is never used for
//! more than finding further ones.

use super::board::Board;
use super::format::Format;
use super::model::{Arch, Controller, Layout, Mac, Medium, Nic, Origin, PcFirmware, Said};
use super::roles::RoleFacts;
use super::value::{At, Section, Value};
use super::words::Word as _;
use super::{mistakes::*, names, units, words};
use crate::count;
use crate::root::Fs;
use crate::size;
use crate::suggest::nearest;
use std::net::Ipv4Addr;
use std::ops::Range;

pub const MEMORY_MIN: u64 = 64 << 20;
pub const MEMORY_MAX: u64 = 1 << 40;
/// VMware starts no machine whose memory is not a multiple of this.
pub const MEMORY_STEP: u64 = 4 << 20;
pub const DISK_MIN: u64 = 64 << 20;
/// An MBR counts sectors of 512 bytes in 32 bits.
pub const DISK_MAX: u64 = 2 << 40;
/// Smallest MAXMACH of the kernels for PCs: 9front's with 32 bits.
pub const CPUS_MAX: u32 = 32;
/// The first port that needs no root.
pub const PORTS_MIN: u16 = 1024;
/// Largest base: one node's ports fit between it and 65,535.
pub const PORTS_MAX: u16 = 65_000;

/// Keys that describe a machine.
const HARDWARE: [&str; 8] = ["arch", "cpus", "memory", "disk", "card", "firmware", "controller", "nic"];

#[derive(Default)]
pub(crate) struct Draft {
    pub name: Option<At<String>>,
    pub medium: Option<At<String>>,
    pub authdom: Option<At<String>>,
    pub hostowner: Option<At<String>>,
    pub epoch: Option<At<u32>>,
    pub timezone: Option<At<String>>,
    pub url: Option<At<String>>,
    pub formats: Option<Vec<At<Format>>>,
    pub layout: Option<At<Layout>>,
    pub controllers: Vec<(Format, Controller)>,
    pub out: Option<At<String>>,
    pub users: Vec<UserDraft>,
    pub network: NetworkDraft,
    pub defaults: Hardware,
    pub media: Vec<(At<String>, Option<Medium>)>,
    pub include: Option<Vec<At<String>>>,
    pub exclude: Option<Vec<At<String>>>,
    pub nodes: Vec<NodeDraft>,
    pub ports: Option<At<u16>>,
}

#[derive(Default)]
pub(crate) struct UserDraft {
    pub name: Option<At<String>>,
    pub groups: Vec<At<String>>,
}

#[derive(Default)]
pub(crate) struct NetworkDraft {
    pub name: Option<At<String>>,
    pub subnet: Option<At<ipnet::Ipv4Net>>,
    /// The file gives a subnet, be it a wrong one.
    pub has_subnet: bool,
    pub gateway: Option<At<Ipv4Addr>>,
    pub dns: Vec<At<Ipv4Addr>>,
    pub domain: Option<At<String>>,
}

/// Keys of a node, which [defaults] may set for all.
#[derive(Clone, Default)]
pub(crate) struct Hardware {
    /// Name of the medium that it is built from.
    pub medium: Option<At<String>>,
    pub arch: Option<Arch>,
    pub cpus: Option<u32>,
    pub memory: Option<u64>,
    pub disk: Option<u64>,
    /// Bytes of a Pi's card.
    pub card: Option<u64>,
    pub firmware: Option<PcFirmware>,
    pub fs: Option<Fs>,
    pub controller: Option<Controller>,
    pub nic: Option<Nic>,
}

pub(crate) struct NodeDraft {
    /// Range of its header.
    pub span: Range<usize>,
    pub name: Option<At<String>>,
    pub roles: Vec<At<String>>,
    pub mac: Option<At<Mac>>,
    pub ip: Option<At<Ipv4Addr>>,
    pub board: Option<At<Board>>,
    pub hardware: Hardware,
    /// Keys of the hardware that the node itself has.
    pub own: Vec<At<String>>,
    pub partitions: Vec<(At<String>, u64)>,
}

/// Reads every section; `facts` are the roles that there are.
pub(crate) fn read(root: &Section<'_, '_>, facts: &[RoleFacts]) -> Draft {
    let mut draft = Draft::default();
    match root.section("lab", "[lab]") {
        Some(lab) => read_lab(&lab, &mut draft),
        None if root.has("lab") => {}
        None => {
            let problem = Problem::new(Kind::MissingKey, "There is no section [lab]");
            root.notes.note(&root.span, problem.help("begin the file with `[lab]` and a line `name = \"mylab\"`"));
        }
    }
    draft.users = root.sections("user", "[[user]]").iter().map(read_user).collect();
    draft.network = root.section("network", "[network]").map(|s| read_network(&s)).unwrap_or_default();
    draft.defaults = root.section("defaults", "[defaults]").map(|s| read_hardware(&s)).unwrap_or_default();
    draft.controllers = root.section("format", "").map(|s| read_formats(&s)).unwrap_or_default();
    draft.media = root.section("media", "").map(|s| read_media(&s)).unwrap_or_default();
    if let Some(tree) = root.section("tree", "[tree]") {
        let patterns = |key| tree.get(key)?.strings("patterns such as `\"sys/src/**\"`", names::pattern);
        draft.include = patterns("include");
        draft.exclude = patterns("exclude");
        if draft.include.as_ref().is_some_and(Vec::is_empty)
            && let Some(include) = tree.get("include").filter(Value::is_empty_list)
        {
            let problem = Problem::bad("`include` is an empty list, so that images would contain no file");
            include
                .wrong(problem.help("leave the key out for the distribution's default, or name the files to include"));
        }
    }
    draft.ports = root.section("run", "[run]").and_then(|run| {
        let expected = format!("an integer from {PORTS_MIN} to {PORTS_MAX}");
        run.get("ports")?.integer(&expected, |number| ports(number, &expected))
    });
    draft.nodes = root.sections("node", "[[node]]").iter().map(|s| read_node(s, facts)).collect();
    if draft.nodes.is_empty() && root.get("node").is_none_or(|v| v.is_empty_list()) {
        let span = root.get("node").map_or(root.span.clone(), |v| v.span);
        let problem = Problem::new(Kind::MissingKey, "The lab has no node");
        root.notes.note(&span, problem.help("add a `[[node]]` with `name = \"plan9n1\"` and `roles = [\"cpu\"]`"));
    }
    draft
}

fn read_lab(lab: &Section<'_, '_>, draft: &mut Draft) {
    let text = "a text in quotes";
    draft.name = lab.require("name", "\"mylab\"").and_then(|v| v.parse(text, |t| names::label("Lab name", t)));
    draft.medium = lab.get("medium").and_then(|v| v.parse(text, |t| Ok(t.to_owned())));
    draft.authdom = lab.get("authdom").and_then(|v| v.parse(text, names::authdom));
    draft.hostowner = lab.get("hostowner").and_then(|v| v.parse(text, |t| names::new_user("Host owner", t)));
    draft.epoch = lab.get("epoch").and_then(|v| v.parse_scalar(units::EPOCH, units::epoch_value));
    draft.timezone = lab.get("timezone").and_then(|v| v.parse(text, names::timezone));
    draft.url = lab.get("url").and_then(|v| v.parse("an address in quotes", names::folder_url));
    draft.out = lab.get("out").and_then(|v| v.parse(text, |t| names::path("`out`", t)));
    draft.layout = lab.get("layout").and_then(|v| v.parse("a layout such as `\"overlay\"`", words::parse));
    let Some(value) = lab.get("formats") else { return };
    draft.formats = value.strings(&format!("formats such as `\"{}\"`", Format::DEFAULT[0].word()), words::parse);
    if value.is_empty_list() {
        value.wrong(
            Problem::bad("`formats` is an empty list, so that a build would write nothing")
                .help(format!(
                    "leave the key out for {}, or name a format",
                    Format::DEFAULT.map(|format| format.word()).join(" and ")
                ))
                .expected(words::list::<Format>()),
        );
    }
}

fn read_user(user: &Section<'_, '_>) -> UserDraft {
    let name = user.require("name", "\"glenda\"");
    let groups = user.get("groups").and_then(|v| v.strings("groups such as `\"sys\"`", |t| names::user("Group", t)));
    UserDraft {
        name: name.and_then(|v| v.parse("a text in quotes", |t| names::new_user("User", t))),
        groups: groups.unwrap_or_default(),
    }
}

fn read_network(network: &Section<'_, '_>) -> NetworkDraft {
    let text = "a text in quotes";
    let dns = network.get("dns").and_then(|v| v.strings("addresses such as `\"10.9.0.1\"`", address));
    NetworkDraft {
        name: network.get("name").and_then(|v| v.parse(text, |t| names::label("Network name", t))),
        subnet: network.get("subnet").and_then(|v| v.parse("a subnet such as `\"10.9.0.0/24\"`", subnet)),
        has_subnet: network.has("subnet"),
        gateway: network.get("gateway").and_then(|v| v.parse("an address such as `\"10.9.0.1\"`", address)),
        dns: dns.unwrap_or_default(),
        domain: network.get("domain").and_then(|v| v.parse(text, names::domain)),
    }
}

fn address(text: &str) -> Result<Ipv4Addr, Problem> {
    let wrong = |what: &str| Problem::bad(format!("{} is not an address {what}", quote(text)));
    let ip: Ipv4Addr = text.parse().map_err(|_| {
        let problem = wrong("of IPv4").expected("four numbers from 0 to 255 with dots, such as `10.9.0.1`");
        match text.split_once('/') {
            Some((ip, _)) if ip.parse::<Ipv4Addr>().is_ok() => problem.help(format!("leave the mask out: `\"{ip}\"`")),
            _ => problem,
        }
    })?;
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback() {
        return Err(wrong("that a machine on a network can have"));
    }
    Ok(ip)
}

fn subnet(text: &str) -> Result<ipnet::Ipv4Net, Problem> {
    let wrong = |what: &str| Problem::bad(format!("Subnet {} {what}", quote(text)));
    let expected = "an address and a prefix length, such as `10.9.0.0/24`";
    let net: ipnet::Ipv4Net = text.parse().map_err(|_| wrong("is not a network").expected(expected))?;
    if !(8..=30).contains(&net.prefix_len()) {
        return Err(wrong("has an unusable size").expected("a prefix length from 8 to 30"));
    }
    if net.trunc() != net {
        let help = format!("the network of that address is `\"{}\"`", net.trunc());
        return Err(wrong("is the address of a host in a network").help(help));
    }
    let first = net.network();
    if first.octets()[0] == 0 || first.is_loopback() || first.octets()[0] >= 224 {
        return Err(wrong("is not a network that machines can have")
            .help("private ones are in 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16"));
    }
    Ok(net)
}

fn word<W: words::Word>(value: Option<Value<'_, '_>>) -> Option<W> {
    Some(value?.parse(&choice(&W::WORDS.iter().map(|(w, _)| *w).collect::<Vec<_>>()), words::parse)?.value)
}

fn read_formats(formats: &Section<'_, '_>) -> Vec<(Format, Controller)> {
    let mut all = Vec::new();
    for (key, value) in formats.entries() {
        let format = words::parse::<Format>(&key.value).map_err(|problem| formats.notes.note(&key.span, problem)).ok();
        let controller = value.section("[format.NAME]").and_then(|s| word(s.require("controller", "\"sata\"")));
        all.extend(format.zip(controller));
    }
    all
}

fn read_hardware(section: &Section<'_, '_>) -> Hardware {
    let value = |key| section.get(key);
    let size = |key, check: fn(u64) -> Result<u64, Problem>| {
        let found = value(key)?.parse_scalar(units::SIZE, |s| units::size_value(s).and_then(check))?;
        Some(found.value)
    };
    let sectors = |key, check: fn(u64) -> Result<u64, Problem>| read_sectors(&value(key)?, check);
    Hardware {
        medium: value("medium").and_then(|v| v.parse("a text in quotes", |t| Ok(t.to_owned()))),
        arch: word(value("arch")),
        cpus: value("cpus").and_then(|v| Some(v.integer("an integer from 1 to 32", cpus)?.value)),
        memory: size("memory", memory),
        disk: sectors("disk", disk),
        card: sectors("card", card),
        firmware: word(value("firmware")),
        fs: word(value("fs")),
        controller: word(value("controller")),
        nic: word(value("nic")),
    }
}

fn cpus(count: i128) -> Result<u32, Problem> {
    u32::try_from(count).ok().filter(|count| (1..=CPUS_MAX).contains(count)).ok_or_else(|| {
        Problem::bad(format!("A node cannot have {count} cpus"))
            .expected(format!("1 to {CPUS_MAX}, the most that Plan 9 runs on"))
    })
}

fn ports(number: i128, expected: &str) -> Result<u16, Problem> {
    u16::try_from(number).ok().filter(|port| (PORTS_MIN..=PORTS_MAX).contains(port)).ok_or_else(|| {
        Problem::bad(format!("Ports of this machine cannot begin at {number}"))
            .expected(expected)
            .help("leave the key out, and free ones are chosen when the lab runs")
            .remedy(Remedy::FreePorts)
    })
}

/// Whether the size is in a range; plain small numbers were meant with a unit.
fn in_range(noun: &str, bytes: u64, least: u64, most: u64) -> Result<(), Problem> {
    if (least..=most).contains(&bytes) {
        return Ok(());
    }
    let (least_text, most_text) = (size::exact(least), size::exact(most));
    let problem = Problem::bad(format!(
        "A {noun} of {} is too {}",
        size::exact(bytes),
        if bytes < least { "small" } else { "large" }
    ))
    .expected(format!("{least_text} to {most_text}"));
    Err(match bytes {
        1..=65536 => problem
            .help(format!("a size without a unit is in bytes; did you mean `\"{bytes} MiB\"` or `\"{bytes} GiB\"`?")),
        _ => problem,
    })
}

fn memory(bytes: u64) -> Result<u64, Problem> {
    in_range("memory", bytes, MEMORY_MIN, MEMORY_MAX)?;
    if !bytes.is_multiple_of(MEMORY_STEP) {
        let near = (bytes + MEMORY_STEP / 2) / MEMORY_STEP * MEMORY_STEP;
        return Err(Problem::bad(format!(
            "A memory of {bytes} is not a multiple of 4 MiB, which hypervisors require",
            bytes = count::of(bytes, "byte")
        ))
        .help(format!("the nearest is `\"{}\"`", size::exact(near))));
    }
    Ok(bytes)
}

fn disk(bytes: u64) -> Result<u64, Problem> {
    in_range("disk", bytes, DISK_MIN, DISK_MAX)?;
    Ok(bytes)
}

fn card(bytes: u64) -> Result<u64, Problem> {
    in_range("card", bytes, DISK_MIN, DISK_MAX)?;
    Ok(bytes)
}

/// A size in whole sectors that `check` lets through; a hint says what was
/// rounded.
fn read_sectors(value: &Value<'_, '_>, check: impl FnOnce(u64) -> Result<u64, Problem>) -> Option<u64> {
    let mut rounded = None;
    let found = value.parse_scalar(units::SIZE, |scalar| {
        // Judged as it is written, so that a message names what is there.
        check(units::size_value(scalar)?)?;
        let sectors = units::sectors_value(scalar)?;
        rounded = sectors.rounded;
        Ok(sectors.bytes)
    })?;
    if let Some(note) = rounded {
        value.notes.hint(&value.span, &note);
    }
    Some(found.value)
}

fn read_media(media: &Section<'_, '_>) -> Vec<(At<String>, Option<Medium>)> {
    let mut all = Vec::new();
    for (key, value) in media.entries() {
        if key.value == super::SAMPLE {
            let problem = Problem::new(Kind::Duplicate, "Medium `sample` is built into p9img");
            media.notes.note(&key.span, problem.help("choose another name"));
        } else if let Err(problem) = names::label("Medium name", &key.value) {
            media.notes.note(&key.span, problem);
        }
        let medium = value.section("[media.NAME]").and_then(|section| read_medium(&section));
        all.push((key, medium));
    }
    all
}

/// Medium of a section, in which exactly one of three keys says where it is.
fn read_medium(medium: &Section<'_, '_>) -> Option<Medium> {
    let sha256 = medium.get("sha256").and_then(|v| v.parse("64 hexadecimal digits in quotes", names::sha256));
    let path = medium.get("path").map(|v| v.parse("a path in quotes", |t| names::path("Path", t)));
    let url = medium.get("url").map(|v| v.parse("an address in quotes", names::url));
    let urls = medium.get("urls").map(|v| {
        if v.is_empty_list() {
            v.wrong(Problem::bad("`urls` is an empty list").help("name an address, or give a `path`"));
        }
        v.strings("addresses such as `\"https://example.org/9legacy.iso.bz2\"`", names::url)
    });
    let given: Vec<_> =
        ["path", "url", "urls"].into_iter().filter_map(|key| Some((key, medium.get(key)?.span))).collect();
    match &given[..] {
        [] => {
            let problem = Problem::new(Kind::MissingKey, "[media.NAME] does not say where the medium is");
            medium.notes.note(
                &medium.span,
                problem.help(
                    "add a line such as `path = \"../9legacy\"` or `url = \"https://example.org/9legacy.iso.bz2\"`",
                ),
            );
        }
        [_] => {}
        [(first, span), rest @ ..] => {
            for (second, other) in rest {
                let what = format!("`{first}` and `{second}` both say where the medium is");
                let help = if *first == "url" { "put all addresses in `urls`" } else { "remove one of them" };
                medium.notes.note_beside(other, Problem::new(Kind::Conflict, what).help(help), Some(span));
            }
        }
    }
    let plain = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect();
    let origin = match (path, url, urls) {
        (Some(path), ..) => Origin::Path(path?.value.into()),
        (_, Some(url), _) => Origin::Urls(vec![url?.value]),
        (.., urls) => Origin::Urls(plain(urls??)),
    };
    Some(Medium { origin, sha256: sha256.map(|at| at.value), len: None, said: Said::Lab })
}

fn read_node(node: &Section<'_, '_>, facts: &[RoleFacts]) -> NodeDraft {
    let roles = node.require("roles", "[\"cpu\"]");
    let known: Vec<&str> = facts.iter().map(|role| role.name.as_str()).collect();
    if let Some(value) = roles.as_ref().filter(|v| v.is_empty_list()) {
        value.wrong(Problem::bad("The node has no role, so that it would do nothing").expected(choice(&known)));
    }
    let role = |text: &str| {
        if known.contains(&text) {
            return Ok(text.to_owned());
        }
        let problem = Problem::new(Kind::UnknownName, format!("Unknown role {}", quote(text))).expected(choice(&known));
        Err(match nearest(text, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("a role is a folder in roles/ with a role.toml"),
        })
    };
    NodeDraft {
        span: node.span.clone(),
        name: node.require("name", "\"plan9n1\"").and_then(|v| v.parse("a text in quotes", names::host)),
        roles: roles.and_then(|v| v.strings("roles such as `\"cpu\"`", role)).unwrap_or_default(),
        mac: node.get("mac").and_then(|v| v.parse("a MAC address such as `\"52:54:00:09:00:01\"`", units::mac)),
        ip: node.get("ip").and_then(|v| v.parse("an address such as `\"10.9.0.11\"`", address)),
        board: node
            .get("board")
            .and_then(|v| v.parse(&choice(&Board::WORDS.iter().map(|(w, _)| *w).collect::<Vec<_>>()), words::parse)),
        hardware: read_hardware(node),
        own: HARDWARE
            .iter()
            .filter_map(|key| Some(At { value: (*key).to_owned(), span: node.get(key)?.span }))
            .collect(),
        partitions: node.section("partitions", "").map(|s| read_partitions(&s)).unwrap_or_default(),
    }
}

fn read_partitions(partitions: &Section<'_, '_>) -> Vec<(At<String>, u64)> {
    let mut all = Vec::new();
    for (key, value) in partitions.entries() {
        if let Err(problem) = names::partition(&key.value) {
            partitions.notes.note(&key.span, problem);
            continue;
        }
        let size = read_sectors(&value, |bytes| match bytes {
            0 if key.value != "swap" => Err(Problem::bad(format!("Partition {} cannot be empty", quote(&key.value)))
                .help("leave the line out for p9img's own size; only `swap` may be 0, which means no swap")),
            bytes => Ok(bytes),
        });
        all.extend(size.map(|size| (key, size)));
    }
    all
}
