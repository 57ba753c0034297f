//! Verifying a volume: blocks and labels here, names in `check_dirs`.
//!
//! The rules are those of `/sys/src/cmd/fossil/check.c`, which follow from how
//! epochs work: a block lives from its epoch to the one in which it was
//! closed, and within one epoch only one pointer leads to it.
//!
//! Memory: a few bits for each data block and a worklist in which an address
//! appears once. Every block is visited at most once, so hostile images end.

use super::check_dirs::check_dirs;
use super::entry::Entry;
use super::format::{ENTRY_LEN, LABEL_LEN, Label, ROOT_TAG, SCORE_LEN, Score, USER_TAG};
use super::volume::Volume;
use crate::Finding;
use crate::count;
use crate::shared::count;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

/// Label blocks cached in memory.
const CACHED: usize = 64;

/// Receiver of findings.
pub(super) type Report<'a> = &'a mut dyn FnMut(Finding);

/// Checks everything; `Err` only when the image cannot be read. `users` are the
/// names that owners may have.
pub(super) fn check(volume: &Volume, users: &BTreeSet<Vec<u8>>, report: Report<'_>) -> io::Result<()> {
    let mut c = Checker::new(volume, report);
    let roots = c.scan_labels()?;
    c.walk_epochs(&roots)?;
    c.find_lost()?;
    c.venti();
    check_dirs(volume, users, report)
}

/// A set of block addresses.
pub(super) struct Bits {
    words: Vec<u64>,
    /// Addresses added since the last clearing, unless they became too many.
    added: Vec<u32>,
}

impl Bits {
    pub(super) fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)], added: Vec::new() }
    }
    pub(super) fn has(&self, a: u32) -> bool {
        self.words[a as usize / 64] >> (a % 64) & 1 != 0
    }
    /// True when it was not in the set.
    pub(super) fn add(&mut self, a: u32) -> bool {
        let new = !self.has(a);
        if new {
            self.words[a as usize / 64] |= 1 << (a % 64);
            if self.added.len() <= self.words.len() {
                self.added.push(a);
            }
        }
        new
    }
    /// Takes time by what was added, so that many small epochs stay cheap.
    fn clear(&mut self) {
        if self.added.len() > self.words.len() {
            self.words.fill(0);
        }
        for a in self.added.drain(..) {
            self.words[a as usize / 64] = 0;
        }
    }
}

struct Checker<'a> {
    volume: &'a Volume,
    report: Report<'a>,
    labels: HashMap<u32, (u32, Vec<u8>)>,
    /// Seen at all; seen in this epoch; seen in this epoch from a block of it.
    seen: Bits,
    in_epoch: Bits,
    uncopied: Bits,
    /// A finding names it already.
    named: Bits,
    /// Blocks to look into: address, type, tag.
    work: Vec<(u32, u8, u32)>,
    /// Pointers to blocks that a venti has.
    in_venti: u64,
}

impl<'a> Checker<'a> {
    fn new<'b: 'a>(volume: &'a Volume, report: &'a mut (dyn FnMut(Finding) + 'b)) -> Self {
        let n = volume.header.data_blocks();
        Self {
            volume,
            report,
            labels: HashMap::new(),
            seen: Bits::new(n),
            in_epoch: Bits::new(n),
            uncopied: Bits::new(n),
            named: Bits::new(n),
            work: Vec::new(),
            in_venti: 0,
        }
    }

    fn find(&mut self, kind: &'static str, message: String) {
        (self.report)(Finding { kind, message });
    }

    fn blocks(&self) -> u32 {
        self.volume.header.data_blocks()
    }

    /// The label of a block with a valid address.
    fn label(&mut self, address: u32) -> io::Result<Label> {
        let per = self.volume.header.labels_per_block();
        let n = address / per;
        let slot = n % CACHED as u32;
        if self.labels.get(&slot).is_none_or(|(have, _)| *have != n) {
            let bytes = self.volume.label_block(n)?;
            self.labels.insert(slot, (n, bytes));
        }
        Ok(Label::at(&self.labels[&slot].1, (address % per) as usize * LABEL_LEN))
    }

    /// Reports labels that fossil would refuse; returns root blocks by epoch.
    fn scan_labels(&mut self) -> io::Result<BTreeMap<u32, Vec<u32>>> {
        let mut roots: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let (low, high) = (self.volume.superblock.epoch_low, self.volume.superblock.epoch_high);
        for a in 0..self.blocks() {
            let l = self.label(a)?;
            if let Some(why) = l.flaw() {
                self.named.add(a);
                self.find("label", format!("Block {a}: the label is not possible: {why}"));
            } else if l.tag == ROOT_TAG && l.kind == Label::DIR && (low..=high).contains(&l.epoch) {
                roots.entry(l.epoch).or_default().push(a);
            }
        }
        Ok(roots)
    }

    fn walk_epochs(&mut self, roots: &BTreeMap<u32, Vec<u32>>) -> io::Result<()> {
        let s = &self.volume.superblock;
        let (low, high, active) = (s.epoch_low, s.epoch_high, s.active);
        let mut hint = match active < self.blocks() {
            true => active,
            false => {
                self.find(
                    "root",
                    format!("The super block points to root block {active}, but there are {}", self.blocks()),
                );
                0
            }
        };
        let mut next = u64::from(high);
        for (&epoch, at) in roots.iter().rev() {
            self.missing(u64::from(epoch) + 1, next);
            next = u64::from(epoch) - 1;
            let root = at[at.partition_point(|a| *a < hint) % at.len()];
            if epoch == high && root != active {
                self.find(
                    "root",
                    format!("The super block points to {active}, but the root of epoch {epoch} is {root}"),
                );
            }
            if let Some(before) = self.walk_epoch(root, epoch)?.filter(|a| *a < self.blocks()) {
                hint = before;
            }
        }
        self.missing(u64::from(low), next);
        Ok(())
    }

    /// Reports epochs without a root block.
    fn missing(&mut self, from: u64, to: u64) {
        if from < to {
            self.find("root", format!("Epochs {from} to {to} have no root block"));
        } else if from == to {
            self.find("root", format!("Epoch {from} has no root block"));
        }
    }

    /// Walks all that a root block leads to; returns the root before it.
    fn walk_epoch(&mut self, root: u32, epoch: u32) -> io::Result<Option<u32>> {
        self.in_epoch.clear();
        self.uncopied.clear();
        for set in [&mut self.seen, &mut self.in_epoch, &mut self.uncopied] {
            set.add(root);
        }
        let block = self.volume.any_block(root)?;
        let e = Entry::parse(&block);
        let label = self.label(root)?;
        self.point((root, label), e.score, Label::DIR, e.tag, epoch)?;
        while let Some((address, kind, tag)) = self.work.pop() {
            self.look_into(address, kind, tag, epoch)?;
        }
        Ok(Entry::parse(&block[ENTRY_LEN..]).score.address())
    }

    /// Follows every pointer in a block.
    fn look_into(&mut self, address: u32, kind: u8, tag: u32, epoch: u32) -> io::Result<()> {
        let from = (address, self.label(address)?);
        let block = self.volume.any_block(address)?;
        if kind != Label::DIR {
            for score in block.chunks_exact(SCORE_LEN) {
                self.point(from, Score::at(score, 0), kind - 1, tag, epoch)?;
            }
            return Ok(());
        }
        for (i, e) in block.chunks_exact(ENTRY_LEN).map(Entry::parse).enumerate().filter(|(_, e)| e.is_active()) {
            if e.snap != 0 {
                if e.snap >= epoch {
                    let m = format!("Block {address}, entry {i}: it leads to epoch {} from {epoch}", e.snap);
                    self.find("entry-snap", m);
                }
            } else if e.is_local() && e.tag < USER_TAG {
                self.find("entry-tag", format!("Block {address}, entry {i}: tag {} is below {USER_TAG}", e.tag));
            } else {
                self.point(from, e.score, e.kind(), e.tag, epoch)?;
            }
        }
        Ok(())
    }

    /// Checks one pointer and what it points to.
    fn point(&mut self, from: (u32, Label), score: Score, kind: u8, tag: u32, epoch: u32) -> io::Result<()> {
        let (at, above) = from;
        let Some(to) = score.address() else {
            if score.is_damaged() {
                let m = format!(
                    "Block {at}: its pointer {score} is neither an address of this volume nor a score of a venti"
                );
                self.find("score", m);
            } else if !score.is_zero() {
                self.in_venti += 1;
            }
            return Ok(());
        };
        if to >= self.blocks() {
            self.find(
                "address",
                format!("Block {at} points to {to}, but there are only {}", count::of(self.blocks(), "block")),
            );
            return Ok(());
        }
        let l = self.label(to)?;
        // A label that cannot be right was reported by the scan.
        if l.flaw().is_some() {
            return Ok(());
        }
        let wrong = match () {
            () if l.state == 0 || l.state == Label::BAD => {
                Some(("label-state", format!("Block {to} is in use by block {at}, but its label says {}", state(&l))))
            }
            () if l.kind != kind => Some((
                "label-type",
                format!(
                    "Block {to}: the label says type {}, but block {at}, which points to it, implies {kind}",
                    l.kind
                ),
            )),
            () if l.tag != tag => Some((
                "label-tag",
                format!(
                    "Block {to}: the label says tag {:#x}, but block {at}, which points to it, implies {tag:#x}",
                    l.tag
                ),
            )),
            () if above.epoch < l.epoch || l.close <= above.epoch => Some((
                "epoch-order",
                format!(
                    "Block {at} of epoch {} points to block {to}, which lives from {} to {}",
                    above.epoch,
                    l.epoch,
                    closed(&l)
                ),
            )),
            () => None,
        };
        if let Some((kind, message)) = wrong {
            self.named.add(to);
            self.find(kind, message);
            return Ok(());
        }
        if above.epoch == epoch && l.epoch == epoch && !self.in_epoch.add(to) {
            self.find("epoch-join", format!("Block {to}: block {at} is the second of epoch {epoch} to point to it"));
            return Ok(());
        }
        if above.state & Label::COPIED == 0 && above.epoch == l.epoch && !self.uncopied.add(to) {
            self.find("copy-join", format!("Block {to}: block {at} points to it, and so does another, both uncopied"));
            return Ok(());
        }
        let active = epoch == self.volume.superblock.epoch_high;
        let seen = self.seen.has(to);
        match (active, l.is_closed()) {
            (true, _) if seen => {
                self.find("active-join", format!("Block {to}: block {at} is the second active one to point to it"));
                return Ok(());
            }
            (true, true) => {
                self.find("closed", format!("Block {to} is in the active tree, but was closed in epoch {}", l.close));
            }
            (false, false) if !seen => {
                self.find("unclosed", format!("Block {to} is in use in epoch {epoch} only, but not closed"));
            }
            _ => {}
        }
        if self.seen.add(to) && kind != 0 {
            self.work.push((to, kind, tag));
        }
        Ok(())
    }

    /// Reports pointers into a venti.
    fn venti(&mut self) {
        if self.in_venti > 0 {
            let pointers = count(self.in_venti, "pointer leads", "pointers lead");
            self.find("in-venti", format!("{pointers} to a venti, which was not checked"));
        }
    }

    /// Reports blocks that are taken, but that nothing leads to.
    fn find_lost(&mut self) -> io::Result<()> {
        let low = self.volume.superblock.epoch_low;
        for a in 0..self.blocks() {
            let l = self.label(a)?;
            let free = l.is_free() || l.close <= low || l.close == l.epoch || l.is_closed();
            if !free && !self.seen.has(a) && !self.named.has(a) {
                let m =
                    format!("Block {a} is {}, but no pointer leads to it: type {} tag {:#x}", state(&l), l.kind, l.tag);
                self.find("lost", m);
            }
        }
        Ok(())
    }
}

/// A label's state for people.
pub(super) fn state(l: &Label) -> String {
    match l.state {
        0 => "free".into(),
        Label::BAD => "bad".into(),
        s => {
            let names = [(Label::COPIED, "copied"), (Label::VENTI, "in venti"), (Label::CLOSED, "closed")];
            let more = names.iter().filter(|(bit, _)| s & bit != 0).map(|(_, n)| format!(", {n}"));
            std::iter::once("allocated".to_string()).chain(more).collect()
        }
    }
}

fn closed(l: &Label) -> String {
    if l.close == Label::OPEN { "now".into() } else { l.close.to_string() }
}
