//! Two FAT volumes: boot sector, tables, directories, files, and the clusters
//! that no differing file accounts for.

use super::bytes::{self, pieces};
use super::owners::{Blocks, Owner, Why, why};
use super::{Budget, Difference, Sink, field, files};
use crate::fs::fat::FatFs;
use crate::fs::fat::format::{ATTR_LONG, BootSector, CODE_START, DIRENT, DirEntry, SECTOR, shown_name};
use crate::read_at::ReadAt;
use crate::shown;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Runs of clusters that are remembered on each side.
const RUNS: usize = 1 << 20;

/// Runs of clusters with their owners: first cluster, first cluster after the
/// run, owner.
#[derive(Default)]
struct Claims(Vec<(u32, u32, Arc<Owner>)>);

impl Claims {
    fn sort(&mut self) {
        self.0.sort_by_key(|(first, ..)| *first);
    }
    fn at(&self, cluster: u32) -> Option<&Owner> {
        let i = self.0.partition_point(|(first, ..)| *first <= cluster).checked_sub(1)?;
        let (_, end, owner) = &self.0[i];
        (cluster < *end).then_some(owner)
    }
}

struct Pair<'a> {
    place: &'a str,
    a: &'a FatFs,
    b: &'a FatFs,
    sides: (&'a dyn ReadAt, &'a dyn ReadAt),
    claims: (Claims, Claims),
    /// Names in the root directory of what was named, in capitals.
    root: BTreeSet<Vec<u8>>,
}

/// Compares two volumes whose bytes are `sides`. With `table`, the second
/// sector is a partition table that was compared already.
///
/// # Errors
/// Error of `sink`.
pub fn compare(
    place: &str,
    (a, b): (&FatFs, &FatFs),
    sides: (&dyn ReadAt, &dyn ReadAt),
    table: bool,
    budget: &mut Budget,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    let mut claims = (Claims::default(), Claims::default());
    let mut root = BTreeSet::new();
    files::compare(
        place,
        (a, b""),
        (b, b""),
        budget,
        &mut |seen| {
            if seen.changed && !seen.path.contains(&b'/') {
                root.insert(seen.path.to_ascii_uppercase());
            }
            for (fs, node, claims) in [(a, seen.a, &mut claims.0), (b, seen.b, &mut claims.1)] {
                let Some(node) = node.filter(|_| claims.0.len() < RUNS) else { continue };
                let what = if node.meta.mode.is_dir() { "entries" } else { "data" };
                let name = format!("{what} of /{}", shown::name(seen.path));
                let owner = Arc::new(Owner { changed: seen.changed, name });
                let runs = fs.clusters(node).unwrap_or_default();
                claims.0.extend(
                    runs.into_iter().take(RUNS).map(|(first, n)| (first, first.saturating_add(n), owner.clone())),
                );
            }
        },
        sink,
    )?;
    claims.0.sort();
    claims.1.sort();
    let pair = Pair { place, a, b, sides, claims, root };
    pair.boot(table, sink)?;
    if a.geometry() == b.geometry() {
        pair.tables(sink)?;
        pair.root(sink)?;
        pair.clusters(sink)?;
    }
    Ok(())
}

impl Pair<'_> {
    fn space(&self, kind: &'static str, what: &str, start: u64, end: u64, sink: &mut Sink<'_>) -> io::Result<()> {
        bytes::compare(self.place, kind, what, self.sides, (start, end), 0, sink)
    }

    fn boot(&self, table: bool, sink: &mut Sink<'_>) -> io::Result<()> {
        let (x, y): (&BootSector, &BootSector) = (self.a.boot_sector(), self.b.boot_sector());
        let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let text = |b: &[u8]| format!("{:?}", String::from_utf8_lossy(b));
        let fields = [
            ("jump to the boot code", hex(&x.magic), hex(&y.magic)),
            ("version", text(&x.version), text(&y.version)),
            ("bytes in a sector", x.sectsize.to_string(), y.sectsize.to_string()),
            ("sectors in a cluster", x.clustsize.to_string(), y.clustsize.to_string()),
            ("reserved sectors", x.nresrv.to_string(), y.nresrv.to_string()),
            ("tables", x.nfats.to_string(), y.nfats.to_string()),
            ("entries of the root directory", x.rootsize.to_string(), y.rootsize.to_string()),
            ("sectors (16 bits)", x.volsize.to_string(), y.volsize.to_string()),
            ("kind of disk", x.mediadesc.to_string(), y.mediadesc.to_string()),
            ("sectors of a table", x.fatsize.to_string(), y.fatsize.to_string()),
            ("sectors in a track", x.trksize.to_string(), y.trksize.to_string()),
            ("heads", x.nheads.to_string(), y.nheads.to_string()),
            ("sectors before the volume", x.nhidden.to_string(), y.nhidden.to_string()),
            ("sectors", x.bigvolsize.to_string(), y.bigvolsize.to_string()),
            ("sectors of a table (FAT32)", x.bigfatsize.to_string(), y.bigfatsize.to_string()),
            ("cluster of the root directory", x.rootclust.to_string(), y.rootclust.to_string()),
            ("drive", x.driveno.to_string(), y.driveno.to_string()),
            ("extended signature", x.bootsig.to_string(), y.bootsig.to_string()),
            ("volume id", format!("{:08x}", x.volid), format!("{:08x}", y.volid)),
            ("label", text(&x.label), text(&y.label)),
            ("type in words", text(&x.fstype), text(&y.fstype)),
        ];
        let before = fields.iter().filter(|(_, x, y)| x != y).count();
        for (what, x, y) in fields {
            field(self.place, "boot-sector", &format!("boot sector, {what}"), (x, y), sink)?;
        }
        if before == 0 {
            self.space("boot-sector", "boot sector, fields without a name", 0, CODE_START as u64, sink)?;
        }
        self.space("boot-code", "boot code of the partition", CODE_START as u64, 510, sink)?;
        self.space("boot-sector", "boot sector, signature", 510, SECTOR as u64, sink)?;
        if self.a.geometry() != self.b.geometry() {
            return Ok(());
        }
        let reserved = self.a.geometry().fat_offset(0);
        let from = if table { 2 * SECTOR as u64 } else { SECTOR as u64 };
        self.space("reserved", "reserved sectors", from, reserved, sink)
    }

    fn why(&self, cluster: u32) -> Why {
        why(self.claims.0.at(cluster), self.claims.1.at(cluster))
    }

    fn tables(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let g = self.a.geometry();
        for which in 0..g.fats {
            let (start, len) = (g.fat_offset(which), u64::from(g.fat_sectors) * u64::from(g.sector_size));
            let mut found = Blocks::default();
            // Three sectors hold a whole number of entries of 12 bits.
            let unit = 3 * SECTOR;
            let per = (unit * 8) as u32 / g.fat_type.bits();
            let read = pieces(self.sides, (start, start + len), unit, &mut |at, x, y| {
                let first = ((at - start) / unit as u64) as u32 * per;
                for i in 0..per {
                    let (Some(v), Some(w)) = (g.fat_type.get(x, i), g.fat_type.get(y, i)) else { break };
                    if v == w {
                        continue;
                    }
                    let why = self.why(first + i);
                    // An entry of a file that is elsewhere now differs with it.
                    let why = if why == Why::Moved { Why::Named } else { why };
                    found.add(&why, |owner| {
                        let what = format!("table {which}, entry of cluster {} ({owner})", first + i);
                        Difference::new(self.place, "fat", what)
                            .values(format!("{v:#x}"), format!("{w:#x}"))
                            .at(at + u64::from(i * g.fat_type.bits() / 8))
                    });
                }
                Ok(())
            });
            found.report(self.place, "fat", "entries of the table", sink)?;
            self.readable("table", read, sink)?;
        }
        Ok(())
    }

    fn readable(&self, what: &str, read: io::Result<()>, sink: &mut Sink<'_>) -> io::Result<()> {
        match read {
            Ok(()) => Ok(()),
            Err(e) => sink(Difference::new(self.place, "unreadable", format!("{what}: {e}"))),
        }
    }

    /// The fixed root directory, slot by slot.
    fn root(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let g = self.a.geometry();
        let start = g.root_offset();
        let end = start + u64::from(g.root_entries) * DIRENT as u64;
        let mut found = Blocks::default();
        let read = pieces(self.sides, (start, end), DIRENT, &mut |at, x, y| {
            let (Ok(x), Ok(y)) = (<&[u8; DIRENT]>::try_from(x), <&[u8; DIRENT]>::try_from(y)) else { return Ok(()) };
            let name = |raw: &[u8; DIRENT]| shown_name(&DirEntry::decode(raw).name).to_ascii_uppercase();
            // The parts of a long name belong to the entry after them.
            let long = x[11] & ATTR_LONG == ATTR_LONG || y[11] & ATTR_LONG == ATTR_LONG;
            let named = self.root.contains(&name(x)) || self.root.contains(&name(y)) || long && !self.root.is_empty();
            let owner = format!("{:?}", String::from_utf8_lossy(&name(y)));
            let why = if named { Why::Named } else { Why::Itself(owner) };
            found.add(&why, |owner| {
                let i = x.iter().zip(y).position(|(x, y)| x != y).unwrap_or(0);
                Difference::new(self.place, "entry", format!("directory entry {owner}, byte {i} of the entry"))
                    .values(format!("{:02x}", x[i]), format!("{:02x}", y[i]))
                    .at(at + i as u64)
            });
            Ok(())
        });
        found.report(self.place, "entry", "directory entries", sink)?;
        self.readable("root directory", read, sink)
    }

    fn clusters(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let g = self.a.geometry();
        let Some(start) = g.cluster_offset(2) else { return Ok(()) };
        let size = u64::from(g.cluster_size);
        let end = start + u64::from(g.clusters) * size;
        let mut found = Blocks::default();
        let read = pieces(self.sides, (start, end), g.cluster_size as usize, &mut |at, x, y| {
            let cluster = ((at - start) / size) as u32 + 2;
            found.add(&self.why(cluster), |owner| {
                let i = x.iter().zip(y).position(|(x, y)| x != y).unwrap_or(0);
                Difference::new(self.place, "cluster", format!("cluster {cluster} ({owner}), byte {i} of the cluster"))
                    .values(format!("{:02x}", x[i]), format!("{:02x}", y[i]))
                    .at(at + i as u64)
            });
            Ok(())
        });
        found.report(self.place, "cluster", "clusters", sink)?;
        self.space("unused", "space after the last cluster", end, self.sides.0.len().min(self.sides.1.len()), sink)?;
        self.readable("clusters", read, sink)
    }
}
