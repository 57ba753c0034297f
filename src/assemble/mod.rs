//! From the checked lab to each node's disk: renders the roles, lays their
//! files over the medium's tree, divides the disk, makes the volumes and composes
//! the disk. Nothing is written; every byte of the result is a function of its
//! offset.
//!
//! [`Assembler`] calls the stages in their order; `boot` has the ways that nodes
//! start, [`report`] the report of the result. It knows nothing of artifacts.
//!
//! It may ask `disk`, `lab`, `media`, `partition`, `render` and `root`.

mod boot;
mod disk;
mod error;
pub mod report;
mod venti;

pub use error::AssembleError;
pub use report::{NodePlan, Plan};

use crate::digest::FieldHasher;
use crate::disk::Disk;
use crate::hex::hex;
use crate::lab::identity::{node_uuid, venti_seed};
use crate::lab::{Arch, Format, Lab, Node, Secrets};
use crate::media::firmware::Firmware;
use crate::media::{Medium, Selection};
use crate::partition::{self, Layout, Part, PartitionRequest, Request};
use crate::pieces::{Pieces, Source};
use crate::read_at::SECTOR;
use crate::render::{self, BootFiles, Catalog, Kernel, Rendered, Scenes, Systems};
use crate::root::{Bases, Fs, LaidOut, RootError, RootJob};
use crate::stop;
use crate::tree::{Addition, Content, Meta, Mode, Tree, What};
use boot::{BootJob, BootKind};
use report::FilePlan;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// One node, ready to be written.
pub struct Assembled {
    pub plan: NodePlan,
    pub disk: Arc<Disk>,
    /// Whether the disk holds passwords or keys.
    pub secret: bool,
    /// The disk that nodes like this one have in common, in a lab whose layout needs it.
    pub common: Option<Arc<CommonDisk>>,
}

/// A disk with the root of a medium alone, and its kernel: what nodes with the same root at the same
/// place have in common.
pub struct CommonDisk {
    pub disk: Arc<Pieces>,
    pub fs: Fs,
    /// Number of the medium among those of the assembler.
    pub medium: usize,
    /// All else that the disk depends on.
    pub depends: String,
}

/// File with the numbers of users, from which those of owners come.
const USERS: &[u8] = b"adm/users";

/// A medium by its number among the lab's, and an architecture: nodes with the
/// same have a tree in common.
type TreeKey = (usize, Arch);

/// Assembles the nodes of a lab from its media.
pub struct Assembler<'a> {
    lab: &'a Lab,
    media: &'a [Medium],
    systems: Systems,
    catalog: &'a Catalog,
    secrets: &'a Secrets,
    firmware: Option<Firmware>,
    /// Parts of the media that nodes of one architecture share.
    trees: BTreeMap<TreeKey, Arc<Tree>>,
    bases: Bases,
}

impl<'a> Assembler<'a> {
    /// Selects the common files of the nodes. `media` are those that nodes of the
    /// lab are built from, each once, under its name in the lab.
    ///
    /// # Errors
    /// Fails when a pattern of the lab is not valid, or `media` lacks the medium of a node.
    pub fn new(
        lab: &'a Lab,
        media: &'a [Medium],
        catalog: &'a Catalog,
        secrets: &'a Secrets,
    ) -> Result<Self, AssembleError> {
        let systems = systems(lab, media);
        let mut trees: BTreeMap<TreeKey, Arc<Tree>> = BTreeMap::new();
        for node in &lab.nodes {
            let number = number(lab, media, node)?;
            let (medium, key) = (&media[number], (number, node.arch));
            if trees.contains_key(&key) {
                continue;
            }
            let default = || medium.distribution.default_include(node.arch);
            let include = lab.tree.include.clone().unwrap_or_else(default);
            let tree = Arc::new(Selection::new(&include, &lab.tree.exclude)?.apply(&medium.tree));
            trees.insert(key, tree);
        }
        Ok(Self { lab, media, systems, catalog, secrets, firmware: None, trees, bases: Bases::default() })
    }

    /// The same assembler with firmware for the lab's Pis.
    pub fn with_firmware(self, firmware: Option<Firmware>) -> Self {
        Self { firmware, ..self }
    }

    /// The same assembler with other secrets.
    pub fn with_secrets(self, secrets: &'a Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Key for the marks of disks that hold secrets; see [`crate::artifact::Job`].
    pub fn key(&self) -> [u8; 32] {
        self.secrets.derive("marks of artifacts")
    }

    /// The plan of the lab with these nodes.
    pub fn plan(&self, nodes: Vec<NodePlan>) -> Plan {
        Plan::new(self.lab, self.media, nodes)
    }

    /// Digests that identify the nodes' common parts in later builds, by their
    /// numbers ([`crate::read_at::Origin`]). `seen` has a fingerprint of each
    /// medium's files, by its name, and `program` stands for this program. A medium
    /// that is not in `seen` has none.
    pub fn bases(&self, seen: &BTreeMap<String, [u8; 32]>, program: &[u8]) -> BTreeMap<u64, [u8; 32]> {
        let key = |(number, _): &TreeKey, tree: &Tree, layout: &str| -> Option<[u8; 32]> {
            let mut hash = Sha256::new();
            hash.update(seen.get(&self.media[*number].name)?);
            hash.update(Sha256::digest(program));
            hash.update(layout);
            tree.walk(|path, _, e| {
                let m = &e.meta;
                hash.update(path);
                hash.update(format!("\0{:o} {} {} {} {}\n", m.mode.0, m.uid, m.gid, m.mtime, e.len()));
            });
            Some(hash.finalize().into())
        };
        let mut out = BTreeMap::new();
        for (of, tree) in &self.trees {
            let bases = self.bases.of(tree);
            out.extend(bases.iter().filter_map(|(layout, number)| Some((*number, key(of, tree, layout)?))));
        }
        out
    }

    /// For each medium, a digest of everything of it that goes into images, in
    /// hexadecimal; `jobs` threads compute it.
    ///
    /// # Errors
    /// Fails when a file of a medium cannot be read.
    pub fn digests(&self, jobs: NonZeroUsize) -> io::Result<Vec<String>> {
        let of = |number: usize| -> io::Result<String> {
            let own = self.trees.iter().filter(|((n, _), _)| *n == number);
            let trees: Vec<_> = own.map(|(_, tree)| tree.digest(jobs, &stop::go_on)).collect::<Result<_, _>>()?;
            Ok(match &trees[..] {
                [one] => one.clone(),
                many => hex(&Sha256::digest(many.join("\n"))),
            })
        };
        (0..self.media.len()).map(of).collect()
    }

    /// Every node's disk, in the order of `nodes`; several at a time.
    ///
    /// # Errors
    /// As [`Assembler::node`]: the first in that order.
    pub fn nodes(&self, nodes: &[(Node, Vec<Format>)]) -> Result<Vec<Assembled>, AssembleError> {
        self.each(nodes, |node| node)
    }

    /// The plan of `nodes`, of which no disk is kept.
    ///
    /// # Errors
    /// As [`Assembler::nodes`].
    pub fn plan_alone(&self, nodes: &[(Node, Vec<Format>)]) -> Result<Plan, AssembleError> {
        Ok(self.plan(self.each(nodes, |node| node.plan)?))
    }

    /// What `of` makes of every node, in the order of `nodes`; several at a time.
    ///
    /// # Errors
    /// As [`Assembler::nodes`].
    pub fn each<T: Send>(
        &self,
        nodes: &[(Node, Vec<Format>)],
        of: impl Fn(Assembled) -> T + Sync,
    ) -> Result<Vec<T>, AssembleError> {
        let of = &of;
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        std::thread::scope(|scope| {
            let some = |part: &'_ [(Node, Vec<Format>)]| {
                let mut scenes = Scenes::default();
                part.iter().map(|(n, f)| self.node_next(n, f, &mut scenes).map(of)).collect()
            };
            let parts = nodes.chunks(nodes.len().div_ceil(threads).max(1));
            let running: Vec<_> =
                parts.map(|part| scope.spawn(move || -> Result<Vec<_>, AssembleError> { some(part) })).collect();
            let mut out = Vec::with_capacity(nodes.len());
            for thread in running {
                out.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(out)
        })
    }

    /// One node's disk, for `formats`.
    ///
    /// # Errors
    /// Fails when the node's roles cannot be rendered, the medium lacks a file, or
    /// the disk is too small.
    pub fn node(&self, node: &Node, formats: &[Format]) -> Result<Assembled, AssembleError> {
        self.node_next(node, formats, &mut Scenes::default())
    }

    /// As [`Assembler::node`], for one node after another: what is the same for them is in `scenes`.
    ///
    /// # Errors
    /// As [`Assembler::node`].
    pub fn node_next(&self, node: &Node, formats: &[Format], scenes: &mut Scenes) -> Result<Assembled, AssembleError> {
        stop::go_on().map_err(AssembleError::Interrupted)?;
        let name = || node.name.clone();
        let rendered = render::render_next(scenes, self.lab, node, self.catalog, &self.systems, self.secrets)
            .map_err(|source| AssembleError::Render { node: name(), source })?;
        let key = (number(self.lab, self.media, node)?, node.arch);
        let Some(medium) = self.trees.get(&key) else {
            unreachable!("every architecture of the lab was laid out, for each medium");
        };
        let tree = self.overlay(medium, &rendered, node)?;
        self.complete(node, &tree, &rendered)?;
        let boots = boot::of(node);
        let layout = partitions(node, &rendered, &boots)?;
        let root = self.root(medium, &tree, &layout, &rendered, node)?;
        let job = self.boot_job(node, &rendered);
        let mut volumes = venti::volumes(&layout, &venti_seed(&self.lab.name, &node.name), &node.name)?;
        volumes.extend(root.volumes);
        volumes.extend(disk::boot_volumes(&boots, &job, &layout)?);
        volumes.insert("nvram", Arc::new(rendered.nvram.clone()));
        let disk = disk::compose(&boots, &job, &layout, volumes)?;
        let plan = NodePlan {
            name: name(),
            uuid: node_uuid(&self.lab.name, &node.name),
            medium: (self.media.len() > 1).then(|| self.lab.medium_of(node).to_owned()),
            roles: node.roles.clone(),
            ip: node.ip,
            mac: node.mac.to_string(),
            device: node.controller.device(),
            formats: formats.to_vec(),
            kernel: rendered.boot.kernel.clone(),
            layout,
            entries: tree.len(),
            fs: rendered.fs,
            root: rendered.fs.kind().partitions.start,
            used: root.used,
            capacity: root.capacity,
            plan9_ini: rendered.plan9_ini.clone(),
            pi: rendered.pi.clone(),
            root_config: report::root_config(&rendered),
            files: rendered.changed(&self.medium(node).tree).map(FilePlan::of).collect(),
        };
        let secret = !rendered.nvram.is_empty() || rendered.files.iter().any(|f| f.secret);
        let layered = !self.lab.layout.is_whole() && formats.iter().any(|format| format.spec().layers);
        let common = layered.then(|| self.common(medium, &tree, &plan.layout, &rendered, node));
        Ok(Assembled { plan, disk: Arc::new(disk), secret, common: common.transpose()? })
    }

    /// The disk that this node and others like it have in common.
    fn common(
        &self,
        medium: &Arc<Tree>,
        tree: &Arc<Tree>,
        layout: &Layout,
        rendered: &Rendered,
        node: &Node,
    ) -> Result<Arc<CommonDisk>, AssembleError> {
        // File systems number the owners of files by this file.
        let users = tree.find(USERS).map(|id| tree.entry(id));
        let users = users.and_then(|entry| Some((entry.meta.clone(), entry.content()?.read_all().ok()?)));
        let digest = hex(&Sha256::digest(users.as_ref().map_or(&[][..], |(_, text)| text)));
        let boots = boot::of(node);
        let names = rendered.fs.kind().partitions.names().chain(boots.iter().map(|boot| boot.name));
        let parts: Vec<_> = names.filter_map(|name| Some((name, layout.place(name)?))).collect();
        // What differs between nodes of one kind of machine is left out, and the kernel is that of
        // most.
        let machine = node.kernel_name();
        let distribution = self.medium(node).distribution.name();
        let kernel = self.catalog.kernel_file(distribution, Kernel::Cpu, machine).ok().flatten();
        let kernel = kernel.filter(|path| self.medium(node).tree.find(path.as_bytes()).is_some());
        let rendered = &Rendered {
            plan9_ini: String::new(),
            boot_script: rendered.boot_script.as_ref().map(|_| String::new()),
            boot: BootFiles { kernel: kernel.map(str::to_owned), ..rendered.boot.clone() },
            ..rendered.clone()
        };
        let depends = format!("{machine} {} {parts:?} {:?} {digest}", node.disk, rendered.boot);
        let number = number(self.lab, self.media, node)?;
        self.bases.once(medium, &format!("disk {} {depends}", rendered.fs.kind().word), || {
            let file = |(meta, text): (Meta, Vec<u8>)| What::File(meta, Content::bytes(text));
            let users = users.map(|users| Addition { path: USERS.to_vec(), what: file(users) });
            let tree = self.lay_over(medium, users.as_slice());
            let root = self.root(medium, &tree, layout, rendered, node)?;
            let job = self.boot_job(node, rendered);
            // Where they do not fit, each node has its own.
            let boot = disk::boot_volumes(&boots, &job, layout).unwrap_or_default();
            let mut disk = Pieces::new(node.disk);
            for (name, volume) in root.volumes.into_iter().chain(boot) {
                if let Some((start, _)) = layout.place(name) {
                    disk.put(start * SECTOR, Source::Volume(volume));
                }
            }
            let mut hash = FieldHasher::new();
            hash.field(&depends);
            // The patterns of a lab may leave files out that nodes start from all the same.
            let boot = &rendered.boot;
            for path in [Some(&boot.loader), boot.efi.as_ref(), boot.kernel.as_ref()].into_iter().flatten() {
                if let Ok((_, content)) = job.content(path) {
                    hash.field(job.read(path, &content)?);
                }
            }
            let depends = hash.finish().to_string();
            Ok(CommonDisk { disk: Arc::new(disk), fs: rendered.fs, medium: number, depends })
        })
    }

    fn boot_job<'b>(&'b self, node: &'b Node, rendered: &'b Rendered) -> BootJob<'b> {
        BootJob {
            node,
            rendered,
            medium: self.medium(node),
            catalog: self.catalog,
            firmware: self.firmware.as_ref(),
            bases: &self.bases,
            epoch: self.lab.epoch,
        }
    }

    /// Medium that a node of the lab is built from.
    fn medium(&self, node: &Node) -> &Medium {
        let Ok(number) = number(self.lab, self.media, node) else {
            unreachable!("the media of all nodes were looked for");
        };
        &self.media[number]
    }

    fn overlay(&self, base: &Arc<Tree>, rendered: &Rendered, node: &Node) -> Result<Arc<Tree>, AssembleError> {
        let additions = rendered
            .additions(&self.medium(node).tree, self.lab.epoch)
            .map_err(|source| AssembleError::Render { node: node.name.clone(), source })?;
        Ok(self.lay_over(base, &additions))
    }

    /// The tree of a medium with additions.
    fn lay_over(&self, medium: &Arc<Tree>, additions: &[Addition]) -> Arc<Tree> {
        let parent = Meta::new(Mode::dir(0o775), "sys", "sys", self.lab.epoch);
        Arc::new(Tree::overlay(medium, additions, &parent))
    }

    /// Refuses a tree from which patterns leave out files of the medium that the
    /// node needs.
    fn complete(&self, node: &Node, tree: &Tree, rendered: &Rendered) -> Result<(), AssembleError> {
        let medium = &self.medium(node).tree;
        let left_out = |path: &str| tree.find(path.as_bytes()).is_none() && medium.find(path.as_bytes()).is_some();
        let missing: Vec<String> = rendered
            .needs
            .iter()
            .filter(|(path, _)| left_out(path))
            .map(|(path, who)| format!("{path} ({who})"))
            .collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(AssembleError::Incomplete { node: node.name.clone(), missing: missing.join(", ") }),
        }
    }

    fn root(
        &self,
        medium: &Arc<Tree>,
        tree: &Arc<Tree>,
        layout: &Layout,
        rendered: &Rendered,
        node: &Node,
    ) -> Result<LaidOut, AssembleError> {
        let len = |name: &str| layout.part(name).map_or(0, Part::len);
        let job = RootJob { medium, tree, len: &len, config: &rendered.root_config, epoch: self.lab.epoch };
        let kind = rendered.fs.kind();
        (kind.lay_out)(&job, &self.bases).map_err(|error| {
            let node = node.name.clone();
            match error {
                RootError::TooSmall { needed, available } => {
                    AssembleError::TooSmall { node, fs: kind.word, needed, available }
                }
                RootError::Other { what, source } => AssembleError::Root { node, what, source },
            }
        })
    }
}

/// The distributions of the lab's nodes.
pub fn systems(lab: &Lab, media: &[Medium]) -> Systems {
    let distribution = |name: &str| media.iter().find(|m| m.name == name).map_or("", |m| m.distribution.name());
    let own = media.iter().map(|m| (m.name.clone(), m.distribution.name().to_owned()));
    Systems::new(distribution(&lab.medium), own.collect())
}

/// Number of a node's medium among `media`.
fn number(lab: &Lab, media: &[Medium], node: &Node) -> Result<usize, AssembleError> {
    let name = lab.medium_of(node);
    let missing = || AssembleError::NoMedium { node: node.name.clone(), medium: name.to_owned() };
    media.iter().position(|m| m.name == name).ok_or_else(missing)
}

/// Divides a node's disk.
fn partitions(node: &Node, rendered: &Rendered, boots: &[&BootKind]) -> Result<Layout, AssembleError> {
    let of_roles = rendered.partitions.iter();
    let wanted: Vec<_> =
        of_roles.map(|p| PartitionRequest { name: p.name.clone(), size: p.size, holds: p.holds }).collect();
    Ok(partition::layout(&Request {
        node: &node.name,
        disk: node.disk,
        fat: boots.iter().find(|boot| boot.in_mbr.is_some()).map(|boot| boot.name),
        ninefat: boots.iter().any(|boot| boot.in_mbr.is_none()),
        wanted: &wanted,
        sizes: &node.partitions,
        root: rendered.fs.kind(),
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::open_disk;
    use std::path::Path;

    const LAB: &str = "[lab]\nname = \"l\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n[[node]]\nname = \"b\"\n\
                       roles = [\"cpu\", \"venti\"]\n";

    /// The nodes of a lab, built from `media`.
    fn assemble(media: &[Medium]) -> Result<Vec<Assembled>, AssembleError> {
        let catalog = Catalog::embedded().unwrap();
        let lab = Lab::parse(LAB, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
        let secrets = Secrets::stand_in("bootes", &[] as &[&str]);
        let assembler = Assembler::new(&lab, media, &catalog, &secrets)?;
        assembler.nodes(&lab.nodes.iter().map(|node| (node.clone(), Vec::new())).collect::<Vec<_>>())
    }

    #[test]
    fn a_disk_has_the_partitions_that_its_report_says() {
        let nodes = assemble(&[Medium::sample()]).unwrap();
        let names = |i: usize| nodes[i].plan.layout.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(0), ["9fat", "nvram", "fossil", "swap"]);
        assert_eq!(names(1), ["9fat", "nvram", "fossil", "swap", "arenas", "isect", "bloom"]);
        for node in &nodes {
            assert!(node.secret, "{}", node.plan.name);
            let disk = open_disk(node.disk.clone()).unwrap();
            for part in &node.plan.layout.parts {
                let found = disk.find(&part.name).unwrap();
                assert_eq!((found.lba(), found.len), (node.plan.layout.lba(part), part.len()), "{}", part.name);
            }
        }
    }

    #[test]
    fn a_medium_that_is_not_there_is_named() {
        let error = assemble(&[]).err().unwrap();
        assert_eq!(error.to_string(), "Node a needs the medium sample, which was not given or found");
    }
}
