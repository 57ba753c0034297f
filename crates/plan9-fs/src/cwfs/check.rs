//! Verifying a file system: everything is followed from its roots.
//!
//! Memory: a bit for each block that is met, and a worklist of directories.
//! Every block is looked into once for each root, so hostile images end.

use super::format::{
    BLOCK, BUCKET, BUCKETS, Dentry, ENTRIES, Form, Kind, PAYLOAD, ROOT_PATH, SLOTS, SUPER_AT, State, Tag, bucket_entry,
    device_blocks, frees, pointers,
};
use super::limits::MAX_NAME;
use super::marks::Marks;
use super::volume::{Part, Side, Volume, differs};
use crate::Finding;
use crate::shared::pointers::follow;
use crate::shared::shape::Reach as _;
use crate::shared::strangers::Strangers;
use crate::shared::users::Users;
use crate::shared::{count, join, length_flaw, name_flaws, name_text};
use std::collections::{BTreeSet, HashSet};
use std::io;

/// Checks everything; `Err` only when the image cannot be read.
pub(super) fn check(volume: &Volume, users: &Users, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let mut c = Checker {
        volume,
        users,
        strangers: Strangers::default(),
        report,
        side: Side::Live,
        end: volume.end.min(volume.blocks),
        marks: Marks::default(),
        paths: HashSet::from([ROOT_PATH]),
        work: Vec::new(),
    };
    if volume.part == Part::Worm {
        return c.chain();
    }
    c.buckets()?;
    c.superblock();
    c.tree(volume.root)?;
    c.free_list()?;
    if volume.part == Part::Other {
        c.lost();
    }
    if let Some(root) = volume.dump_root {
        c.side = Side::Dumps;
        c.marks = Marks::default();
        c.tree(root)?;
    }
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
    side: Side,
    /// The first address that nothing may have.
    end: u64,
    /// Blocks that something points to.
    marks: Marks,
    paths: HashSet<u64>,
    work: Vec<Pending>,
}

impl Checker<'_> {
    fn find(&mut self, kind: &'static str, message: String) {
        (self.report)(Finding { kind, message });
    }

    /// The super blocks of a worm.
    fn chain(&mut self) -> io::Result<()> {
        let volume = self.volume;
        let blocks = device_blocks(volume.blocks * BLOCK as u64);
        let mut before = None;
        for found in volume.chain() {
            let (at, s) = found?;
            if let Some(why) = s.flaw(blocks) {
                self.find("super", format!("Super block {at}: {why}"));
            }
            if s.next <= at || s.next >= blocks {
                let m = format!(
                    "Super block {at}: the next is to be at {}, which is not after it and before {blocks}",
                    s.next
                );
                self.find("chain", m);
            }
            if before.is_some_and(|b| b != s.last) {
                let m = format!("Super block {at}: the last was at {}, but {} leads here", s.last, before.unwrap_or(0));
                self.find("chain", m);
            }
            before = Some(at);
        }
        Ok(())
    }

    /// The buckets of the cache.
    fn buckets(&mut self) -> io::Result<()> {
        let Some(cache) = &self.volume.cache else { return Ok(()) };
        let (msize, maddr) = (cache.header.msize, cache.header.maddr);
        for n in 0..msize.div_ceil(BUCKETS) {
            let block = self.volume.bucket_block(n)?.unwrap_or_default();
            let (have, want) = (Tag::of(&block), Tag { kind: Kind::BUCKETS, path: maddr + n });
            if have != want {
                self.find("bucket", format!("Block {} of the cache: {}", maddr + n, differs(have, want)));
                continue;
            }
            let last = ((n + 1) * BUCKETS).min(msize);
            for (bucket, bytes) in (n * BUCKETS..last).zip(block.chunks(BUCKET)) {
                self.bucket(bucket, bytes, msize);
            }
        }
        Ok(())
    }

    fn bucket(&mut self, bucket: u64, bytes: &[u8], msize: u64) {
        let mut seen = BTreeSet::new();
        for i in 0..ENTRIES {
            let (state, address) = bucket_entry(bytes, i);
            if state == State::NONE {
                continue;
            }
            let place = format!("Bucket {bucket} of the cache, entry {i}");
            if !state.is_known() {
                self.find("bucket", format!("{place}: there is no state {}", state.0));
            } else if address % msize != bucket {
                self.find("bucket", format!("{place}: block {address} belongs to bucket {}", address % msize));
            } else if address < SUPER_AT || address >= self.end {
                let end = self.end;
                self.find("bucket", format!("{place}: block {address} is not in {SUPER_AT} to {}", end - 1));
            } else if !seen.insert(address) {
                self.find("bucket", format!("{place}: block {address} appears twice"));
            }
        }
    }

    /// Compares the super block with the cache's header.
    fn superblock(&mut self) {
        let v = self.volume;
        let (s, at) = (&v.superblock, v.super_at);
        self.marks.insert(at);
        if v.part == Part::Other {
            return;
        }
        for (what, have, want) in
            [("root", s.cwraddr, v.root), ("root of the dumps", s.roraddr, v.dump_root.unwrap_or(0))]
        {
            if have != want {
                let m = format!("Super block {at}: its {what} is at {have}, but the cache says {want}");
                self.find("super", m);
            }
        }
        for (what, address) in [("root of the dumps", v.dump_root.unwrap_or(0)), ("next super block", s.next)] {
            if address < SUPER_AT || address >= self.end {
                let end = self.end;
                let m = format!("Super block {at}: its {what} is at {address}, not in {SUPER_AT} to {}", end - 1);
                self.find("super", m);
            } else if !self.marks.insert(address) {
                self.find("shared", format!("Block {address}, the {what}, belongs to something else, too"));
            }
        }
    }

    /// Everything below a root.
    fn tree(&mut self, at: u64) -> io::Result<()> {
        let (what, path) = match self.side {
            Side::Live => ("the root", String::new()),
            Side::Dumps => ("the root of the dumps", "dump:".into()),
        };
        if at >= self.end {
            self.find("root", format!("Block {at}, {what}, is after the last one, {}", self.end - 1));
            return Ok(());
        }
        if !self.marks.insert(at) {
            self.find("shared", format!("Block {at}, {what}, belongs to something else, too"));
        }
        let block = self.volume.bytes(self.side, at)?;
        let want = Tag { kind: Kind::DIR, path: ROOT_PATH };
        if Tag::of(&block) != want {
            self.find("root", format!("Block {at}, {what}: {}", differs(Tag::of(&block), want)));
            return Ok(());
        }
        let dentry = Dentry::at(&block, 0);
        if !dentry.is_allocated() || !dentry.is_dir() || dentry.path() != ROOT_PATH {
            self.find("root", format!("Slot 0 of block {at}, {what}, should be a directory in use with qid path 1"));
            return Ok(());
        }
        self.owners(if path.is_empty() { "/" } else { &path }, &dentry);
        self.follow(&Pending { path, dentry })?;
        while let Some(next) = self.work.pop() {
            self.follow(&next)?;
        }
        Ok(())
    }

    /// Takes note of a pointer; true when the block has to be looked into.
    fn point(&mut self, path: &str, address: u64) -> bool {
        if address < SUPER_AT || address >= self.end {
            let end = self.end;
            let m = format!("{path}: it points to block {address}, but addresses go from {SUPER_AT} to {}", end - 1);
            self.find("address", m);
            return false;
        }
        let new = self.marks.insert(address);
        if !new && self.side == Side::Live {
            self.find("shared", format!("{path}: block {address} belongs to something else, too"));
        }
        new
    }

    /// Follows all pointers of a file or directory.
    fn follow(&mut self, p: &Pending) -> io::Result<()> {
        let d = &p.dentry;
        let path = if p.path.is_empty() { "/" } else { &p.path };
        if let Some(why) = self.length(d) {
            self.find("size", format!("{path}: {why}"));
        }
        let (mut names, mut blocks) = (BTreeSet::new(), HashSet::new());
        // A directory ends at its first hole.
        let mut end = if d.is_dir() { 0 } else { d.blocks() };
        let mut behind = 0u64;
        follow::<Form, io::Error>(d.pointers.tops(), &mut |pointer| {
            if d.is_dir() && pointer.height == 0 && pointer.number == end {
                end += 1;
            } else if !d.is_dir() || pointer.height == 0 {
                behind += u64::from(pointer.number >= end);
            }
            // Dumps share blocks, but no directory has one twice.
            let twice = d.is_dir() && self.side == Side::Dumps && !blocks.insert(pointer.address);
            if twice {
                self.find("shared", format!("{path}: block {} appears twice in this directory", pointer.address));
            }
            if !self.point(path, pointer.address) {
                return Ok(None);
            }
            let kind = match pointer.height {
                0 if d.is_dir() => Kind::DIR,
                0 => Kind::FILE,
                n => Kind::pointers(n - 1),
            };
            let want = Tag { kind, path: d.path() };
            if kind == Kind::FILE {
                let have = self.volume.tag(self.side, pointer.address)?;
                if have != want {
                    self.find("tag", format!("{path}, block {}: {}", pointer.address, differs(have, want)));
                }
                return Ok(None);
            }
            let block = self.volume.bytes(self.side, pointer.address)?;
            if Tag::of(&block) != want {
                self.find("tag", format!("{path}, block {}: {}", pointer.address, differs(Tag::of(&block), want)));
                return Ok(None);
            }
            if kind == Kind::DIR {
                self.directory(&p.path, pointer.address, &block, &mut names);
                return Ok(None);
            }
            Ok(Some(pointers(&block)))
        })?;
        if behind > 0 {
            let blocks = count(end, "block", "blocks");
            self.find("size", format!("{path}: it ends after {blocks}, but has {behind} more after them"));
        }
        Ok(())
    }

    /// Reason why the size of a file is impossible.
    fn length(&self, d: &Dentry) -> Option<String> {
        if d.is_dir() {
            return None;
        }
        // Damage that makes the end unreadable has a finding of its own.
        let has_end = || self.volume.addresses(self.side, d, d.blocks() - 1, 1).map_or(true, |a| a[0] != 0);
        let (most, volume) = (Form::MAX_DATA * PAYLOAD as u64, self.volume.blocks * BLOCK as u64);
        length_flaw(d.size, most, volume, d.size > volume && d.size <= most && has_end())
    }

    /// Takes note of owners that no user has.
    fn owners(&mut self, path: &str, d: &Dentry) {
        // To the server, the number 0 is no user.
        let unknown = [d.uid, d.gid, d.muid].into_iter().filter(|id| *id != 0 && !self.users.has(*id));
        let unknown = unknown.map(|id| id.to_string());
        let unknown: Vec<String> = unknown.collect();
        self.strangers.meet(path, unknown.iter().map(String::as_str));
    }

    /// Looks at the entries in a directory's block.
    fn directory(&mut self, dir: &str, address: u64, block: &[u8], names: &mut BTreeSet<Vec<u8>>) {
        for slot in 0..SLOTS {
            let d = Dentry::at(block, slot);
            // Nobody looks at temporary files of dumps, nor counts their blocks.
            if !d.is_allocated() || self.side == Side::Dumps && d.is_temporary() {
                continue;
            }
            let path = join(dir, &d.name);
            name_flaws(&path, &d.name, MAX_NAME, (address, slot), names, &mut |m| self.find("name", m));
            name_text(&path, &d.name).into_iter().for_each(&mut *self.report);
            self.owners(&path, &d);
            let last = self.volume.superblock.qidgen;
            if d.path() > last {
                self.find("qid", format!("{path}: qid path {} is above the last one given out, {last}", d.path()));
            } else if self.side == Side::Live && !self.paths.insert(d.path()) {
                self.find("qid", format!("{path}: another file has its qid path {}, too", d.path()));
            }
            self.work.push(Pending { path, dentry: d });
        }
    }

    /// The list of free blocks, from the super block on.
    fn free_list(&mut self) -> io::Result<()> {
        let (mut at, mut free) = (self.volume.super_at, 0u64);
        loop {
            let block = self.volume.bytes(Side::Live, at)?;
            let kind = Tag::of(&block).kind;
            if at != self.volume.super_at && kind != Kind::FREE {
                self.find("free", format!("Block {at} should be a part of the free list, but is {}", kind.name()));
                return Ok(());
            }
            let list = match frees(&block) {
                Ok(list) => list,
                Err(n) => {
                    self.find("free", format!("Block {at} says that it lists {n} free blocks, more than fit"));
                    return Ok(());
                }
            };
            let mut next = None;
            free += list.iter().filter(|a| **a != 0).count() as u64;
            for (i, address) in list.into_iter().enumerate().filter(|(_, a)| *a != 0) {
                if address < SUPER_AT || address >= self.end {
                    let end = self.end;
                    let m = format!("Block {at} lists {address} as free, which is not in {SUPER_AT} to {}", end - 1);
                    self.find("free", m);
                } else if !self.marks.insert(address) {
                    let m = format!("Block {at} lists {address} as free, which is in use or listed twice");
                    self.find("free", m);
                } else if i == 0 {
                    next = Some(address);
                }
            }
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        self.free_count(free);
        Ok(())
    }

    /// Compares the super block's number of free blocks with the list.
    fn free_count(&mut self, listed: u64) {
        let said = self.volume.superblock.tfree;
        if said != listed {
            let (at, blocks) = (self.volume.super_at, count(listed, "block is", "blocks are"));
            self.find("free-count", format!("Super block {at}: it counts {said} free, but {blocks} in the free list"));
        }
    }

    /// Blocks of a plain device that are neither in use nor free.
    fn lost(&mut self) {
        for (from, to) in self.marks.gaps(SUPER_AT, self.end) {
            let blocks =
                if to - from == 1 { format!("Block {from} is") } else { format!("Blocks {from} to {} are", to - 1) };
            self.find("lost", format!("{blocks} neither in use nor free"));
        }
    }
}
