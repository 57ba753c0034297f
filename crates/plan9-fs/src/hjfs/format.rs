//! The fixed structures of an hjfs: super block, dentries, pointers, counts.
//! `doc/hjfs.md` has the byte maps.
//!
//! Everything is little-endian. `parse` functions take a whole block or slot of
//! any bytes; `write` functions fill exactly the structure. Nothing here knows
//! where a structure lies.

use crate::count;
use crate::shared::area::{Holds, Sealed};
use crate::shared::get;
use crate::shared::pointers::{self, Pointers};
use crate::shared::shape::Reach;
use crate::tree::{Meta, Mode};

/// Bytes in a block.
pub(super) const BLOCK: usize = 4096;
/// Bytes of a block after the one with its type (`RBLOCK`).
pub(super) const PAYLOAD: usize = BLOCK - 1;
/// Bytes of a dentry (`DENTRYSIZ` in `/sys/src/cmd/hjfs/dat.h`).
pub(super) const DENTRY: usize = 453;
/// Dentries in a block.
pub(super) const SLOTS: usize = PAYLOAD / DENTRY;
/// Addresses in an indirect block (`OFFPERBLK`).
pub(super) const POINTERS: u64 = 341;
/// Blocks that a dentry points to itself.
pub(super) const DIRECT: usize = 15;
/// Block format of a volume.
pub(super) struct Form;

impl Reach for Form {
    const DIRECT: u64 = DIRECT as u64;
    const POINTERS: u64 = POINTERS;
}

impl Sealed for Form {
    const BLOCK: usize = BLOCK;
    const HEAD: usize = 1;
    const PAYLOAD: usize = PAYLOAD;
    type Mark = ();

    fn seal(block: &mut [u8], holds: Holds, (): ()) {
        block[0] = match holds {
            Holds::File => RAW,
            Holds::Entries => DENTRIES,
            Holds::Pointers(_) => INDIRECT,
        };
    }
}

/// Counts in a block of them.
pub(super) const COUNTS: u64 = 1365;
/// Count of the blocks past the last one.
pub(super) const SENTINEL: u32 = 0xff_ffff;
/// Most blocks of a volume: the server counts in a signed integer.
pub(super) const MAX_BLOCKS: u64 = (1 << 31) - 1;
/// Bytes of the field for a name, which a dentry begins with; the last is zero.
pub(super) const NAME: usize = 256;
/// qid path of both roots.
pub(super) const ROOT_QID: u64 = 1;
/// The first qid path for anything else.
pub(super) const FIRST_QID: u64 = 3;
/// Address of the super block.
pub(super) const SUPER_AT: u64 = 0;
/// Address of the first counts.
pub(super) const COUNTS_AT: u64 = 1;

const MAGIC: u32 = 0x6e0d_e51c;

/// Types of blocks.
pub(super) const RAW: u8 = 0;
pub(super) const SUPER: u8 = 1;
pub(super) const DENTRIES: u8 = 2;
pub(super) const INDIRECT: u8 = 3;
pub(super) const REFS: u8 = 4;

/// A type for people.
pub(super) fn type_name(kind: u8) -> String {
    match kind {
        RAW => "raw".into(),
        SUPER => "super block".into(),
        DENTRIES => "dentries".into(),
        INDIRECT => "indirect".into(),
        REFS => "counts".into(),
        other => format!("{other} (unknown)"),
    }
}

pub(super) fn get64(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(b, at))
}
/// Offset of the count number `i` in a block of counts.
pub(super) const fn count_offset(i: usize) -> usize {
    1 + 3 * i
}
/// The count number `i` of a block of counts.
pub(super) fn count_at(block: &[u8], i: usize) -> u32 {
    let at = count_offset(i);
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], 0])
}
/// The addresses in an indirect block.
pub(super) fn pointers(block: &[u8]) -> Vec<u64> {
    pointers::parse(&block[1..][..8 * POINTERS as usize])
}

/// First block after the counts of a volume with so many blocks.
pub(super) fn counts_end(blocks: u64) -> u64 {
    COUNTS_AT + (3 * blocks).div_ceil(PAYLOAD as u64)
}

/// The super block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Super {
    pub blocks: u64,
    pub fstart: u64,
    pub fend: u64,
    pub root: u64,
    pub qid: u64,
}

impl Super {
    /// Bytes of the structure, the block's type included.
    pub(super) const LEN: usize = 45;
    // Offsets of the fields.
    pub(super) const BLOCKS_AT: usize = 5;
    pub(super) const FSTART_AT: usize = 13;
    pub(super) const FEND_AT: usize = 21;
    pub(super) const ROOT_AT: usize = 29;
    pub(super) const QID_AT: usize = 37;

    /// Reads the first bytes of a volume; `None` when there is no magic.
    pub(super) fn parse(b: &[u8; Self::LEN]) -> Option<Self> {
        (b[0] == SUPER && u32::from_le_bytes(get(b, 1)) == MAGIC).then(|| Self {
            blocks: get64(b, Self::BLOCKS_AT),
            fstart: get64(b, Self::FSTART_AT),
            fend: get64(b, Self::FEND_AT),
            root: get64(b, Self::ROOT_AT),
            qid: get64(b, Self::QID_AT),
        })
    }

    pub(super) fn write(&self) -> [u8; Self::LEN] {
        let mut b = [0; Self::LEN];
        b[0] = SUPER;
        b[1..5].copy_from_slice(&MAGIC.to_le_bytes());
        for (i, v) in [self.blocks, self.fstart, self.fend, self.root, self.qid].into_iter().enumerate() {
            b[Self::BLOCKS_AT + 8 * i..][..8].copy_from_slice(&v.to_le_bytes());
        }
        b
    }

    /// Reason why a server could not use the super block on a device of
    /// `device` blocks.
    pub(super) fn flaw(&self, device: u64) -> Option<String> {
        let Self { blocks, fstart, fend, root, .. } = *self;
        match () {
            () if blocks == 0 || blocks > MAX_BLOCKS => Some(format!(
                "it says {blocks}, but there may be 1 to {MAX_BLOCKS}",
                blocks = count::of(blocks, "block")
            )),
            () if blocks > device => {
                Some(format!("it says {blocks}, but there are only {device}", blocks = count::of(blocks, "block")))
            }
            () if fstart != COUNTS_AT => Some(format!("counts begin at block {fstart}, not at {COUNTS_AT}")),
            () if fend != counts_end(blocks) => Some(format!(
                "counts end at block {fend}, not at {} as {}",
                counts_end(blocks),
                count::either(blocks, "block needs", "blocks need")
            )),
            () if root < fend || root >= blocks => {
                Some(format!("the roots are in block {root}, but only {fend} to {} are possible", blocks - 1))
            }
            () => None,
        }
    }
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dentry {
    /// Bytes of the name up to the first zero; the whole field when it has
    /// none.
    pub name: Vec<u8>,
    pub uid: i16,
    pub muid: i16,
    pub gid: i16,
    pub mode: u16,
    pub qid: u64,
    pub version: u32,
    /// Type of the qid: the upper eight bits of a mode.
    pub kind: u8,
    pub size: u64,
    /// Pointers to the blocks.
    pub pointers: Pointers<DIRECT>,
    pub atime: i64,
    pub mtime: i64,
}

impl Dentry {
    pub(super) const ALLOCATED: u16 = 0x8000;
    pub(super) const GONE: u16 = 0x4000;
    const DIR: u8 = 0x80;
    const TEMPORARY: u8 = 0x04;

    // Offsets of the fields after the name.
    const UID_AT: usize = NAME;
    const MUID_AT: usize = 258;
    const GID_AT: usize = 260;
    pub(super) const MODE_AT: usize = 262;
    pub(super) const QID_AT: usize = 264;
    const VERSION_AT: usize = 272;
    pub(super) const KIND_AT: usize = 276;
    pub(super) const SIZE_AT: usize = 277;
    const POINTERS_AT: usize = 285;
    const ATIME_AT: usize = 437;
    const MTIME_AT: usize = 445;

    /// Offset of the pointer number `i`: [`DIRECT`] to blocks, then those to
    /// indirect ones.
    pub(super) const fn pointer_at(i: usize) -> usize {
        Self::POINTERS_AT + 8 * i
    }

    /// Slot `i` of a block of dentries.
    pub(super) fn at(block: &[u8], i: usize) -> Self {
        Self::parse(&block[1 + DENTRY * i..][..DENTRY])
    }

    fn parse(b: &[u8]) -> Self {
        let end = b[..NAME].iter().position(|c| *c == 0).unwrap_or(NAME);
        let short = |at| i16::from_le_bytes(get(b, at));
        Self {
            name: b[..end].to_vec(),
            uid: short(Self::UID_AT),
            muid: short(Self::MUID_AT),
            gid: short(Self::GID_AT),
            mode: u16::from_le_bytes(get(b, Self::MODE_AT)),
            qid: get64(b, Self::QID_AT),
            version: u32::from_le_bytes(get(b, Self::VERSION_AT)),
            kind: b[Self::KIND_AT],
            size: get64(b, Self::SIZE_AT),
            pointers: Pointers::parse(&b[Self::pointer_at(0)..Self::ATIME_AT]),
            atime: i64::from_le_bytes(get(b, Self::ATIME_AT)),
            mtime: i64::from_le_bytes(get(b, Self::MTIME_AT)),
        }
    }

    pub(super) fn write(&self) -> [u8; DENTRY] {
        let mut b = [0; DENTRY];
        b[..self.name.len()].copy_from_slice(&self.name);
        for (at, v) in [(Self::UID_AT, self.uid), (Self::MUID_AT, self.muid), (Self::GID_AT, self.gid)] {
            b[at..at + 2].copy_from_slice(&v.to_le_bytes());
        }
        b[Self::MODE_AT..][..2].copy_from_slice(&self.mode.to_le_bytes());
        b[Self::QID_AT..][..8].copy_from_slice(&self.qid.to_le_bytes());
        b[Self::VERSION_AT..][..4].copy_from_slice(&self.version.to_le_bytes());
        b[Self::KIND_AT] = self.kind;
        b[Self::SIZE_AT..][..8].copy_from_slice(&self.size.to_le_bytes());
        self.pointers.write(&mut b[Self::pointer_at(0)..Self::ATIME_AT]);
        b[Self::ATIME_AT..][..8].copy_from_slice(&self.atime.to_le_bytes());
        b[Self::MTIME_AT..][..8].copy_from_slice(&self.mtime.to_le_bytes());
        b
    }

    pub(super) fn is_allocated(&self) -> bool {
        self.mode & Self::ALLOCATED != 0
    }
    pub(super) fn is_gone(&self) -> bool {
        self.mode & Self::GONE != 0
    }
    pub(super) fn is_dir(&self) -> bool {
        self.kind & Self::DIR != 0
    }
    pub(super) fn is_temporary(&self) -> bool {
        self.kind & Self::TEMPORARY != 0
    }
    /// Blocks that the size says.
    pub(super) fn blocks(&self) -> u64 {
        if self.is_dir() { self.size } else { self.size.div_ceil(PAYLOAD as u64) }
    }
    /// The mode as stat(5) has it.
    pub(super) fn full_mode(&self) -> Mode {
        Mode(u32::from(self.kind) << 24 | u32::from(self.mode & 0o777))
    }

    /// A dentry without blocks for what `meta` describes.
    pub(super) fn new(name: &[u8], qid: u64, meta: &Meta, ids: [i16; 3]) -> Self {
        let [uid, muid, gid] = ids;
        Self {
            name: name.to_vec(),
            uid,
            muid,
            gid,
            mode: Self::ALLOCATED | meta.mode.perm() as u16,
            qid,
            version: 0,
            kind: (meta.mode.0 >> 24) as u8,
            size: 0,
            pointers: Pointers::default(),
            atime: meta.mtime.into(),
            mtime: meta.mtime.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_dat_h() {
        assert_eq!((SLOTS, DENTRY, PAYLOAD as u64 / 12, PAYLOAD as u64 / 3), (9, 453, POINTERS, COUNTS));
        // 512 MB, as ream of 9front divides it.
        assert_eq!(counts_end(131_072), 98);
    }

    #[test]
    fn dentries_and_super_blocks_come_back() {
        let meta = Meta::new(Mode(crate::tree::DMAPPEND | 0o640), "sys", "sys", 7);
        let mut d = Dentry::new(b"name", 77, &meta, [-1, 10_000, 2]);
        d.size = 5000;
        d.pointers.direct[14] = 9;
        d.pointers.indirect[3] = 1 << 40;
        assert_eq!(Dentry::parse(&d.write()), d);
        assert_eq!(d.full_mode(), meta.mode);
        let s = Super { blocks: 1000, fstart: 1, fend: counts_end(1000), root: 2, qid: 3 };
        assert_eq!(Super::parse(&s.write()), Some(s));
        assert_eq!(s.flaw(1000), None);
        assert_eq!(s.flaw(999).unwrap(), "it says 1000 blocks, but there are only 999");
    }
}
