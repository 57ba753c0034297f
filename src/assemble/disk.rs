//! A node's disk: its partitions under an MBR.

use super::boot::{BootJob, BootKind, Sectors};
use super::error::AssembleError;
use crate::disk::mbr::TYPE_PLAN9;
use crate::disk::{Disk, Mbr, MbrEntry, Partition};
use crate::partition::{Layout, Part};
use crate::read_at::{ReadAt, SECTOR};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Contents of partitions by their names; what has none is all zeros.
pub(super) type Volumes<'a> = BTreeMap<&'a str, Arc<dyn ReadAt>>;

/// Lays out the FAT partitions that the node starts from.
pub(super) fn boot_volumes(
    boots: &[&'static BootKind],
    job: &BootJob<'_>,
    layout: &Layout,
) -> Result<Volumes<'static>, AssembleError> {
    let mut out = Volumes::new();
    for boot in boots {
        if let Some((start, count)) = layout.place(boot.name) {
            out.insert(boot.name, Arc::new((boot.lay_out)(job, Sectors::new(start, count))?));
        }
    }
    Ok(out)
}

/// Sectors of a partition that begins at sector `start` of the disk.
fn sectors(part: &Part, start: u64) -> Sectors {
    Sectors::new(start, part.end - part.start)
}

/// Composes the disk. Boot code and firmware start from the active partition:
/// Plan 9's, if it is not that of a board.
pub(super) fn compose(
    boots: &[&'static BootKind],
    job: &BootJob<'_>,
    layout: &Layout,
    mut volumes: Volumes<'_>,
) -> Result<Disk, AssembleError> {
    let in_mbr = boots.iter().find_map(|boot| boot.in_mbr);
    let entry = |active, kind, at: Sectors| MbrEntry { active, kind, start: at.start, sectors: at.count };
    let fat = in_mbr.zip(layout.fat.as_ref());
    let fat = fat.map(|(own, part)| entry(own.active, own.kind, sectors(part, part.start)));
    let active = !fat.as_ref().is_some_and(|fat| fat.active);
    let plan9 = entry(active, TYPE_PLAN9, Sectors::new(layout.plan9_start, layout.sectors - layout.plan9_start));
    let [first, second] = match fat {
        Some(fat) => [Some(fat), Some(plan9)],
        None => [Some(plan9), None],
    };
    let code = boots.iter().find_map(|boot| boot.mbr_code).map_or(Ok(Vec::new()), |code| code(job))?;
    let mbr = Mbr { code, entries: [first, second, None, None] };
    let mut part = |p: &Part, start_lba: u64| Partition {
        name: p.name.clone(),
        start_lba,
        sectors: p.end - p.start,
        volume: volumes.remove(p.name.as_str()),
    };
    let mut parts: Vec<_> = layout.fat.iter().map(|p| part(p, p.start)).collect();
    parts.extend(layout.parts.iter().map(|p| part(p, layout.lba(p))));
    Disk::new(layout.sectors * SECTOR, &mbr, parts)
        .map_err(|source| AssembleError::Disk { node: job.node_name(), source })
}
