//! A volume's structures as text, for people.

use super::check::survey;
use super::format::{BLOCK64, Dir, K_CONF, K_LABEL, K_SNAP, Label, Snap, get64};
use super::space::Space;
use super::volume::Volume;
use crate::count;
use crate::shown;
use std::io::{self, Write};

/// Prints the super block, each arena with its free ranges, labels, snapshots,
/// and how many blocks are what.
pub(super) fn dump(volume: &Volume, out: &mut dyn Write) -> io::Result<()> {
    let s = &volume.superblock;
    writeln!(
        out,
        "super: {}, {}, next qid {:x}, next generation {}, queue {}, flags {:x}",
        count::of(volume.blocks, "block"),
        count::of(s.arenas.len(), "arena"),
        s.next_qid,
        s.next_generation,
        s.queue,
        s.flags
    )?;
    writeln!(out, "snapshot tree: height {}, root {:x}", s.height, s.root.0)?;
    let space = Space::read(volume, &mut |_| {})?;
    for (i, a) in space.arenas.iter().enumerate() {
        let free: u64 = a.free().map(|(from, to)| to - from).sum();
        writeln!(
            out,
            "arena {i}: {:x}, {}, {} free, log of {} from {:x}",
            a.address,
            count::of(a.header.size / BLOCK64, "block"),
            free / BLOCK64,
            a.log.len(),
            a.header.log.0
        )?;
        for (from, to) in a.free() {
            writeln!(out, "free {from:x}-{to:x}")?;
        }
    }
    match volume.snaps(&[]) {
        Ok(values) => {
            for (key, value) in values {
                let (kind, rest) = (key[0], &key[1..]);
                let name = shown::name(rest);
                match (kind, Label::parse(&value), Snap::parse(&value)) {
                    (K_LABEL, Some(l), _) => writeln!(out, "label {name}: snapshot {}, flags {}", l.snap, l.flags)?,
                    (K_SNAP, _, Some(s)) if rest.len() == 8 => snap(volume, get64(rest, 0), &s, out)?,
                    (K_CONF, ..) => writeln!(out, "set {name}: {}", shown::name(&value))?,
                    _ => {}
                }
            }
        }
        Err(e) => writeln!(out, "snapshots: {e}")?,
    }
    let all = survey(volume, &mut |_| {})?;
    let [logs, dead, trees, files] = all.blocks;
    writeln!(
        out,
        "blocks: {logs}, {dead} dead lists, {trees}, {files}, {} nobody's",
        all.nobodys,
        logs = count::of(logs, "log"),
        trees = count::of(trees, "tree"),
        files = count::of(files, "file")
    )
}

fn snap(volume: &Volume, number: u64, s: &Snap, out: &mut dyn Write) -> io::Result<()> {
    let link = |n: u64| if n == u64::MAX { "none".to_owned() } else { n.to_string() };
    writeln!(
        out,
        "snapshot {number}: height {}, root {:x} of {}, before {}, after {}, base {}, {}, {} made from it",
        s.height,
        s.root.address,
        s.root.generation,
        link(s.before),
        link(s.after),
        s.base,
        count::of(s.labels, "label"),
        s.references
    )?;
    match volume.entry(s, super::format::NOWHERE, b"") {
        Ok(root) => writeln!(
            out,
            "root of {number}: {}",
            root.map_or_else(|| "none".into(), |d: Dir| format!("qid {:x}", d.qid))
        ),
        Err(e) => writeln!(out, "root of {number}: {e}"),
    }
}
