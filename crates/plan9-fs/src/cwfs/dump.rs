//! A file system's structures as text, for people.

use super::format::{BUCKET, BUCKETS, ENTRIES, State, bucket_entry, frees};
use super::volume::{Part, Side, Volume};
use crate::count;
use std::io::{self, Write};

/// Prints the configuration, the cache's header and how many blocks it holds in
/// which state, the super block, both roots, and the worm's super blocks.
pub(super) fn dump(volume: &Volume, out: &mut dyn Write) -> io::Result<()> {
    if let Some(cache) = &volume.cache {
        let c = &cache.config;
        writeln!(out, "config: service {}, newcache {}, {}", c.service, c.newcache, c.flags.join(" "))?;
        for (name, device) in &c.filsys {
            writeln!(out, "filsys {name}: {device}")?;
        }
        let h = &cache.header;
        writeln!(
            out,
            "cache: {} from block {}, {} from block {}",
            count::of(h.msize, "bucket"),
            h.maddr,
            count::of(h.csize, "block"),
            h.caddr
        )?;
        writeln!(
            out,
            "worm: {}, in use to {}, written to {}, super block {}, root {}, dumps {}",
            count::of(h.wsize, "block"),
            h.fsize.saturating_sub(1),
            h.wmax,
            h.sbaddr,
            h.cwraddr,
            h.roraddr
        )?;
        states(volume, h.msize, out)?;
    }
    let s = &volume.superblock;
    let block = volume.bytes(Side::Live, volume.super_at)?;
    let listed = frees(&block).map_or(0, |f| f.len());
    writeln!(
        out,
        "super: block {}, in use to {}, {} free ({listed} listed here), last qid path {}, last {}, next {}",
        volume.super_at,
        s.fsize.saturating_sub(1),
        s.tfree,
        s.qidgen,
        s.last,
        s.next
    )?;
    let roots = [("live", Side::Live, Some(volume.root)), ("dumps", Side::Dumps, volume.dump_root)];
    for (what, side, at) in roots.into_iter().filter_map(|(what, side, at)| Some((what, side, at?))) {
        let d = super::format::Dentry::at(&volume.bytes(side, at)?, 0);
        writeln!(
            out,
            "root: block {at}, {what}: mode {}, uid {}, gid {}, mtime {}, from block {}",
            d.full_mode(),
            d.uid,
            d.gid,
            d.mtime,
            d.pointers.direct[0]
        )?;
    }
    if volume.part != Part::Other {
        for found in volume.chain() {
            let (at, s) = found?;
            writeln!(out, "dump: super block {at}, root {}, dumps {}, next {}", s.cwraddr, s.roraddr, s.next)?;
        }
    }
    Ok(())
}

/// Number of blocks of the cache in each state.
fn states(volume: &Volume, msize: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut counts = [0u64; 6];
    for n in 0..msize.div_ceil(BUCKETS) {
        let block = volume.bucket_block(n)?.unwrap_or_default();
        let buckets = (msize - n * BUCKETS).min(BUCKETS) as usize;
        for bucket in block.chunks(BUCKET).take(buckets) {
            for (state, _) in (0..ENTRIES).map(|i| bucket_entry(bucket, i)) {
                if let Some(count) = usize::try_from(state.0).ok().and_then(|s| counts.get_mut(s)) {
                    *count += 1;
                }
            }
        }
    }
    for (state, count) in (0..).zip(counts) {
        writeln!(out, "cached: {count} {}", State(state).name())?;
    }
    Ok(())
}
