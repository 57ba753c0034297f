//! A partition's structures as text, for people.

use super::format::{ArenaTail, Entry, Stats};
use super::read::{Part, Venti, head, tail};
use super::section::buckets;
use crate::count;
use std::io::{self, Write};

/// Prints headers and tables; of arenas how full they are, of an index
/// section how many entries it has.
pub(super) fn dump(venti: &Venti, out: &mut dyn Write) -> io::Result<()> {
    if let Some(config) = venti.config()? {
        for line in String::from_utf8_lossy(&config).lines() {
            writeln!(out, "config: {}", line.escape_debug())?;
        }
    }
    match &venti.part {
        Part::Arenas(a) => {
            writeln!(out, "arenas: block size {}, data from byte {}, {}", a.head.block, a.head.base, a.arenas.len())?;
            for range in &a.arenas {
                let name = range.name.escape_debug();
                writeln!(out, "arena {name}: bytes {} to {}", range.start, range.stop)?;
                match tail(&*venti.dev, &a.head, range)? {
                    Err(why) => writeln!(out, "arena {name}: bad tail: {why}")?,
                    Ok(t) => {
                        dump_tail(&t, &name.to_string(), out)?;
                        if let Err(why) = head(&*venti.dev, range)? {
                            writeln!(out, "arena {name}: bad head: {why}")?;
                        }
                    }
                }
            }
        }
        Part::Section(s) => {
            let h = &s.head;
            let text = |b: &[u8]| String::from_utf8_lossy(b).escape_debug().to_string();
            writeln!(out, "section {}: version {}, of index {:?}", text(&h.name), h.version, text(&h.index))?;
            writeln!(out, "section: block size {}, {} from byte {}", h.block, count::of(h.blocks, "block"), h.base)?;
            writeln!(out, "section: buckets {} to {}, magic {:08x}", h.start, h.stop, h.bucket_magic)?;
            match &s.index {
                Err(why) => writeln!(out, "index: bad table: {why}")?,
                Ok(index) => {
                    for line in index.print().lines() {
                        writeln!(out, "index: {}", line.escape_debug())?;
                    }
                }
            }
            let mut entries = 0;
            buckets(&*venti.dev, h, 0..u64::MAX, &mut |_, bytes| {
                entries += bytes.map_or(0, |b| b.len() / Entry::LEN);
            })?;
            writeln!(out, "section: {entries}", entries = count::of(entries, "entry"))?;
        }
        Part::Bloom(b) => {
            writeln!(out, "bloom filter: {}, {}", count::of(b.size, "byte"), count::of(b.hashes, "hash"))?
        }
    }
    Ok(())
}

fn dump_tail(t: &ArenaTail, name: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "arena {name}: version {}, clump magic {:08x}", t.version, t.clump_magic)?;
    writeln!(out, "arena {name}: first write {}, last {}", t.created, t.written)?;
    let mut print = |what: &str, s: &Stats| {
        writeln!(
            out,
            "arena {name}: {what} {} ({} compressed), {} used, {} before compression{}",
            count::of(s.clumps, "clump"),
            s.compressed,
            count::of(s.used, "byte"),
            s.uncompressed,
            if s.sealed { ", sealed" } else { "" },
        )
    };
    print("stored", &t.stored)?;
    if t.indexed != t.stored {
        print("indexed", &t.indexed)?;
    }
    Ok(())
}
