//! The structures of a FAT volume as text, for people.

use super::format::{ATTR_LABEL, shown_name, unix_time};
use super::read::{DirLocation, FatFs, MAX_DEPTH, MAX_ENTRIES};
use crate::count;
use std::collections::BTreeSet;
use std::io;

pub(super) fn dump(fs: &FatFs, out: &mut dyn io::Write) -> io::Result<()> {
    boot_sector(fs, out)?;
    let g = &fs.geometry;
    writeln!(
        out,
        "table of {} bits, entry 0 {:#x}, entry 1 {:#x}",
        g.fat_type.bits(),
        fs.table_entry(0)?,
        fs.table_entry(1)?
    )?;
    let mut seen = BTreeSet::new();
    // Chains that share clusters could make this walk endless.
    let mut budget = u64::from(g.clusters) * 4;
    let mut todo = vec![(fs.root_location(), "/".to_owned(), 0)];
    while let Some((location, path, depth)) = todo.pop() {
        writeln!(out, "directory {path}")?;
        let entries = match fs.entries(location) {
            Ok(entries) => entries,
            Err(e) => {
                writeln!(out, "  {e}")?;
                continue;
            }
        };
        for e in entries {
            let (r, name) = (&e.raw, e.name.escape_ascii());
            let short = shown_name(&r.name).escape_ascii().to_string();
            let time = unix_time(r.date, r.time);
            write!(out, "  {:>5} {name}", e.slot)?;
            if short != name.to_string() {
                write!(out, " ({short})")?;
            }
            write!(out, " attr {:#04x} time {time} length {}", r.attr, count::of(r.len, "cluster"))?;
            let limit = if e.is_dir() { MAX_ENTRIES } else { u64::from(r.len).div_ceil(g.cluster_size.into()) };
            match r.start {
                0 => writeln!(out, " none")?,
                start if budget < limit.min(g.clusters.into()) => writeln!(out, " {start} (not followed)")?,
                start => match fs.runs(start, limit) {
                    Ok(runs) => {
                        budget -= runs.iter().map(|r| u64::from(r.count)).sum::<u64>();
                        for run in runs.iter().take(8) {
                            write!(out, " {}-{}", run.first, run.first + run.count - 1)?;
                        }
                        writeln!(out, "{}", if runs.len() > 8 { " …" } else { "" })?;
                    }
                    Err(e) => {
                        budget -= limit.min(g.clusters.into());
                        writeln!(out, " {start}: {e}")?;
                    }
                },
            }
            if e.is_dir() && !e.is_dot() && r.attr & ATTR_LABEL == 0 && depth < MAX_DEPTH && seen.insert(r.start) {
                todo.push((DirLocation::Chain(r.start), format!("{path}{name}/"), depth + 1));
            }
        }
    }
    Ok(())
}

fn boot_sector(fs: &FatFs, out: &mut dyn io::Write) -> io::Result<()> {
    let (b, g) = (&fs.boot, &fs.geometry);
    writeln!(out, "boot sector")?;
    writeln!(out, "  magic {:02x} {:02x} {:02x}", b.magic[0], b.magic[1], b.magic[2])?;
    for (name, text) in [("version", &b.version[..]), ("label", &b.label), ("type", &b.fstype)] {
        writeln!(out, "  {name} {:?}", text.escape_ascii().to_string())?;
    }
    for (name, value) in [
        ("sectsize", u32::from(b.sectsize)),
        ("clustsize", b.clustsize.into()),
        ("nresrv", b.nresrv.into()),
        ("nfats", b.nfats.into()),
        ("rootsize", b.rootsize.into()),
        ("volsize", b.volsize.into()),
        ("mediadesc", b.mediadesc.into()),
        ("fatsize", g.fat_sectors),
        ("trksize", b.trksize.into()),
        ("nheads", b.nheads.into()),
        ("nhidden", b.nhidden),
        ("bigvolsize", b.bigvolsize),
        ("driveno", b.driveno.into()),
        ("volid", b.volid),
    ] {
        writeln!(out, "  {name} {value} ({value:#x})")?;
    }
    writeln!(
        out,
        "root directory at sector {}, data at sector {}, {}",
        g.root_start,
        g.data_start,
        count::of(g.clusters, "cluster")
    )
}
