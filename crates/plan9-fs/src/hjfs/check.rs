//! Verifying a volume: everything is followed from both roots, and the
//! pointers to each block are counted.
//!
//! Memory: five bytes for each block, and a worklist of directories. Every
//! block is looked into once, so hostile images end.

use super::format::{
    BLOCK, COUNTS, DENTRIES, Dentry, Form, INDIRECT, PAYLOAD, RAW, REFS, ROOT_QID, SENTINEL, SLOTS, count_at, pointers,
    type_name,
};
use super::limits::MAX_NAME;
use super::volume::Volume;
use crate::Finding;
use crate::count;
use crate::shared::pointers::follow;
use crate::shared::shape::Reach as _;
use crate::shared::strangers::Strangers;
use crate::shared::users::Users;
use crate::shared::{count as counted, join, length_flaw, name_flaws, name_text};
use std::collections::{BTreeSet, HashSet};
use std::io;

/// Blocks read at a time.
const MANY: usize = 256;

/// Checks everything; `Err` only when the image cannot be read.
pub(super) fn check(volume: &Volume, users: &Users, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let s = volume.superblock;
    let n = s.blocks as usize;
    let mut c = Checker {
        volume,
        users,
        strangers: Strangers::default(),
        report,
        counts: vec![0; n],
        wants: vec![0; n],
        qids: HashSet::from([ROOT_QID]),
        live: true,
        work: Vec::new(),
    };
    c.counts[..s.fend as usize].fill(1);
    c.roots()?;
    c.contents()?;
    c.compare()?;
    std::mem::take(&mut c.strangers).report("/adm/users", c.report);
    Ok(())
}

/// A file or directory whose blocks wait to be followed.
struct Pending {
    path: String,
    dentry: Dentry,
}

struct Checker<'a> {
    volume: &'a Volume,
    users: &'a Users,
    strangers: Strangers,
    report: &'a mut dyn FnMut(Finding),
    /// Pointers to each block.
    counts: Vec<u32>,
    /// Type that the first pointer to a block says, plus one; 0 for none.
    wants: Vec<u8>,
    qids: HashSet<u64>,
    /// Whether this is the live tree, in which no block has two pointers.
    live: bool,
    work: Vec<Pending>,
}

impl Checker<'_> {
    fn find(&mut self, kind: &'static str, message: String) {
        (self.report)(Finding { kind, message });
    }

    fn roots(&mut self) -> io::Result<()> {
        let at = self.volume.superblock.root;
        self.counts[at as usize] = 1;
        self.wants[at as usize] = DENTRIES + 1;
        let block = self.volume.any_block(at)?;
        if block[0] != DENTRIES {
            self.find("root", format!("Block {at} should have the roots, but has type {}", type_name(block[0])));
            return Ok(());
        }
        for (slot, what) in [(0, "the root"), (1, "the root of the dumps")] {
            let dentry = Dentry::at(&block, slot);
            if !dentry.is_allocated() || !dentry.is_dir() || dentry.qid != ROOT_QID {
                let why = "should be a directory in use with qid path 1";
                self.find("root", format!("Slot {slot} of block {at}, {what}, {why}"));
                continue;
            }
            self.live = slot == 0;
            let path = if self.live { String::new() } else { "dump:".into() };
            self.owners(if self.live { "/" } else { &path }, &dentry);
            self.follow(&Pending { path, dentry })?;
            while let Some(next) = self.work.pop() {
                self.follow(&next)?;
            }
        }
        Ok(())
    }

    /// Counts a pointer; true when the block has to be looked into.
    fn point(&mut self, path: &str, address: u64, kind: u8) -> bool {
        let s = &self.volume.superblock;
        if address < s.fend || address >= s.blocks {
            let (from, to) = (s.fend, s.blocks - 1);
            self.find("address", format!("{path}: it points to block {address}, but addresses go from {from} to {to}"));
            return false;
        }
        let at = address as usize;
        self.counts[at] = self.counts[at].saturating_add(1);
        let (want, before) = (kind + 1, self.wants[at]);
        if before == 0 {
            self.wants[at] = want;
            return true;
        }
        if before != want {
            let other = type_name(before - 1);
            let m = format!("{path}: block {address} should be {}, but other pointers say {other}", type_name(kind));
            self.find("type", m);
        } else if self.live {
            self.find("shared", format!("{path}: block {address} belongs to something else, too"));
        }
        false
    }

    /// A block that must have a type; `None` when a finding says otherwise.
    fn block(&mut self, path: &str, address: u64, kind: u8) -> io::Result<Option<Vec<u8>>> {
        let b = self.volume.any_block(address)?;
        if b[0] == kind {
            return Ok(Some(b));
        }
        let m = format!("{path}: block {address} should be {}, but has type {}", type_name(kind), type_name(b[0]));
        self.find("type", m);
        Ok(None)
    }

    /// Follows all pointers of a file or directory.
    fn follow(&mut self, p: &Pending) -> io::Result<()> {
        let d = &p.dentry;
        let path = if p.path.is_empty() { "/" } else { &p.path };
        let leaf = if d.is_dir() { DENTRIES } else { RAW };
        if let Some(why) = self.length(d) {
            self.find("size", format!("{path}: {why}"));
        }
        let (mut names, mut blocks) = (BTreeSet::new(), HashSet::new());
        let mut behind = 0u64;
        follow::<Form, io::Error>(d.pointers.tops(), &mut |pointer| {
            behind += u64::from(pointer.number >= d.blocks());
            let kind = if pointer.height > 0 { INDIRECT } else { leaf };
            // Dumps share blocks, but no directory has one twice.
            if kind == DENTRIES && !self.live && !blocks.insert(pointer.address) {
                let m = format!("{path}: block {} appears twice in this directory", pointer.address);
                self.find("shared", m);
            }
            if !self.point(path, pointer.address, kind) {
                return Ok(None);
            }
            if kind == DENTRIES {
                self.directory(p, pointer.address, &mut names)?;
            }
            match kind {
                INDIRECT => Ok(self.block(path, pointer.address, kind)?.map(|b| pointers(&b))),
                _ => Ok(None),
            }
        })?;
        if behind > 0 {
            let blocks = counted(d.blocks(), "block", "blocks");
            let m = format!("{path}: it has {blocks} by its size, but {behind} more after them");
            self.find("size", m);
        }
        Ok(())
    }

    /// Reason why the size of a file or directory is impossible.
    fn length(&self, d: &Dentry) -> Option<String> {
        let blocks = self.volume.superblock.blocks;
        if d.is_dir() {
            let why = || format!("it has {} by its size, but the volume has {blocks}", count::of(d.size, "block"));
            return (d.size > blocks).then(why);
        }
        // Damage that makes the end unreadable has a finding of its own.
        let has_end = || self.volume.addresses(d, d.blocks() - 1, 1).map_or(true, |a| a[0] != 0);
        let (most, volume) = (Form::MAX_DATA * PAYLOAD as u64, blocks * BLOCK as u64);
        length_flaw(d.size, most, volume, d.size > volume && d.size <= most && has_end())
    }

    /// Takes note of owners that no user has.
    fn owners(&mut self, path: &str, d: &Dentry) {
        let unknown = [d.uid, d.gid, d.muid].into_iter().filter(|id| !self.users.has(*id)).map(|id| id.to_string());
        let unknown: Vec<String> = unknown.collect();
        self.strangers.meet(path, unknown.iter().map(String::as_str));
    }

    /// Looks at the dentries of a directory's block.
    fn directory(&mut self, dir: &Pending, address: u64, names: &mut BTreeSet<Vec<u8>>) -> io::Result<()> {
        let shown = if dir.path.is_empty() { "/" } else { &dir.path };
        let Some(block) = self.block(shown, address, DENTRIES)? else { return Ok(()) };
        for slot in 0..SLOTS {
            let d = Dentry::at(&block, slot);
            let path = join(&dir.path, &d.name);
            match (d.is_allocated(), self.live) {
                (true, true) => {}
                // Nobody looks at temporary files of dumps, nor counts their blocks.
                (true, false) if d.is_temporary() => continue,
                (true, false) => {}
                (false, true) if d.is_gone() => {
                    let m = format!("{path}: it was removed while it was open, and its space was never freed");
                    self.find("gone", m);
                    self.work.push(Pending { path, dentry: d });
                    continue;
                }
                (false, _) => continue,
            }
            name_flaws(&path, &d.name, MAX_NAME, (address, slot), names, &mut |m| self.find("name", m));
            name_text(&path, &d.name).into_iter().for_each(&mut *self.report);
            self.owners(&path, &d);
            let next = self.volume.superblock.qid;
            if d.qid >= next {
                self.find("qid", format!("{path}: qid path {} is not below the next one to give out, {next}", d.qid));
            } else if self.live && !self.qids.insert(d.qid) {
                self.find("qid", format!("{path}: another file has its qid path {}, too", d.qid));
            }
            self.work.push(Pending { path, dentry: d });
        }
        Ok(())
    }

    /// The types of blocks with bytes of files.
    fn contents(&mut self) -> io::Result<()> {
        let mut buf = vec![0; MANY * BLOCK];
        let mut at = self.volume.superblock.fend as usize;
        while let Some(skip) = self.wants[at..].iter().position(|w| *w == RAW + 1) {
            at += skip;
            let some = &self.wants[at..(at + MANY).min(self.wants.len())];
            let n = some.iter().position(|w| *w != RAW + 1).unwrap_or(some.len());
            self.volume.bytes(at as u64, &mut buf[..n * BLOCK])?;
            for i in 0..n {
                let kind = buf[i * BLOCK];
                if kind != RAW {
                    let block = at + i;
                    self.find("type", format!("Block {block} is a file's, but has type {}", type_name(kind)));
                }
            }
            at += n;
        }
        Ok(())
    }

    /// Compares pointers and counts.
    fn compare(&mut self) -> io::Result<()> {
        let s = self.volume.superblock;
        let mut run: Option<Wrong> = None;
        for n in s.fstart..s.fend {
            let block = self.volume.any_block(n)?;
            if block[0] != REFS {
                self.find("type", format!("Block {n} should be counts, but has type {}", type_name(block[0])));
                continue;
            }
            for i in 0..COUNTS {
                let at = (n - s.fstart) * COUNTS + i;
                let count = count_at(&block, i as usize);
                let pointers = self.counts.get(at as usize).copied();
                if pointers.unwrap_or(SENTINEL) == count {
                    continue;
                }
                match &mut run {
                    Some(r) if r.end == at && (r.count, r.pointers) == (count, pointers) => r.end += 1,
                    _ => {
                        self.wrong(run.take());
                        run = Some(Wrong { start: at, end: at + 1, count, pointers });
                    }
                }
            }
        }
        self.wrong(run);
        Ok(())
    }

    fn wrong(&mut self, wrong: Option<Wrong>) {
        let Some(Wrong { start, end, count, pointers }) = wrong else { return };
        let blocks = if end - start == 1 { format!("Block {start}") } else { format!("Blocks {start} to {}", end - 1) };
        let lead = counted(pointers.unwrap_or(0), "pointer leads", "pointers lead");
        let (kind, m) = match pointers {
            None => ("sentinel", format!("{blocks}: after the last one, counted {count} and not {SENTINEL}")),
            Some(_) if count == 0 => ("free", format!("{blocks}: counted as free, but {lead} there")),
            Some(n) if count < n => ("refs", format!("{blocks}: counted {count}, but {lead} there")),
            Some(_) => ("lost", format!("{blocks}: counted {count}, but {lead} there")),
        };
        self.find(kind, m);
    }
}

/// Neighbouring blocks that are wrong in one way.
struct Wrong {
    start: u64,
    end: u64,
    count: u32,
    /// `None` past the last block.
    pointers: Option<u32>,
}
