//! Reading a FAT volume, whatever its bytes.
//!
//! [`Geometry`] has made sure that every offset lies within the volume. What
//! remains is what hostile tables and directories can do: chains that loop
//! (cut off at the number of clusters they can need), directories that contain
//! themselves (each may be entered from one place only), names that lead
//! elsewhere (see `names`). Memory is bounded by a directory's largest legal
//! size, 2 MiB, and by the length of the file being read.

use super::format::{ATTR_DIR, ATTR_LABEL, ATTR_READ_ONLY, BadBootSector, BootSector, DIRENT, DirEntry, Geometry};
use super::format::{REMOVED, SECTOR, unix_time};
use super::names::{Long, LongName, made_safe};
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shown;
use crate::tree::{Meta, Mode};
use crate::{ErrorKind, FileSystem, Finding, Node};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Entries that a directory can have at most.
pub(super) const MAX_ENTRIES: u64 = 65_536;
/// Directories within each other; nobody's loader goes deeper.
pub(super) const MAX_DEPTH: u64 = 128;
/// Bytes of a table that are read at once. Entries of 12, 16 and 32 bits all
/// end where it ends.
const TABLE_PAGE: u64 = 12_288;
/// The root directory in [`Node::handle`]: no cluster has this number.
const ROOT: u64 = u64::MAX;

/// Reason why a FAT volume cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Length in bytes: too few for a boot sector.
    #[error("A volume of {n} has no room for a boot sector", n = count::of(.0, "byte"))]
    TooShort(u64),
    /// First sector that is not FAT's, or is damaged: [`OpenError::kind`] tells which.
    #[error("This is not a FAT volume")]
    BootSector(#[from] BadBootSector),
    /// Failure to read the boot sector.
    #[error("Cannot read the boot sector")]
    Io(#[source] io::Error),
}

impl OpenError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        use BadBootSector::{PastEnd, TableTooSmall, TooSmall, Zero};
        match self {
            Self::TooShort(_) => ErrorKind::TooSmall,
            Self::BootSector(Zero { .. } | TooSmall { .. } | PastEnd { .. } | TableTooSmall { .. }) => {
                ErrorKind::Damaged
            }
            Self::BootSector(_) => ErrorKind::NotThisFormat,
            Self::Io(_) => ErrorKind::Io,
        }
    }
}

/// A FAT volume opened for reading.
pub struct FatFs {
    pub(super) source: Arc<dyn ReadAt>,
    pub(super) boot: BootSector,
    pub(super) geometry: Geometry,
    /// First sector of the volume on its disk, if given.
    pub(super) partition_lba: Option<u64>,
    /// The table page read last.
    page: Mutex<(u64, Vec<u8>)>,
    /// The chain followed last: readers go through one file at a time.
    chain: Mutex<Option<Chain>>,
    /// First cluster of each directory seen, with the entry that leads there.
    owners: Mutex<BTreeMap<u64, u64>>,
}

/// Clusters that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Number of clusters of the chain before this one.
    pub index: u32,
    pub first: u32,
    pub count: u32,
}

/// The first clusters of a chain.
struct Chain {
    start: u32,
    /// Number of clusters that are needed.
    need: u64,
    runs: Arc<[Run]>,
}

/// An entry in use, with its name and place.
pub(super) struct Entry {
    pub name: Vec<u8>,
    pub long: Long,
    pub raw: DirEntry,
    /// Byte offset of the entry in the volume.
    pub offset: u64,
    /// Number of the entry in its directory.
    pub slot: usize,
}

impl Entry {
    pub(super) fn is_dir(&self) -> bool {
        self.raw.attr & ATTR_DIR != 0
    }
    pub(super) fn is_dot(&self) -> bool {
        matches!(&self.raw.name, b".          " | b"..         ")
    }
}

/// Location of a directory's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirLocation {
    /// The fixed root directory of FAT12/16.
    Fixed,
    /// A chain that begins with this cluster.
    Chain(u32),
}

/// Next element of a chain.
pub(super) enum Link {
    Next(u32),
    End,
    /// Free, marked bad, or no cluster's number.
    Broken(u32),
}

impl FatFs {
    /// Opens the volume that fills `source`; `partition_lba` is its first
    /// sector on the disk if the caller has it, for [`FileSystem::check`].
    ///
    /// # Errors
    /// Fails when the boot sector does not describe a FAT volume of this
    /// length.
    pub fn open(source: Arc<dyn ReadAt>, partition_lba: Option<u64>) -> Result<Self, OpenError> {
        if source.len() < SECTOR as u64 {
            return Err(OpenError::TooShort(source.len()));
        }
        let mut sector = [0; SECTOR];
        source.read_at(0, &mut sector).map_err(OpenError::Io)?;
        let boot = BootSector::decode(&sector);
        let geometry = Geometry::new(&boot, source.len())?;
        let page = Mutex::new((u64::MAX, Vec::new()));
        let (chain, owners) = (Mutex::default(), Mutex::default());
        Ok(Self { source, boot, geometry, partition_lba, page, chain, owners })
    }

    /// Positions of the parts of the volume.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }
    /// The fields of the boot sector.
    pub fn boot_sector(&self) -> &BootSector {
        &self.boot
    }

    /// Runs of clusters that hold a file or directory: first cluster, number.
    ///
    /// # Errors
    /// `InvalidData` when its chain is damaged.
    pub fn clusters(&self, node: &Node) -> io::Result<Vec<(u32, u32)>> {
        let [start, dir, len, _] = node.handle;
        let Ok(start) = u32::try_from(start) else { return Ok(Vec::new()) };
        let size = u64::from(self.geometry.cluster_size);
        let need = if dir == 1 { MAX_ENTRIES * DIRENT as u64 / size } else { len.div_ceil(size) };
        if need == 0 {
            return Ok(Vec::new());
        }
        Ok(self.runs(start, need)?.into_iter().map(|r| (r.first, r.count)).collect())
    }

    /// The first table's entry for a cluster; the caller has checked that
    /// there is such a cluster.
    pub(super) fn table_entry(&self, cluster: u32) -> io::Result<u32> {
        let g = &self.geometry;
        let per_page = TABLE_PAGE * 8 / u64::from(g.fat_type.bits());
        let (number, within) = (u64::from(cluster) / per_page, u64::from(cluster) % per_page);
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.0 != number {
            let len = u64::from(g.fat_sectors) * u64::from(g.sector_size);
            let at = number * TABLE_PAGE;
            let mut bytes = vec![0; TABLE_PAGE.min(len.saturating_sub(at)) as usize];
            self.source.read_at(g.fat_offset(0) + at, &mut bytes)?;
            *page = (number, bytes);
        }
        let entry = g.fat_type.get(&page.1, within as u32);
        entry.ok_or_else(|| damaged(format!("Cluster {cluster} has no entry in the table")))
    }

    /// Successor of a cluster in its chain.
    pub(super) fn link(&self, cluster: u32) -> io::Result<Link> {
        let value = self.table_entry(cluster)?;
        Ok(match value {
            v if v >= self.geometry.fat_type.end_of_chain() => Link::End,
            v if self.geometry.cluster_offset(v).is_some() => Link::Next(v),
            v => Link::Broken(v),
        })
    }

    /// Follows a chain from `start` over at most `limit` clusters.
    ///
    /// # Errors
    /// `InvalidData` when it leaves the clusters in use or comes back to one
    /// that it has been at.
    pub(super) fn runs(&self, start: u32, limit: u64) -> io::Result<Vec<Run>> {
        let mut out: Vec<Run> = Vec::new();
        if self.geometry.cluster_offset(start).is_none() {
            return Err(damaged(format!(
                "A chain begins with cluster {start}, but clusters go from 2 to {}",
                self.last()
            )));
        }
        let mut at = start;
        // Brent's way to notice a loop: look out for a cluster that is set
        // anew after 1, 2, 4, 8 … steps.
        let (mut mark, mut turn) = (start, 1);
        for step in 0..limit.min(self.geometry.clusters.into()) {
            if step > 0 && at == mark {
                return Err(damaged(format!("The chain that begins with cluster {start} comes back to cluster {at}")));
            }
            if step == turn {
                (mark, turn) = (at, turn * 2);
            }
            match out.last_mut() {
                Some(run) if run.first + run.count == at => run.count += 1,
                last => {
                    let index = last.map_or(0, |run| run.index + run.count);
                    out.push(Run { index, first: at, count: 1 });
                }
            }
            match self.link(at)? {
                Link::Next(next) => at = next,
                Link::End => break,
                Link::Broken(v) => return Err(damaged(format!("Cluster {at} leads to {v:#x}, which is not in use"))),
            }
        }
        Ok(out)
    }

    /// Number of the last cluster.
    pub(super) fn last(&self) -> u32 {
        self.geometry.clusters + 1
    }

    fn cached_runs(&self, start: u32, need: u64) -> io::Result<Arc<[Run]>> {
        let mut last = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(chain) if (chain.start, chain.need) == (start, need) => Ok(chain.runs.clone()),
            _ => {
                let runs: Arc<[Run]> = self.runs(start, need)?.into();
                *last = Some(Chain { start, need, runs: runs.clone() });
                Ok(runs)
            }
        }
    }

    pub(super) fn root_location(&self) -> DirLocation {
        match self.geometry.root_entries {
            0 => DirLocation::Chain(self.geometry.root_cluster),
            _ => DirLocation::Fixed,
        }
    }

    /// The entries in use of a directory, in their order: names, labels, `.`
    /// and `..` alike.
    pub(super) fn entries(&self, location: DirLocation) -> io::Result<Vec<Entry>> {
        self.listed(location).map(|(entries, _)| entries)
    }

    /// As [`FatFs::entries`], and whether there are parts of long names that are
    /// no entry's.
    pub(super) fn listed(&self, location: DirLocation) -> io::Result<(Vec<Entry>, bool)> {
        let g = &self.geometry;
        let parts: Vec<(u64, u64)> = match location {
            DirLocation::Fixed => vec![(g.root_offset(), u64::from(g.root_entries) * DIRENT as u64)],
            DirLocation::Chain(start) => {
                let limit = MAX_ENTRIES * DIRENT as u64 / u64::from(g.cluster_size);
                let runs = self.runs(start, limit.max(1) + 1)?;
                let size = |r: &Run| u64::from(r.count) * u64::from(g.cluster_size);
                if runs.iter().map(size).sum::<u64>() > MAX_ENTRIES * DIRENT as u64 {
                    return Err(damaged(format!("The directory at cluster {start} is longer than 65536 entries")));
                }
                runs.iter().filter_map(|r| Some((g.cluster_offset(r.first)?, size(r)))).collect()
            }
        };
        let (mut out, mut long, mut slot) = (Vec::new(), LongName::default(), 0);
        for (offset, len) in parts {
            let mut bytes = vec![0; len as usize];
            self.source.read_at(offset, &mut bytes)?;
            for (index, raw) in bytes.as_chunks::<DIRENT>().0.iter().enumerate() {
                match raw[0] {
                    0 => return Ok((out, long.any_lost())),
                    REMOVED => long.drop_parts(),
                    _ if long.take(raw) => {}
                    _ => {
                        let entry = DirEntry::decode(raw);
                        let (name, kind) = long.finish(&entry);
                        out.push(Entry {
                            name,
                            long: kind,
                            raw: entry,
                            offset: offset + (index * DIRENT) as u64,
                            slot,
                        });
                    }
                }
                slot += 1;
            }
        }
        Ok((out, long.any_lost()))
    }

    /// Notes that the entry at `entry` leads to the directory at `start`.
    fn own(&self, start: u32, entry: u64) -> io::Result<()> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let root = self.geometry.root_entries == 0 && self.geometry.root_cluster == start;
        match owners.entry(start.into()).or_insert(entry) {
            owner if *owner == entry && !root => Ok(()),
            _ => Err(damaged(format!("The directory at cluster {start} is entered from two places"))),
        }
    }

    fn node(&self, e: Entry, depth: u64) -> io::Result<Node> {
        let start = e.raw.start;
        let mode = match (e.is_dir(), e.raw.attr & ATTR_READ_ONLY != 0) {
            (true, false) => Mode::dir(0o777),
            (true, true) => Mode::dir(0o555),
            (false, false) => Mode::file(0o666),
            (false, true) => Mode::file(0o444),
        };
        if e.is_dir() {
            self.own(start, e.offset)?;
            if depth > MAX_DEPTH {
                return Err(damaged(format!("Directories are nested more than {MAX_DEPTH} deep")));
            }
        }
        let len = if e.is_dir() { 0 } else { e.raw.len.into() };
        // The owners that Plan 9's dossrv shows.
        let meta = Meta::new(mode, "bill", "trog", unix_time(e.raw.date, e.raw.time));
        let handle = [start.into(), u64::from(e.is_dir()), if e.is_dir() { depth } else { len }, e.offset];
        Ok(Node { name: made_safe(e.name), meta, len, qid: None, handle })
    }
}

impl FileSystem for FatFs {
    fn kind(&self) -> &'static str {
        "fat"
    }

    fn root(&self) -> io::Result<Node> {
        let meta = Meta::new(Mode::dir(0o777), "bill", "trog", 0);
        Ok(Node { name: Vec::new(), meta, len: 0, qid: None, handle: [ROOT, 1, 0, 0] })
    }

    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        let location = match dir.handle {
            [ROOT, ..] => self.root_location(),
            [start, 1, ..] => DirLocation::Chain(u32::try_from(start).unwrap_or(0)),
            _ => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
        };
        let listed = self.entries(location)?.into_iter().filter(|e| e.raw.attr & ATTR_LABEL == 0 && !e.is_dot());
        let mut out =
            listed.map(|e| self.node(e, dir.handle[2].saturating_add(1))).collect::<io::Result<Vec<Node>>>()?;
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let [start, kind, len, _] = file.handle;
        if kind != 0 {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let want = len.saturating_sub(offset).min(buf.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        let cluster = u64::from(self.geometry.cluster_size);
        let runs = self.cached_runs(u32::try_from(start).unwrap_or(0), len.div_ceil(cluster))?;
        let mut done = 0;
        let first = runs.partition_point(|r| u64::from(r.index + r.count) * cluster <= offset);
        for run in &runs[first..] {
            if done == want {
                break;
            }
            let within = offset + done as u64 - u64::from(run.index) * cluster;
            let n = (u64::from(run.count) * cluster - within).min((want - done) as u64) as usize;
            let base = self.geometry.cluster_offset(run.first).expect("runs hold only clusters that exist");
            self.source.read_at(base + within, &mut buf[done..done + n])?;
            done += n;
        }
        if done < want {
            let name = shown::name(&file.name);
            let held = runs.last().map_or(0, |r| u64::from(r.index + r.count) * cluster);
            return Err(damaged(format!(
                "{name} has {len}, but its clusters have only {held}",
                len = count::of(len, "byte")
            )));
        }
        Ok(done)
    }

    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        super::check::check(self, report)
    }

    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        super::dump::dump(self, out)
    }

    fn same_name(&self, a: &[u8], b: &[u8]) -> bool {
        a.eq_ignore_ascii_case(b)
    }
}
