//! The fixed structures of a cwfs64x: tags, directory entries, super blocks,
//! the cache's header and buckets. `doc/cwfs.md` has the byte maps.
//!
//! Everything is little-endian. `parse` functions take a whole block or slot of
//! any bytes; `write` functions fill exactly the structure. Nothing here knows
//! where a structure lies.

use crate::count;
use crate::read_at::SECTOR;
use crate::shared::area::{Holds, Sealed};
use crate::shared::get;
use crate::shared::pointers::{self, Pointers};
use crate::shared::shape::Reach;
use crate::tree::{DMAPPEND, DMDIR, DMEXCL, DMTMP, Meta, Mode};

/// Bytes in a block (`RBUFSIZE` in `/sys/src/cmd/cwfs/cwfs64x/dat.h`).
pub(super) const BLOCK: usize = 16_384;
/// Bytes of a block before its tag (`BUFSIZE`).
pub(super) const PAYLOAD: usize = BLOCK - 12;
/// Bytes of a directory entry.
pub(super) const DENTRY: usize = 260;
/// Directory entries in a block (`DIRPERBUF`).
pub(super) const SLOTS: usize = PAYLOAD / DENTRY;
/// Blocks that an entry points to itself (`NDBLOCK`).
pub(super) const DIRECT: usize = 6;
/// Addresses in a block of pointers (`INDPERBUF`).
pub(super) const POINTERS: usize = PAYLOAD / 8;
/// Bytes of the field for a name, which an entry begins with; the last is zero
/// (`NAMELEN`).
pub(super) const NAME: usize = 144;
/// Addresses in a super block or a block of the free list (`FEPERBUF`).
pub(super) const FREES: usize = 2037;
/// Buckets in a block, entries in a bucket, and a bucket's bytes.
pub(super) const BUCKETS: u64 = 10;
pub(super) const ENTRIES: usize = 135;
pub(super) const BUCKET: usize = 4 + 12 * ENTRIES;

/// Address of a device's first super block, and of the cache's header.
pub(super) const SUPER_AT: u64 = 2;
pub(super) const HEADER_AT: u64 = 2;
/// Address of a plain device's root.
pub(super) const ROOT_AT: u64 = 3;
/// qid path of a root, and the path in the tags of super blocks and headers.
pub(super) const ROOT_PATH: u64 = 1;
pub(super) const SUPER_PATH: u64 = 2;
/// A new file system's last qid path.
pub(super) const QIDGEN: u64 = 10;
/// Largest qid path: bit 31 says that it is a directory's.
pub(super) const MAX_PATH: u64 = 0x7fff_ffff;
const DIR_BIT: u64 = 0x8000_0000;

/// Blocks that the server sees in so many bytes (`wreninit` in `wren.c`).
pub(super) fn device_blocks(len: u64) -> u64 {
    (len / SECTOR + 1) / (BLOCK as u64 / SECTOR)
}

pub(super) fn get64(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(b, at))
}
fn get16(b: &[u8], at: usize) -> i16 {
    i16::from_le_bytes(get(b, at))
}
fn put64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_le_bytes());
}

/// The addresses in a block of pointers.
pub(super) fn pointers(block: &[u8]) -> Vec<u64> {
    pointers::parse(&block[..8 * POINTERS])
}

/// Kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(pub i16);

impl Kind {
    pub(super) const SUPER: Self = Self(1);
    pub(super) const FILE: Self = Self(5);
    pub(super) const FREE: Self = Self(6);
    pub(super) const BUCKETS: Self = Self(7);
    pub(super) const CACHE: Self = Self(9);
    pub(super) const CONFIG: Self = Self(10);
    pub(super) const DIR: Self = Self(11);

    /// Pointers, with so many levels of them below.
    pub(super) const fn pointers(below: usize) -> Self {
        Self(12 + below as i16)
    }

    /// For people.
    pub(super) fn name(self) -> String {
        match self.0 {
            0 => "nothing".into(),
            1 => "super block".into(),
            5 => "file".into(),
            6 => "free list".into(),
            7 => "buckets".into(),
            9 => "cache header".into(),
            10 => "configuration".into(),
            11 => "directory".into(),
            n @ 12..=15 => format!("pointers of height {}", n - 11),
            other => format!("{other} (unknown)"),
        }
    }
}

/// Tag of a block: its last 12 bytes, with kind and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub kind: Kind,
    pub path: u64,
}

impl Tag {
    pub(super) const LEN: usize = BLOCK - PAYLOAD;
    /// Offset of the kind in the tag.
    pub(super) const KIND_AT: usize = 2;
    /// Offset of the path in the tag.
    pub(super) const PATH_AT: usize = 4;

    /// The tag of a whole block.
    pub(super) fn of(block: &[u8]) -> Self {
        Self::parse(&block[PAYLOAD..])
    }
    /// Reads the last bytes of a block.
    pub(super) fn parse(b: &[u8]) -> Self {
        Self { kind: Kind(get16(b, Self::KIND_AT)), path: get64(b, Self::PATH_AT) }
    }
    /// Fills in the tag of a whole block.
    pub(super) fn write(self, block: &mut [u8]) {
        block[PAYLOAD..PAYLOAD + Self::KIND_AT].fill(0);
        block[PAYLOAD + Self::KIND_AT..][..2].copy_from_slice(&self.kind.0.to_le_bytes());
        put64(block, PAYLOAD + Self::PATH_AT, self.path);
    }
}

/// Block format of a volume. The mark of a block is the path in its tag.
pub struct Form;

impl Reach for Form {
    const DIRECT: u64 = DIRECT as u64;
    const POINTERS: u64 = POINTERS as u64;
}

impl Sealed for Form {
    const BLOCK: usize = BLOCK;
    const HEAD: usize = 0;
    const PAYLOAD: usize = PAYLOAD;
    type Mark = u64;

    fn seal(block: &mut [u8], holds: Holds, path: u64) {
        let kind = match holds {
            Holds::File => Kind::FILE,
            Holds::Entries => Kind::DIR,
            Holds::Pointers(below) => Kind::pointers(below),
        };
        Tag { kind, path }.write(block);
    }
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dentry {
    /// Bytes of the name up to the first zero; the whole field when it has
    /// none.
    pub name: Vec<u8>,
    pub uid: i16,
    pub gid: i16,
    pub mode: u16,
    pub muid: i16,
    /// As it is stored, with a directory's bit.
    pub qid: u64,
    pub version: u32,
    pub size: u64,
    /// Pointers to the blocks.
    pub pointers: Pointers<DIRECT>,
    pub atime: u32,
    pub mtime: u32,
}

impl Dentry {
    pub(super) const ALLOCATED: u16 = 0x8000;
    const DIR: u16 = 0x4000;
    const APPEND: u16 = 0x2000;
    const EXCLUSIVE: u16 = 0x1000;
    const TEMPORARY: u16 = 0x0800;

    // Offsets of the fields after the name.
    const UID_AT: usize = NAME;
    const GID_AT: usize = 146;
    pub(super) const MODE_AT: usize = 148;
    const MUID_AT: usize = 150;
    pub(super) const QID_AT: usize = 152;
    const VERSION_AT: usize = 160;
    pub(super) const SIZE_AT: usize = 164;
    const POINTERS_AT: usize = 172;
    const ATIME_AT: usize = 252;
    const MTIME_AT: usize = 256;

    /// Offset of the pointer number `i`: [`DIRECT`] to blocks, then those to
    /// blocks of pointers.
    pub(super) const fn pointer_at(i: usize) -> usize {
        Self::POINTERS_AT + 8 * i
    }

    /// The bits of a mode, and of stat(5).
    const BITS: [(u16, u32); 4] =
        [(Self::DIR, DMDIR), (Self::APPEND, DMAPPEND), (Self::EXCLUSIVE, DMEXCL), (Self::TEMPORARY, DMTMP)];

    /// Slot `i` of a block of a directory.
    pub(super) fn at(block: &[u8], i: usize) -> Self {
        let b = &block[DENTRY * i..][..DENTRY];
        let end = b[..NAME].iter().position(|c| *c == 0).unwrap_or(NAME);
        Self {
            name: b[..end].to_vec(),
            uid: get16(b, Self::UID_AT),
            gid: get16(b, Self::GID_AT),
            mode: u16::from_le_bytes(get(b, Self::MODE_AT)),
            muid: get16(b, Self::MUID_AT),
            qid: get64(b, Self::QID_AT),
            version: u32::from_le_bytes(get(b, Self::VERSION_AT)),
            size: get64(b, Self::SIZE_AT),
            pointers: Pointers::parse(&b[Self::pointer_at(0)..Self::ATIME_AT]),
            atime: u32::from_le_bytes(get(b, Self::ATIME_AT)),
            mtime: u32::from_le_bytes(get(b, Self::MTIME_AT)),
        }
    }

    pub(super) fn write(&self) -> [u8; DENTRY] {
        let mut b = [0; DENTRY];
        b[..self.name.len()].copy_from_slice(&self.name);
        for (at, v) in [
            (Self::UID_AT, self.uid),
            (Self::GID_AT, self.gid),
            (Self::MODE_AT, self.mode as i16),
            (Self::MUID_AT, self.muid),
        ] {
            b[at..at + 2].copy_from_slice(&v.to_le_bytes());
        }
        put64(&mut b, Self::QID_AT, self.qid);
        b[Self::VERSION_AT..][..4].copy_from_slice(&self.version.to_le_bytes());
        put64(&mut b, Self::SIZE_AT, self.size);
        self.pointers.write(&mut b[Self::pointer_at(0)..Self::ATIME_AT]);
        b[Self::ATIME_AT..][..4].copy_from_slice(&self.atime.to_le_bytes());
        b[Self::MTIME_AT..][..4].copy_from_slice(&self.mtime.to_le_bytes());
        b
    }

    pub(super) fn is_allocated(&self) -> bool {
        self.mode & Self::ALLOCATED != 0
    }
    pub(super) fn is_dir(&self) -> bool {
        self.mode & Self::DIR != 0
    }
    pub(super) fn is_temporary(&self) -> bool {
        self.mode & Self::TEMPORARY != 0
    }
    /// The qid path without a directory's bit.
    pub(super) fn path(&self) -> u64 {
        if self.is_dir() { self.qid ^ DIR_BIT } else { self.qid }
    }
    /// Blocks that the size says; a directory's says none.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(PAYLOAD as u64)
    }
    /// The mode as stat(5) has it.
    pub(super) fn full_mode(&self) -> Mode {
        let bits = Self::BITS.iter().filter(|(bit, _)| self.mode & bit != 0);
        Mode(bits.fold(u32::from(self.mode & 0o777), |mode, (_, bit)| mode | bit))
    }

    /// An entry without blocks for what `meta` describes; `ids` are owner,
    /// last user and group.
    pub(super) fn new(name: &[u8], path: u64, meta: &Meta, ids: [i16; 3]) -> Self {
        let [uid, muid, gid] = ids;
        let bits = Self::BITS.iter().filter(|(_, bit)| meta.mode.0 & bit != 0);
        let mode = bits.fold(Self::ALLOCATED | meta.mode.perm() as u16, |mode, (bit, _)| mode | bit);
        Self {
            name: name.to_vec(),
            uid,
            gid,
            mode,
            muid,
            qid: if meta.mode.is_dir() { path | DIR_BIT } else { path },
            version: 0,
            size: 0,
            pointers: Pointers::default(),
            atime: meta.mtime,
            mtime: meta.mtime,
        }
    }
}

/// A super block without its part of the free list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Super {
    pub fstart: u64,
    pub fsize: u64,
    pub tfree: u64,
    pub qidgen: u64,
    pub cwraddr: u64,
    pub roraddr: u64,
    pub last: u64,
    pub next: u64,
}

impl Super {
    // Offsets of the fields in the block: after a part of the free list.
    pub(super) const FSTART_AT: usize = free_at(FREES);
    pub(super) const FSIZE_AT: usize = Self::FSTART_AT + 8;
    pub(super) const TFREE_AT: usize = Self::FSTART_AT + 16;
    pub(super) const QIDGEN_AT: usize = Self::FSTART_AT + 24;
    pub(super) const CWRADDR_AT: usize = Self::FSTART_AT + 32;
    pub(super) const RORADDR_AT: usize = Self::FSTART_AT + 40;
    pub(super) const LAST_AT: usize = Self::FSTART_AT + 48;
    pub(super) const NEXT_AT: usize = Self::FSTART_AT + 56;

    pub(super) fn parse(block: &[u8]) -> Self {
        let v = |at: usize| get64(block, at);
        Self {
            fstart: v(Self::FSTART_AT),
            fsize: v(Self::FSIZE_AT),
            tfree: v(Self::TFREE_AT),
            qidgen: v(Self::QIDGEN_AT),
            cwraddr: v(Self::CWRADDR_AT),
            roraddr: v(Self::RORADDR_AT),
            last: v(Self::LAST_AT),
            next: v(Self::NEXT_AT),
        }
    }

    /// The whole block, with this part of the free list.
    pub(super) fn write(&self, free: &[u64]) -> [u8; BLOCK] {
        let mut b = free_list(free);
        let all = [self.fstart, self.fsize, self.tfree, self.qidgen, self.cwraddr, self.roraddr, self.last, self.next];
        for (i, v) in all.into_iter().enumerate() {
            put64(&mut b, Self::FSTART_AT + 8 * i, v);
        }
        Tag { kind: Kind::SUPER, path: SUPER_PATH }.write(&mut b);
        b
    }

    /// Reason why a server could not use the super block at `at` of a device
    /// whose blocks end at `end`.
    pub(super) fn flaw(&self, end: u64) -> Option<String> {
        match self {
            s if s.fstart != SUPER_AT => Some(format!("blocks begin at {}, not at {SUPER_AT}", s.fstart)),
            s if s.fsize <= ROOT_AT || s.fsize > end => {
                Some(format!("blocks in use end at {}, but there are {end}", s.fsize))
            }
            s if s.qidgen > MAX_PATH => Some(format!("the last qid path is {}, above {MAX_PATH}", s.qidgen)),
            _ => None,
        }
    }
}

/// Offset of the address number `i` in a block of the free list, or in the front of
/// a super block. Their number is before them.
pub(super) const fn free_at(i: usize) -> usize {
    8 + 8 * i
}

/// A block of the free list, or the front of a super block.
pub(super) fn free_list(free: &[u64]) -> [u8; BLOCK] {
    let mut b = [0; BLOCK];
    put64(&mut b, 0, free.len() as u64);
    for (i, a) in free.iter().take(FREES).enumerate() {
        put64(&mut b, free_at(i), *a);
    }
    Tag { kind: Kind::FREE, path: 0 }.write(&mut b);
    b
}

/// The addresses in a block of the free list, the next block's first; how many
/// it says, when those cannot be.
pub(super) fn frees(block: &[u8]) -> Result<Vec<u64>, u64> {
    match get64(block, 0) {
        n if n > FREES as u64 => Err(n),
        n => Ok((0..n as usize).map(|i| get64(block, free_at(i))).collect()),
    }
}

/// The header of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub maddr: u64,
    pub msize: u64,
    pub caddr: u64,
    pub csize: u64,
    pub fsize: u64,
    pub wsize: u64,
    pub wmax: u64,
    pub sbaddr: u64,
    pub cwraddr: u64,
    pub roraddr: u64,
}

impl Header {
    // Offsets of the fields.
    pub(super) const MADDR_AT: usize = 0;
    pub(super) const MSIZE_AT: usize = 8;
    pub(super) const CADDR_AT: usize = 16;
    pub(super) const CSIZE_AT: usize = 24;
    pub(super) const FSIZE_AT: usize = 32;
    pub(super) const WSIZE_AT: usize = 40;
    pub(super) const WMAX_AT: usize = 48;
    pub(super) const SBADDR_AT: usize = 56;
    pub(super) const CWRADDR_AT: usize = 64;
    pub(super) const RORADDR_AT: usize = 72;

    pub(super) fn parse(block: &[u8]) -> Self {
        let v = |at: usize| get64(block, at);
        Self {
            maddr: v(Self::MADDR_AT),
            msize: v(Self::MSIZE_AT),
            caddr: v(Self::CADDR_AT),
            csize: v(Self::CSIZE_AT),
            fsize: v(Self::FSIZE_AT),
            wsize: v(Self::WSIZE_AT),
            wmax: v(Self::WMAX_AT),
            sbaddr: v(Self::SBADDR_AT),
            cwraddr: v(Self::CWRADDR_AT),
            roraddr: v(Self::RORADDR_AT),
        }
    }

    pub(super) fn write(&self) -> [u8; BLOCK] {
        let mut b = [0; BLOCK];
        let all = [
            self.maddr,
            self.msize,
            self.caddr,
            self.csize,
            self.fsize,
            self.wsize,
            self.wmax,
            self.sbaddr,
            self.cwraddr,
            self.roraddr,
        ];
        for (i, v) in all.into_iter().enumerate() {
            put64(&mut b, 8 * i, v);
        }
        Tag { kind: Kind::CACHE, path: SUPER_PATH }.write(&mut b);
        b
    }

    /// Divides a cache of so many blocks as `cacheinit` does; `None` when there
    /// is no room for a bucket.
    pub(super) fn divide(blocks: u64) -> Option<Self> {
        let maddr = HEADER_AT + 1;
        let m = blocks.checked_sub(maddr + 1)?;
        let per = ENTRIES as u64;
        let mut msize = (u128::from(m) * 1350 / 1351) as u64 / per;
        msize = msize.checked_sub(5)?;
        while msize > 0 && !is_prime(msize) {
            msize -= 1;
        }
        let (caddr, csize) = (maddr + msize.div_ceil(BUCKETS), msize * per);
        (msize > 0 && caddr + csize <= m + 1).then(|| Self { maddr, msize, caddr, csize, ..Self::default() })
    }

    /// Reason why a server could not use the header in a cache of `cache`
    /// blocks before a worm of `worm`.
    pub(super) fn flaw(&self, cache: u64, worm: u64) -> Option<String> {
        let map = self.msize.div_ceil(BUCKETS);
        let Self { maddr, msize, caddr, csize, fsize, .. } = *self;
        let fits = |from: u64, n: u64| from.checked_add(n).is_some_and(|end| end <= cache);
        match () {
            () if msize == 0 || maddr <= HEADER_AT || !fits(maddr, map) => Some(format!(
                "{msize} from block {maddr} on cannot fit into a cache of {cache}",
                msize = count::of(msize, "bucket"),
                cache = count::of(cache, "block")
            )),
            () if caddr < maddr + map || Some(csize) != msize.checked_mul(ENTRIES as u64) || !fits(caddr, csize) => {
                Some(format!(
                    "{csize} cached blocks from block {caddr} on do not fit after {msize} in {cache}",
                    msize = count::of(msize, "bucket"),
                    cache = count::of(cache, "block")
                ))
            }
            () if fsize <= ROOT_AT || fsize > worm => {
                Some(format!("blocks in use end at {fsize}, but the worm has {worm}"))
            }
            () => [("super block", self.sbaddr), ("root", self.cwraddr), ("root of the dumps", self.roraddr)]
                .into_iter()
                .find(|(_, at)| *at < SUPER_AT || *at >= fsize)
                .map(|(what, at)| format!("its {what} is at {at}, but only {SUPER_AT} to {} are possible", fsize - 1)),
        }
    }
}

/// As the server decides it: 1 counts, 3 does not.
fn is_prime(n: u64) -> bool {
    let mut i = 3;
    while n % 2 == 1 && !n.is_multiple_of(i) {
        if i * i >= n {
            return true;
        }
        i += 2;
    }
    false
}

/// State of a cached block in relation to the worm's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(pub i16);

impl State {
    pub(super) const NONE: Self = Self(0);
    pub(super) const DUMP: Self = Self(2);
    pub(super) const READ: Self = Self(3);
    pub(super) const DUMP1: Self = Self(5);

    pub(super) fn is_known(self) -> bool {
        (0..=5).contains(&self.0)
    }
    /// Whether the dumps read it from the cache.
    pub(super) fn is_dumped(self) -> bool {
        matches!(self, Self::DUMP | Self::READ | Self::DUMP1)
    }
    pub(super) fn name(self) -> &'static str {
        match self.0 {
            0 => "none",
            1 => "dirty",
            2 => "dump",
            3 => "read",
            4 => "write",
            5 => "dump1",
            _ => "unknown",
        }
    }
}

/// Offsets of state and address of the entry `i` in a bucket.
pub(super) const fn entry_at(i: usize) -> (usize, usize) {
    let at = 4 + 12 * i;
    (at + 2, at + 4)
}

/// Entry `i` of a bucket: its state and address.
pub(super) fn bucket_entry(bucket: &[u8], i: usize) -> (State, u64) {
    let (state, address) = entry_at(i);
    (State(get16(bucket, state)), get64(bucket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_portdat_h() {
        assert_eq!((SLOTS, POINTERS, BUCKET, Super::FSTART_AT), (62, 2046, 1624, 16_304));
        assert!(BUCKET * BUCKETS as usize <= PAYLOAD && Super::FSTART_AT + 64 <= PAYLOAD);
        assert_eq!((device_blocks(16_384), device_blocks(16_384 - 512), device_blocks(16_384 - 1024)), (1, 1, 0));
    }

    #[test]
    fn a_cache_is_divided_as_the_server_does() {
        // 200 MB: 12,800 blocks.
        let h = Header::divide(12_800).unwrap();
        assert_eq!((h.maddr, h.msize, h.caddr, h.csize), (3, 89, 12, 12_015));
        assert_eq!(Header::divide(809), None);
        let least = (0..900).find_map(|n| Some((n, Header::divide(n)?.msize)));
        assert_eq!(least, Some((815, 1)));
        let all = (800..5000).filter_map(|n| Some((n, Header::divide(n)?)));
        assert!(all.clone().count() > 4000);
        for (n, mut h) in all {
            (h.fsize, h.sbaddr, h.cwraddr, h.roraddr) = (10, 2, 3, 4);
            assert_eq!(h.flaw(n, 10), None, "{n}");
        }
    }

    #[test]
    fn entries_and_super_blocks_come_back() {
        let meta = Meta::new(Mode(DMAPPEND | DMTMP | 0o640), "sys", "sys", 7);
        let mut d = Dentry::new(b"name", 77, &meta, [-1, 10_000, 2]);
        d.size = 5000;
        d.pointers.direct[5] = 9;
        d.pointers.indirect[3] = 1 << 40;
        let mut block = vec![0; BLOCK];
        block[DENTRY..2 * DENTRY].copy_from_slice(&d.write());
        assert_eq!(Dentry::at(&block, 1), d);
        assert_eq!(d.full_mode(), meta.mode);
        let dir = Dentry::new(b"d", 5, &Meta::new(Mode::dir(0o775), "sys", "sys", 7), [0; 3]);
        assert_eq!((dir.qid, dir.path(), dir.full_mode()), (0x8000_0005, 5, Mode::dir(0o775)));
        let s = Super { fstart: 2, fsize: 9, tfree: 1, qidgen: 10, cwraddr: 3, roraddr: 4, last: 2, next: 5 };
        let b = s.write(&[0, 8]);
        assert_eq!((Super::parse(&b), frees(&b)), (s, Ok(vec![0, 8])));
        assert_eq!(Tag::of(&b), Tag { kind: Kind::SUPER, path: 2 });
        assert_eq!((s.flaw(9), s.flaw(8).is_some()), (None, true));
    }
}
