//! A lab to run: its images, or that its disks are computed, and the folder of the run.

use super::build::memory_key;
use super::live::{Live, compute};
use super::{BuildError, LabError, LabRequest, Note, Reporter, lab, stale};
use crate::artifact::manifest::Manifest;
use crate::artifact::memory::Memory;
use crate::artifact::output::digest;
use crate::artifact::{self, Folder, Wait};
use crate::assemble;
use crate::guest::DiskFormat;
use crate::guest::computed::ComputedBase;
use crate::guest::grid::{BaseSpec, Grid, GridSpec, NodeSpec};
use crate::guest::node_disk::regular;
use crate::lab::format::Driver;
use crate::lab::{Format, Lab, Node, SAMPLE, Secrets};
use crate::render::{Catalog, Kernel, RenderError, Systems};
use crate::stop::{self, INTERRUPTED};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Reason why nodes cannot be run from the images in the output folder.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    #[error("No images in {}", out.display())]
    NothingBuilt { out: PathBuf },
    #[error("The images in {} are of the lab {found:?}, not of {lab:?}", out.display())]
    OtherLab { out: PathBuf, found: String, lab: String },
    #[error("{key} in lab.toml changed since the images in {} were built", out.display())]
    Changed { out: PathBuf, key: &'static str },
    /// Images of `nodes`, or of all if it is empty.
    #[error(
        "The {} in {} are built from the embedded sample, which is not Plan 9: their nodes print a line and power off",
        if nodes.is_empty() { "images".to_owned() } else { format!("images of {}", nodes.join(", ")) },
        out.display()
    )]
    Sample { out: PathBuf, nodes: Vec<String> },
    /// Disks of `nodes` are to be computed, or of all if it is empty.
    #[error(
        "The medium of {} is the embedded sample, which is not Plan 9: its nodes print a line and power off",
        if nodes.is_empty() { "the lab".to_owned() } else { nodes.join(", ") }
    )]
    SampleMedium { nodes: Vec<String> },
    #[error("No image of {node} is built that QEMU starts from")]
    NoImage { node: String },
    #[error("No image of {node} is built in {}", out.display())]
    NoCard { node: String, out: PathBuf },
    #[error("Cannot read the image of {node}")]
    Image { node: String, source: io::Error },
    #[error("Cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has SHA-256 {found}, but manifest.json says {expected}: build {node} again", path.display())]
    Differs { path: PathBuf, found: String, expected: String, node: String },
    #[error("{INTERRUPTED}; nothing was started")]
    Interrupted,
    #[error("{node} is a PC and cannot boot from a card: give it a `board` in the lab")]
    NoBoard { node: String },
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error(transparent)]
    Role(#[from] RenderError),
    #[error(transparent)]
    Manifest(#[from] artifact::Error),
    /// A disk cannot be computed.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Origin of the disks of nodes that are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// The images in the output folder.
    Images,
    /// Disks that are computed: no image is needed.
    Computed,
    /// As when the lab was started before; the images if it never was.
    AsBefore,
}

/// A lab that can be run.
pub struct Runnable {
    pub lab: Lab,
    pub catalog: Catalog,
    pub spec: GridSpec,
    pub grid: Grid,
    pub systems: Systems,
    /// Whether the disks are computed, and what from.
    live: Option<Live>,
}

/// Reads the lab, and makes sure that its nodes can be started from the disks that are wanted.
/// `program` is p9img, which runs as the network's switch.
///
/// # Errors
/// Fails when the lab has mistakes, it has no images that are wanted, or they were built from
/// another lab or the sample.
pub fn load(
    request: &LabRequest,
    disks: Disks,
    program: PathBuf,
    reporter: &dyn Reporter,
) -> Result<Runnable, ImagesError> {
    let catalog = lab::catalog(&request.file, reporter)?;
    let lab = request.lab(&catalog, reporter)?;
    let before = || computed_before(&lab);
    match disks {
        Disks::Images => built(request, catalog, lab, program),
        Disks::Computed => live(request, catalog, before(), program, reporter),
        Disks::AsBefore => match before() {
            Some(before) => live(request, catalog, Some(before), program, reporter),
            None => built(request, catalog, lab, program),
        },
    }
}

/// The first disk of the run that is computed.
fn computed_before(lab: &Lab) -> Option<ComputedBase> {
    let grid = Grid::new(&lab.out);
    lab.nodes.iter().find_map(|node| ComputedBase::load(grid.node(&node.name).dir()).ok()?)
}

/// A lab whose disks are computed.
fn live(
    request: &LabRequest,
    catalog: Catalog,
    before: Option<ComputedBase>,
    program: PathBuf,
    reporter: &dyn Reporter,
) -> Result<Runnable, ImagesError> {
    let (lab, live) = Live::open(request, &catalog, before, reporter)?;
    let systems = assemble::systems(&lab, &live.sources.media);
    if let Some(nodes) = of_sample(&lab, &systems) {
        return Err(ImagesError::SampleMedium { nodes });
    }
    runnable(request, catalog, lab, systems, None, program).map(|lab| Runnable { live: Some(live), ..lab })
}

/// The nodes that are built from the sample, if there are any; none of them if all are.
fn of_sample(lab: &Lab, systems: &Systems) -> Option<Vec<String>> {
    let sample: Vec<_> = lab.nodes.iter().filter(|n| systems.of(n) == SAMPLE).map(|n| n.name.clone()).collect();
    let all = sample.len() == lab.nodes.len();
    (!sample.is_empty()).then(|| if all { Vec::new() } else { sample })
}

/// A lab whose images are in its output folder.
fn built(request: &LabRequest, catalog: Catalog, lab: Lab, program: PathBuf) -> Result<Runnable, ImagesError> {
    let Some(manifest) = Manifest::load(&lab.out)? else {
        return Err(ImagesError::NothingBuilt { out: lab.out });
    };
    same_lab(&lab, &manifest)?;
    let systems = manifest.systems();
    if let Some(nodes) = of_sample(&lab, &systems) {
        return Err(ImagesError::Sample { out: lab.out, nodes });
    }
    runnable(request, catalog, lab, systems, Some(&manifest), program)
}

fn runnable(
    request: &LabRequest,
    catalog: Catalog,
    lab: Lab,
    systems: Systems,
    manifest: Option<&Manifest>,
    program: PathBuf,
) -> Result<Runnable, ImagesError> {
    lab.nodes.iter().try_for_each(|node| catalog.agree(&systems, node))?;
    let nodes = lab.nodes.iter().map(|node| spec_of(&lab, &catalog, &systems, manifest, node));
    let nodes = nodes.collect::<Result<_, _>>()?;
    let spec = GridSpec {
        lab: lab.name.clone(),
        file: request.file.clone(),
        user: lab.users.first().map_or(&lab.hostowner, |u| &u.name).clone(),
        base: lab.ports,
        program,
        subnet: lab.network.subnet,
        gateway: lab.network.gateway,
        nodes,
    };
    let grid = Grid::new(&lab.out).computing(compute);
    Ok(Runnable { systems, lab, catalog, spec, grid, live: None })
}

/// Makes sure that the images are those of the lab as it is described now, as far
/// as running it depends on that: the name of the medium and the formats do not
/// matter.
fn same_lab(lab: &Lab, manifest: &Manifest) -> Result<(), ImagesError> {
    let out = lab.out.clone();
    if manifest.lab != lab.name {
        return Err(ImagesError::OtherLab { out, found: manifest.lab.clone(), lab: lab.name.clone() });
    }
    let now =
        serde_json::to_value(lab).map_err(|source| ImagesError::Read { path: out.clone(), source: source.into() })?;
    let then = manifest.inputs.get("lab").cloned().unwrap_or_default();
    let keys = ["network", "nodes", "users", "hostowner", "authdom", "timezone", "controllers"];
    match keys.into_iter().find(|key| now[key] != then[key]) {
        Some(key) => Err(ImagesError::Changed { out, key }),
        None => Ok(()),
    }
}

/// A node to be run: its description in the lab, and the image that it starts from,
/// if one was built.
///
/// # Errors
/// Fails when the catalog lacks one of its roles.
pub fn node_spec(
    lab: &Lab,
    catalog: &Catalog,
    manifest: Option<&Manifest>,
    node: &Node,
) -> Result<NodeSpec, RenderError> {
    spec_of(lab, catalog, &manifest.map(Manifest::systems).unwrap_or_default(), manifest, node)
}

fn spec_of(
    lab: &Lab,
    catalog: &Catalog,
    systems: &Systems,
    manifest: Option<&Manifest>,
    node: &Node,
) -> Result<NodeSpec, RenderError> {
    let found = manifest.and_then(|m| m.artifact_of(&node.name, &Format::to_run()));
    let cpu = catalog.kernel(node)? == Some(Kernel::Cpu);
    let found = found.and_then(|(format, name, artifact)| Some((format, format.spec().run?, name, artifact)));
    let (controller, driver, name, sha256, base) = match found {
        Some((format, run, name, artifact)) => {
            let base = artifact.base.clone().map(|base| BaseSpec {
                sha256: manifest.and_then(|m| m.bases.get(&base)).map_or_else(String::new, |b| b.sha256.clone()),
                path: lab.out.join(base),
            });
            (lab.controller(node, format), run.driver, name.to_owned(), artifact.sha256.clone(), base)
        }
        // Reported when somebody wants to start it.
        None => (node.controller, Driver::default(), String::new(), String::new(), None),
    };
    Ok(NodeSpec {
        name: node.name.clone(),
        image: lab.out.join(name),
        format: driver,
        sha256,
        base,
        computed: None,
        board: node.board,
        controller,
        firmware: node.firmware,
        nic: node.nic,
        mac: node.mac,
        ip: node.ip,
        cpus: node.cpus,
        memory: node.memory,
        ready: if cpu { format!("\n{}# ", node.name) } else { "\ninit: starting /bin/rc".to_owned() },
        shell: cpu,
        // Nothing is known about the screen of a Pi in QEMU.
        screen: !cpu && !node.board.is_pi(),
        // QEMU's Pi has no network.
        ports: if node.board.is_pi() { Vec::new() } else { catalog.ports(systems, node)? },
    })
}

impl Runnable {
    /// The nodes of these names, in their order; if there are none, all that QEMU
    /// runs.
    ///
    /// # Errors
    /// Fails when no node has one of the names.
    pub fn names(&self, names: &[String], reporter: &dyn Reporter) -> Result<Vec<String>, LabError> {
        lab::nodes(&self.lab, names)?;
        if !names.is_empty() {
            return Ok(names.to_vec());
        }
        let (can, cannot): (Vec<_>, Vec<_>) = self.spec.nodes.iter().partition(|n| n.board.is_emulated());
        for node in cannot {
            reporter.note(&Note::NotEmulated { node: node.name.clone(), board: node.board.name() });
        }
        Ok(can.into_iter().map(|n| n.name.clone()).collect())
    }

    /// Notes on the images that were made with other secrets than the lab has now.
    pub fn stale(&self, secrets: &Secrets) -> Vec<Note> {
        let images = self.spec.nodes.iter().filter(|n| !n.sha256.is_empty() && n.computed.is_none());
        stale::notes(images.map(|n| (n.name.as_str(), n.image.as_path())), secrets, &self.lab.hostowner)
    }

    /// Memory of the last build in the output folder; it knows files that are whole.
    fn memory(&self) -> Memory {
        let secrets = Secrets::load(&self.lab.dir, &self.lab.hostowner).ok().flatten();
        secrets.map_or_else(Memory::none, |secrets| Memory::load(&self.lab.out, memory_key(&secrets)))
    }

    /// Takes note in that memory that nodes were started: their images have second names now, and are
    /// still whole. Without it, the next build would read them again.
    pub fn remember_started(&self, names: &[String]) {
        if self.live.is_some() {
            return;
        }
        let nodes = self.spec.nodes.iter().filter(|n| names.contains(&n.name));
        let images = nodes.flat_map(|n| std::iter::once(&n.image).chain(n.base.as_ref().map(|base| &base.path)));
        let files: Vec<_> = images.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        // A build that runs now takes no note of it, and reads them.
        let Ok(folder) = Folder::lock(&self.lab.out, Wait::No) else { return };
        let mut memory = self.memory();
        if memory.linked(&self.lab.out, &files) {
            let _ = memory.save(&folder);
        }
    }

    /// Prepares the start of nodes: makes sure that their images are there and are what was built, or
    /// that their disks can be computed.
    ///
    /// # Errors
    /// Fails when an image is missing or differs from the manifest, a disk cannot be computed, or
    /// a node does not exist.
    pub fn prepare(&mut self, names: &[String]) -> Result<(), ImagesError> {
        lab::nodes(&self.lab, names)?;
        let Some(live) = &self.live else { return self.verify(names) };
        for base in live.bases(&self.lab, &self.catalog, names)? {
            let found = |node: &Node| node.name == base.node;
            let Some(node) = self.lab.nodes.iter().find(|node| found(node)) else { continue };
            let controller = self.lab.controller(node, Format::Raw);
            if let Some(spec) = self.spec.nodes.iter_mut().find(|spec| spec.name == base.node) {
                (spec.controller, spec.format, spec.sha256) = (controller, DiskFormat::Raw, base.digest.clone());
                spec.computed = Some(base);
            }
        }
        Ok(())
    }

    fn verify(&self, names: &[String]) -> Result<(), ImagesError> {
        let memory = self.memory();
        // Many nodes may be over one base.
        let mut whole = BTreeSet::new();
        for node in names.iter().filter_map(|name| self.spec.nodes.iter().find(|n| n.name == *name)) {
            let name = &node.name;
            if node.sha256.is_empty() {
                return Err(ImagesError::NoImage { node: name.clone() });
            }
            let base = node.base.as_ref().map(|base| (&base.path, &base.sha256));
            for (path, sha256) in std::iter::once((&node.image, &node.sha256)).chain(base) {
                if whole.contains(path) {
                    continue;
                }
                let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                if !memory.is_whole(&self.lab.out, file, sha256) {
                    let found = match regular(path).and_then(digest::of) {
                        Err(_) if stop::asked() => return Err(ImagesError::Interrupted),
                        other => other.map_err(|source| ImagesError::Image { node: name.clone(), source })?,
                    };
                    same_digest(path, found, sha256, name)?;
                }
                whole.insert(path.clone());
            }
        }
        Ok(())
    }
}

fn same_digest(path: &Path, found: String, expected: &str, node: &str) -> Result<(), ImagesError> {
    if found == expected {
        return Ok(());
    }
    let (path, expected, node) = (path.to_owned(), expected.to_owned(), node.to_owned());
    Err(ImagesError::Differs { path, found, expected, node })
}

/// Path of the image of a Raspberry Pi for its card, which is there and is what
/// was built.
///
/// # Errors
/// Fails when the lab has mistakes, the node is no Raspberry Pi, or its image is
/// missing or differs.
pub fn card(request: &LabRequest, node: &str, reporter: &dyn Reporter) -> Result<PathBuf, ImagesError> {
    let catalog = lab::catalog(&request.file, reporter)?;
    let lab = request.lab(&catalog, reporter)?;
    let name = node.to_owned();
    if !lab::nodes(&lab, std::slice::from_ref(&name))?.iter().all(|n| n.board.is_pi()) {
        return Err(ImagesError::NoBoard { node: name });
    }
    let mut manifest = Manifest::load(&lab.out)?.filter(|m| m.lab == lab.name);
    if let Some(manifest) = &mut manifest {
        manifest.artifacts.retain(|name, _| lab.out.join(name).exists());
    }
    let found = manifest.as_ref().and_then(|m| m.artifact_of(node, &Format::to_flash()));
    let Some((_, file, artifact)) = found else { return Err(ImagesError::NoCard { node: name, out: lab.out }) };
    let path = lab.out.join(file);
    let found = regular(&path).and_then(digest::of);
    let found = found.map_err(|source| ImagesError::Read { path: path.clone(), source })?;
    same_digest(&path, found, &artifact.sha256, node)?;
    Ok(path)
}
