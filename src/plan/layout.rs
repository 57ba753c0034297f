//! Where each partition of a node's disk begins and ends.
//!
//! ```text
//! 0        2048 sectors                                              end of disk
//! │ MBR …  │ Plan 9 partition (type 0x39)                                  │
//!          │ 9fat │ nvram │ root ………………………… │ swap │ arenas │ isect │ bloom │
//! ```
//!
//! The root's partition is called `fossil` or, for hjfs and gefs, `fs`; that of
//! cwfs64x is three, `fscache`, `fsworm` with the files, and `other`.
//! The card of a Pi, as the disk of QEMU's ARM machine, has no 9fat, but a FAT partition of its own before Plan 9's,
//! in which the board's firmware looks. A PC that starts from UEFI has such a
//! partition too, `esp`, with 9fat behind it or without:
//!
//! ```text
//! 0        2048         67584                                        end of card
//! │ MBR …  │ dos (FAT)  │ Plan 9 partition                                  │
//!                       │ table │ nvram │ fossil ………………… │ swap │ arenas │ … │
//! ```
//!
//! What every node has comes first and what a role asks for comes last, so the
//! shared part of two disks lies at the same place. The root begins where its
//! *data* falls on a cluster boundary: then the shared files fill the same
//! clusters even on nodes whose root is of another size, and a cluster is
//! compressed once for all of them.

use crate::count;
use crate::read_at::SECTOR;
use crate::root::RootKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// First sector of the Plan 9 partition: 1 MiB, as partitioning tools align today.
pub const PLAN9_START: u64 = 2048;
/// Bytes that artifacts compress at a time (qcow2's and VMDK's default).
pub const CLUSTER: u64 = 65536;
/// Bytes that the root is a multiple of: a fossil block, two of hjfs. gefs does
/// without a part of one.
const BLOCK: u64 = 8192;
/// The share of a cwfs64x's cache and of its plain device in the room for the
/// three, as prep(8) divides it.
const BESIDE_WORM: u64 = 7;

/// The loader, a kernel or two and plan9.ini; prep(8) gives it 10 to 100 MB.
const NINEFAT: u64 = 32 << 20;
/// Bytes of a FAT partition before Plan 9's: firmware or loader and a kernel,
/// 8 MB at the most.
const FAT: u64 = 32 << 20;
/// Bytes at the start of a Plan 9 partition without 9fat: one sector nobody uses,
/// and the table.
const TABLE: u64 = 2 * SECTOR;
/// prep(8)'s maximum for swap.
const SWAP_MAX: u64 = 512 << 20;

/// What p9img formats a partition for, where a role asks for it.
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
    /// Left out of a plan for what every node has, and for zeros.
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
    /// Absolute sector of a partition's start.
    pub fn lba(&self, part: &Part) -> u64 {
        self.plan9_start + part.start
    }
}

/// A partition that a role asks for; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    pub name: String,
    pub size: u64,
    pub holds: Option<Holds>,
}

/// Why a disk cannot be partitioned.
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

/// How a disk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// 9fat, for a PC.
    NineFat,
    /// A FAT partition beside Plan 9's, for a Pi and for QEMU's ARM machine.
    Dos,
    /// The same for UEFI.
    Esp,
    /// Both, for a PC that starts from either.
    EspAndNineFat,
}

impl Start {
    const fn has_ninefat(self) -> bool {
        matches!(self, Self::NineFat | Self::EspAndNineFat)
    }
    /// What the FAT partition before Plan 9's is called.
    const fn fat(self) -> Option<&'static str> {
        match self {
            Self::NineFat => None,
            Self::Dos => Some("dos"),
            Self::Esp | Self::EspAndNineFat => Some("esp"),
        }
    }
}

/// Lays out a disk of `disk` bytes. `sizes` replaces sizes by partition name,
/// in bytes.
///
/// # Errors
/// When the partitions beside the root fill the disk, or `sizes` names one that
/// is not there.
pub fn layout(
    node: &str,
    disk: u64,
    begin: Start,
    wanted: &[Wanted],
    sizes: &BTreeMap<String, u64>,
    root: &RootKind,
) -> Result<Layout, LayoutError> {
    let own = |name: &str, default: u64| sizes.get(name).copied().unwrap_or(default);
    let round = |n: u64, to: u64| n.div_ceil(to) * to;
    // Small disks get a small 9fat, but not below prep(8)'s minimum of 10 MB.
    let ninefat = match begin.has_ninefat() {
        true => round(own("9fat", NINEFAT.min((disk / 16).max(10 << 20))), CLUSTER),
        false => TABLE,
    };
    let fat = begin.fat().map(|name| (name, round(own(name, FAT), 1 << 20)));
    let base = PLAN9_START * SECTOR + fat.map_or(0, |(_, len)| len);
    let mut before: Vec<_> = fat.into_iter().collect();
    before.extend(begin.has_ninefat().then_some(("9fat", ninefat)));
    let swap = own("swap", (disk / 16).min(SWAP_MAX));
    let mut after = vec![Wanted { name: "swap".into(), size: swap, holds: None }];
    after.extend(wanted.iter().map(|w| Wanted { size: own(&w.name, w.size), ..w.clone() }));
    let data_offset = root.data_offset;
    // What has a share of the root's room, before it and behind it.
    let shares: &[&str] = root.partitions.shares.as_ref().map_or(&[], |shares| shares);
    let root = root.partitions.data;
    let known = before.iter().map(|(name, _)| *name).chain([root]).chain(shares.iter().copied());
    let known: Vec<_> = known.chain(after.iter().map(|w| w.name.as_str())).collect();
    if let Some(name) = sizes.keys().find(|n| !known.contains(&n.as_str())) {
        return Err(LayoutError::UnknownPartition { node: node.into(), name: name.clone(), known: known.join(", ") });
    }
    after.retain(|w| w.size > 0);
    let sectors = disk / SECTOR;
    let head = ninefat + SECTOR;
    let tail: u64 = after.iter().map(|w| round(w.size, CLUSTER)).sum();
    // Up to one cluster goes to aligning the root, one to aligning what follows.
    let fixed = base + head + tail + 2 * CLUSTER;
    let room = (sectors * SECTOR).checked_sub(fixed).filter(|r| *r >= 16 * CLUSTER);
    let share = |name: &&str| own(name, room.unwrap_or(0) / BESIDE_WORM / CLUSTER * CLUSTER);
    let shares: Vec<_> = shares.iter().map(|n| Wanted { name: (*n).into(), size: share(n), holds: None }).collect();
    let taken: u64 = shares.iter().map(|w| round(w.size, CLUSTER)).sum();
    let room = room.and_then(|r| r.checked_sub(taken)).filter(|r| *r >= 16 * CLUSTER);
    let block = if shares.is_empty() { BLOCK } else { CLUSTER };
    let len = match (sizes.get(root), room) {
        (Some(asked), Some(room)) if *asked <= room => asked / block * block,
        (None, Some(room)) => room / block * block,
        (asked, _) => {
            let mut list: Vec<_> = before.iter().map(|(name, len)| format!("{name} {len}")).collect();
            list.extend(asked.map(|a| format!("{root} {a}")));
            list.extend(shares.iter().map(|w| format!("{} {}", w.name, w.size)));
            list.extend(after.iter().map(|w| format!("{} {}", w.name, w.size)));
            let needed = fixed + taken + asked.copied().unwrap_or(0).max(16 * CLUSTER);
            return Err(LayoutError::NoRoom {
                node: node.into(),
                needed,
                disk,
                list: list.join(", "),
                root: root.into(),
            });
        }
    };
    let part = |name, start, end, holds| Part { name, start: start / SECTOR, end: end / SECTOR, holds };
    let mut parts = vec![part("nvram".into(), ninefat, head, None)];
    if begin.has_ninefat() {
        parts.insert(0, part("9fat".into(), 0, ninefat, None));
    }
    let fat = fat.map(|(name, _)| part(name.into(), PLAN9_START * SECTOR, base, None));
    let mut at = head;
    let mut behind = shares.into_iter();
    if let Some(w) = behind.next() {
        let start = round(base + at, CLUSTER) - base;
        at = start + w.size / CLUSTER * CLUSTER;
        parts.push(part(w.name, start, at, None));
    }
    let start = round(base + at + data_offset(len), CLUSTER) - data_offset(len) - base;
    at = start + len;
    parts.push(part(root.into(), start, at, None));
    if let Some(w) = behind.next() {
        let start = round(base + at, CLUSTER) - base;
        at = start + w.size / CLUSTER * CLUSTER;
        parts.push(part(w.name, start, at, None));
    }
    for w in after {
        let start = round(base + at, CLUSTER) - base;
        at = start + w.size / SECTOR * SECTOR;
        parts.push(part(w.name, start, at, w.holds));
    }
    Ok(Layout { fat, sectors, plan9_start: base / SECTOR, parts })
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
        let n = len / BLOCK;
        let data = 585 * (n - 19) / 586;
        (19 + data.div_ceil(585)) * BLOCK
    }

    fn lay(disk: u64, wanted: &[(&str, u64)], sizes: &[(&str, u64)]) -> Result<Layout, LayoutError> {
        let wanted: Vec<_> = wanted.iter().map(|(n, s)| Wanted { name: (*n).into(), size: *s, holds: None }).collect();
        let sizes = sizes.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        layout("n", disk, Start::NineFat, &wanted, &sizes, &root(Fs::Fossil, data_offset))
    }

    #[test]
    fn a_card_has_fat_of_its_own() {
        let lay = |disk| layout("n", disk, Start::Dos, &[], &BTreeMap::new(), &root(Fs::Fossil, data_offset));
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
        let lay = |start| layout("n", 2 << 30, start, &[], &BTreeMap::new(), &root(Fs::Hjfs, data_offset)).unwrap();
        for (start, first, at) in [(Start::EspAndNineFat, "9fat", 0), (Start::Esp, "nvram", 2)] {
            let l = lay(start);
            let esp = l.fat.as_ref().unwrap();
            assert_eq!((esp.name.as_str(), esp.start, esp.end), ("esp", 2048, 67_584));
            assert_eq!((l.plan9_start, l.parts[0].name.as_str(), l.parts[0].start), (67_584, first, at));
        }
        let small = layout("n", 44 << 20, Start::EspAndNineFat, &[], &BTreeMap::new(), &root(Fs::Hjfs, data_offset));
        let said = small.unwrap_err().to_string();
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
        let lay = |disk, sizes: &[(&str, u64)]| {
            let sizes = sizes.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
            layout("n", disk, Start::NineFat, &[], &sizes, &root(Fs::Cwfs64x, |_| 262_144))
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
