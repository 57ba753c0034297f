//! From the checked lab to each node's disk: renders the roles, lays their
//! files over the medium's tree, makes the volumes and composes the disk.
//! Nothing is written; every byte of the result is a function of its offset.

use crate::count;
use crate::disk::mbr::{TYPE_EFI, TYPE_FAT_LBA, TYPE_PLAN9};
use crate::disk::{Disk, DiskError, Mbr, MbrEntry, Partition, uimage};
use crate::fs::fat::{self, Fat, FatFile};
use crate::fs::venti;
use crate::hex::hex;
use crate::lab::words::Word as _;
use crate::lab::{Arch, Format, Lab, Node, PcFirmware, Secrets};
use crate::media::firmware::{Firmware, FirmwareError};
use crate::media::{Medium, PatternError, Selection};
use crate::plan::layout::{self, LayoutError, Start};
use crate::plan::{FilePlan, Holds, Layout, MediumPlan, NodePlan, Part, Plan, Wanted, node_uuid};
use crate::read_at::{ReadAt, SECTOR};
use crate::render::{self, Catalog, PiFiles, RenderError, Rendered, RenderedFile, Systems};
use crate::root::{Bases, Fs, LaidOut, RootError, RootJob};
use crate::stop;
use crate::tree::{Content, Meta, Mode, Tree};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Bytes of code that fit into the MBR before its table of partitions.
const MBR_CODE: u64 = 446;
/// Why a node's disk cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Interrupted(io::Error),
    #[error("Node {node} needs the medium {medium}, which was not given or found")]
    NoMedium { node: String, medium: String },
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("Cannot render {node}")]
    Render { node: String, source: RenderError },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    #[error("The medium {medium} has no file {path}, which {node} needs to start: {instead}")]
    NoBootFile { medium: String, path: String, node: String, instead: String },
    #[error("The file {path} of the medium {medium} has {len}, but the MBR has room for {MBR_CODE}", len = count::of(len, "byte"))]
    MbrCode { medium: String, path: String, len: u64 },
    #[error("Cannot read {path} of the medium")]
    Read { path: String, source: io::Error },
    #[error("Cannot lay out the {what} of {node}")]
    Root { node: String, what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "[tree] leaves out files that {node} needs: {missing}; add them to `include`, or remove the pattern of \
         `exclude` that they match"
    )]
    Incomplete { node: String, missing: String },
    #[error(
        "The disk of {node} is too small for its tree: {fs} needs {needed}, but its partition has \
         {available}; enlarge disk by {} at least", count::of(needed - available, "byte"), needed = count::of(needed, "byte")
    )]
    TooSmall { node: String, fs: &'static str, needed: u64, available: u64 },
    #[error("Cannot lay out the 9fat partition of {node}")]
    Fat { node: String, source: fat::LayoutError },
    #[error("Cannot lay out the EFI system partition of {node}")]
    Esp { node: String, source: fat::LayoutError },
    #[error("Cannot lay out the FAT partition that {node} starts from")]
    Dos { node: String, source: fat::LayoutError },
    #[error("Cannot format the venti of {node}")]
    Venti { node: String, source: venti::LayoutError },
    #[error("Cannot compose the disk of {node}")]
    Disk { node: String, source: DiskError },
}

/// One node, ready to be written.
pub struct Assembled {
    pub plan: NodePlan,
    pub disk: Arc<Disk>,
    /// Whether the disk holds passwords or keys.
    pub secret: bool,
}

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
    /// Finds what the nodes have in common. `media` are those that nodes of
    /// the lab are built from, each once, under its name in the lab.
    ///
    /// # Errors
    /// When a pattern of the lab is not valid, or the medium of a node is not there.
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

    /// The same with firmware for the lab's Pis.
    pub fn with_firmware(self, firmware: Option<Firmware>) -> Self {
        Self { firmware, ..self }
    }

    /// The same with other secrets.
    pub fn with_secrets(self, secrets: &'a Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// For the marks of disks that hold secrets; see [`crate::artifact::Job`].
    pub fn key(&self) -> [u8; 32] {
        self.secrets.derive("marks of artifacts")
    }

    /// The plan of `nodes` without building anything.
    pub fn plan(&self, nodes: &[Assembled]) -> Plan {
        let medium = |medium: &Medium| MediumPlan {
            name: medium.name.clone(),
            distribution: medium.distribution.name(),
            entries: medium.tree.len(),
            metadata: medium.metadata_source.clone(),
            left_out: medium.left_out.clone(),
        };
        let (one, several) = match self.media {
            [one] => (Some(medium(one)), Vec::new()),
            several => (None, several.iter().map(medium).collect()),
        };
        Plan {
            p9img: env!("CARGO_PKG_VERSION"),
            lab: self.lab.clone(),
            medium: one,
            media: several,
            nodes: nodes.iter().map(|n| n.plan.clone()).collect(),
        }
    }

    /// What the nodes' common parts are remembered by, by their numbers
    /// ([`crate::read_at::Origin`]): digests of all that they are made of.
    /// `seen` stands for the bytes of each medium's files, by its name, `program`
    /// for this program. Nothing of a medium that is not in `seen`.
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
    /// When a file cannot be read.
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
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        std::thread::scope(|scope| {
            let some = |part: &'_ [(Node, Vec<Format>)]| part.iter().map(|(n, f)| self.node(n, f)).collect();
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
    /// When its roles cannot be rendered, the medium lacks a file, or the disk
    /// is too small.
    pub fn node(&self, node: &Node, formats: &[Format]) -> Result<Assembled, AssembleError> {
        stop::go_on().map_err(AssembleError::Interrupted)?;
        let name = || node.name.clone();
        let rendered = render::render(self.lab, node, self.catalog, &self.systems, self.secrets)
            .map_err(|source| AssembleError::Render { node: name(), source })?;
        let key = (number(self.lab, self.media, node)?, node.arch);
        let Some(medium) = self.trees.get(&key) else {
            unreachable!("every architecture of the lab was laid out, for each medium");
        };
        let tree = self.overlay(medium, &rendered, node)?;
        self.complete(node, &tree, &rendered)?;
        let layout = self.partitions(node, &rendered)?;
        let root = self.root(medium, &tree, &layout, &rendered, node)?;
        let mut volumes = self.venti(node, &layout)?;
        volumes.extend(root.volumes);
        if let Some(part) = &layout.fat {
            let volume = match (&rendered.pi, &rendered.boot_script) {
                (Some(pi), _) => self.dos(node, pi, &rendered, part)?,
                (_, Some(script)) => self.uboot(node, script, &rendered, part)?,
                _ => self.esp(node, &rendered, part)?,
            };
            volumes.insert(&part.name, Arc::new(volume));
        }
        if let Some(part) = layout.part("9fat") {
            volumes.insert("9fat", Arc::new(self.ninefat(node, &rendered, layout.lba(part), part)?));
        }
        volumes.insert("nvram", Arc::new(rendered.nvram.clone()));
        let disk = self.disk(node, &rendered, &layout, volumes)?;
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
            root_config: root_config(&rendered),
            files: rendered.changed(&self.medium(node).tree).map(file_plan).collect(),
        };
        let secret = !rendered.nvram.is_empty() || rendered.files.iter().any(|f| f.secret);
        Ok(Assembled { plan, disk: Arc::new(disk), secret })
    }

    /// What a node of the lab is built from.
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
        let parent = Meta::new(Mode::dir(0o775), "sys", "sys", self.lab.epoch);
        Ok(Arc::new(Tree::overlay(base, &additions, &parent)))
    }

    /// Refuses a tree without files of the medium that the node needs.
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

    fn partitions(&self, node: &Node, rendered: &Rendered) -> Result<Layout, AssembleError> {
        let wanted: Vec<_> =
            rendered.partitions.iter().map(|p| Wanted { name: p.name.clone(), size: p.size, holds: p.holds }).collect();
        let start = match node.firmware {
            _ if node.board.has_dos() => Start::Dos,
            PcFirmware::Bios => Start::NineFat,
            PcFirmware::Uefi => Start::Esp,
            PcFirmware::Both => Start::EspAndNineFat,
        };
        Ok(layout::layout(&node.name, node.disk, start, &wanted, &node.partitions, rendered.fs.kind())?)
    }

    fn root(
        &self,
        medium: &Arc<Tree>,
        tree: &Arc<Tree>,
        layout: &Layout,
        rendered: &Rendered,
        node: &Node,
    ) -> Result<LaidOut, AssembleError> {
        let len = |name: &str| layout.part(name).map_or(0, layout::Part::len);
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

    /// The volumes of the node's venti, by partition: what its roles want
    /// arenas, index sections or a bloom filter in.
    fn venti<'l>(&self, node: &Node, layout: &'l Layout) -> Result<BTreeMap<&'l str, Arc<dyn ReadAt>>, AssembleError> {
        let kind = |h| match h {
            Holds::Arenas => venti::Kind::Arenas,
            Holds::Isect => venti::Kind::Section,
            Holds::Bloom => venti::Kind::Bloom,
        };
        let parts: Vec<_> = layout.parts.iter().filter_map(|p| Some((p, kind(p.holds?)))).collect();
        let wanted: Vec<_> =
            parts.iter().map(|(p, kind)| venti::Wanted { name: p.name.clone(), len: p.len(), kind: *kind }).collect();
        let seed = node_uuid(&self.lab.name, &node.name).to_string();
        let volumes =
            venti::layout(&wanted, &seed).map_err(|source| AssembleError::Venti { node: node.name.clone(), source })?;
        Ok(parts.iter().zip(volumes).map(|((p, _), v)| (p.name.as_str(), Arc::new(v) as Arc<dyn ReadAt>)).collect())
    }

    /// The loader first, as it must be; plan9.ini last, so that what differs
    /// between nodes comes after what does not.
    fn ninefat(&self, node: &Node, rendered: &Rendered, lba: u64, part: &Part) -> Result<Fat, AssembleError> {
        let epoch = self.lab.epoch;
        let mut files = vec![self.boot_file(node, &rendered.boot.loader)?];
        if let Some(kernel) = &rendered.boot.kernel {
            files.push(self.boot_file(node, kernel)?);
        }
        files.push(FatFile::new("plan9.ini", Content::bytes(rendered.plan9_ini.as_bytes()), epoch));
        let (_, boot_code) = self.boot_content(node, &rendered.boot.pbs)?;
        let boot_code = self.read(&rendered.boot.pbs, &boot_code)?;
        let address = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let options = fat::Options {
            boot_code: Some(boot_code),
            ..fat::Options::hard_disk(address(part.end - part.start), address(lba), epoch)
        };
        Fat::layout(&files, &options).map_err(|source| AssembleError::Fat { node: node.name.clone(), source })
    }

    /// The loader by the name that UEFI looks for, and what the loader does.
    fn esp(&self, node: &Node, rendered: &Rendered, part: &Part) -> Result<Fat, AssembleError> {
        let epoch = self.lab.epoch;
        let mut files = Vec::new();
        if let Some(efi) = &rendered.boot.efi {
            let file = self.boot_file(node, efi)?;
            files.push(FatFile { name: format!("efi/boot/{}", file.name), ..file });
        }
        if let Some(kernel) = &rendered.boot.kernel {
            files.push(self.boot_file(node, kernel)?);
        }
        files.push(FatFile::new("plan9.ini", Content::bytes(rendered.plan9_ini.as_bytes()), epoch));
        plain_fat(&files, part, epoch).map_err(|source| AssembleError::Esp { node: node.name.clone(), source })
    }

    /// What a Pi's ROM, firmware and kernel read. What differs between nodes
    /// comes last.
    fn dos(&self, node: &Node, pi: &PiFiles, rendered: &Rendered, part: &Part) -> Result<Fat, AssembleError> {
        let firmware = self.firmware.as_ref().ok_or_else(|| FirmwareError::None { node: node.name.clone() })?;
        let epoch = self.lab.epoch;
        let own = firmware.files(node.board)?;
        let mut files: Vec<_> = own.into_iter().map(|(name, content)| FatFile::new(name, content, epoch)).collect();
        if let Some(kernel) = &rendered.boot.kernel {
            files.push(self.boot_file(node, kernel)?);
        }
        for (name, text) in [("config.txt", &pi.config_txt), ("cmdline.txt", &pi.cmdline_txt)] {
            files.push(FatFile::new(name, Content::bytes(text.as_bytes()), epoch));
        }
        plain_fat(&files, part, epoch).map_err(|source| AssembleError::Dos { node: node.name.clone(), source })
    }

    /// What U-Boot looks for, and what that loads.
    fn uboot(&self, node: &Node, script: &str, rendered: &Rendered, part: &Part) -> Result<Fat, AssembleError> {
        let epoch = self.lab.epoch;
        let mut files = vec![FatFile::new("boot.scr", Content::bytes(uimage::script(script, epoch)), epoch)];
        if let Some(kernel) = &rendered.boot.kernel {
            files.push(self.boot_file(node, kernel)?);
        }
        files.push(FatFile::new("plan9.ini", Content::bytes(rendered.plan9_ini.as_bytes()), epoch));
        plain_fat(&files, part, epoch).map_err(|source| AssembleError::Dos { node: node.name.clone(), source })
    }

    fn disk(
        &self,
        node: &Node,
        rendered: &Rendered,
        layout: &Layout,
        mut volumes: BTreeMap<&str, Arc<dyn ReadAt>>,
    ) -> Result<Disk, AssembleError> {
        let address = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let start = layout.plan9_start;
        let dos = node.board.has_dos();
        // A board's firmware starts from the active partition, a PC's boot code too.
        let plan9 = MbrEntry {
            active: !dos,
            kind: TYPE_PLAN9,
            start: address(start),
            sectors: address(layout.sectors - start),
        };
        let fat = layout.fat.as_ref().map(|part| MbrEntry {
            active: dos,
            kind: if dos { TYPE_FAT_LBA } else { TYPE_EFI },
            start: address(part.start),
            sectors: address(part.end - part.start),
        });
        let [first, second] = match fat {
            Some(fat) => [Some(fat), Some(plan9)],
            None => [Some(plan9), None],
        };
        let mbr = Mbr { code: self.mbr_code(node, rendered)?, entries: [first, second, None, None] };
        let mut part = |p: &Part, start_lba: u64| Partition {
            name: p.name.clone(),
            start_lba,
            sectors: p.end - p.start,
            volume: volumes.remove(p.name.as_str()),
        };
        let mut parts: Vec<_> = layout.fat.iter().map(|p| part(p, p.start)).collect();
        parts.extend(layout.parts.iter().map(|p| part(p, layout.lba(p))));
        Disk::new(layout.sectors * SECTOR, &mbr, parts)
            .map_err(|source| AssembleError::Disk { node: node.name.clone(), source })
    }

    /// Empty where nothing runs it.
    fn mbr_code(&self, node: &Node, rendered: &Rendered) -> Result<Vec<u8>, AssembleError> {
        if node.board.has_dos() || !node.firmware.has_bios() {
            return Ok(Vec::new());
        }
        let path = &rendered.boot.mbr;
        let (_, code) = self.boot_content(node, path)?;
        if code.len() > MBR_CODE {
            let medium = self.medium(node).name.clone();
            return Err(AssembleError::MbrCode { medium, path: path.clone(), len: code.len() });
        }
        self.read(path, &code)
    }

    fn boot_file(&self, node: &Node, path: &str) -> Result<FatFile, AssembleError> {
        let (mtime, content) = self.boot_content(node, path)?;
        let last = path.rsplit('/').next().unwrap_or(path);
        Ok(FatFile::new(last, content, mtime))
    }

    /// Boot files come from the whole medium, whatever goes into the images.
    fn boot_content(&self, node: &Node, path: &str) -> Result<(u32, Content), AssembleError> {
        let medium = self.medium(node);
        let entry = medium.tree.find(path.as_bytes()).map(|id| medium.tree.entry(id));
        entry.and_then(|e| Some((e.meta.mtime, e.content()?.clone()))).ok_or_else(|| AssembleError::NoBootFile {
            medium: medium.name.clone(),
            path: path.into(),
            node: node.name.clone(),
            instead: self.instead(node, path),
        })
    }

    /// What would do in place of a boot file that the medium lacks.
    fn instead(&self, node: &Node, path: &str) -> String {
        let medium = self.medium(node);
        let mut ways = Vec::new();
        let kind = self.catalog.kernel(node).ok().flatten();
        let kernel = |machine: &str| {
            let distribution = medium.distribution.name();
            kind.and_then(|kind| self.catalog.kernel_file(distribution, kind, machine).ok().flatten())
        };
        let has = |path: &str| medium.tree.find(path.as_bytes()).is_some();
        if kernel(node.machine()) == Some(path) {
            let others =
                Arch::WORDS.iter().filter(|(_, arch)| node.board.spec().fixed.arch.is_none() && *arch != node.arch);
            for (word, there) in others.filter_map(|(word, _)| Some((word, kernel(word).filter(|p| has(p))?))) {
                ways.push(format!("set arch = \"{word}\", for which it has {there}"));
            }
            if has("sys/src/9") {
                ways.push("build it from its sys/src/9".into());
            }
        }
        ways.push("take a medium that has it, such as a release's ISO or disk image".into());
        ways.join(", or ")
    }

    fn read(&self, path: &str, content: &Content) -> Result<Vec<u8>, AssembleError> {
        content.read_all().map_err(|source| AssembleError::Read { path: path.into(), source })
    }
}

/// The distributions of the lab's nodes.
fn systems(lab: &Lab, media: &[Medium]) -> Systems {
    let distribution = |name: &str| media.iter().find(|m| m.name == name).map_or("", |m| m.distribution.name());
    let own = media.iter().map(|m| (m.name.clone(), m.distribution.name().to_owned()));
    Systems::new(distribution(&lab.medium), own.collect())
}

/// The number among `media` of what a node is built from.
fn number(lab: &Lab, media: &[Medium], node: &Node) -> Result<usize, AssembleError> {
    let name = lab.medium_of(node);
    let missing = || AssembleError::NoMedium { node: node.name.clone(), medium: name.to_owned() };
    media.iter().position(|m| m.name == name).ok_or_else(missing)
}

/// A FAT partition of the MBR, which no boot sector starts from.
fn plain_fat(files: &[FatFile], part: &Part, epoch: u32) -> Result<Fat, fat::LayoutError> {
    let address = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let options = fat::Options {
        reserved: 1,
        ..fat::Options::hard_disk(address(part.end - part.start), address(part.start), epoch)
    };
    Fat::layout(files, &options)
}

/// As a plan has it; see [`NodePlan::root_config`].
fn root_config(rendered: &Rendered) -> BTreeMap<&'static str, String> {
    let own = rendered.fs.kind().config.map(|key| (key, rendered.root_config.clone()));
    let default = Fs::DEFAULT.kind().config.map(|key| (key, String::new()));
    default.into_iter().chain(own).collect()
}

fn file_plan(f: &RenderedFile) -> FilePlan {
    let bytes = match &f.what {
        render::What::Bytes(b) => Some(b),
        _ => None,
    };
    FilePlan {
        path: f.path.clone(),
        what: match &f.what {
            render::What::Bytes(_) => "file".into(),
            render::What::Copy(from) => format!("copy of {from}"),
            render::What::Folder => "folder".into(),
            render::What::Remove => "removed".into(),
            render::What::Listener { .. } => "listener".into(),
        },
        mode: f.mode.map(|m| format!("{m:o}")),
        uid: f.uid.clone(),
        gid: f.gid.clone(),
        len: bytes.map(|b| b.len() as u64),
        sha256: bytes.filter(|_| !f.secret).map(|b| hex(&Sha256::digest(b))),
        from: f.from.clone(),
    }
}
