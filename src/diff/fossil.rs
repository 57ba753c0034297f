//! Two fossil volumes: header, super block, configuration, labels, files, and
//! the blocks that no differing file accounts for.

use super::bytes::{self, pieces};
use super::owners::{Blocks, Owners, Why, why};
use super::{Budget, Difference, MOST, Sink, field, files, text};
use crate::count;
use crate::fs::fossil::{CONFIG, FossilReader, HEADER_AT, HEADER_LEN, Header, LABEL_LEN, Label, Super};
use crate::read_at::ReadAt;
use std::io;

/// Bytes of a super block that have a meaning.
const SUPER_LEN: u64 = 182;

struct Pair<'a> {
    place: &'a str,
    a: &'a FossilReader,
    b: &'a FossilReader,
    sides: (&'a dyn ReadAt, &'a dyn ReadAt),
    owners: (Owners, Owners),
}

/// Compares two volumes whose bytes are `sides`.
///
/// # Errors
/// Error of `sink`.
pub fn compare(
    place: &str,
    (a, b): (&FossilReader, &FossilReader),
    sides: (&dyn ReadAt, &dyn ReadAt),
    budget: &mut Budget,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    let mut owners = (Owners::default(), Owners::default());
    files::compare(
        place,
        (a, b""),
        (b, b""),
        budget,
        &mut |seen| {
            for (fs, node, owners) in [(a, seen.a, &mut owners.0), (b, seen.b, &mut owners.1)] {
                let Some(node) = node else { continue };
                let dir = node.meta.mode.is_dir();
                for (tag, what) in fs.tags(node).into_iter().zip([if dir { "entries" } else { "data" }, "names"]) {
                    if let Some(tag) = tag {
                        owners.add(tag, what, seen.path, seen.changed);
                    }
                }
            }
        },
        sink,
    )?;
    let pair = Pair { place, a, b, sides, owners };
    pair.fixed(sink)?;
    if pair.a.header() == pair.b.header() {
        pair.labels(sink)?;
        pair.blocks(sink)?;
    }
    Ok(())
}

impl Pair<'_> {
    fn space(&self, kind: &'static str, what: &str, start: u64, end: u64, sink: &mut Sink<'_>) -> io::Result<()> {
        bytes::compare(self.place, kind, what, self.sides, (start, end), 0, sink)
    }

    /// Compares the blocks before the labels.
    fn fixed(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let place = self.place;
        self.space("unused", "space before fossil's configuration", 0, CONFIG.offset, sink)?;
        match (self.a.config(), self.b.config()) {
            (Ok(Some(x)), Ok(Some(y))) if x != y => {
                let (x, y) = (String::from_utf8_lossy(&x), String::from_utf8_lossy(&y));
                text::lines(place, "config", "fossil's configuration", &x, &y, sink)?;
            }
            _ => self.space("config", "fossil's configuration", CONFIG.offset, CONFIG.end(), sink)?,
        }
        let (x, y): (&Header, &Header) = (self.a.header(), self.b.header());
        let fields = [
            ("bytes in a block", x.block as u64, y.block as u64),
            ("block of the super block", x.super_at.into(), y.super_at.into()),
            ("first block of labels", x.label.into(), y.label.into()),
            ("first block of data", x.data.into(), y.data.into()),
            ("end", x.end.into(), y.end.into()),
        ];
        for (what, x, y) in fields {
            field(place, "header", &format!("fossil's header, {what}"), (x, y), sink)?;
        }
        self.space("header", "fossil's header, unused bytes", HEADER_AT + 24, HEADER_AT + HEADER_LEN as u64, sink)?;
        if x != y {
            return Ok(());
        }
        let super_at = x.byte(x.super_at);
        self.space("unused", "space between header and super block", HEADER_AT + HEADER_LEN as u64, super_at, sink)?;
        let (s, t): (&Super, &Super) = (self.a.superblock(), self.b.superblock());
        let fields = [
            ("lowest epoch", u64::from(s.epoch_low), t.epoch_low.into()),
            ("current epoch", s.epoch_high.into(), t.epoch_high.into()),
            ("next qid", s.qid, t.qid),
            ("address of the active root", s.active.into(), t.active.into()),
            ("address of the next root to archive", s.next.into(), t.next.into()),
            ("address of the root being archived", s.current.into(), t.current.into()),
        ];
        for (what, x, y) in fields {
            field(place, "super", &format!("super block, {what}"), (x, y), sink)?;
        }
        field(
            place,
            "super",
            "super block, score of the last archive",
            (s.last.to_string(), t.last.to_string()),
            sink,
        )?;
        let name = |s: &Super| String::from_utf8_lossy(&s.name).into_owned();
        field(place, "super", "super block, name of the volume", (name(s), name(t)), sink)?;
        self.space("super", "super block, unused bytes", super_at + SUPER_LEN, x.byte(x.super_at + 1), sink)?;
        self.space("unused", "space between super block and labels", x.byte(x.super_at + 1), x.byte(x.label), sink)
    }

    fn owner<'o>(owners: &'o Owners, label: &Label) -> Option<&'o super::owners::Owner> {
        if label.is_free() { None } else { owners.get(label.tag) }
    }

    fn why(&self, a: &Label, b: &Label) -> Why {
        let owners = (Self::owner(&self.owners.0, a), Self::owner(&self.owners.1, b));
        let nobodys = |l: &Label| format!("of no file (tag {:#x})", l.tag);
        match owners {
            (None, None) if !a.is_free() => Why::Itself(nobodys(a)),
            (None, None) if !b.is_free() => Why::Itself(nobodys(b)),
            (a, b) => why(a, b),
        }
    }

    fn labels(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let h = *self.a.header();
        let per = u64::from(h.labels_per_block());
        let (mut own, mut follows) = (Blocks::default(), Vec::new());
        let (mut follow_count, mut slack) = (0u64, bytes::Ranges::default());
        let (start, end) = (h.byte(h.label), h.byte(h.data));
        let read = pieces(self.sides, (start, end), h.block, &mut |at, x, y| {
            let first = (at - start) / h.block as u64 * per;
            let used = per as usize * LABEL_LEN;
            for i in 0..per as usize {
                let (l, m) = (Label::at(x, i * LABEL_LEN), Label::at(y, i * LABEL_LEN));
                if l == m {
                    continue;
                }
                let block = first + i as u64;
                let offset = at + (i * LABEL_LEN) as u64;
                let make = |owner: &str| {
                    let fields = changed_fields(&l, &m);
                    let values =
                        |n: usize| fields.iter().map(|f| format!("{} {}", f.0, [&f.1, &f.2][n])).collect::<Vec<_>>();
                    Difference::new(self.place, "label", format!("label of block {block} ({owner})"))
                        .values(values(0).join(", "), values(1).join(", "))
                        .at(offset)
                };
                match self.why(&l, &m) {
                    w @ Why::Itself(_) => own.add(&w, make),
                    // The labels of what was named follow from it, unless they are few.
                    _ => {
                        follow_count += 1;
                        if follows.len() < MOST {
                            follows.push(make("of a file named above, or of another file"));
                        }
                    }
                }
            }
            slack.add(at + used as u64, &x[used.min(x.len())..], &y[used.min(y.len())..]);
            Ok(())
        });
        own.report(self.place, "label", "labels", sink)?;
        if follow_count <= follows.len() as u64 {
            follows.into_iter().try_for_each(&mut *sink)?;
        } else {
            let what = format!(
                "{follow_count} differ with the files that have the blocks",
                follow_count = count::of(follow_count, "label")
            );
            sink(Difference::new(self.place, "label", what))?;
        }
        slack.report(self.place, "unused", "space after the labels of a block", 0, sink)?;
        self.readable("labels", read, sink)
    }

    fn readable(&self, what: &str, read: io::Result<()>, sink: &mut Sink<'_>) -> io::Result<()> {
        match read {
            Ok(()) => Ok(()),
            Err(e) => sink(Difference::new(self.place, "unreadable", format!("{what}: {e}"))),
        }
    }

    /// Data blocks that no difference of a file accounts for.
    fn blocks(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        let h = *self.a.header();
        let mut found = Blocks::default();
        let mut moved = false;
        let mut follows = Blocks::default();
        let (start, end) = (h.byte(h.data), h.byte(h.end));
        let read = pieces(self.sides, (start, end), h.block, &mut |at, x, y| {
            let block = ((at - start) / h.block as u64) as u32;
            let (l, m) = (self.a.label(block)?, self.b.label(block)?);
            let make = |owner: &str| {
                let i = x.iter().zip(y).position(|(x, y)| x != y).unwrap_or(0);
                let what = format!("block {block} ({owner}{}), byte {i} of the block", level(&l));
                Difference::new(self.place, "block", what)
                    .values(format!("{:02x}", x[i]), format!("{:02x}", y[i]))
                    .at(at + i as u64)
            };
            let why = self.why(&l, &m);
            moved |= why == Why::Moved;
            // Pointers and entries change with what they lead to.
            let leads = l.kind != 0 && matches!(why, Why::Itself(_)) && !l.is_free();
            if leads {
                follows.add(&why, make)
            } else {
                found.add(&why, make)
            }
            Ok(())
        });
        found.report(self.place, "block", "blocks", sink)?;
        if !moved {
            follows.report(self.place, "block", "blocks", sink)?;
        }
        self.space("unused", "space after the last block", end, self.sides.0.len().min(self.sides.1.len()), sink)?;
        self.readable("blocks", read, sink)
    }
}

/// Pointer level of a block of a source, in words; empty for data.
fn level(label: &Label) -> String {
    match label.kind & !Label::DIR {
        0 => String::new(),
        n => format!(", pointers of level {n}"),
    }
}

/// Name and both values of each field that differs.
fn changed_fields(a: &Label, b: &Label) -> Vec<(&'static str, String, String)> {
    let state = |l: &Label| format!("{:#04x}", l.state);
    let epoch = |n: u32| if n == Label::OPEN { "none".to_owned() } else { n.to_string() };
    let all = [
        ("state", state(a), state(b)),
        ("type", a.kind.to_string(), b.kind.to_string()),
        ("epoch", epoch(a.epoch), epoch(b.epoch)),
        ("closed in epoch", epoch(a.close), epoch(b.close)),
        ("tag", format!("{:#x}", a.tag), format!("{:#x}", b.tag)),
    ];
    all.into_iter().filter(|(_, x, y)| x != y).collect()
}
