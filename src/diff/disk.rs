//! Two disks: MBR, partition tables, partitions, and the space between them.

use super::volume::{Side, partitions};
use super::{Difference, Sink, bytes, field};
use crate::count;
use crate::disk::mbr::ENTRIES_AT;
use crate::disk::{DiskImage, MbrEntry, OpenDiskError, PartInfo, PrepEntry, open_disk, prep};
use crate::read_at::{ReadAt, SECTOR};
use std::io;
use std::sync::Arc;

/// Offset of the end of the MBR's boot code, where the disk's signature begins.
const SIGNATURE_AT: u64 = 440;

/// Compares two disks, or two volumes without partitions.
///
/// # Errors
/// Error of `sink`.
pub fn compare(a: &Arc<dyn ReadAt>, b: &Arc<dyn ReadAt>, sink: &mut Sink<'_>) -> io::Result<()> {
    field("disk", "length", "bytes", (a.len(), b.len()), sink)?;
    let (x, y) = match (open_disk(a.clone()), open_disk(b.clone())) {
        (Ok(x), Ok(y)) => (Arc::new(x), Arc::new(y)),
        (Err(OpenDiskError::NoPartitions), Err(OpenDiskError::NoPartitions)) => {
            let side = |bytes: &Arc<dyn ReadAt>| Side { bytes: bytes.clone(), lba: None, disk: None };
            return partitions("image", &side(a), &side(b), false, sink);
        }
        (x, y) => {
            let say = |r: Result<DiskImage, OpenDiskError>| match r {
                Ok(disk) => count::of(disk.partitions().len(), "partition"),
                Err(e) => e.to_string(),
            };
            sink(Difference::new("disk", "partition", "partitions").values(say(x), say(y)))?;
            return bytes::compare("disk", "bytes", "disk", (a, b), (0, a.len().min(b.len())), 0, sink);
        }
    };
    mbr(a, b, sink)?;
    tables(&x, &y, sink)?;
    for p in x.partitions().iter().filter(|p| !is_container(&x, p)) {
        match y.find(&p.name) {
            Ok(q) => each(&x, &y, p, q, sink)?,
            Err(_) => sink(Difference { a: Some(extent(p)), ..alone(&p.name, "removed") })?,
        }
    }
    for q in y.partitions().iter().filter(|q| !is_container(&y, q) && x.find(&q.name).is_err()) {
        sink(Difference { b: Some(extent(q)), ..alone(&q.name, "added") })?;
    }
    let places = |d: &DiskImage| d.partitions().iter().map(|p| (p.start, p.len)).collect::<Vec<_>>();
    if places(&x) == places(&y) { gaps(&x, (a, b), sink) } else { Ok(()) }
}

fn alone(name: &str, kind: &'static str) -> Difference {
    let side = if kind == "added" { "second" } else { "first" };
    Difference::new(name, kind, format!("the partition is in the {side} only"))
}

fn extent(p: &PartInfo) -> String {
    format!("bytes {} to {}", p.start, p.end())
}

/// Whether others are parts of the partition.
fn is_container(disk: &DiskImage, p: &PartInfo) -> bool {
    !p.in_plan9 && disk.partitions().iter().any(|q| q.in_plan9 && p.start <= q.start && q.end() <= p.end())
}

fn each(x: &Arc<DiskImage>, y: &Arc<DiskImage>, p: &PartInfo, q: &PartInfo, sink: &mut Sink<'_>) -> io::Result<()> {
    if (p.start, p.len) != (q.start, q.len) {
        sink(Difference::new(&p.name, "partition", "place").values(extent(p), extent(q)))?;
    }
    match (x.partition(&p.name), y.partition(&q.name)) {
        (Ok(one), Ok(two)) => {
            let table =
                [(x, p), (y, q)].iter().all(|(d, p)| table_sectors(d).contains(&(p.lba() + prep::TABLE_SECTOR)));
            let one = Side { bytes: Arc::new(one), lba: Some(p.lba()), disk: Some(x.clone()) };
            let two = Side { bytes: Arc::new(two), lba: Some(q.lba()), disk: Some(y.clone()) };
            partitions(&p.name, &one, &two, table, sink)
        }
        (one, two) => {
            let say = |r: Result<_, OpenDiskError>| r.map_or_else(|e| e.to_string(), |_| "readable".to_owned());
            let (one, two) = (say(one.map(|_| ())), say(two.map(|_| ())));
            if one == two { Ok(()) } else { sink(Difference::new(&p.name, "unreadable", "partition").values(one, two)) }
        }
    }
}

fn mbr(a: &Arc<dyn ReadAt>, b: &Arc<dyn ReadAt>, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut sides = ([0; 512], [0; 512]);
    if a.read_at(0, &mut sides.0).is_err() || b.read_at(0, &mut sides.1).is_err() || sides.0 == sides.1 {
        return Ok(());
    }
    let space = |what: &str, kind, from: u64, to: u64, sink: &mut Sink<'_>| {
        bytes::compare("disk", kind, what, (a, b), (from, to), 0, sink)
    };
    space("boot code of the MBR", "boot-code", 0, SIGNATURE_AT, sink)?;
    space("signature of the disk in the MBR", "mbr", SIGNATURE_AT, ENTRIES_AT as u64, sink)?;
    for i in 0..4 {
        let at = ENTRIES_AT + 16 * i;
        let (one, two) = (entry(&sides.0[at..at + 16]), entry(&sides.1[at..at + 16]));
        if one == two {
            space(&format!("cylinders in entry {i} of the MBR"), "mbr", at as u64, at as u64 + 16, sink)?;
        } else {
            sink(Difference::new("disk", "mbr", format!("entry {i} of the MBR")).values(one, two).at(at as u64))?;
        }
    }
    space("end mark of the MBR", "mbr", 510, 512, sink)
}

/// An entry of the MBR for people, without cylinders.
fn entry(raw: &[u8]) -> String {
    let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let e = MbrEntry { active: raw[0] & 0x80 != 0, kind: raw[4], start: word(8), sectors: word(12) };
    let active = if e.active { "active " } else { "" };
    format!("{active}(status {:02x}) type {:02x}, sectors {} to {}", raw[0], e.kind, e.start, e.end())
}

/// Sectors of the tables of Plan 9 partitions.
fn table_sectors(disk: &DiskImage) -> Vec<u64> {
    disk.tables().map(|start| start + prep::TABLE_SECTOR).collect()
}

fn tables(x: &DiskImage, y: &DiskImage, sink: &mut Sink<'_>) -> io::Result<()> {
    for (p, q) in table_sectors(x).into_iter().zip(table_sectors(y)) {
        let mut raw = ([0; 512], [0; 512]);
        let read = |d: &DiskImage, lba: u64, buf: &mut [u8]| d.source().read_at(lba.saturating_mul(SECTOR), buf);
        if read(x, p, &mut raw.0).is_err() || read(y, q, &mut raw.1).is_err() || raw.0 == raw.1 {
            continue;
        }
        let (one, two) = (prep::decode(&raw.0).0, prep::decode(&raw.1).0);
        let line = |e: &PrepEntry| format!("sectors {} to {}", e.start, e.end);
        let find = |all: &[PrepEntry], name: &str| all.iter().find(|e| e.name == name).map(line);
        let names = one.iter().chain(two.iter().filter(|e| find(&one, &e.name).is_none())).map(|e| &e.name);
        let mut named = false;
        for name in names {
            let (a, b) = (find(&one, name), find(&two, name));
            if a != b {
                named = true;
                let d = Difference::new("disk", "partition-table", format!("Plan 9 partition table, {name}"));
                sink(Difference { a, b, ..d })?;
            }
        }
        if !named {
            let what = "Plan 9 partition table";
            bytes::compare("disk", "partition-table", what, (&raw.0.to_vec(), &raw.1.to_vec()), (0, 512), 0, sink)?;
        }
    }
    Ok(())
}

/// The space that no partition has, and that is neither MBR nor table.
fn gaps(disk: &DiskImage, (a, b): (&Arc<dyn ReadAt>, &Arc<dyn ReadAt>), sink: &mut Sink<'_>) -> io::Result<()> {
    let mut taken: Vec<(u64, u64, &str)> = vec![(0, SECTOR, "the MBR")];
    taken.extend(table_sectors(disk).into_iter().map(|s| (s * SECTOR, (s + 1) * SECTOR, "the partition table")));
    let parts = disk.partitions().iter().filter(|p| !is_container(disk, p));
    taken.extend(parts.map(|p| (p.start, p.end(), p.name.as_str())));
    taken.sort_unstable();
    let (mut at, mut before) = (0, "the beginning");
    let end = a.len().min(b.len());
    for (start, stop, name) in taken.iter().copied().chain([(end, end, "the end")]) {
        if start > at {
            let what = format!("space between {before} and {name}");
            bytes::compare("disk", "unused", &what, (a, b), (at, start.min(end)), 0, sink)?;
        }
        if stop > at {
            (at, before) = (stop, name);
        }
    }
    Ok(())
}
