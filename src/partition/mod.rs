//! Partitions of a node's disk: where each begins and ends.
//!
//! ```text
//! 0        2048 sectors                                              end of disk
//! │ MBR …  │ Plan 9 partition (type 0x39)                                  │
//!          │ 9fat │ nvram │ root ………………………… │ swap │ arenas │ isect │ bloom │
//! ```
//!
//! The root's partition is called `fossil` or, for hjfs and gefs, `fs`; cwfs64x has
//! three: `fscache`, `fsworm` with the files, and `other`. The card of a Pi and the
//! disk of QEMU's ARM machine have no 9fat, but a FAT partition of their own before
//! Plan 9's, which the board's firmware reads. A PC that starts from UEFI has such
//! a partition too, `esp`, and 9fat only if it starts from BIOS as well:
//!
//! ```text
//! 0        2048         67584                                        end of card
//! │ MBR …  │ dos (FAT)  │ Plan 9 partition                                  │
//!                       │ table │ nvram │ fossil ………………… │ swap │ arenas │ … │
//! ```
//!
//! Partitions that every node has come first and those of roles come last, so the
//! common part of two disks is at the same offsets. The root begins where its
//! *data* falls on a cluster boundary: then the common files fill the same clusters
//! even on nodes whose root is of another size, and a cluster is compressed once
//! for all of them.
//!
//! This folder knows names and sizes, and nothing of labs, roles and boards.
//!
//! It may ask `root`.

mod shares;

use crate::count;
use crate::read_at::SECTOR;
use crate::root::RootKind;
use serde::{Deserialize, Serialize};
pub use shares::CLUSTER;
use shares::Shares;
use std::collections::BTreeMap;

/// First sector of the first partition: 1 MiB, as partitioning tools align today.
const FIRST: u64 = 2048;

/// Bytes of 9fat on a large disk: the loader, a kernel or two and plan9.ini;
/// prep(8) gives it 10 to 100 MB.
const NINEFAT: u64 = 32 << 20;
/// Bytes of a FAT partition before Plan 9's: firmware or loader and a kernel,
/// 8 MB at the most.
const FAT: u64 = 32 << 20;
/// Bytes at the start of a Plan 9 partition without 9fat: one sector that is not
/// used, and the table.
const TABLE: u64 = 2 * SECTOR;
/// prep(8)'s maximum for swap.
const SWAP_MAX: u64 = 512 << 20;

/// Content that p9img formats a partition for, where a role asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// Arenas of a venti.
    Arenas,
    /// A section of the index of the node's venti.
    Isect,
    /// The bloom filter of the node's venti.
    Bloom,
}

/// One partition, in sectors from the start of the Plan 9 partition; `end` is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub start: u64,
    pub end: u64,
    /// Left out of a plan for partitions that every node has, and for zeros.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
}

impl Part {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        (self.end - self.start) * SECTOR
    }
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }
}

/// The partitions of one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// A FAT partition before Plan 9's, in sectors of the whole disk: `dos` of
    /// a Pi's card, `esp` for UEFI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fat: Option<Part>,
    /// Sectors of the whole disk.
    pub sectors: u64,
    /// First sector of the Plan 9 partition.
    pub plan9_start: u64,
    pub parts: Vec<Part>,
}

impl Layout {
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|p| p.name == name)
    }
    /// First sector on the disk, and number of sectors, of the partition of this name, also if it
    /// is before Plan 9's.
    pub fn place(&self, name: &str) -> Option<(u64, u64)> {
        match self.fat.as_ref().filter(|part| part.name == name) {
            Some(part) => Some((part.start, part.end - part.start)),
            None => self.part(name).map(|part| (self.lba(part), part.end - part.start)),
        }
    }

    /// Absolute sector of a partition's start.
    pub fn lba(&self, part: &Part) -> u64 {
        self.plan9_start + part.start
    }
}

/// A partition that a role asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub holds: Option<Holds>,
}

/// A disk that is to be divided.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Name of the node, for messages.
    pub node: &'a str,
    /// Bytes of the disk.
    pub disk: u64,
    /// Name of the FAT partition before Plan 9's, if there is to be one.
    pub fat: Option<&'static str>,
    /// Whether Plan 9's partition begins with 9fat.
    pub ninefat: bool,
    /// Partitions after those that every node has.
    pub wanted: &'a [PartitionRequest],
    /// Bytes by partition name, instead of the default and of what a role asks for.
    pub sizes: &'a BTreeMap<String, u64>,
    pub root: &'a RootKind,
}

/// Reason why a disk cannot be partitioned.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(
        "The partitions of {node} need {needed} ({list}, the rest for {root} at the least), but its disk has \
         {disk}: enlarge disk by {}, or shrink them under [node.partitions]", count::of(needed.saturating_sub(*disk), "byte"), needed = count::of(needed, "byte")
    )]
    NoRoom { node: String, needed: u64, disk: u64, list: String, root: String },
    #[error("{node} has no partition {name:?} to set the size of: it has {known}")]
    UnknownPartition { node: String, name: String, known: String },
}

impl Request<'_> {
    /// Size of a partition: the lab's, or `default`.
    fn size(&self, name: &str, default: u64) -> u64 {
        self.sizes.get(name).copied().unwrap_or(default)
    }

    /// FAT partition before Plan 9's, with its bytes.
    fn fat(&self) -> Option<(&'static str, u64)> {
        self.fat.map(|name| (name, self.size(name, FAT).next_multiple_of(1 << 20)))
    }

    /// Bytes before nvram. Small disks get a small 9fat, but not below prep(8)'s
    /// minimum of 10 MB.
    fn before_nvram(&self) -> u64 {
        let default = NINEFAT.min((self.disk / 16).max(10 << 20));
        if self.ninefat { self.size("9fat", default).next_multiple_of(CLUSTER) } else { TABLE }
    }

    /// Partitions after the root: `swap`, then those of roles. One of no bytes is
    /// left out later.
    fn after(&self) -> Vec<PartitionRequest> {
        let swap = self.size("swap", (self.disk / 16).min(SWAP_MAX));
        let swap = PartitionRequest { name: "swap".into(), size: swap, holds: None };
        let own = self.wanted.iter().map(|w| PartitionRequest { size: self.size(&w.name, w.size), ..w.clone() });
        [swap].into_iter().chain(own).collect()
    }

    /// Refuses a size for a partition that the disk does not have.
    fn check_names(&self, before: &[(&str, u64)], after: &[PartitionRequest]) -> Result<(), LayoutError> {
        let root = &self.root.partitions;
        let shares = root.shares.iter().flatten().copied();
        let known = before.iter().map(|(name, _)| *name).chain([root.data]).chain(shares);
        let known: Vec<_> = known.chain(after.iter().map(|w| w.name.as_str())).collect();
        match self.sizes.keys().find(|n| !known.contains(&n.as_str())) {
            None => Ok(()),
            Some(name) => Err(LayoutError::UnknownPartition {
                node: self.node.into(),
                name: name.clone(),
                known: known.join(", "),
            }),
        }
    }

    /// Error for a disk without room for a root; `fixed` are the bytes of all else.
    fn no_room(&self, fixed: u64, before: &[(&str, u64)], shares: &Shares, after: &[PartitionRequest]) -> LayoutError {
        let root = self.root.partitions.data;
        let asked = self.sizes.get(root).copied();
        let beside =
            before.iter().copied().chain(asked.map(|asked| (root, asked))).chain(shares.beside.iter().copied());
        let all = beside.chain(after.iter().map(|w| (w.name.as_str(), w.size)));
        LayoutError::NoRoom {
            node: self.node.into(),
            needed: fixed + shares.taken() + asked.unwrap_or(0).max(shares::LEAST),
            disk: self.disk,
            list: all.map(|(name, len)| format!("{name} {len}")).collect::<Vec<_>>().join(", "),
            root: root.into(),
        }
    }
}

/// Partitions inside Plan 9's, one after another.
struct Row {
    /// Bytes of the disk before Plan 9's partition.
    base: u64,
    /// Byte in Plan 9's partition where the next one can begin.
    at: u64,
    parts: Vec<Part>,
}

impl Row {
    /// Adds a partition whose byte `aligned` is on a cluster boundary of the disk.
    fn add(&mut self, name: &str, len: u64, aligned: u64, holds: Option<Holds>) {
        let start = (self.base + self.at + aligned).next_multiple_of(CLUSTER) - aligned - self.base;
        self.at = start + len;
        self.parts.push(part(name, start, self.at, holds));
    }
}

/// A partition, from bytes.
fn part(name: &str, start: u64, end: u64, holds: Option<Holds>) -> Part {
    Part { name: name.into(), start: start / SECTOR, end: end / SECTOR, holds }
}

/// Divides a disk.
///
/// # Errors
/// Fails when the partitions other than the root fill the disk, or a size is for a
/// partition that the disk does not have.
pub fn layout(request: &Request<'_>) -> Result<Layout, LayoutError> {
    let (fat, head) = (request.fat(), request.before_nvram());
    let base = FIRST * SECTOR + fat.map_or(0, |(_, len)| len);
    let before: Vec<_> = fat.into_iter().chain(request.ninefat.then_some(("9fat", head))).collect();
    let mut after = request.after();
    request.check_names(&before, &after)?;
    after.retain(|w| w.size > 0);
    let sectors = request.disk / SECTOR;
    let tail: u64 = after.iter().map(|w| w.size.next_multiple_of(CLUSTER)).sum();
    // Up to one cluster goes to aligning the root, one to aligning what follows.
    let fixed = base + head + SECTOR + tail + 2 * CLUSTER;
    let root = &request.root.partitions;
    let shares = Shares::of(root, (sectors * SECTOR).checked_sub(fixed), request.sizes);
    let Some(data) = shares.data else { return Err(request.no_room(fixed, &before, &shares, &after)) };
    let mut row = Row { base, at: head + SECTOR, parts: Vec::new() };
    row.parts.extend(request.ninefat.then(|| part("9fat", 0, head, None)));
    row.parts.push(part("nvram", head, head + SECTOR, None));
    for name in root.names() {
        match shares.beside.iter().find(|(of, _)| *of == name) {
            Some((_, size)) => row.add(name, size / CLUSTER * CLUSTER, 0, None),
            None => row.add(name, data, (request.root.data_offset)(data), None),
        }
    }
    for w in &after {
        row.add(&w.name, w.size / SECTOR * SECTOR, 0, w.holds);
    }
    let fat = fat.map(|(name, _)| part(name, FIRST * SECTOR, base, None));
    Ok(Layout { fat, sectors, plan9_start: base / SECTOR, parts: row.parts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Fs;

    /// A root of `fs` whose files begin elsewhere.
    fn root(fs: Fs, data_offset: fn(u64) -> u64) -> RootKind {
        RootKind { data_offset, ..*fs.kind() }
    }

    /// As fossil sizes its label table: one 8 KiB block of labels for 585 of data.
    fn data_offset(len: u64) -> u64 {
        let n = len / 8192;
        let data = 585 * (n - 19) / 586;
        (19 + data.div_ceil(585)) * 8192
    }

    static NO_SIZES: BTreeMap<String, u64> = BTreeMap::new();

    /// A PC's disk that starts from BIOS, with `root` alone.
    fn request(disk: u64, root: &RootKind) -> Request<'_> {
        Request { node: "n", disk, fat: None, ninefat: true, wanted: &[], sizes: &NO_SIZES, root }
    }

    fn lay(disk: u64, wanted: &[(&str, u64)], sizes: &[(&str, u64)]) -> Result<Layout, LayoutError> {
        let own = |(name, size): &(&str, u64)| PartitionRequest { name: (*name).into(), size: *size, holds: None };
        let wanted: Vec<_> = wanted.iter().map(own).collect();
        let sizes = sizes.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        layout(&Request { wanted: &wanted, sizes: &sizes, ..request(disk, &root(Fs::Fossil, data_offset)) })
    }

    #[test]
    fn a_card_has_fat_of_its_own() {
        let root = root(Fs::Fossil, data_offset);
        let lay = |disk| layout(&Request { fat: Some("dos"), ninefat: false, ..request(disk, &root) });
        let l = lay(2_000_000_000).unwrap();
        assert_eq!(l.fat.as_ref().map(|p| (p.start, p.end)), Some((2048, 67_584)));
        assert_eq!(l.plan9_start, 67_584);
        assert_eq!(l.parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["nvram", "fossil", "swap"]);
        assert_eq!((l.parts[0].start, l.parts[0].end), (2, 3));
        let fossil = l.part("fossil").unwrap();
        assert_eq!((l.lba(fossil) * SECTOR + data_offset(fossil.len())) % CLUSTER, 0);
        assert!(l.plan9_start + l.parts[2].end <= 2_000_000_000 / SECTOR);
        assert!(matches!(lay(32 << 20), Err(LayoutError::NoRoom { .. })));
    }

    #[test]
    fn uefi_has_fat_of_its_own_before_or_instead_of_9fat() {
        let root = root(Fs::Hjfs, data_offset);
        let lay = |disk, ninefat| layout(&Request { fat: Some("esp"), ninefat, ..request(disk, &root) });
        for (ninefat, first, at) in [(true, "9fat", 0), (false, "nvram", 2)] {
            let l = lay(2 << 30, ninefat).unwrap();
            let esp = l.fat.as_ref().unwrap();
            assert_eq!((esp.name.as_str(), esp.start, esp.end), ("esp", 2048, 67_584));
            assert_eq!((l.plan9_start, l.parts[0].name.as_str(), l.parts[0].start), (67_584, first, at));
        }
        let said = lay(44 << 20, true).unwrap_err().to_string();
        assert!(said.contains("esp 33554432, 9fat 10485760"), "{said}");
    }

    #[test]
    fn partitions_are_ordered_inside_the_disk_and_data_is_aligned() {
        for disk in [64 << 20, 2_000_000_000, 2 << 30, (2 << 30) + 512 * 77, 64 << 30] {
            for wanted in [&[][..], &[("arenas", 16 << 20), ("isect", 1 << 20), ("bloom", 1 << 20)]] {
                let l = lay(disk, wanted, &[]).unwrap();
                let mut at = 0;
                for p in &l.parts {
                    assert!(p.start >= at && p.end > p.start, "{l:?}");
                    at = p.end;
                }
                assert!(l.plan9_start + at <= disk / SECTOR, "{l:?}");
                let fossil = l.part("fossil").unwrap();
                assert_eq!((l.lba(fossil) * SECTOR + data_offset(fossil.len())) % CLUSTER, 0);
            }
        }
    }

    #[test]
    fn a_cwfs_has_three_partitions() {
        let root = root(Fs::Cwfs64x, |_| 262_144);
        let lay = |disk, sizes: &[(&str, u64)]| {
            let sizes = sizes.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
            layout(&Request { sizes: &sizes, ..request(disk, &root) })
        };
        for disk in [512 << 20, 2 << 30, 64 << 30] {
            let l = lay(disk, &[]).unwrap();
            let names: Vec<_> = l.parts.iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names, ["9fat", "nvram", "fscache", "fsworm", "other", "swap"]);
            let mut at = 0;
            for p in &l.parts {
                assert!(p.start >= at && p.end > p.start, "{l:?}");
                at = p.end;
            }
            assert!(l.plan9_start + at <= disk / SECTOR, "{l:?}");
            let size = |name| l.part(name).unwrap().len();
            for name in ["fscache", "fsworm", "other"] {
                assert!(size(name).is_multiple_of(CLUSTER), "{name}");
                assert_eq!(l.lba(l.part(name).unwrap()) * SECTOR % CLUSTER, 0, "{name}");
            }
            assert!(size("fscache") == size("other") && size("fsworm") / size("other") == 5, "{l:?}");
        }
        let l = lay(2 << 30, &[("fscache", 100 << 20), ("other", 50 << 20), ("fsworm", 500 << 20)]).unwrap();
        assert_eq!(["fscache", "fsworm", "other"].map(|n| l.part(n).unwrap().len() >> 20), [100, 500, 50]);
        let e = lay(2 << 30, &[("fscache", 2 << 30)]).unwrap_err();
        assert!(e.to_string().contains("fscache 2147483648, other "), "{e}");
    }

    #[test]
    fn sizes_of_the_lab_win() {
        let l = lay(2 << 30, &[], &[("9fat", 64 << 20), ("swap", 0), ("fossil", 512 << 20)]).unwrap();
        assert_eq!(l.part("9fat").unwrap().len(), 64 << 20);
        assert_eq!(l.part("fossil").unwrap().len(), 512 << 20);
        assert!(l.part("swap").is_none());
    }

    #[test]
    fn too_small_and_unknown_are_refused() {
        assert!(matches!(lay(64 << 20, &[("arenas", 512 << 20)], &[]), Err(LayoutError::NoRoom { .. })));
        assert!(matches!(lay(2 << 30, &[], &[("fossil", 3 << 30)]), Err(LayoutError::NoRoom { .. })));
        let e = lay(2 << 30, &[], &[("arenas", 1 << 20)]).unwrap_err();
        assert_eq!(e.to_string(), "n has no partition \"arenas\" to set the size of: it has 9fat, fossil, swap");
    }
}
