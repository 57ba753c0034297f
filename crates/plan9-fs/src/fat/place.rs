//! Handing out clusters and entries, in the order of the files.

use super::format::{ATTR_DIR, DIRENT, DirEntry, FatType, Geometry, SECTOR, dos_time, short_name};
use super::layout::{FatFile, LayoutError, Options};
use crate::pieces::{Pieces, Source};
use std::collections::BTreeMap;

/// The file allocation table while it is filled.
pub(super) struct Table {
    bytes: Vec<u8>,
    fat_type: FatType,
    /// The next free cluster.
    pub next: u32,
}

impl Table {
    pub(super) fn new(g: &Geometry, media: u8) -> Self {
        let mut bytes = vec![0; g.fat_sectors as usize * SECTOR];
        g.fat_type.set(&mut bytes, 0, g.fat_type.end_of_chain() & !0xFF | u32::from(media));
        g.fat_type.set(&mut bytes, 1, g.fat_type.end_of_chain() | 7);
        Self { bytes, fat_type: g.fat_type, next: 2 }
    }

    /// Chains the next `count` clusters; returns the first, or 0 for none.
    fn take(&mut self, count: u32) -> u32 {
        let first = self.next;
        for n in first..first + count {
            let last = n + 1 == first + count;
            self.fat_type.set(&mut self.bytes, n, if last { self.fat_type.end_of_chain() | 7 } else { n + 1 });
        }
        self.next += count;
        if count == 0 { 0 } else { first }
    }

    /// The part of the table that is not zeros.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.fat_type.table_bytes(self.next.into()) as usize);
        self.bytes
    }
}

/// Target of an entry of a directory that is planned.
#[derive(Clone, Copy)]
pub(super) enum Child {
    File,
    /// Index of the directory in [`Directories::dirs`].
    Dir(usize),
}

#[derive(Default)]
pub(super) struct Directory {
    /// In the order of first mention.
    pub entries: Vec<(DirEntry, Child)>,
    parent: usize,
    start: u32,
}

/// The root directory (index 0) and the subdirectories in the order of first
/// mention.
pub(super) struct Directories {
    pub dirs: Vec<Directory>,
    /// For each file: its directory and its place in it.
    places: Vec<(usize, usize)>,
}

impl Directories {
    pub(super) fn plan(files: &[FatFile], o: &Options) -> Result<Self, LayoutError> {
        let mut this = Self { dirs: vec![Directory::default()], places: Vec::with_capacity(files.len()) };
        let mut known: BTreeMap<(usize, [u8; 11]), Child> = BTreeMap::new();
        for file in files {
            let len = u32::try_from(file.content.len())
                .map_err(|_| LayoutError::FileTooLong { path: file.name.clone(), len: file.content.len() })?;
            let mut at = 0;
            let mut elements = file.name.split('/').peekable();
            while let Some(element) = elements.next() {
                let name =
                    short_name(element.as_bytes()).map_err(|why| LayoutError::Name { path: file.name.clone(), why })?;
                let leaf = elements.peek().is_none();
                match known.get(&(at, name)) {
                    Some(Child::Dir(dir)) if !leaf => at = *dir,
                    Some(_) => return Err(LayoutError::Twice { path: file.name.clone() }),
                    None if leaf => {
                        known.insert((at, name), Child::File);
                        this.places.push((at, this.dirs[at].entries.len()));
                        this.dirs[at].entries.push((entry(name, file.attr, file.mtime, len), Child::File));
                    }
                    None => {
                        let dir = this.dirs.len();
                        known.insert((at, name), Child::Dir(dir));
                        this.dirs[at].entries.push((entry(name, ATTR_DIR, o.epoch, 0), Child::Dir(dir)));
                        this.dirs.push(Directory { parent: at, ..Directory::default() });
                        at = dir;
                    }
                }
            }
        }
        Ok(this)
    }

    /// Clusters that all of it takes.
    pub(super) fn clusters(&self, files: &[FatFile], cluster: u64) -> u64 {
        let in_files: u64 = files.iter().map(|f| f.content.len().div_ceil(cluster)).sum();
        let in_dirs: u64 = self.dirs[1..].iter().map(|d| d.bytes().div_ceil(cluster)).sum();
        in_files + in_dirs
    }

    /// Hands out the clusters and puts directories and files where they go.
    pub(super) fn place(&mut self, files: &[FatFile], g: &Geometry, table: &mut Table, pieces: &mut Pieces) {
        let cluster = u64::from(g.cluster_size);
        let offset = |start| g.cluster_offset(start).expect("the clusters were counted before");
        let mut next_dir = 1;
        for (file, (dir, slot)) in files.iter().zip(self.places.clone()) {
            // Directories are numbered in the order of first mention, and a
            // file's own is never mentioned after it.
            while next_dir <= dir {
                self.dirs[next_dir].start = table.take(self.dirs[next_dir].bytes().div_ceil(cluster) as u32);
                next_dir += 1;
            }
            let start = table.take(file.content.len().div_ceil(cluster) as u32);
            self.dirs[dir].entries[slot].0.start = start;
            if start != 0 {
                pieces.put(offset(start), Source::Content(file.content.clone()));
            }
        }
        for index in 0..self.dirs.len() {
            let bytes = self.encode(index);
            pieces.put_bytes(if index == 0 { g.root_offset() } else { offset(self.dirs[index].start) }, bytes);
        }
    }

    fn encode(&self, index: usize) -> Vec<u8> {
        let dir = &self.dirs[index];
        let mut out = Vec::new();
        if index > 0 {
            // The entry that leads here has the time that the two get.
            let own = self.dirs[dir.parent].entries.iter().find(|e| matches!(e.1, Child::Dir(d) if d == index));
            let own = own.expect("a directory has an entry in its parent").0;
            let up = self.dirs[dir.parent].start;
            out.extend(DirEntry { name: *b".          ", start: dir.start, ..own }.encode());
            out.extend(DirEntry { name: *b"..         ", start: up, ..own }.encode());
        }
        for (entry, child) in &dir.entries {
            let start = match child {
                Child::File => entry.start,
                Child::Dir(d) => self.dirs[*d].start,
            };
            out.extend(DirEntry { start, ..*entry }.encode());
        }
        out
    }
}

impl Directory {
    /// Bytes of a subdirectory with its entries for itself and its parent.
    fn bytes(&self) -> u64 {
        ((self.entries.len() + 2) * DIRENT) as u64
    }
}

fn entry(name: [u8; 11], attr: u8, mtime: u32, len: u32) -> DirEntry {
    let (date, time) = dos_time(mtime);
    DirEntry { name, attr, case: 0, time, date, start: 0, len }
}
