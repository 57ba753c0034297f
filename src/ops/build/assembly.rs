//! Assembled nodes, as the artifacts of a build need them.
//!
//! A disk takes megabytes of memory once it is assembled, because it has the tree of its node. So
//! disks are forgotten when their extents are known, and assembled again when they are read; the
//! last few are kept.

use super::BuildError;
use super::inputs::Inputs;
use crate::artifact::{BASE_NAME, Job, Layer, Machine, Over, Shared, manifest};
use crate::assemble::{Assembled, Assembler, CommonDisk, NodePlan, Plan};
use crate::digest::FieldHasher;
use crate::disk::Disk;
use crate::lab::{Format, Lab, Node, Secrets, Word as _};
use crate::media::Medium;
use crate::media::firmware::Firmware;
use crate::poison::IgnorePoison as _;
use crate::read_at::{Extent, Origin, ReadAt};
use crate::render::Scenes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, TryLockError};

/// Disks that are kept in memory: those of the nodes whose files are written at the same time.
const KEPT: usize = 8;
/// Digits of a digest in the name of a base.
const DIGITS: usize = 12;

/// Nodes with their disks. Nothing is written yet.
pub struct Assembly<'a> {
    pub assembler: Assembler<'a>,
    /// Number of media that the lab's nodes are built from.
    media: usize,
    variants: Vec<(Node, Vec<Format>)>,
    nodes: Vec<Prepared>,
    /// The disks that were read last, by the numbers of their nodes.
    kept: Mutex<VecDeque<(usize, Slot)>>,
    /// What is the same for all nodes, for each thread that assembles one.
    scenes: Mutex<Vec<Scenes>>,
}

/// A disk, once somebody has assembled it.
type Slot = Arc<Mutex<Option<Arc<Disk>>>>;

/// What is remembered of an assembled node.
struct Prepared {
    plan: NodePlan,
    secret: bool,
    len: u64,
    extents: Vec<Extent>,
    /// The disk that it has in common with others, what of that is shared, and what it has over it.
    common: Option<(Arc<CommonDisk>, Arc<Shared>, Over)>,
}

impl<'a> Assembly<'a> {
    /// Assembles nodes with the secrets that exist, or stand-ins.
    ///
    /// # Errors
    /// Fails when a node cannot be assembled, or there is none.
    pub fn new(
        inputs: &'a Inputs,
        media: &'a [Medium],
        firmware: Option<Firmware>,
        variants: Vec<(Node, Vec<Format>)>,
    ) -> Result<Self, BuildError> {
        let assembler = Assembler::new(&inputs.lab, media, &inputs.catalog, &inputs.secrets.value)?;
        let assembler = assembler.with_firmware(firmware);
        if variants.is_empty() {
            return Err(BuildError::NoneFits);
        }
        Self::of(assembler, media.len(), variants)
    }

    /// The same nodes with other secrets.
    ///
    /// # Errors
    /// Fails when a node cannot be assembled.
    pub fn with_secrets(self, secrets: &'a Secrets) -> Result<Self, BuildError> {
        Self::of(self.assembler.with_secrets(secrets), self.media, self.variants)
    }

    fn of(assembler: Assembler<'a>, media: usize, variants: Vec<(Node, Vec<Format>)>) -> Result<Self, BuildError> {
        let commons = Commons::default();
        let few = variants.len() <= KEPT;
        let prepared = assembler.each(&variants, |assembled| {
            let disk = few.then(|| assembled.disk.clone());
            (Prepared::of(assembled, &commons), disk)
        })?;
        let (nodes, disks): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        let slot = |(number, disk)| Some((number, Arc::new(Mutex::new(Some(disk?)))));
        let kept = Mutex::new(disks.into_iter().enumerate().filter_map(slot).collect());
        Ok(Self { assembler, media, variants, nodes, kept, scenes: Mutex::default() })
    }

    /// Whether a disk holds passwords or keys.
    pub fn has_secrets(&self) -> bool {
        self.nodes.iter().any(|node| node.secret)
    }

    /// Number of media that the lab's nodes are built from.
    pub const fn media(&self) -> usize {
        self.media
    }

    /// The plan of the nodes.
    pub fn plan(&self) -> Plan {
        self.assembler.plan(self.nodes.iter().map(|node| node.plan.clone()).collect())
    }

    /// Disk of a node by its number.
    fn disk(&self, number: usize) -> io::Result<Arc<Disk>> {
        let slot = self.slot(number);
        if let Err(TryLockError::WouldBlock) = slot.try_lock() {
            // Another thread assembles it. The next one is wanted soon.
            self.ahead(number + 1);
        }
        self.assembled(number, &mut slot.lock().ignore_poison())
    }

    /// Assembles the disk of a node that may be wanted, unless somebody does so.
    fn ahead(&self, number: usize) {
        if number < self.variants.len() {
            let slot = self.slot(number);
            if let Ok(mut there) = slot.try_lock() {
                // Whoever wants it gets the error.
                let _ = self.assembled(number, &mut there);
            }
        }
    }

    fn slot(&self, number: usize) -> Slot {
        let mut kept = self.kept.lock().ignore_poison();
        if let Some((_, slot)) = kept.iter().find(|(n, _)| *n == number) {
            return slot.clone();
        }
        let slot = Slot::default();
        kept.push_back((number, slot.clone()));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        slot
    }

    /// The disk that is in a slot, or comes into it.
    fn assembled(&self, number: usize, there: &mut Option<Arc<Disk>>) -> io::Result<Arc<Disk>> {
        if let Some(disk) = there {
            return Ok(disk.clone());
        }
        let mut scenes = self.scenes.lock().ignore_poison().pop().unwrap_or_default();
        // Formats are for the plan, and for what is in common.
        let made = self.assembler.node_next(&self.variants[number].0, &[], &mut scenes).map_err(io::Error::other)?;
        self.scenes.lock().ignore_poison().push(scenes);
        *there = Some(made.disk.clone());
        Ok(made.disk)
    }

    /// The jobs of the nodes, after those of the bases that they are over; `digests` are those of
    /// the media, if they could be computed.
    pub fn jobs(&'a self, lab: &Lab, digests: Option<&[String]>) -> Vec<Job<'a>> {
        let key = self.assembler.key();
        let (mut bases, mut jobs) = (BTreeMap::new(), Vec::new());
        for (number, ((node, formats), prepared)) in self.variants.iter().zip(&self.nodes).enumerate() {
            let job = |formats: &[Format], layer: Layer| Job {
                node: machine(lab, node),
                disk: Arc::new(NodeDisk { assembly: self, number }),
                outputs: formats.iter().map(|f| (*f, format!("{}.{}", node.name, f.spec().extension))).collect(),
                key: prepared.secret.then_some(key),
                layer,
            };
            let common = prepared.common.as_ref().zip(digests);
            let (layered, whole): (Vec<Format>, Vec<Format>) =
                formats.iter().partition(|format| common.is_some() && format.spec().layers);
            if let Some(((common, shared, over), digests)) = common {
                for format in layered {
                    let stem = base_name(common, format, &digests[common.medium]);
                    let base = format!("{stem}.{}", format.spec().extension);
                    jobs.push(job(&[format], Layer::Over(Over { base: base.clone(), ..over.clone() })));
                    bases.entry(base.clone()).or_insert_with(|| Job {
                        node: Machine { name: stem, ..machine(lab, node) },
                        disk: common.disk.clone(),
                        outputs: vec![(format, base)],
                        key: None,
                        layer: shared.layer(),
                    });
                }
            }
            if !whole.is_empty() || formats.is_empty() {
                jobs.push(job(&whole, Layer::Whole));
            }
        }
        bases.into_values().chain(jobs).collect()
    }
}

/// What disks have in common with others, by the addresses of those.
type Commons = Mutex<BTreeMap<usize, Arc<Shared>>>;

impl Prepared {
    fn of(assembled: Assembled, commons: &Commons) -> Self {
        let Assembled { plan, disk, secret, common } = assembled;
        let common = common.map(|common| {
            let shared = {
                let mut commons = commons.lock().ignore_poison();
                let address = Arc::as_ptr(&common).addr();
                commons.entry(address).or_insert_with(|| Arc::new(Shared::of(&*common.disk))).clone()
            };
            let over = shared.over(&*disk);
            (common, shared, over)
        });
        Self { plan, secret, len: disk.len(), extents: disk.extents(), common }
    }
}

/// Disk of a node, which is assembled when it is read.
struct NodeDisk<'a> {
    assembly: &'a Assembly<'a>,
    number: usize,
}

impl ReadAt for NodeDisk<'_> {
    fn len(&self) -> u64 {
        self.assembly.nodes[self.number].len
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.assembly.disk(self.number)?.read_at(offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        self.assembly.nodes[self.number].extents.clone()
    }
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.assembly.disk(self.number).ok()?.origin(offset, len)
    }
}

/// Name of the base in a format for disks with this in common, without the extension; `medium` is
/// the digest of their medium.
fn base_name(common: &CommonDisk, format: Format, medium: &str) -> String {
    let mut hash = FieldHasher::new();
    let tools = serde_json::to_string(&(manifest::Tools::default(), format)).unwrap_or_default();
    for part in [medium, &common.depends, common.fs.word(), &tools] {
        hash.field(part);
    }
    format!("{BASE_NAME}{}-{}", common.fs.word(), &hash.finish().to_string()[..DIGITS])
}

/// The machine that a node's disk is for.
fn machine(lab: &Lab, node: &Node) -> Machine {
    Machine {
        lab: lab.name.clone(),
        name: node.name.clone(),
        annotation: format!("Plan 9 node {} of the lab {}: {}", node.name, lab.name, node.roles.join(", ")),
        arch: node.arch,
        cpus: node.cpus,
        memory: node.memory,
        mac: node.mac,
        nic: node.nic,
        controller: node.controller,
        firmware: node.firmware,
        network: lab.network.name.clone(),
    }
}
