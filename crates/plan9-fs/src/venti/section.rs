//! Verifying an index section, and walking its buckets.

use super::format::{Entry, SectionHead};
use super::read::Section;
use super::table::Index;
use crate::Finding;
use crate::count;
use crate::read_at::{Extent, ReadAt};
use std::io;
use std::ops::Range;

/// Callback for a bucket: its number and its entries, or the number that it
/// claims when they do not fit.
pub(super) type Visit<'a> = &'a mut dyn FnMut(u64, Result<&[u8], usize>);

/// Calls `visit` for each bucket of `within` that is in the section and has any
/// entries. Skips what the image says is all zeros.
pub(super) fn buckets(dev: &dyn ReadAt, head: &SectionHead, within: Range<u64>, visit: Visit<'_>) -> io::Result<()> {
    let block = u64::from(head.block);
    let whole = dev.len().saturating_sub(head.base.into()) / block;
    let start = u64::from(head.start);
    let first = within.start.saturating_sub(start);
    let count = u64::from(head.stop).min(within.end).saturating_sub(start).min(whole);
    let mut buf = vec![0; block as usize];
    let mut next = first;
    for Extent { offset, len } in dev.extents() {
        let from = offset.saturating_sub(head.base.into()) / block;
        let to = (offset + len).saturating_sub(head.base.into()).div_ceil(block);
        for n in from.max(next)..to.min(count) {
            dev.read_at(u64::from(head.base) + n * block, &mut buf)?;
            let entries = usize::from(u16::from_be_bytes([buf[0], buf[1]]));
            let magic = u32::from_be_bytes([buf[2], buf[3], buf[4], buf[5]]);
            let bucket = start + n;
            // Without a magic of their own, all buckets count.
            if entries == 0 || head.bucket_magic != 0 && magic != head.bucket_magic {
                continue;
            }
            if entries > head.bucket_max() {
                visit(bucket, Err(entries));
            } else {
                visit(bucket, Ok(&buf[Entry::BUCKET_HEAD..Entry::BUCKET_HEAD + entries * Entry::LEN]));
            }
        }
        next = next.max(to);
    }
    Ok(())
}

/// Checks a section by itself; kinds of findings are listed in `doc/venti.md`.
pub(super) fn section(dev: &dyn ReadAt, s: &Section, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let mut say = |kind, message| report(Finding { kind, message });
    let head = &s.head;
    let block = u64::from(head.block);
    let there = (dev.len() / block).saturating_sub(u64::from(head.base) / block);
    if u64::from(head.blocks) != there {
        let message =
            format!("The header says {} of buckets, but the partition has {there}", count::of(head.blocks, "block"));
        say("section-size", message);
    }
    if head.index.is_empty() {
        // Formatted, but not part of an index yet.
        return Ok(());
    }
    let index = match &s.index {
        Ok(index) => index,
        Err(why) => {
            say("index-table", format!("The table of the index: {why}"));
            return Ok(());
        }
    };
    check_table(head, index, &mut say);
    buckets(dev, head, 0..u64::MAX, &mut |bucket, entries| match entries {
        Ok(entries) => check_bucket(index, bucket, entries, &mut say),
        Err(n) => say(
            "bucket",
            format!("Bucket {bucket} has {n}, but there is room for {}", head.bucket_max(), n = count::of(n, "entry")),
        ),
    })
}

fn check_table(head: &SectionHead, index: &Index, say: &mut dyn FnMut(&'static str, String)) {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    if index.name.as_bytes() != head.index {
        say("section", format!("The section is of index {:?}, but its table of {:?}", text(&head.index), index.name));
    }
    if index.block != head.block {
        let message =
            format!("The table has blocks of {}, but the section of {}", count::of(index.block, "byte"), head.block);
        say("section", message);
    }
    match index.sections.iter().find(|r| r.name.as_bytes() == head.name) {
        None => say("section", format!("The table does not list the section {:?}", text(&head.name))),
        Some(r) if (r.start, r.stop) != (head.start.into(), head.stop.into()) => {
            let message = format!(
                "The section has buckets {} to {}, but {} to {} in the table",
                head.start, head.stop, r.start, r.stop
            );
            say("section", message);
        }
        Some(_) => {}
    }
    let mut at = 0;
    for r in &index.sections {
        if r.start != at {
            say("index-table", format!("Section {:?} begins with bucket {}, expected {at}", r.name, r.start));
        }
        at = r.stop;
    }
    let share = (1u64 << 32).div_ceil(at.max(1));
    if at == 0 || (1u64 << 32).div_ceil(share) != at {
        say(
            "index-table",
            format!("The index has {at}, which do not share the scores evenly", at = count::of(at, "bucket")),
        );
    }
}

fn check_bucket(index: &Index, bucket: u64, entries: &[u8], say: &mut dyn FnMut(&'static str, String)) {
    let mut last = None;
    for bytes in entries.chunks_exact(Entry::LEN) {
        let e = Entry::parse(bytes);
        let name = crate::hex::hex(&e.score);
        let key = (e.score, e.kind);
        if last.is_some_and(|l| l >= key) {
            say("bucket-order", format!("Score {name} is out of order in bucket {bucket}"));
        }
        last = Some(key);
        let right = index.bucket(&e.score);
        if right != bucket {
            say("bucket-entry", format!("Score {name} is in bucket {bucket}, expected {right}"));
        }
        if index.arena(e.address).is_none() {
            say("bucket-address", format!("Score {name} is at address {}, where no arena is", e.address));
        }
    }
}
