//! Every invariant of a FAT volume, each violation a [`Finding`] of its own
//! kind (listed in `doc/fat.md`), and those that Plan 9's boot sectors and
//! loaders add.
//!
//! Each cluster is visited once: a mark for every cluster that some chain has
//! reached shows cross links and loops at once, and what is left over in the
//! table is lost.

use super::format::{ATTR_LABEL, SECTOR, short_name};
use super::names::{Long, bad_in_long, bad_in_short, is_safe};
use super::read::{DirLocation, Entry, FatFs, Link, MAX_DEPTH};
use crate::count;
use crate::read_at::ReadAt as _;
use crate::shared::count as counted;
use crate::{FileSystem as _, Finding};
use std::collections::BTreeSet;
use std::io;

/// The loader's name as directory and boot sector have it.
const LOADER: &[u8; 11] = b"9LOAD      ";
/// Bytes of conventional memory that a boot sector can load into, from 0x10000
/// to 0xA0000 (`/sys/src/boot/pc/pbs.s`).
const LOADER_MAX: u32 = 0x9_0000;
/// Bytes of plan9.ini that the loader reads (`/sys/src/9/pcboot/conf.c`).
const PLAN9_INI_MAX: u32 = 4096;
/// Variables that kernels keep (`/sys/src/9/pc/main.c`), less those that the
/// loader adds.
const PLAN9_INI_VARIABLES: usize = 60;
/// Entries in the one sector of the root directory that a boot sector searches.
const LOADER_ENTRIES: usize = SECTOR / super::format::DIRENT;

pub(super) fn check(fs: &FatFs, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let mut c = Checker { fs, report, used: vec![0; fs.geometry.clusters as usize / 8 + 1] };
    c.boot_sector()?;
    c.tables()?;
    c.tree()?;
    c.lost()
}

struct Checker<'a> {
    fs: &'a FatFs,
    report: &'a mut dyn FnMut(Finding),
    /// A bit for each cluster that a chain has reached.
    used: Vec<u8>,
}

impl Checker<'_> {
    fn say(&mut self, kind: &'static str, message: String) {
        (self.report)(Finding { kind, message });
    }

    fn boot_sector(&mut self) -> io::Result<()> {
        let mut code = [0; SECTOR];
        self.fs.source.read_at(0, &mut code)?;
        let (b, g) = (&self.fs.boot, &self.fs.geometry);
        let mut found: Vec<(&'static str, String)> = Vec::new();
        if !b.signed {
            found.push(("boot-signature", "The boot sector does not end with 55 aa".into()));
        }
        if b.volsize != 0 && b.bigvolsize != 0 && u32::from(b.volsize) != b.bigvolsize {
            let message = format!(
                "The volume has {} by one field and {} by the other",
                count::of(b.volsize, "sector"),
                b.bigvolsize
            );
            found.push(("volume-size", message));
        }
        if matches!(b.bootsig, 0x28 | 0x29) && b.fstype.starts_with(b"FAT1") && b.fstype != *g.fat_type.name() {
            let says = String::from_utf8_lossy(&b.fstype).trim_end().to_owned();
            let is = String::from_utf8_lossy(g.fat_type.name()).trim_end().to_owned();
            let message = format!(
                "The boot sector says {says}, but {} it {is}",
                count::either(g.clusters, "cluster makes", "clusters make")
            );
            found.push(("type", message));
        }
        if let Some(lba) = self.fs.partition_lba.filter(|lba| *lba != u64::from(b.nhidden)) {
            let message = format!(
                "The boot sector counts {}, but the partition starts at {lba}",
                count::of(b.nhidden, "hidden sector")
            );
            found.push(("hidden", message));
        }
        // 9legacy's boot sectors, which look for 9LOAD, find the root directory
        // by the volume id; others compute its place.
        let root = u64::from(b.nhidden) + g.root_start;
        if code.windows(LOADER.len()).any(|w| w == LOADER) && u64::from(b.volid) != root {
            let message =
                format!("The volume id is {}, but the root directory is at sector {root} of the disk", b.volid);
            found.push(("volume-id", message));
        }
        for (kind, message) in found {
            self.say(kind, message);
        }
        Ok(())
    }

    /// The copies of the table, and its first two entries.
    fn tables(&mut self) -> io::Result<()> {
        let g = self.fs.geometry;
        let len = g.fat_type.table_bytes(u64::from(g.clusters) + 2);
        for which in 1..g.fats {
            let mut at = 0;
            while at < len {
                let n = (len - at).min(65_536) as usize;
                let (mut first, mut copy) = (vec![0; n], vec![0; n]);
                self.fs.source.read_at(g.fat_offset(0) + at, &mut first)?;
                self.fs.source.read_at(g.fat_offset(which) + at, &mut copy)?;
                if let Some(i) = first.iter().zip(&copy).position(|(a, b)| a != b) {
                    let cluster = (at + i as u64) * 8 / u64::from(g.fat_type.bits());
                    self.say(
                        "table-copies",
                        format!("Table {} differs from table 1 from cluster {cluster} on", which + 1),
                    );
                    break;
                }
                at += n as u64;
            }
        }
        let (media, want) = (self.fs.table_entry(0)? as u8, self.fs.boot.mediadesc);
        if media != want {
            self.say(
                "media",
                format!("The table begins with media descriptor {media:#04x}, the boot sector has {want:#04x}"),
            );
        }
        Ok(())
    }

    /// Walks all directories.
    fn tree(&mut self) -> io::Result<()> {
        let mut todo = vec![(self.fs.root_location(), String::new(), 0, 0)];
        if let DirLocation::Chain(start) = self.fs.root_location() {
            self.chain("The root directory", start, None)?;
        }
        while let Some((location, path, parent, depth)) = todo.pop() {
            if depth > MAX_DEPTH {
                self.say("depth", format!("Directories are nested more than {MAX_DEPTH} deep"));
                continue;
            }
            let (entries, lost) = match self.fs.listed(location) {
                Ok(listed) => listed,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    self.say("directory", format!("Directory /{path}: {e}"));
                    continue;
                }
                Err(e) => return Err(e),
            };
            let start = if let DirLocation::Chain(start) = location { start } else { 0 };
            if path.is_empty() {
                self.boot_files(&entries)?;
            } else {
                self.dots(&entries, &path, start, parent);
            }
            if lost {
                self.say("long-name", format!("Directory /{path} has parts of a long name that belong to no entry"));
            }
            let (mut names, mut short_names) = (BTreeSet::new(), BTreeSet::new());
            for e in entries.iter().filter(|e| e.raw.attr & ATTR_LABEL == 0 && !e.is_dot()) {
                let name = if path.is_empty() { String::new() } else { format!("/{path}") };
                let name = format!("{name}/{}", e.name.escape_ascii());
                self.name(e, &name);
                if !names.insert(e.name.to_ascii_uppercase()) {
                    self.say("name-twice", format!("{name} appears twice"));
                } else if !short_names.insert(e.raw.name) {
                    let short = e.raw.name.escape_ascii();
                    self.say("name-twice", format!("{name}: another entry has its short name, {short}, too"));
                }
                let whole = self.entry(e, &name)?;
                if e.is_dir() && whole {
                    let up = if path.is_empty() { 0 } else { start };
                    todo.push((
                        DirLocation::Chain(e.raw.start),
                        name.trim_start_matches('/').to_owned(),
                        up,
                        depth + 1,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks the characters of a name.
    fn name(&mut self, e: &Entry, name: &str) {
        if !is_safe(&e.name) {
            return self.say("name", format!("{name} is not a name for a file"));
        }
        if e.long == Long::NoText {
            self.say("name-text", format!("{name}: its long name is not UTF-16"));
        }
        if let Some(c) = bad_in_long(&e.name).filter(|_| e.long != Long::None) {
            self.say("name", format!("{name} contains {c:?}, which a long name cannot"));
        }
        if let Some(b) = bad_in_short(&e.raw.name) {
            let short = e.raw.name.escape_ascii();
            self.say(
                "name",
                format!("{name}: its short name, {short}, contains {:?}, which a short name cannot", char::from(b)),
            );
        }
    }

    /// Checks one entry's chain; true when no cluster of it was met before.
    fn entry(&mut self, e: &Entry, name: &str) -> io::Result<bool> {
        let cluster = u64::from(self.fs.geometry.cluster_size);
        if e.is_dir() {
            if e.raw.len != 0 {
                self.say(
                    "directory-length",
                    format!("Directory {name} has a length of {}, expected 0", count::of(e.raw.len, "byte")),
                );
            }
            return self.chain(name, e.raw.start, None);
        }
        let want = u64::from(e.raw.len).div_ceil(cluster);
        match (want, e.raw.start) {
            (0, 0) => Ok(true),
            (0, start) => {
                self.say("empty-file", format!("{name} is empty, but begins with cluster {start}"));
                self.chain(name, start, None)
            }
            (_, start) => self.chain(name, start, Some(want)),
        }
    }

    /// Marks a chain and compares its length with what is wanted.
    fn chain(&mut self, name: &str, start: u32, want: Option<u64>) -> io::Result<bool> {
        if self.fs.geometry.cluster_offset(start).is_none() {
            let last = self.fs.last();
            self.say("chain-start", format!("{name} begins with cluster {start}, but clusters go from 2 to {last}"));
            return Ok(false);
        }
        let (mut at, mut count) = (start, 0);
        loop {
            let (byte, bit) = (at as usize / 8, 1 << (at % 8));
            // Cluster numbers begin with 2; the array has a byte to spare.
            let Some(mark) = self.used.get_mut(byte).filter(|m| **m & bit == 0) else {
                self.say(
                    "cross-link",
                    format!("Cluster {at} of {name} belongs to another chain or to an earlier part of this one"),
                );
                return Ok(false);
            };
            *mark |= bit;
            count += 1;
            match self.fs.link(at)? {
                Link::Next(next) => at = next,
                Link::End => break,
                Link::Broken(v) => {
                    self.say(
                        "chain-broken",
                        format!("Cluster {at} of {name} leads to {v:#x}, which is not a cluster in use"),
                    );
                    return Ok(false);
                }
            }
        }
        match want {
            Some(want) if count < want => {
                let want = counted(want, "cluster", "clusters");
                self.say("chain-short", format!("{name} needs {want}, but its chain has {count}"));
            }
            Some(want) if count > want => {
                let want = counted(want, "cluster", "clusters");
                self.say("chain-long", format!("{name} needs {want}, but its chain has {count}"));
            }
            _ => {}
        }
        Ok(true)
    }

    fn dots(&mut self, entries: &[Entry], path: &str, start: u32, parent: u32) {
        for (slot, name, want) in [(0, b".          ", start), (1, b"..         ", parent)] {
            let shown = if slot == 0 { "." } else { ".." };
            match entries.get(slot).filter(|e| e.raw.name == *name && e.is_dir()) {
                Some(e) if e.raw.start == want => {}
                Some(e) => {
                    let found = e.raw.start;
                    self.say("dots", format!("{shown} in /{path} leads to cluster {found}, expected {want}"));
                }
                None => self.say("dots", format!("/{path} has no entry {shown} in slot {slot}")),
            }
        }
    }

    /// Checks the conditions of boot sector and loader.
    fn boot_files(&mut self, entries: &[Entry]) -> io::Result<()> {
        for name in [LOADER, b"9BOOTFAT   "] {
            // The boot sector takes the first of this name.
            let Some(e) = entries.iter().find(|e| e.raw.name == *name) else { continue };
            let name = e.name.escape_ascii().to_string();
            if e.slot >= LOADER_ENTRIES {
                let message =
                    format!("{name} is entry {} of the root directory; the boot sector searches the first 16", e.slot);
                self.say("loader-place", message);
            }
            let clusters = u64::from(e.raw.len).div_ceil(self.fs.geometry.cluster_size.into());
            if let Ok(runs) = self.fs.runs(e.raw.start, clusters)
                && runs.len() > 1
            {
                self.say(
                    "loader-pieces",
                    format!("{name} is in {}; the boot sector reads only one", count::of(runs.len(), "piece")),
                );
            }
            if e.raw.len > LOADER_MAX {
                let message =
                    format!("{name} has {}; the boot sector has memory for {LOADER_MAX}", count::of(e.raw.len, "byte"));
                self.say("loader-length", message);
            }
        }
        match entries.iter().find(|e| e.raw.name == *b"PLAN9   INI" && !e.is_dir()) {
            Some(e) if e.raw.len > PLAN9_INI_MAX => {
                self.say(
                    "plan9-ini",
                    format!("plan9.ini has {}; the loader reads {PLAN9_INI_MAX}", count::of(e.raw.len, "byte")),
                );
            }
            Some(e) => self.plan9_ini(e, entries),
            None => {}
        }
        Ok(())
    }

    /// Checks the values of plan9.ini.
    fn plan9_ini(&mut self, ini: &Entry, entries: &[Entry]) {
        let mut text = vec![0; ini.raw.len as usize];
        // Damage that makes it unreadable has been found with its chain.
        let Ok(read) = self.fs.find(b"plan9.ini").and_then(|node| self.fs.read(&node, 0, &mut text)) else { return };
        let text = String::from_utf8_lossy(&text[..read]);
        let lines = || text.lines().map(str::trim_end).filter(|l| !l.starts_with('#'));
        let variables = lines().filter(|l| l.contains('=')).count();
        // Of a menu only one block counts.
        if variables > PLAN9_INI_VARIABLES && !lines().any(|l| l.starts_with('[')) {
            let message = format!(
                "plan9.ini has {variables}; kernels take {PLAN9_INI_VARIABLES}",
                variables = count::of(variables, "variable")
            );
            self.say("plan9-ini", message);
        }
        for value in lines().filter_map(|l| l.strip_prefix("bootfile=")) {
            let file = match value.split('!').collect::<Vec<_>>()[..] {
                [file] if !matches!(file, "manual" | "ask") => file,
                [_, "9fat", file] => file,
                _ => continue,
            };
            let there = |name| entries.iter().any(|e| e.raw.name == name && !e.is_dir());
            if !file.contains('/') && !short_name(file.as_bytes()).is_ok_and(there) {
                self.say("bootfile", format!("plan9.ini starts {value}, but there is no {file} in this volume"));
            }
        }
    }

    /// Clusters that are in use but that no chain has reached.
    fn lost(&mut self) -> io::Result<()> {
        let (mut count, mut first) = (0u32, 0);
        let bad_cluster = self.fs.geometry.fat_type.bad_cluster();
        for cluster in 2..=self.fs.last() {
            let reached = self.used.get(cluster as usize / 8).is_some_and(|m| m & 1 << (cluster % 8) != 0);
            if !reached && ![0, bad_cluster].contains(&self.fs.table_entry(cluster)?) {
                first = if count == 0 { cluster } else { first };
                count += 1;
            }
        }
        if count > 0 {
            let clusters = counted(count, "cluster is", "clusters are");
            let message = format!("{clusters} marked as used, but no file has them; the first is {first}");
            self.say("lost-clusters", message);
        }
        Ok(())
    }
}
