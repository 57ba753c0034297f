//! A volume's structures as text, for people.

use super::format::{BLOCK, COUNTS, Dentry, REFS, count_at, type_name};
use super::volume::Volume;
use crate::count;
use std::io::{self, Write};

/// Prints the super block, both roots, and each run of blocks in use with one
/// type and count.
pub(super) fn dump(volume: &Volume, out: &mut dyn Write) -> io::Result<()> {
    let s = volume.superblock;
    writeln!(out, "super: {}, counts {}-{}, next qid {}", count::of(s.blocks, "block"), s.fstart, s.fend - 1, s.qid)?;
    let roots = volume.any_block(s.root)?;
    for (slot, what) in [(0, "live"), (1, "dumps")] {
        let d = Dentry::at(&roots, slot);
        writeln!(
            out,
            "root: block {} slot {slot}, {what}: {}, mode {}, uid {}, gid {}, mtime {}, from block {}",
            s.root,
            count::of(d.size, "block"),
            d.full_mode(),
            d.uid,
            d.gid,
            d.mtime,
            d.pointers.direct[0]
        )?;
    }
    let mut run: Option<(u64, u8, u32)> = None;
    let mut print = |run: Option<(u64, u8, u32)>, end: u64| match run {
        Some((from, kind, count)) => {
            writeln!(out, "blocks {from}-{}: {}, counted {count}", end - 1, type_name(kind))
        }
        None => Ok(()),
    };
    for n in s.fstart..s.fend {
        let counts = volume.any_block(n)?;
        let first = (n - s.fstart) * COUNTS;
        let last = (first + COUNTS).min(s.blocks);
        for at in first..last {
            // A block of another type has no counts.
            let count = if counts[0] == REFS { count_at(&counts, (at - first) as usize) } else { 0 };
            let here = match count {
                0 => None,
                _ => {
                    let mut block = [0; BLOCK];
                    volume.bytes(at, &mut block)?;
                    Some((block[0], count))
                }
            };
            if run.map(|(_, kind, count)| (kind, count)) != here {
                print(run, at)?;
                run = here.map(|(kind, count)| (at, kind, count));
            }
        }
    }
    print(run, s.blocks)
}
