//! `index.html`: the lab's own page, for people, in the output folder.
//!
//! All that it says comes from the lab, the roles and the manifest, so equal
//! builds give equal pages: no clock, no path of this machine, no secret. The
//! template `templates/lab/index.html` decides what is shown and how; this
//! module gathers the data, and `picture` places nodes and lines. Values are
//! escaped for HTML wherever the template names them.
//!
//! It may ask `artifact`, `guest`, `lab`, `partition`, `render` and `template`.

mod picture;
mod view;

use crate::artifact::Folder;
use crate::artifact::manifest::{Artifact, MEDIA, MEDIUM, Manifest};
use crate::count;
use crate::guest::runner::qemu::pi;
use crate::lab::{Boot, Controller, Format, Lab, Nic, Node, PcFirmware, SAMPLE};
use crate::partition::Part;
use crate::read_at::SECTOR;
use crate::render::{Catalog, Link, RenderError, Systems};
use crate::size;
use crate::template::{Refused, Templates};
use picture::Picture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use view::{Bundle, NodeView};

/// Name of the file.
pub const FILE: &str = "index.html";
/// Nodes that a picture shows at most.
const DRAWN: usize = 48;
/// Nodes whose commands are shown at once.
const UNFOLDED: usize = 16;
/// Names in a list of nodes that are written out.
const NAMED: usize = 8;
/// Name of the template.
const TEMPLATE: &str = "templates/lab/index.html";

/// Reason why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Role(#[from] RenderError),
    #[error("{place}: {message}")]
    Template { place: String, message: String },
    #[error(transparent)]
    Write(#[from] crate::artifact::Error),
}

/// Variables of the template.
#[derive(Serialize)]
struct Page<'a> {
    lab: &'a Lab,
    /// As in the lab, with its length of prefix.
    subnet: String,
    mask: String,
    p9img: &'a str,
    medium: &'a Value,
    /// The same of each, where nodes are built from several.
    media: Vec<&'a Value>,
    /// Something is built from the sample medium, which is not Plan 9.
    sample: bool,
    /// Something is built.
    built: bool,
    /// The same for wide and for narrow windows; none of more nodes than a picture shows.
    pictures: Vec<Drawn>,
    /// There are so many nodes that what is said of each is folded.
    many: bool,
    links: Vec<Bundle>,
    nodes: Vec<NodeView<'a>>,
    maps: Vec<DiskMap>,
    artifacts: Vec<ArtifactView<'a>>,
    /// The files that images are over.
    bases: Vec<ArtifactView<'a>>,
    /// Some node has an OVA.
    ova: bool,
    /// Some node has a disk that QEMU takes.
    disk: bool,
    /// Some node is a Pi with a card.
    card: bool,
}

/// A picture of the lab's network.
#[derive(Serialize)]
struct Drawn {
    /// `wide` or `narrow`.
    kind: &'static str,
    #[serde(flatten)]
    picture: Picture,
}

/// A disk and the nodes that have one like it.
#[derive(Serialize)]
struct DiskMap {
    nodes: Vec<String>,
    device: String,
    size: String,
    sectors: u64,
    parts: Vec<PartView>,
    /// Names with sizes: alternative text for screen readers.
    text: String,
}

#[derive(Serialize)]
struct PartView {
    name: String,
    /// Absolute sector.
    start: u64,
    sectors: u64,
    size: String,
    /// Percent of the disk.
    left: String,
    width: String,
    /// Wide enough to hold its name.
    named: bool,
    color: usize,
}

#[derive(Serialize)]
struct ArtifactView<'a> {
    file: &'a str,
    #[serde(flatten)]
    artifact: Artifact,
    size: String,
}

/// Fields that are read from a node's plan in the manifest.
#[derive(Deserialize)]
struct Planned {
    name: String,
    device: String,
    layout: PlannedLayout,
    used: u64,
    capacity: u64,
}

#[derive(Deserialize)]
struct PlannedLayout {
    sectors: u64,
    plan9_start: u64,
    parts: Vec<Part>,
}

/// The page's text.
///
/// # Errors
/// Fails when the template is wrong or names a value that does not exist.
pub fn render(lab: &Lab, catalog: &Catalog, manifest: &Manifest) -> Result<String, PageError> {
    let (place, template) = catalog.template(TEMPLATE)?;
    let failed = |e: Refused| PageError::Template { place: e.place(place), message: e.said() };
    let mut templates = Templates::new(handlebars::html_escape).with_absent_values();
    templates.add("page", template).map_err(failed)?;
    templates.render_value("page", &page(lab, catalog, manifest)?).map_err(failed)
}

/// Writes the page.
///
/// # Errors
/// As [`render`], and when the file cannot be written.
pub fn save(folder: &Folder, lab: &Lab, catalog: &Catalog, manifest: &Manifest) -> Result<(), PageError> {
    Ok(folder.replace(FILE, render(lab, catalog, manifest)?.as_bytes())?)
}

fn page<'a>(lab: &'a Lab, catalog: &'a Catalog, manifest: &'a Manifest) -> Result<Page<'a>, PageError> {
    // A plan that an older p9img wrote may lack something: then it is left out.
    let plans: Vec<Planned> = manifest.nodes.values().filter_map(|v| serde_json::from_value(v.clone()).ok()).collect();
    let bundles = bundle(&catalog.links(lab));
    let systems = manifest.systems();
    let nodes: Vec<NodeView<'_>> =
        lab.nodes.iter().map(|n| node_view(lab, n, catalog, manifest, &systems, &plans)).collect::<Result<_, _>>()?;
    let medium = manifest.inputs.get(MEDIUM).unwrap_or(&Value::Null);
    let media = manifest.inputs.get(MEDIA).and_then(Value::as_object).into_iter().flatten();
    let media: Vec<_> = media.map(|(_, medium)| medium).collect();
    let sample = media.iter().chain([&medium]).any(|m| m["distribution"] == SAMPLE);
    let over = |base: &str| {
        let all = manifest.artifacts.values().filter(|a| !a.stale && a.base.as_deref() == Some(base));
        format!("base of {}", count::of(all.count(), "image"))
    };
    let view = |file: &'a String, a: Artifact| ArtifactView { file, size: size::short(a.len), artifact: a };
    let artifacts = manifest.artifacts.iter().filter(|(_, a)| !a.stale).map(|(file, a)| view(file, a.clone()));
    let bases = manifest.bases.iter().filter(|(_, a)| !a.stale);
    let bases = bases.map(|(file, a)| view(file, Artifact { node: over(file), ..a.clone() }));
    let drawn = |kind, columns| Drawn { kind, picture: Picture::draw(&nodes, &bundles, columns) };
    let few = lab.nodes.len() <= DRAWN;
    let narrow = (few && lab.nodes.len() > 2).then(|| drawn("narrow", 2));
    let pictures = std::iter::once_with(|| drawn("wide", 4)).chain(narrow).take(if few { 2 } else { 0 }).collect();
    let links = bundles.into_iter().map(|b| Bundle { from: shown(b.from), ..b });
    Ok(Page {
        lab,
        subnet: lab.network.subnet.to_string(),
        mask: lab.network.subnet.netmask().to_string(),
        p9img: &manifest.tools.p9img,
        medium,
        media,
        sample,
        built: !manifest.artifacts.is_empty(),
        pictures,
        many: lab.nodes.len() > UNFOLDED,
        links: links.collect(),
        ova: nodes.iter().any(|n| !n.ova.is_empty()),
        disk: nodes.iter().any(|n| !n.image.is_empty()),
        card: nodes.iter().any(|n| n.qemu_card.is_some()),
        nodes,
        maps: maps(lab, &plans),
        artifacts: artifacts.collect(),
        bases: bases.collect(),
    })
}

/// The first of many names, and the number of the others.
fn shown(names: Vec<String>) -> Vec<String> {
    let others = names.len().saturating_sub(NAMED);
    if others < 2 {
        return names;
    }
    names.into_iter().take(NAMED).chain([format!("{others} more")]).collect()
}

fn bundle(links: &[Link]) -> Vec<Bundle> {
    let mut out: Vec<Bundle> = Vec::new();
    for link in links {
        match out.iter_mut().find(|b| b.does == link.does && b.to == link.to) {
            Some(b) => b.from.push(link.from.clone()),
            None => {
                let line = (out.len() < picture::LINES).then_some(out.len());
                out.push(Bundle { line, from: vec![link.from.clone()], does: link.does.clone(), to: link.to.clone() });
            }
        }
    }
    out
}

fn node_view<'a>(
    lab: &Lab,
    node: &'a Node,
    catalog: &Catalog,
    manifest: &'a Manifest,
    systems: &Systems,
    plans: &[Planned],
) -> Result<NodeView<'a>, PageError> {
    let find = |formats: &[Format]| {
        let (format, name, _) = manifest.artifact_of(&node.name, formats).filter(|(.., artifact)| !artifact.stale)?;
        Some((name, format))
    };
    let image = find(&Format::to_run());
    // Before the first build no manifest names the distribution, and later it may
    // be anybody's.
    let ports = catalog.ports(systems, node).or_else(|_| catalog.ports(&"9legacy".into(), node))?;
    let ports = ports.into_iter().map(|p| format!("{} {}", p.name, p.tcp));
    Ok(NodeView {
        node,
        memory_mib: node.memory >> 20,
        disk_bytes: node.disk,
        disk_size: size::short(node.disk),
        uefi: node.firmware == PcFirmware::Uefi,
        virt: node.board.boot() == Boot::UBoot,
        qemu_card: qemu_card(node).filter(|_| manifest.artifacts.values().any(|a| a.node == node.name)),
        virtio_nic: node.nic == Nic::Virtio,
        ports: ports.collect(),
        used: plans
            .iter()
            .find(|p| p.name == node.name)
            .map_or_else(String::new, |p| format!("{} of {}", size::short(p.used), size::short(p.capacity))),
        ova: find(&Format::machines()).map(|(name, _)| name).unwrap_or_default(),
        // A card needs more than a disk does: `p9img up` has it.
        image: image.filter(|_| !node.board.is_pi()).map_or("", |(file, _)| file),
        image_format: image.and_then(|(_, format)| format.spec().run).map_or("", |run| run.driver.name()),
        image_controller: image.map_or("", |(_, format)| match lab.controller(node, format) {
            Controller::Ide => "ide",
            Controller::Sata => "sata",
            Controller::Virtio => "virtio",
            Controller::Sd => "sd",
        }),
    })
}

/// The size that the card of a Pi must be given for QEMU.
fn qemu_card(node: &Node) -> Option<u64> {
    let emulated = node.board.is_pi() && node.board.is_emulated();
    emulated.then(|| pi::card_len(node.disk)).flatten().filter(|len| *len != node.disk)
}

/// The disks in the order of the lab's nodes, equal ones once.
fn maps(lab: &Lab, plans: &[Planned]) -> Vec<DiskMap> {
    let mut out: Vec<DiskMap> = Vec::new();
    for plan in lab.nodes.iter().flat_map(|n| plans.iter().filter(move |p| p.name == n.name)) {
        let map = map(plan);
        match out.iter_mut().find(|m| m.device == map.device && m.sectors == map.sectors && m.text == map.text) {
            Some(same) => same.nodes.push(plan.name.clone()),
            None => out.push(map),
        }
    }
    out.into_iter().map(|map| DiskMap { nodes: shown(map.nodes), ..map }).collect()
}

fn map(plan: &Planned) -> DiskMap {
    let layout = &plan.layout;
    let percent = |sectors: u64| 100.0 * sectors as f64 / layout.sectors.max(1) as f64;
    let parts: Vec<PartView> = layout
        .parts
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let (start, sectors) = (layout.plan9_start.saturating_add(p.start), p.end.saturating_sub(p.start));
            PartView {
                name: p.name.clone(),
                start,
                sectors,
                size: size::short(sectors.saturating_mul(SECTOR)),
                left: format!("{:.3}", percent(start)),
                width: format!("{:.3}", percent(sectors)),
                named: percent(sectors) >= 3.5 + p.name.len() as f64,
                color: i % 8,
            }
        })
        .collect();
    let text: Vec<_> = parts.iter().map(|p| format!("{} {} at sector {}", p.name, p.size, p.start)).collect();
    DiskMap {
        nodes: vec![plan.name.clone()],
        device: plan.device.clone(),
        size: size::short(layout.sectors.saturating_mul(SECTOR)),
        sectors: layout.sectors,
        parts,
        text: text.join(", "),
    }
}

#[cfg(test)]
mod tests;
