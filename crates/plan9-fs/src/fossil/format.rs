//! The fixed structures of a fossil partition: header, super block, labels,
//! scores and entries. `doc/fossil.md` has the byte maps.
//!
//! Everything is big-endian. `parse` functions take any bytes and say in one
//! sentence why they refuse; `write` functions fill exactly the structure.
//! Nothing here knows where a structure lies.

use crate::count;
use crate::read_at::Extent;

/// Bytes in a block of the volumes that p9img writes.
pub const BLOCK: usize = 8192;
/// Largest block that fossil accepts (`/sys/include/venti.h`).
pub(super) const MAX_BLOCK: usize = 56 * 1024;
/// Range of the configuration text in the partition, in bytes.
pub const CONFIG: Extent = Extent { offset: 127 * 1024, len: 1024 };
/// Offset of the header in the partition, in bytes.
pub const HEADER_AT: u64 = 128 * 1024;
/// Bytes of the header.
pub const HEADER_LEN: usize = 512;
/// First line of the configuration text.
pub(super) const CONFIG_MAGIC: &[u8] = b"fossil config\n";
/// Bytes of a label.
pub const LABEL_LEN: usize = 14;
/// Bytes of a score.
pub(super) const SCORE_LEN: usize = 20;
/// Bytes of an entry.
pub(super) const ENTRY_LEN: usize = 40;
/// Deepest tree of pointers.
pub(super) const MAX_DEPTH: u8 = 7;
/// Most blocks of one file (`MaxBlock` in `/sys/src/cmd/fossil/dat.h`).
pub const MAX_FILE_BLOCKS: u64 = 1 << 31;
/// Most data blocks of a volume: fossil's checker counts in a signed integer.
pub(super) const MAX_DATA_BLOCKS: u64 = (1 << 31) - 1;
/// No address.
pub(super) const NIL: u32 = !0;
/// Tag of root blocks.
pub(super) const ROOT_TAG: u32 = 1;
/// Lowest tag of a source.
pub(super) const USER_TAG: u32 = 32;

const HEADER_MAGIC: u32 = 0x3776_ae89;
const SUPER_MAGIC: u32 = 0x2340_a3b1;
/// Blocks before the labels when blocks have 8 KiB: the labels' own address.
const LABEL_AT: u64 = 19;
const PER_LABEL_BLOCK: u64 = (BLOCK / LABEL_LEN) as u64;
/// Smallest partition that `/sys/src/cmd/fossil/flfmt.c` formats, in blocks.
const MIN_BLOCKS: u64 = 160;

pub(super) fn get16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}
pub(super) fn get32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}
pub(super) fn get64(b: &[u8], at: usize) -> u64 {
    u64::from(get32(b, at)) << 32 | u64::from(get32(b, at + 4))
}

/// Header of the partition: its regions, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes in a block.
    pub block: usize,
    /// Number of the super block, in blocks from the start of the partition.
    pub super_at: u32,
    /// First block of labels.
    pub label: u32,
    /// First block of data.
    pub data: u32,
    /// First block after the data.
    pub end: u32,
}

impl Header {
    // Offsets of the fields, after the magic.
    pub(super) const VERSION_AT: usize = 4;
    pub(super) const BLOCK_AT: usize = 6;
    pub(super) const SUPER_AT: usize = 8;
    pub(super) const LABEL_AT: usize = 12;
    pub(super) const DATA_AT: usize = 16;
    pub(super) const END_AT: usize = 20;

    /// The header for a partition of `len` bytes, as `flfmt` divides it;
    /// `None` when it is too small for any fossil or larger than
    /// 2^31 - 1 data blocks allow.
    pub fn for_partition(len: u64) -> Option<Self> {
        let blocks = len / BLOCK as u64;
        if blocks < MIN_BLOCKS {
            return None;
        }
        let data_blocks = PER_LABEL_BLOCK.checked_mul(blocks - LABEL_AT)? / (PER_LABEL_BLOCK + 1);
        if data_blocks > MAX_DATA_BLOCKS {
            return None;
        }
        let data = LABEL_AT + data_blocks.div_ceil(PER_LABEL_BLOCK);
        let word = |n: u64| u32::try_from(n).ok();
        Some(Self {
            block: BLOCK,
            super_at: LABEL_AT as u32 - 1,
            label: LABEL_AT as u32,
            data: word(data)?,
            end: word(data + data_blocks)?,
        })
    }

    /// The smallest partition, in bytes, whose header has `data_blocks`.
    pub fn partition_for(data_blocks: u64) -> u64 {
        let blocks = LABEL_AT + (data_blocks * (PER_LABEL_BLOCK + 1)).div_ceil(PER_LABEL_BLOCK);
        blocks.max(MIN_BLOCKS) * BLOCK as u64
    }

    /// Number of data blocks.
    pub fn data_blocks(&self) -> u32 {
        self.end - self.data
    }
    /// Labels in one block.
    pub fn labels_per_block(&self) -> u32 {
        (self.block / LABEL_LEN) as u32
    }
    /// Offset of block number `n` of the partition, in bytes.
    pub fn byte(&self, n: u32) -> u64 {
        u64::from(n) * self.block as u64
    }

    /// Reads a header and checks that its regions are in order and, in a
    /// partition of `len` bytes, within it.
    pub fn parse(b: &[u8], len: u64) -> Result<Self, String> {
        if get32(b, 0) != HEADER_MAGIC {
            return Err(format!("magic {:08x} instead of {HEADER_MAGIC:08x}", get32(b, 0)));
        }
        if get16(b, Self::VERSION_AT) != 1 {
            return Err(format!("version {} instead of 1", get16(b, Self::VERSION_AT)));
        }
        let block = usize::from(get16(b, Self::BLOCK_AT));
        if !(512..=MAX_BLOCK).contains(&block) || !block.is_multiple_of(512) {
            return Err(format!("block size {block} is not a multiple of 512 up to {MAX_BLOCK}"));
        }
        let h = Self {
            block,
            super_at: get32(b, Self::SUPER_AT),
            label: get32(b, Self::LABEL_AT),
            data: get32(b, Self::DATA_AT),
            end: get32(b, Self::END_AT),
        };
        let first = (HEADER_AT + HEADER_LEN as u64).div_ceil(block as u64);
        if u64::from(h.super_at) < first || h.super_at >= h.label || h.label >= h.data || h.data >= h.end {
            return Err(format!(
                "regions are out of order: super {}, labels {}, data {}, end {}",
                h.super_at, h.label, h.data, h.end
            ));
        }
        if h.byte(h.end) > len {
            return Err(format!("it ends at byte {}, but the partition has {len}", h.byte(h.end)));
        }
        let room = u64::from(h.data - h.label) * u64::from(h.labels_per_block());
        if room < u64::from(h.data_blocks()) {
            return Err(format!(
                "{}, but room for {room}",
                count::of(h.data_blocks(), "data block"),
                room = count::of(room, "label")
            ));
        }
        Ok(h)
    }

    /// Bytes of the header.
    pub fn write(&self) -> [u8; HEADER_LEN] {
        let mut b = [0; HEADER_LEN];
        b[0..4].copy_from_slice(&HEADER_MAGIC.to_be_bytes());
        b[Self::VERSION_AT..][..2].copy_from_slice(&1u16.to_be_bytes());
        b[Self::BLOCK_AT..][..2].copy_from_slice(&(self.block as u16).to_be_bytes());
        for (i, v) in [self.super_at, self.label, self.data, self.end].into_iter().enumerate() {
            b[Self::SUPER_AT + 4 * i..][..4].copy_from_slice(&v.to_be_bytes());
        }
        b
    }
}

/// The super block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Super {
    /// Low epoch: the oldest one whose blocks are available.
    pub epoch_low: u32,
    /// Epoch that is written now.
    pub epoch_high: u32,
    /// Next qid path to hand out.
    pub qid: u64,
    /// Address of the active root block.
    pub active: u32,
    /// Roots to archive: next and current; `!0` for none.
    pub next: u32,
    /// Root that is being archived; `!0` for none.
    pub current: u32,
    /// Score of the last archive.
    pub last: Score,
    /// Volume name, up to the first zero.
    pub name: Vec<u8>,
}

impl Super {
    // Offsets of the fields, after the magic.
    pub(super) const VERSION_AT: usize = 4;
    pub(super) const EPOCH_LOW_AT: usize = 6;
    pub(super) const EPOCH_HIGH_AT: usize = 10;
    pub(super) const QID_AT: usize = 14;
    pub(super) const ACTIVE_AT: usize = 22;
    pub(super) const NEXT_AT: usize = 26;
    pub(super) const CURRENT_AT: usize = 30;
    pub(super) const LAST_AT: usize = 34;
    pub(super) const NAME_AT: usize = 54;

    /// Longest name in bytes.
    pub const MAX_NAME: usize = 127;

    /// Reads the fields at the start of a block.
    ///
    /// # Errors
    /// Flaw of the super block, as part of a sentence.
    pub fn parse(b: &[u8]) -> Result<Self, String> {
        if get32(b, 0) != SUPER_MAGIC {
            return Err(format!("magic {:08x} instead of {SUPER_MAGIC:08x}", get32(b, 0)));
        }
        if get16(b, Self::VERSION_AT) != 1 {
            return Err(format!("version {} instead of 1", get16(b, Self::VERSION_AT)));
        }
        let s = Self {
            epoch_low: get32(b, Self::EPOCH_LOW_AT),
            epoch_high: get32(b, Self::EPOCH_HIGH_AT),
            qid: get64(b, Self::QID_AT),
            active: get32(b, Self::ACTIVE_AT),
            next: get32(b, Self::NEXT_AT),
            current: get32(b, Self::CURRENT_AT),
            last: Score::at(b, Self::LAST_AT),
            name: b[Self::NAME_AT..][..Self::MAX_NAME].split(|c| *c == 0).next().unwrap_or_default().to_vec(),
        };
        if s.epoch_low == 0 || s.epoch_low > s.epoch_high {
            return Err(format!("epochs {} to {}", s.epoch_low, s.epoch_high));
        }
        if s.qid == 0 {
            return Err("next qid 0".into());
        }
        Ok(s)
    }

    /// Fills the structure at the start of `b`; the name is cut at
    /// [`Self::MAX_NAME`].
    pub fn write(&self, b: &mut [u8]) {
        b[0..4].copy_from_slice(&SUPER_MAGIC.to_be_bytes());
        b[Self::VERSION_AT..][..2].copy_from_slice(&1u16.to_be_bytes());
        b[Self::EPOCH_LOW_AT..][..4].copy_from_slice(&self.epoch_low.to_be_bytes());
        b[Self::EPOCH_HIGH_AT..][..4].copy_from_slice(&self.epoch_high.to_be_bytes());
        b[Self::QID_AT..][..8].copy_from_slice(&self.qid.to_be_bytes());
        b[Self::ACTIVE_AT..][..4].copy_from_slice(&self.active.to_be_bytes());
        b[Self::NEXT_AT..][..4].copy_from_slice(&self.next.to_be_bytes());
        b[Self::CURRENT_AT..][..4].copy_from_slice(&self.current.to_be_bytes());
        b[Self::LAST_AT..][..SCORE_LEN].copy_from_slice(&self.last.0);
        let name = &self.name[..self.name.len().min(Self::MAX_NAME)];
        b[Self::NAME_AT..][..Self::MAX_NAME + 1].fill(0);
        b[Self::NAME_AT..][..name.len()].copy_from_slice(name);
    }
}

/// Label of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// State of the block: the bits [`Label::ALLOC`] to [`Label::CLOSED`], 0 for a free one, [`Label::BAD`].
    pub state: u8,
    /// Pointer level 0 to 7, plus [`Label::DIR`] in a directory's source.
    pub kind: u8,
    /// Epoch in which the block was allocated.
    pub epoch: u32,
    /// Epoch in which it was closed; [`Label::OPEN`] for one in use.
    pub close: u32,
    /// Number of the source that it belongs to.
    pub tag: u32,
}

impl Label {
    // Offsets of the fields.
    pub(super) const STATE_AT: usize = 0;
    pub(super) const KIND_AT: usize = 1;
    pub(super) const EPOCH_AT: usize = 2;
    pub(super) const CLOSE_AT: usize = 6;
    pub(super) const TAG_AT: usize = 10;

    /// State bit: in use.
    pub const ALLOC: u8 = 1;
    /// State bit: copied on write; the copy is in use.
    pub const COPIED: u8 = 2;
    /// State bit: stored in a venti as well.
    pub const VENTI: u8 = 4;
    /// State bit: unlinked; snapshots may still use it.
    pub const CLOSED: u8 = 8;
    /// State of a block that must not be used.
    pub const BAD: u8 = 0xff;
    /// The bit of `kind` for a directory's source.
    pub const DIR: u8 = 8;
    /// Never closed.
    pub const OPEN: u32 = !0;

    /// A block of epoch 1 that is in use.
    pub fn fresh(kind: u8, tag: u32) -> Self {
        Self { state: Self::ALLOC, kind, epoch: 1, close: Self::OPEN, tag }
    }

    /// Reads a label; the fields may contradict each other, see [`Self::flaw`].
    pub fn at(b: &[u8], at: usize) -> Self {
        let word = |field| get32(b, at + field);
        Self {
            state: b[at + Self::STATE_AT],
            kind: b[at + Self::KIND_AT],
            epoch: word(Self::EPOCH_AT),
            close: word(Self::CLOSE_AT),
            tag: word(Self::TAG_AT),
        }
    }

    /// Bytes of the label.
    pub fn write(&self) -> [u8; LABEL_LEN] {
        let mut b = [0; LABEL_LEN];
        b[Self::STATE_AT] = self.state;
        b[Self::KIND_AT] = self.kind;
        b[Self::EPOCH_AT..][..4].copy_from_slice(&self.epoch.to_be_bytes());
        b[Self::CLOSE_AT..][..4].copy_from_slice(&self.close.to_be_bytes());
        b[Self::TAG_AT..][..4].copy_from_slice(&self.tag.to_be_bytes());
        b
    }

    /// Reason why fossil would refuse this label
    /// (`/sys/src/cmd/fossil/pack.c`).
    pub fn flaw(&self) -> Option<&'static str> {
        if self.kind > 16 {
            return Some("its type is above 16");
        }
        if self.state == Self::BAD || self.state == 0 {
            return None;
        }
        if self.state & Self::ALLOC == 0 || self.state & !0x0f != 0 {
            return Some("its state is neither free, bad nor allocated");
        }
        match (self.is_closed(), self.close == Self::OPEN) {
            (true, true) => Some("it is closed, but in no epoch"),
            (false, false) => Some("it is open, but has an epoch in which it was closed"),
            _ => None,
        }
    }

    /// Whether the block is free.
    pub fn is_free(&self) -> bool {
        self.state == 0
    }
    /// Whether the block is unlinked from the live tree.
    pub fn is_closed(&self) -> bool {
        self.state & Self::CLOSED != 0 && self.state != Self::BAD
    }
}

/// A pointer to a block: here, in venti, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Score(pub [u8; SCORE_LEN]);

impl Score {
    /// SHA-1 of nothing: no block.
    pub const ZERO: Self = Self([
        0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf, 0xd8,
        0x07, 0x09,
    ]);

    /// Pointer to a data block of the same volume.
    pub fn local(address: u32) -> Self {
        let mut b = [0; SCORE_LEN];
        b[16..].copy_from_slice(&address.to_be_bytes());
        Self(b)
    }
    /// Pointer at byte `at` of a block.
    pub fn at(b: &[u8], at: usize) -> Self {
        let mut s = [0; SCORE_LEN];
        s.copy_from_slice(&b[at..at + SCORE_LEN]);
        Self(s)
    }
    /// The address, when the block is in this partition.
    pub fn address(&self) -> Option<u32> {
        let a = get32(&self.0, 16);
        (self.0[..16] == [0; 16] && a != NIL).then_some(a)
    }
    /// Whether nothing is pointed to.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
    /// Whether this is no address, and no digest either, but what damage makes
    /// of an address or of no block: digests have no eight zeros in 16 bytes,
    /// nor twelve bytes of another.
    pub fn is_damaged(&self) -> bool {
        let zeros = self.0[..16].iter().filter(|b| **b == 0).count();
        let nothing = self.0.iter().zip(Self::ZERO.0).filter(|(a, b)| *a == b).count();
        self.address().is_none() && !self.is_zero() && (zeros >= 8 || nothing >= 12)
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address() {
            Some(a) => write!(f, "{a}"),
            None if self.is_zero() => f.write_str("none"),
            None => self.0.iter().try_for_each(|b| write!(f, "{b:02x}")),
        }
    }
}

impl std::fmt::Debug for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Score({self})")
    }
}
