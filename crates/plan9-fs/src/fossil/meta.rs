//! Names: directory entries and the meta blocks that hold them.
//!
//! A [`DirEntry`] joins a name, owner, mode and times to an index in the
//! directory's source. A [`MetaBlock`] is a parsed view of one block of a
//! meta source: every entry it lists lies within the block.

use super::format::{BLOCK, get16, get32};
use crate::count;
use crate::tree::{DMAPPEND, DMEXCL, DMTMP, Meta, Mode};

const MAGIC: u32 = 0x5656_fc7a;
const ENTRY_MAGIC: u32 = 0x1c4d_9072;
const HEAD: usize = 12;
// Offsets of the fields in the header of a meta block, after the magic.
pub(super) const SIZE_AT: usize = 4;
pub(super) const FREE_AT: usize = 6;
pub(super) const MAX_INDEX_AT: usize = 8;
pub(super) const COUNT_AT: usize = 10;
/// Room in the index of a block that p9img writes.
const INDEX: usize = BLOCK / 100;
/// Offset of the first entry in such a block.
const FIRST: usize = HEAD + 4 * INDEX;
/// The server adds no entry beyond this (80 %).
const FULL: usize = BLOCK * 80 / 100;

/// Largest directory entry in bytes that fits a block.
pub(super) const MAX_ENTRY: usize = BLOCK - FIRST;

pub(super) const MODE_APPEND: u32 = 1 << 12;
pub(super) const MODE_EXCLUSIVE: u32 = 1 << 13;
pub(super) const MODE_DIR: u32 = 1 << 15;
pub(super) const MODE_TEMPORARY: u32 = 1 << 19;
pub(super) const MODE_SNAPSHOT: u32 = 1 << 20;

/// Mode bits on disk, and what they are in stat(5).
const BITS: [(u32, u32); 3] = [(MODE_APPEND, DMAPPEND), (MODE_EXCLUSIVE, DMEXCL), (MODE_TEMPORARY, DMTMP)];

/// Mode on disk for a mode of stat(5).
pub(super) fn mode_to_disk(mode: Mode) -> u32 {
    let dir = if mode.is_dir() { MODE_DIR } else { 0 };
    BITS.iter().fold(mode.perm() | dir, |m, (disk, dm)| if mode.0 & dm != 0 { m | disk } else { m })
}

/// Mode of stat(5) for a mode on disk.
pub(super) fn mode_from_disk(disk: u32) -> Mode {
    let base = if disk & MODE_DIR != 0 { Mode::dir(disk) } else { Mode::file(disk) };
    Mode(BITS.iter().fold(base.0, |m, (bit, dm)| if disk & bit != 0 { m | dm } else { m }))
}

/// A name and all that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirEntry {
    pub name: Vec<u8>,
    /// Index in the directory's source, and the generation there.
    pub entry: u32,
    pub generation: u32,
    /// The same for the meta source of a directory; 0 for a file.
    pub mentry: u32,
    pub mgeneration: u32,
    pub qid: u64,
    pub uid: Vec<u8>,
    pub gid: Vec<u8>,
    /// User that changed it last (muid).
    pub mid: Vec<u8>,
    pub mtime: u32,
    /// Number of changes: the version of the qid.
    pub mcount: u32,
    pub ctime: u32,
    pub atime: u32,
    /// As on disk.
    pub mode: u32,
}

impl DirEntry {
    /// For a file or directory with attributes `meta`.
    pub(super) fn new(name: &[u8], entry: u32, qid: u64, meta: &Meta) -> Self {
        Self {
            name: name.to_vec(),
            entry,
            generation: 0,
            mentry: if meta.mode.is_dir() { entry + 1 } else { 0 },
            mgeneration: 0,
            qid,
            uid: meta.uid.as_bytes().to_vec(),
            gid: meta.gid.as_bytes().to_vec(),
            mid: meta.muid.as_bytes().to_vec(),
            mtime: meta.mtime,
            mcount: 0,
            ctime: meta.mtime,
            atime: meta.mtime,
            mode: mode_to_disk(meta.mode),
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.mode & MODE_DIR != 0
    }

    /// Metadata as in stat(5).
    pub(super) fn meta(&self) -> Meta {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into();
        Meta {
            mode: mode_from_disk(self.mode),
            uid: text(&self.uid),
            gid: text(&self.gid),
            muid: text(&self.mid),
            mtime: self.mtime,
        }
    }

    /// The bytes on disk. Strings longer than 65,535 bytes are cut; the
    /// layout refuses them.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(70 + self.name.len() + self.uid.len() + self.gid.len() + self.mid.len());
        let text = |b: &mut Vec<u8>, s: &[u8]| {
            let n = u16::try_from(s.len()).unwrap_or(u16::MAX);
            b.extend(n.to_be_bytes());
            b.extend(&s[..usize::from(n)]);
        };
        b.extend(ENTRY_MAGIC.to_be_bytes());
        b.extend(9u16.to_be_bytes());
        text(&mut b, &self.name);
        for v in [self.entry, self.generation, self.mentry, self.mgeneration] {
            b.extend(v.to_be_bytes());
        }
        b.extend(self.qid.to_be_bytes());
        for s in [&self.uid, &self.gid, &self.mid] {
            text(&mut b, s);
        }
        for v in [self.mtime, self.mcount, self.ctime, self.atime, self.mode] {
            b.extend(v.to_be_bytes());
        }
        b
    }

    /// Reads an entry that must fill `b`. Versions 7 to 9.
    pub(super) fn parse(b: &[u8]) -> Result<Self, &'static str> {
        let mut r = Bytes(b);
        if r.u32()? != ENTRY_MAGIC {
            return Err("its magic is wrong");
        }
        let version = r.u16()?;
        if !(7..=9).contains(&version) {
            return Err("its version is not 7, 8 or 9");
        }
        let name = r.text()?;
        let entry = r.u32()?;
        let (generation, mentry, mgeneration) = match version {
            9 => (r.u32()?, r.u32()?, r.u32()?),
            _ => (0, entry.wrapping_add(1), 0),
        };
        let qid = u64::from(r.u32()?) << 32 | u64::from(r.u32()?);
        if version == 7 {
            r.take(20)?;
        }
        let (uid, gid, mid) = (r.text()?, r.text()?, r.text()?);
        let (mtime, mcount, ctime, atime, mode) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let mut qid_space = false;
        while !r.0.is_empty() {
            let kind = r.take(1)?[0];
            let len = r.u16()?;
            r.take(usize::from(len))?;
            if kind == 3 && (std::mem::replace(&mut qid_space, true) || len != 16) {
                return Err("its qid space is wrong");
            }
        }
        Ok(Self { name, entry, generation, mentry, mgeneration, qid, uid, gid, mid, mtime, mcount, ctime, atime, mode })
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], &'static str> {
        let (a, b) = self.0.split_at_checked(n).ok_or("it ends in the middle of a field")?;
        self.0 = b;
        Ok(a)
    }
    fn u16(&mut self) -> Result<u16, &'static str> {
        Ok(get16(self.take(2)?, 0))
    }
    fn u32(&mut self) -> Result<u32, &'static str> {
        Ok(get32(self.take(4)?, 0))
    }
    fn text(&mut self) -> Result<Vec<u8>, &'static str> {
        let n = self.u16()?;
        Ok(self.take(usize::from(n))?.to_vec())
    }
}

/// Packs entries, ascending by name, into as many meta blocks as they need.
///
/// # Panics
/// If an entry is larger than [`MAX_ENTRY`].
pub(super) fn meta_blocks(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = FIRST;
        let mut n = 0;
        while n < rest.len() && n < INDEX && (n == 0 || used + rest[n].len() <= FULL) {
            used += rest[n].len();
            n += 1;
        }
        assert!(used <= BLOCK, "the layout refuses entries that fit no block");
        let block = out.len();
        out.resize(block + BLOCK, 0);
        let b = &mut out[block..];
        b[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        for (at, v) in [(SIZE_AT, used), (FREE_AT, 0), (MAX_INDEX_AT, INDEX), (COUNT_AT, n)] {
            b[at..at + 2].copy_from_slice(&(v as u16).to_be_bytes());
        }
        let mut at = FIRST;
        for (i, e) in rest[..n].iter().enumerate() {
            let slot = slot_at(i);
            b[slot..slot + 2].copy_from_slice(&(at as u16).to_be_bytes());
            b[slot + 2..slot + 4].copy_from_slice(&(e.len() as u16).to_be_bytes());
            b[at..at + e.len()].copy_from_slice(e);
            at += e.len();
        }
        rest = &rest[n..];
    }
    out
}

/// A meta block whose entries were checked to lie within it.
pub(super) struct MetaBlock<'a> {
    bytes: &'a [u8],
    pub size: usize,
    pub free: usize,
    pub max_index: usize,
    pub count: usize,
    /// Written by an early fossil that put `abc` before `ab`.
    pub old_order: bool,
}

/// Offset of the index slot number `i` in a meta block: an entry's offset and length.
pub(super) const fn slot_at(i: usize) -> usize {
    HEAD + 4 * i
}

impl<'a> MetaBlock<'a> {
    /// Reads a block of any bytes, as `mbUnpack` of
    /// `/sys/src/cmd/fossil/vac.c` does.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() < HEAD {
            return Err(format!("it has {}", count::of(bytes.len(), "byte")));
        }
        let magic = get32(bytes, 0);
        if magic != MAGIC && magic != MAGIC - 1 {
            return Err(format!("magic {magic:08x} instead of {MAGIC:08x}"));
        }
        let word = |at| usize::from(get16(bytes, at));
        let m = Self {
            bytes,
            size: word(SIZE_AT),
            free: word(FREE_AT),
            max_index: word(MAX_INDEX_AT),
            count: word(COUNT_AT),
            old_order: magic != MAGIC,
        };
        if m.size > bytes.len() || m.first() > bytes.len() || m.count > m.max_index {
            return Err(format!(
                "{} used and {} of {} index slots do not fit its {}",
                count::of(m.size, "byte"),
                m.count,
                m.max_index,
                count::of(bytes.len(), "byte")
            ));
        }
        for i in 0..m.count {
            let (at, len) = m.slot(i);
            if at < m.first() || at + len > m.size || len < 8 || get32(bytes, at) != ENTRY_MAGIC {
                return Err(format!(
                    "entry {i} at byte {at} with {len} is not within it or not an entry",
                    len = count::of(len, "byte")
                ));
            }
        }
        Ok(m)
    }

    fn first(&self) -> usize {
        HEAD + 4 * self.max_index
    }
    /// Offset and length of the `i`th entry.
    fn slot(&self, i: usize) -> (usize, usize) {
        let at = slot_at(i);
        (usize::from(get16(self.bytes, at)), usize::from(get16(self.bytes, at + 2)))
    }
    /// The `i`th entry.
    pub(super) fn entry(&self, i: usize) -> Result<DirEntry, &'static str> {
        let (at, len) = self.slot(i);
        DirEntry::parse(&self.bytes[at..at + len])
    }

    /// Reason why `/sys/src/cmd/fossil/check.c` would call the packing bad:
    /// entries that overlap, or a count of hole bytes that is not what is left.
    pub(super) fn packing_flaw(&self) -> Option<String> {
        let mut slots: Vec<_> = (0..self.count).map(|i| self.slot(i)).collect();
        slots.sort_unstable();
        let mut end = self.first();
        let mut used = self.first();
        for (at, len) in slots {
            if at < end {
                return Some(format!("the entry at byte {at} overlaps the one that ends at {end}"));
            }
            end = at + len;
            used += len;
        }
        if self.size < used || self.size - used != self.free {
            return Some(format!(
                "{} used of {}: the free bytes are not the {} that are left",
                count::of(used, "byte"),
                self.size,
                self.free
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &[u8]) -> DirEntry {
        DirEntry::new(name, 7, 0x0102_0304_0506_0708, &Meta::new(Mode(0o640 | DMAPPEND), "u", "gr", 0x5f00_0001))
    }

    #[test]
    fn a_directory_entry_is_these_bytes() {
        let b = sample(b"ab").write();
        let mut want = vec![0x1c, 0x4d, 0x90, 0x72, 0, 9, 0, 2, b'a', b'b', 0, 0, 0, 7];
        want.extend([0; 12]);
        want.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 1, b'u', 0, 2, b'g', b'r', 0, 1, b'u']);
        want.extend([0x5f, 0, 0, 1, 0, 0, 0, 0, 0x5f, 0, 0, 1, 0x5f, 0, 0, 1, 0, 0, 0x11, 0xa0]);
        assert_eq!(b, want);
        assert_eq!(DirEntry::parse(&b), Ok(sample(b"ab")));
        assert!(DirEntry::parse(&b[..b.len() - 1]).is_err());
    }

    #[test]
    fn older_versions_and_options_are_read() {
        let mut b = sample(b"x").write();
        b.extend([3, 0, 16]);
        b.extend([0; 16]);
        assert_eq!(DirEntry::parse(&b), Ok(sample(b"x")));
        b.extend([3, 0, 16]);
        b.extend([0; 16]);
        assert_eq!(DirEntry::parse(&b), Err("its qid space is wrong"));
        let mut old = sample(b"x").write();
        old[5] = 8;
        old.drain(13..25);
        assert_eq!(DirEntry::parse(&old).unwrap().mentry, 8);
    }

    #[test]
    fn modes_go_both_ways() {
        for m in [Mode::dir(0o775), Mode(0o600 | DMEXCL), Mode(0o600 | DMTMP | DMAPPEND)] {
            assert_eq!(mode_from_disk(mode_to_disk(m)), m);
        }
        assert_eq!(mode_to_disk(Mode::dir(0o555)), 0o555 | 1 << 15);
    }

    #[test]
    fn blocks_fill_like_the_servers() {
        let small: Vec<_> = (0..200u32).map(|i| sample(format!("{i:04}").as_bytes()).write()).collect();
        let blocks = meta_blocks(&small);
        let counts: Vec<_> = blocks.chunks(BLOCK).map(|b| MetaBlock::parse(b).unwrap().count).collect();
        assert_eq!(counts, [81, 81, 38]);
        let large: Vec<_> = (0..60u32).map(|i| sample(format!("{i:0255}").as_bytes()).write()).collect();
        for b in meta_blocks(&large).chunks(BLOCK) {
            let m = MetaBlock::parse(b).unwrap();
            assert!(m.size <= FULL && m.packing_flaw().is_none());
        }
        assert!(meta_blocks(&[]).is_empty());
    }
}
