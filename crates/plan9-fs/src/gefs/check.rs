//! Verifying a volume: super blocks, arenas and their logs, then everything
//! that the snapshot tree names, and at last the bytes of files.
//!
//! Memory: some bytes for each block that something points to. Leaves and pivots
//! are looked into once, however many snapshots have them, so hostile images
//! end.

use super::check_files::{self, About};
use super::format::{
    BLOCK, BLOCK64, DEAD, Dir, K_CONF, K_DATA, K_DEAD, K_ENTRY, K_LABEL, K_SNAP, K_UP, Label, Pointer, Snap, Super,
    data_key, get64, number_key, parse_data_key, parse_entry_key,
};
use super::hash::hash;
use super::node::{INSERT, Node, REPREV};
use super::space::Space;
use super::tree::{MAX_HEIGHT, Range, Values, fits};
use super::volume::{Volume, block_name, wrong_hash};
use crate::Finding;
use crate::count;
use crate::shared::count as counted;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

/// Blocks of files read at a time.
const MANY: usize = 64;
/// Labels that every volume needs.
const NEEDED: [&str; 3] = ["adm", "empty", "main"];

/// Use of a block.
const NOTHING: u8 = 0;
const IS_LOG: u8 = 1;
const IS_DEAD: u8 = 2;
const IS_NODE: u8 = 3;
const IS_DATA: u8 = 4;
const WHAT: [&str; 5] = ["nothing", "a log's", "a list of dead blocks", "a tree's", "a file's"];

/// Results of a check besides damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Blocks of logs, lists of dead blocks, trees, and files.
    pub blocks: [u64; 4],
    /// Blocks that are in use, but nobody's that a label leads to.
    pub nobodys: u64,
}

/// Checks everything; `Err` only when the image cannot be read.
pub(super) fn check(volume: &Volume, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    survey(volume, report).map(drop)
}

/// The same, and counts.
pub(super) fn survey(volume: &Volume, report: &mut dyn FnMut(Finding)) -> io::Result<Survey> {
    supers(volume, report)?;
    let space = Space::read(volume, report)?;
    let (kinds, counts) = (HashMap::new(), Survey::default());
    let mut c = Checker { volume, report, space: &space, kinds, counts, data: Vec::new(), found: 0 };
    for log in space.arenas.iter().flat_map(|a| &a.log) {
        c.claim("A log", *log, IS_LOG);
    }
    c.snapshots()?;
    c.contents()?;
    let nobodys = space.blocks_used().saturating_sub(c.counts.blocks.iter().sum());
    Ok(Survey { nobodys, ..c.counts })
}

/// Both super blocks.
fn supers(volume: &Volume, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let last = (volume.blocks - 1) * BLOCK64;
    for (at, what) in [(0, "The super block"), (last, "The copy of the super block")] {
        let why = match Super::parse(&volume.block(at)?) {
            Ok(s) if s == volume.superblock => continue,
            Ok(_) => "it differs from the other".into(),
            Err(why) => why,
        };
        report(Finding { kind: "super", message: format!("{what}: {why}") });
    }
    Ok(())
}

/// A pointer to a block of a file.
struct Claim {
    address: u64,
    hash: u64,
    /// qid path and offset.
    key: (u64, u64),
}

struct Checker<'a> {
    volume: &'a Volume,
    report: &'a mut dyn FnMut(Finding),
    space: &'a Space,
    /// Use of each block by address.
    kinds: HashMap<u64, u8>,
    counts: Survey,
    data: Vec<Claim>,
    found: usize,
}

impl Checker<'_> {
    fn find(&mut self, kind: &'static str, message: String) {
        let finding = Finding { kind, message };
        self.found += usize::from(!finding.is_remark());
        (self.report)(finding);
    }

    /// Whether what is said to be a block can be one; the first to say so.
    fn claim(&mut self, who: &str, address: u64, kind: u8) -> Option<bool> {
        if !self.space.has(address) {
            self.find("address", format!("{who}: {address:x} is not the address of a block that an arena allocates"));
            return None;
        }
        let was = self.kinds.insert(address, kind).unwrap_or(NOTHING);
        if was == NOTHING {
            self.counts.blocks[usize::from(kind) - 1] += 1;
            if self.space.is_free(address) {
                self.find("free", format!("{who}: {} is in use, but marked as free", block_name(address)));
            }
        }
        if was != NOTHING && was != kind {
            let (was, is) = (WHAT[usize::from(was)], WHAT[usize::from(kind)]);
            self.find("shared", format!("{who}: {} is {is}, but {was}, too", block_name(address)));
        }
        Some(was == NOTHING)
    }

    /// The snapshot tree, and all that it names.
    fn snapshots(&mut self) -> io::Result<()> {
        let s = &self.volume.superblock;
        let (root, height, dead) = (s.root, s.height, s.dead[0].0);
        self.dead("The snapshot tree", dead)?;
        let root = Pointer { address: root.0, hash: root.1, generation: u64::MAX };
        let before = self.found;
        self.tree("The snapshot tree", &root, height, true)?;
        if self.found > before {
            return Ok(());
        }
        let Some(values) = self.values("The snapshot tree", |v| v.snaps(&[]))? else { return Ok(()) };
        let mut labels = Vec::new();
        let mut snaps = BTreeMap::new();
        for (key, value) in &values {
            match key[0] {
                K_LABEL => labels.extend(Label::parse(value).map(|l| (key[1..].to_vec(), l))),
                K_SNAP => snaps.extend(Snap::parse(value).map(|s| (key.clone(), s))),
                K_DEAD => self.dead("A list of dead blocks", get64(value, 0))?,
                _ => {}
            }
        }
        for needed in NEEDED.iter().filter(|n| !labels.iter().any(|(name, _)| name == n.as_bytes())) {
            self.find("label", format!("No snapshot has the label {needed}"));
        }
        for (key, snap) in &snaps {
            let number = get64(key, 1);
            let count = labels.iter().filter(|(_, l)| l.snap == number).count();
            if snap.generation != number {
                self.find("snap", format!("The snapshot {number} says that it is {}", snap.generation));
            } else if (snap.labels as usize) < count {
                let has = counted(count as u64, "label", "labels");
                self.find("snap", format!("The snapshot {number} has {has}, but counts {}", snap.labels));
            }
        }
        let (mut trees, mut files) = (BTreeSet::new(), BTreeSet::new());
        for (name, label) in labels {
            let name = String::from_utf8_lossy(&name).into_owned();
            let Some(snap) = snaps.get(&number_key(K_SNAP, label.snap)) else {
                self.find("label", format!("The label {name} is of the snapshot {}, which does not exist", label.snap));
                continue;
            };
            let before = self.found;
            let key = (snap.root.address, snap.height);
            if trees.insert(key) {
                self.tree(&name, &snap.root, snap.height, false)?;
            }
            // Snapshots that cannot change any more were checked while they could.
            if self.found == before && label.flags & Label::MUTABLE != 0 && files.insert(key) {
                self.files(&name, snap)?;
            }
            if self.found == before && name == "adm" {
                match self.volume.users() {
                    Ok(Ok(_)) => {}
                    Ok(Err(why)) => self.find("users", format!("adm: /users: {why}")),
                    Err(e) => self.damage("users", "adm", e)?,
                }
            }
        }
        Ok(())
    }

    /// A finding of what a reader calls damage.
    fn damage(&mut self, kind: &'static str, who: &str, e: io::Error) -> io::Result<()> {
        if e.kind() != io::ErrorKind::InvalidData {
            return Err(e);
        }
        self.find(kind, format!("{who}: {e}"));
        Ok(())
    }

    /// Values of a tree that is sound but for its messages.
    fn values(&mut self, who: &str, read: impl Fn(&Volume) -> io::Result<Values>) -> io::Result<Option<Values>> {
        match read(self.volume) {
            Ok(values) => Ok(Some(values)),
            Err(e) => self.damage("message", who, e).map(|()| None),
        }
    }

    fn files(&mut self, name: &str, snap: &Snap) -> io::Result<()> {
        let scan = |kind| move |v: &Volume| v.scan(&snap.root, snap.height, &[kind]);
        let Some(entries) = self.values(name, scan(K_ENTRY))? else { return Ok(()) };
        let Some(ups) = self.values(name, scan(K_UP))? else { return Ok(()) };
        // Damage of the user table has a finding of its own.
        let users = self.volume.users().ok().and_then(Result::ok);
        let volume = self.volume;
        let has_end = |qid: u64, len: u64| {
            let last = data_key(qid, (len - 1) / BLOCK64 * BLOCK64);
            // So has damage that makes the end unreadable.
            volume.lookup(&snap.root, snap.height, &last).map_or(true, |found| found.is_some())
        };
        let about = About {
            label: name,
            next: volume.superblock.next_qid,
            users: users.as_ref(),
            volume: volume.blocks * BLOCK64,
            has_end: &has_end,
        };
        check_files::check(&about, &entries, &ups, &mut |kind, m| self.find(kind, m));
        Ok(())
    }

    /// Follows a whole tree; `snaps` is true of the snapshot tree.
    fn tree(&mut self, who: &str, root: &Pointer, height: u32, snaps: bool) -> io::Result<()> {
        if height == 0 || height > MAX_HEIGHT {
            let at = root.address;
            self.find("height", format!("{who}: the tree at {at:x} has height {height}, not 1 to {MAX_HEIGHT}"));
            return Ok(());
        }
        self.node(who, root, height, Range { from: &[], to: None }, snaps).map(drop)
    }

    /// A leaf or pivot and all below it; returns it when it can be read.
    fn node(
        &mut self,
        who: &str,
        at: &Pointer,
        height: u32,
        within: Range<'_>,
        snaps: bool,
    ) -> io::Result<Option<Arc<Node>>> {
        let Some(first) = self.claim(who, at.address, IS_NODE) else { return Ok(None) };
        let node = match self.volume.try_node(at)? {
            Ok(node) => node,
            Err((kind, why)) => {
                self.find(kind, format!("{who}: {why}"));
                return Ok(None);
            }
        };
        let shown = format!("{who}: {}", block_name(at.address));
        if let Err((kind, why)) = fits(&node, height, within) {
            self.find(kind, format!("{shown}: {why}"));
            return Ok(Some(node));
        }
        if !first {
            return Ok(Some(node));
        }
        if let Err(why) = node.sizes() {
            self.find("node", format!("{shown}: {why}"));
        }
        for i in 0..node.len() {
            let from = node.key(i);
            if !node.is_pivot() {
                self.value(&shown, from, node.value(i), snaps);
                continue;
            }
            let to = if i + 1 < node.len() { Some(node.key(i + 1)) } else { within.to };
            let (pointer, fill) = node.child(i);
            let Some(child) = self.node(who, &pointer, height - 1, Range { from, to }, snaps)? else { continue };
            // gefs does not look at the last one's.
            if child.fill() != fill && i + 1 < node.len() {
                let real = child.fill();
                let below = block_name(pointer.address);
                self.find("fill", format!("{shown}: it says the fill {fill} of {below}, which has {real}"));
            }
        }
        for m in node.messages() {
            if !(INSERT..=REPREV).contains(&m.kind) {
                self.find("message", format!("{shown}: there is a message of unknown kind {}", m.kind));
            } else if within.to.is_some_and(|to| m.key >= to) {
                self.find("order", format!("{shown}: a message is out of the range that the pivot above gives"));
            } else if m.kind == INSERT {
                self.value(&shown, m.key, m.value, snaps);
            }
        }
        Ok(Some(node))
    }

    /// A value, or one that waits in a message.
    fn value(&mut self, shown: &str, key: &[u8], value: &[u8], snaps: bool) {
        let kind = key.first().copied().unwrap_or(u8::MAX);
        let belongs = match snaps {
            true => (K_LABEL..=K_CONF).contains(&kind),
            false => kind <= K_UP || kind == K_CONF,
        };
        let good = match kind {
            K_DATA => {
                let at = parse_data_key(key).map(|(_, at)| at);
                at.is_some_and(|at| at.is_multiple_of(BLOCK64)) && value.len() == Pointer::LEN
            }
            K_ENTRY => parse_entry_key(key).is_some() && value.len() == Dir::LEN,
            K_UP => key.len() == 9 && parse_entry_key(value).is_some(),
            K_LABEL => Label::parse(value).is_some(),
            K_SNAP => key.len() == 9 && value.len() == Snap::LEN,
            K_DEAD => key.len() == 17 && value.len() == 2 * Pointer::LEN,
            _ => true,
        };
        if !good || !belongs {
            let (k, v) = (key.len(), value.len());
            self.find(
                "node",
                format!("{shown}: a key of kind {kind} and {k} with {v} cannot be here", k = count::of(k, "byte")),
            );
            return;
        }
        if let Some(key) = parse_data_key(key) {
            let Pointer { address, hash, .. } = Pointer::parse(value);
            if self.claim(shown, address, IS_DATA).is_some() {
                self.data.push(Claim { address, hash, key });
            }
        }
    }

    /// A list of dead blocks.
    fn dead(&mut self, who: &str, head: u64) -> io::Result<()> {
        let mut at = head;
        while at != u64::MAX {
            match self.claim(who, at, IS_DEAD) {
                None => return Ok(()),
                Some(true) => {}
                Some(false) => {
                    self.find("dead", format!("{who}: {} is in two lists, or twice in one", block_name(at)));
                    return Ok(());
                }
            }
            let records = match self.volume.records(at, DEAD)? {
                Ok(records) => records,
                Err(why) => {
                    self.find("dead", format!("{who}: {why}"));
                    return Ok(());
                }
            };
            for address in records.bytes.chunks_exact(8).map(|b| get64(b, 0)) {
                if !self.space.has(address) || self.space.is_free(address) {
                    let m = format!("{who}: {} names {address:x}, which is not a block in use", block_name(at));
                    self.find("dead", m);
                }
            }
            at = records.next;
        }
        Ok(())
    }

    /// The bytes of files.
    fn contents(&mut self) -> io::Result<()> {
        let mut all = std::mem::take(&mut self.data);
        all.sort_unstable_by_key(|c| (c.address, c.key, c.hash));
        for two in all.windows(2).filter(|w| w[0].address == w[1].address) {
            if (two[0].key, two[0].hash) != (two[1].key, two[1].hash) {
                let ((a, b), (c, d)) = (two[0].key, two[1].key);
                let block = block_name(two[0].address);
                let m = format!("{block} is of the file {a:x} at {b:x}, and of {c:x} at {d:x}, or with two hashes");
                self.find("shared", m);
            }
        }
        all.dedup_by_key(|c| c.address);
        let mut buf = vec![0; MANY * BLOCK];
        let mut rest = &all[..];
        while let Some(first) = rest.first() {
            let next = |(i, c): &(usize, &Claim)| c.address == first.address + *i as u64 * BLOCK64;
            let n = rest.iter().enumerate().take(MANY).take_while(next).count();
            let (some, more) = rest.split_at(n);
            rest = more;
            self.volume.bytes(first.address, &mut buf[..n * BLOCK])?;
            for (claim, block) in some.iter().zip(buf.chunks(BLOCK)) {
                let found = hash(block);
                if found != claim.hash {
                    let pointer = Pointer { address: claim.address, hash: claim.hash, generation: 0 };
                    let (qid, at) = claim.key;
                    let m = format!("The file {qid:x} at {at:x}: {}", wrong_hash(&pointer, found));
                    self.find("hash", m);
                }
            }
        }
        Ok(())
    }
}
