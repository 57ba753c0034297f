//! Verifying names: meta blocks, directory entries, and that they and the
//! entries of sources belong together one to one.
//!
//! Snapshots are not entered. A directory is visited once, a meta block too
//! (that two share one is a finding of `check`), so hostile images end.

use super::check::{Bits, Report};
use super::entry::Entry;
use super::format::{ENTRY_LEN, Label, SCORE_LEN};
use super::limits::{bad_name, is_control};
use super::meta::{DirEntry, MODE_SNAPSHOT, MetaBlock};
use super::volume::{EntryAt, Volume};
use crate::Finding;
use crate::count;
use crate::shared::strangers::Strangers;
use crate::shared::{join, length_flaw, name_text};
use std::collections::{BTreeSet, HashSet};
use std::io;

/// A directory that waits.
struct Pending {
    path: String,
    source: EntryAt,
    meta: EntryAt,
}

/// Checks all directories of the active tree.
pub(super) fn check_dirs(volume: &Volume, users: &BTreeSet<Vec<u8>>, report: Report<'_>) -> io::Result<()> {
    let n = volume.header.data_blocks();
    let (seen, read) = (Bits::new(n), Bits::new(n));
    let mut c = Checker {
        volume,
        users,
        strangers: Strangers::default(),
        report,
        seen,
        read,
        work: Vec::new(),
        qids: HashSet::new(),
        active: false,
    };
    c.start()?;
    while let Some(dir) = c.work.pop() {
        c.directory(&dir)?;
    }
    std::mem::take(&mut c.strangers).report("/adm/users", c.report);
    Ok(())
}

struct Checker<'a> {
    volume: &'a Volume,
    users: &'a BTreeSet<Vec<u8>>,
    strangers: Strangers,
    report: Report<'a>,
    /// Tops of sources that are or were in `work`.
    seen: Bits,
    /// Data blocks of directories and meta sources that were read.
    read: Bits,
    work: Vec<Pending>,
    /// qid paths of all names.
    qids: HashSet<u64>,
    /// Whether /active was met.
    active: bool,
}

/// Result of a lookup; `None` when it met damage, which has been reported.
type Lookup<T> = io::Result<Option<T>>;

impl Checker<'_> {
    fn find(&mut self, kind: &'static str, message: String) {
        (self.report)(Finding { kind, message });
    }

    /// Turns damage into a finding; other errors stay errors.
    fn absorb<T>(&mut self, kind: &'static str, what: &str, r: io::Result<T>) -> Lookup<T> {
        match r {
            Ok(v) => Ok(Some(v)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                self.find(kind, format!("{what}: {e}"));
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The directory above `active`, and its own name.
    fn start(&mut self) -> io::Result<()> {
        let top = self.volume.top();
        let Some(top) = self.absorb("root", "The root block", top)? else { return Ok(()) };
        let first = self.volume.leaves(&top, 0, 1).and_then(|l| match l[0] {
            Some(a) => self.volume.block(a, Label::DIR, top.tag).map(|_| Some(a)),
            None => Ok(None),
        });
        let Some(Some(block)) = self.absorb("root", "The block that the root block points to", first)? else {
            return Ok(());
        };
        let at = |index| EntryAt { block, index };
        self.push(String::new(), at(0), at(1))?;
        let own = self.volume.source(at(2), false).and_then(|e| self.volume.leaves(&e, 0, 1).map(|l| (e, l[0])));
        let Some((e, Some(address))) = self.absorb("root", "The source that names the root", own)? else {
            return Ok(());
        };
        let bytes = self.volume.block(address, 0, e.tag);
        let Some(bytes) = self.absorb("root", "The source that names the root", bytes)? else { return Ok(()) };
        let Some(m) = self.meta_block("/", 0, &bytes[..usize::from(e.dsize)]) else { return Ok(()) };
        match (m.count > 0).then(|| m.entry(0)) {
            Some(Ok(de)) if de.is_dir() => {}
            Some(Ok(_)) => self.find("root", "The root's own directory entry is not that of a directory".into()),
            Some(Err(why)) => self.find("dir-entry", format!("The root's own directory entry: {why}")),
            None => self.find("root", "No source names the root".into()),
        }
        Ok(())
    }

    /// Puts a directory on the list unless it is empty or has been there.
    fn push(&mut self, path: String, source: EntryAt, meta: EntryAt) -> io::Result<()> {
        let mut new = false;
        for at in [source, meta] {
            let top = self.volume.entry(at)?.score.address();
            if let Some(a) = top.filter(|a| *a < self.volume.header.data_blocks()) {
                new |= self.seen.add(a);
            }
        }
        if new {
            self.work.push(Pending { path, source, meta });
        }
        Ok(())
    }

    fn meta_block<'b>(&mut self, path: &str, bn: u64, bytes: &'b [u8]) -> Option<MetaBlock<'b>> {
        match MetaBlock::parse(bytes) {
            Ok(m) => {
                if let Some(why) = m.packing_flaw() {
                    self.find("meta-packing", format!("{path}: meta block {bn}: {why}"));
                }
                Some(m)
            }
            Err(why) => {
                self.find("meta-block", format!("{path}: meta block {bn}: {why}"));
                None
            }
        }
    }

    /// A data block that has not been read yet; `None` when it was, and when
    /// a finding says what is wrong.
    fn data(&mut self, path: &str, e: &Entry, bn: u64) -> Lookup<Vec<u8>> {
        let leaf = self.volume.leaves(e, bn, 1);
        let Some(leaf) = self.absorb("source-block", path, leaf)? else { return Ok(None) };
        let Some(a) = leaf[0] else {
            // A hole reads as zeros: entries that are not active, but no meta block.
            if !e.is_dir() {
                self.find("meta-block", format!("{path}: meta block {bn} is a hole"));
            }
            return Ok(None);
        };
        if a >= self.volume.header.data_blocks() || !self.read.add(a) {
            return Ok(None);
        }
        let kind = if e.is_dir() { Label::DIR } else { 0 };
        let block = self.volume.block(a, kind, e.tag);
        Ok(self.absorb("source-block", path, block)?.map(|mut b| {
            b.truncate(usize::from(e.dsize));
            b
        }))
    }

    fn directory(&mut self, dir: &Pending) -> io::Result<()> {
        let shown = if dir.path.is_empty() { "/" } else { &dir.path };
        let source = self.volume.source(dir.source, true);
        let Some(source) = self.absorb("entry-open", shown, source)? else { return Ok(()) };
        let meta = self.volume.source(dir.meta, false);
        let Some(meta) = self.absorb("entry-open", shown, meta)? else { return Ok(()) };
        for e in [&source, &meta] {
            self.size(shown, e)?;
        }
        let (mut used, mut names) = (HashSet::new(), BTreeSet::new());
        for bn in 0..meta.blocks() {
            let Some(bytes) = self.data(shown, &meta, bn)? else { break };
            let Some(m) = self.meta_block(shown, bn, &bytes) else { continue };
            let mut last: Option<Vec<u8>> = None;
            for i in 0..m.count {
                let de = match m.entry(i) {
                    Ok(de) => de,
                    Err(why) => {
                        self.find("dir-entry", format!("{shown}: meta block {bn}, directory entry {i}: {why}"));
                        continue;
                    }
                };
                if !m.old_order && last.is_some_and(|l| l >= de.name) {
                    let name = String::from_utf8_lossy(&de.name).into_owned();
                    self.find(
                        "name-order",
                        format!("{shown}: meta block {bn}: {name:?} does not come after the name before"),
                    );
                }
                if !names.insert(de.name.clone()) {
                    self.find("name", format!("{}: there are two files of this name", join(&dir.path, &de.name)));
                }
                self.name(dir, &source, &de, &mut used)?;
                last = Some(de.name);
            }
        }
        if dir.path.is_empty() && !self.active {
            self.find("root", "The directory above has no directory /active".into());
        }
        for bn in 0..source.blocks() {
            let Some(bytes) = self.data(shown, &source, bn)? else { break };
            let from = bn * source.entries();
            let live = source.entry_count().saturating_sub(from).min(source.entries()) as usize;
            for i in 0..live {
                let index = from + i as u64;
                let e = Entry::parse(&bytes[i * ENTRY_LEN..]);
                let named = u32::try_from(index).is_ok_and(|i| used.contains(&i));
                if !named && e.flaw(self.volume.header.block).is_none() {
                    self.find("entry-unnamed", format!("{shown}: entry {index} of the source has no name"));
                }
            }
        }
        Ok(())
    }

    /// Checks a directory entry and the entries it names.
    fn name(&mut self, dir: &Pending, source: &Entry, de: &DirEntry, used: &mut HashSet<u32>) -> io::Result<()> {
        let path = join(&dir.path, &de.name);
        if de.qid >= self.volume.superblock.qid {
            let next = self.volume.superblock.qid;
            self.find("qid", format!("{path}: qid {} is not below the next one to give out, {next}", de.qid));
        } else if !self.qids.insert(de.qid) {
            self.find("qid", format!("{path}: another file has its qid path {}, too", de.qid));
        }
        if let Some(why) = bad_name(&de.name) {
            self.find("name", format!("{path:?}: the name is not possible: {why}"));
        }
        name_text(&path, &de.name).into_iter().for_each(&mut *self.report);
        self.owners(&path, de);
        self.active |= dir.path.is_empty() && de.name == b"active" && de.is_dir();
        let Some(at) = self.open(&path, source, used, (de.entry, de.generation, de.is_dir()))? else { return Ok(()) };
        if de.is_dir() {
            let Some(meta) = self.open(&path, source, used, (de.mentry, de.mgeneration, false))? else { return Ok(()) };
            if de.mode & MODE_SNAPSHOT == 0 {
                self.push(path, at, meta)?;
            }
        }
        Ok(())
    }

    /// Checks that an entry can be opened as what its name says it is.
    fn open(
        &mut self,
        path: &str,
        source: &Entry,
        used: &mut HashSet<u32>,
        (index, generation, is_dir): (u32, u32, bool),
    ) -> Lookup<EntryAt> {
        if u64::from(index) >= source.entry_count() {
            let m = format!("{path}: its entry {index} is after the last of {}", source.entry_count());
            self.find("entry-range", m);
            return Ok(None);
        }
        if !used.insert(index) {
            self.find("entry-reuse", format!("{path}: entry {index} has another name already"));
            return Ok(None);
        }
        let per = source.entries();
        let leaf = self.volume.leaves(source, u64::from(index) / per, 1);
        let Some(block) = self.absorb("source-block", path, leaf)?.map(|l| l[0]) else { return Ok(None) };
        let Some(block) = block else {
            self.find("source-block", format!("{path}: its entry {index} would be in a hole"));
            return Ok(None);
        };
        let at = EntryAt { block, index: (u64::from(index) % per) as u16 };
        let e = self.volume.entry(at);
        let Some(e) = self.absorb("entry-open", path, e)? else { return Ok(None) };
        if e.is_active() && e.generation != generation {
            let m = format!("{path}: generation {generation}, but entry {index} has {}", e.generation);
            self.find("entry-generation", m);
            return Ok(None);
        }
        if e.is_active() && e.is_dir() != is_dir {
            let m = format!("{path}: entry {index} should{} have the directory flag", if is_dir { "" } else { " not" });
            self.find("entry-dir", m);
            return Ok(None);
        }
        let e = self.volume.source(at, is_dir);
        let Some(e) = self.absorb("entry-open", path, e)? else { return Ok(None) };
        // Those of directories are looked at where these are.
        if !is_dir {
            self.size(path, &e)?;
        }
        Ok(Some(at))
    }

    /// Sizes of a source, against the volume and its blocks.
    fn size(&mut self, path: &str, e: &Entry) -> io::Result<()> {
        let block = self.volume.header.block;
        let volume = self.volume.header.byte(self.volume.header.data_blocks());
        let has_end = || match self.volume.leaves(e, e.blocks() - 1, 1) {
            Ok(leaf) => leaf[0].is_some(),
            // Damage that makes the end unreadable has a finding of its own.
            Err(_) => true,
        };
        if let Some(why) = length_flaw(e.size, u64::MAX, volume, e.size > volume && has_end()) {
            self.find("entry-size", format!("{path}: {why}"));
        }
        // `sourceCreate`; `flfmt` makes the first ones for entries.
        let (data, pointers) = (usize::from(e.dsize), usize::from(e.psize));
        let full = [SCORE_LEN, ENTRY_LEN].map(|n| block / n * n);
        if e.is_local() && (data != block || !full.contains(&pointers)) {
            let m = format!(
                "{path}: its blocks hold {data} of data and {pointers} of pointers, but fossil fills {block} and {}",
                full[0],
                data = count::of(data, "byte")
            );
            self.find("entry-shape", m);
        }
        Ok(())
    }

    /// Owners, as far as names can be them, and those that no user has.
    fn owners(&mut self, path: &str, de: &DirEntry) {
        let all = [("owner", &de.uid), ("group", &de.gid), ("last user", &de.mid)];
        for (what, name) in all {
            let why = match std::str::from_utf8(name) {
                Err(_) => "is not UTF-8",
                Ok(name) if name.bytes().any(is_control) => "contains a control character",
                Ok(_) => continue,
            };
            self.find("owner", format!("{path}: its {what} {why}: {}", name.escape_ascii()));
        }
        let unknown = all.into_iter().filter(|(_, name)| !self.users.contains(*name));
        let unknown: Vec<_> = unknown.filter_map(|(_, name)| std::str::from_utf8(name).ok()).collect();
        self.strangers.meet(path, unknown);
    }
}
