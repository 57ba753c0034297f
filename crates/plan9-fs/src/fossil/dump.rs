//! A volume's structures as text, for people.

use super::check::state;
use super::entry::Entry;
use super::format::{ENTRY_LEN, Header, Label, NIL};
use super::volume::Volume;
use crate::count;
use std::io::{self, Write};

/// Prints header, super block, configuration, and each run of blocks whose
/// labels differ only in that they follow each other.
pub(super) fn dump(volume: &Volume, out: &mut dyn Write) -> io::Result<()> {
    let Header { block, super_at, label, data, end } = volume.header;
    writeln!(out, "header: block size {block}, super {super_at}, labels {label}, data {data}, end {end}")?;
    let s = &volume.superblock;
    writeln!(out, "super: name {:?}", String::from_utf8_lossy(&s.name))?;
    writeln!(out, "super: epochs {} to {}, next qid {}", s.epoch_low, s.epoch_high, s.qid)?;
    let root = |a: u32| if a == NIL { "none".to_string() } else { a.to_string() };
    writeln!(out, "super: roots: active {}, next {}, current {}", root(s.active), root(s.next), root(s.current))?;
    writeln!(out, "super: last archive {}", s.last)?;
    if let Some(config) = volume.config()? {
        for line in String::from_utf8_lossy(&config).lines() {
            writeln!(out, "config: {}", line.escape_debug())?;
        }
    }
    dump_root(volume, out)?;
    dump_labels(volume, out)
}

fn dump_root(volume: &Volume, out: &mut dyn Write) -> io::Result<()> {
    if volume.superblock.active >= volume.header.data_blocks() {
        return writeln!(out, "root: address {} is after the end", volume.superblock.active);
    }
    let block = volume.any_block(volume.superblock.active)?;
    for (i, name) in ["tree", "root before"].into_iter().enumerate() {
        let e = Entry::parse(&block[i * ENTRY_LEN..]);
        if e.is_active() {
            writeln!(out, "root: {name}: {}", describe(&e))?;
        }
    }
    Ok(())
}

fn describe(e: &Entry) -> String {
    let snap = if e.snap == 0 { String::new() } else { format!(", epoch {}", e.snap) };
    format!("{}, depth {}, tag {:#x}, block {}{snap}", count::of(e.size, "byte"), e.depth, e.tag, e.score)
}

/// One line for each run of blocks of one source and level.
fn dump_labels(volume: &Volume, out: &mut dyn Write) -> io::Result<()> {
    let mut run: Option<(u32, Label)> = None;
    let per = volume.header.labels_per_block();
    let total = volume.header.data_blocks();
    let print = |out: &mut dyn Write, from: u32, to: u32, l: Label| -> io::Result<()> {
        if l.is_free() {
            return Ok(());
        }
        let what = match (l.kind & Label::DIR != 0, l.kind & 7) {
            (true, 0) => "entries".to_string(),
            (false, 0) => "data".to_string(),
            (dir, level) => format!("{}pointers {level}", if dir { "entry " } else { "" }),
        };
        let close = if l.close == Label::OPEN { String::new() } else { format!(" to {}", l.close) };
        writeln!(out, "blocks {from}-{}: {what}, tag {:#x}, epoch {}{close}, {}", to - 1, l.tag, l.epoch, state(&l))
    };
    let mut labels = vec![Label { state: 0, kind: 0, epoch: 0, close: 0, tag: 0 }; per as usize];
    let mut at = 0;
    while at < total {
        let n = per.min(total - at) as usize;
        volume.labels(at, &mut labels[..n])?;
        for (i, l) in labels[..n].iter().enumerate() {
            let here = at + i as u32;
            match run {
                Some((_, have)) if have == *l => {}
                Some((from, have)) => {
                    print(out, from, here, have)?;
                    run = Some((here, *l));
                }
                None => run = Some((here, *l)),
            }
        }
        at += n as u32;
    }
    match run {
        Some((from, have)) => print(out, from, total, have),
        None => Ok(()),
    }
}
