//! Entries and the shape of the sources they describe.
//!
//! An entry says how long a source is and where the top of its tree of
//! pointers lies. In the volumes that p9img writes, the blocks of a source are
//! contiguous: data first, then each level of pointers, the top one last. So
//! [`Shape`] alone tells what every one of them holds.

use super::format::{BLOCK, ENTRY_LEN, Label, SCORE_LEN, Score, get16, get32};
use crate::count;

/// Bytes of pointers in a block that p9img writes.
pub(super) const POINTER_BYTES: usize = BLOCK / SCORE_LEN * SCORE_LEN;
/// Pointers in such a block.
pub(super) const POINTERS: u64 = (BLOCK / SCORE_LEN) as u64;
/// Entries in a block of a directory's source that p9img writes.
pub(super) const ENTRIES: usize = BLOCK / ENTRY_LEN;

/// One source, as its parent's source describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub generation: u32,
    /// Bytes of pointers in a pointer block.
    pub psize: u16,
    /// Bytes of data in a data block.
    pub dsize: u16,
    /// Active, directory, local, not archived; without the depth.
    pub flags: u8,
    pub depth: u8,
    /// Bytes in the source, 48 bits.
    pub size: u64,
    pub score: Score,
    /// Fields of local entries: archive flag, epoch of a snapshot, tag.
    pub archive: u8,
    pub snap: u32,
    pub tag: u32,
}

impl Entry {
    pub(super) const ACTIVE: u8 = 1;
    pub(super) const DIR: u8 = 2;
    pub(super) const LOCAL: u8 = 0x20;
    pub(super) const NO_ARCHIVE: u8 = 0x40;
    const DEPTH: u8 = 0x1c;

    // Offsets of the fields; those from ARCHIVE on are a part of the score of a local
    // entry.
    pub(super) const GENERATION_AT: usize = 0;
    pub(super) const PSIZE_AT: usize = 4;
    pub(super) const DSIZE_AT: usize = 6;
    pub(super) const FLAGS_AT: usize = 8;
    pub(super) const SIZE_AT: usize = 14;
    pub(super) const SCORE_AT: usize = 20;
    pub(super) const ARCHIVE_AT: usize = 27;
    pub(super) const SNAP_AT: usize = 28;
    pub(super) const TAG_AT: usize = 32;
    pub(super) const ADDRESS_AT: usize = 36;

    /// An empty source.
    pub(super) fn empty(is_dir: bool) -> Self {
        Self {
            generation: 0,
            psize: POINTER_BYTES as u16,
            dsize: BLOCK as u16,
            flags: Self::ACTIVE | if is_dir { Self::DIR } else { 0 },
            depth: 0,
            size: 0,
            score: Score::ZERO,
            archive: 0,
            snap: 0,
            tag: 0,
        }
    }

    /// The source of `size` bytes and this shape whose blocks start at
    /// address `first`.
    pub(super) fn placed(is_dir: bool, size: u64, shape: &Shape, first: u32, tag: u32) -> Self {
        let mut e = Self::empty(is_dir);
        if shape.total() > 0 {
            e.flags |= Self::LOCAL;
            e.depth = shape.depth();
            e.size = size;
            e.score = Score::local(first + shape.total() as u32 - 1);
            e.tag = tag;
        }
        e
    }

    /// Reads any 40 bytes.
    pub(super) fn parse(b: &[u8]) -> Self {
        let flags = b[Self::FLAGS_AT];
        let mut size = [0; 8];
        size[2..].copy_from_slice(&b[Self::SIZE_AT..Self::SCORE_AT]);
        let mut e = Self {
            generation: get32(b, Self::GENERATION_AT),
            psize: get16(b, Self::PSIZE_AT),
            dsize: get16(b, Self::DSIZE_AT),
            flags: flags & !Self::DEPTH,
            depth: (flags & Self::DEPTH) >> 2,
            size: u64::from_be_bytes(size),
            score: Score::at(b, Self::SCORE_AT),
            archive: 0,
            snap: 0,
            tag: 0,
        };
        if e.is_local() {
            e.archive = b[Self::ARCHIVE_AT];
            e.snap = get32(b, Self::SNAP_AT);
            e.tag = get32(b, Self::TAG_AT);
            e.score = Score::local(get32(b, Self::ADDRESS_AT));
        }
        e
    }

    pub(super) fn write(&self) -> [u8; ENTRY_LEN] {
        let mut b = [0; ENTRY_LEN];
        b[Self::GENERATION_AT..][..4].copy_from_slice(&self.generation.to_be_bytes());
        b[Self::PSIZE_AT..][..2].copy_from_slice(&self.psize.to_be_bytes());
        b[Self::DSIZE_AT..][..2].copy_from_slice(&self.dsize.to_be_bytes());
        b[Self::FLAGS_AT] = self.flags | self.depth << 2;
        b[Self::SIZE_AT..Self::SCORE_AT].copy_from_slice(&self.size.to_be_bytes()[2..]);
        if self.is_local() {
            b[Self::ARCHIVE_AT] = self.archive;
            b[Self::SNAP_AT..][..4].copy_from_slice(&self.snap.to_be_bytes());
            b[Self::TAG_AT..][..4].copy_from_slice(&self.tag.to_be_bytes());
            b[Self::ADDRESS_AT..][..4].copy_from_slice(&self.score.0[16..]);
        } else {
            b[Self::SCORE_AT..][..SCORE_LEN].copy_from_slice(&self.score.0);
        }
        b
    }

    pub(super) fn is_active(&self) -> bool {
        self.flags & Self::ACTIVE != 0
    }
    pub(super) fn is_dir(&self) -> bool {
        self.flags & Self::DIR != 0
    }
    pub(super) fn is_local(&self) -> bool {
        self.flags & Self::LOCAL != 0
    }
    /// Type in the label of the block that the score points to.
    pub(super) fn kind(&self) -> u8 {
        self.depth | if self.is_dir() { Label::DIR } else { 0 }
    }
    /// Pointers in a pointer block.
    pub(super) fn pointers(&self) -> u64 {
        (usize::from(self.psize) / SCORE_LEN) as u64
    }
    /// Entries in a data block, for a directory's source.
    pub(super) fn entries(&self) -> u64 {
        (usize::from(self.dsize) / ENTRY_LEN) as u64
    }
    /// Data blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(u64::from(self.dsize.max(1)))
    }
    /// Entries in a directory's source.
    pub(super) fn entry_count(&self) -> u64 {
        let dsize = u64::from(self.dsize.max(1));
        self.size / dsize * self.entries() + (self.size % dsize) / ENTRY_LEN as u64
    }

    /// Reason why fossil would not open this source on a volume with blocks of
    /// `block` bytes (`sourceAlloc` in `/sys/src/cmd/fossil/source.c`).
    pub(super) fn flaw(&self, block: usize) -> Option<String> {
        if !self.is_active() {
            return Some("it is not active".into());
        }
        let (psize, dsize) = (usize::from(self.psize), usize::from(self.dsize));
        if psize < 256 || dsize < 256 || psize > block || dsize > block {
            return Some(format!(
                "blocks hold {psize} of pointers and {dsize} of data, neither may be under 256 or over {block}",
                psize = count::of(psize, "byte")
            ));
        }
        let mut need = 0;
        let mut n = self.blocks();
        while n > 1 {
            n = n.div_ceil(self.pointers());
            need += 1;
        }
        if self.depth < need {
            return Some(format!(
                "depth {} is not enough for {}, which need {need}",
                self.depth,
                count::of(self.size, "byte")
            ));
        }
        if self.is_local() && self.tag == 0 {
            return Some("it is local, but has no tag".into());
        }
        None
    }
}

/// Bytes of a directory's source with `n` entries.
pub(super) fn dir_size(n: usize) -> u64 {
    (BLOCK * (n / ENTRIES) + ENTRY_LEN * (n % ENTRIES)) as u64
}

/// Number of blocks of a source on each level: data, then pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    levels: [u64; 8],
    depth: u8,
}

/// Position of a block in its source: level and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TreePosition {
    /// 0 for data.
    pub level: u8,
    /// Number of the block in its level.
    pub index: u64,
}

impl Shape {
    /// Shape of a source with `blocks` data blocks, at most
    /// [`super::format::MAX_FILE_BLOCKS`].
    pub(super) fn new(blocks: u64) -> Self {
        let mut s = Self { levels: [0; 8], depth: 0 };
        s.levels[0] = blocks;
        while s.levels[usize::from(s.depth)] > 1 {
            let below = s.levels[usize::from(s.depth)];
            s.depth += 1;
            s.levels[usize::from(s.depth)] = below.div_ceil(POINTERS);
        }
        s
    }
    /// Shape of a source of `size` bytes.
    pub(super) fn for_size(size: u64) -> Self {
        Self::new(size.div_ceil(BLOCK as u64))
    }
    /// Levels of pointers.
    pub(super) fn depth(&self) -> u8 {
        self.depth
    }
    /// Data blocks.
    pub(super) fn data(&self) -> u64 {
        self.levels[0]
    }
    /// All blocks.
    pub(super) fn total(&self) -> u64 {
        self.levels.iter().sum()
    }
    /// Position of the `n`th block.
    pub(super) fn position(&self, mut n: u64) -> TreePosition {
        let mut level = 0;
        while level < self.depth && n >= self.levels[usize::from(level)] {
            n -= self.levels[usize::from(level)];
            level += 1;
        }
        TreePosition { level, index: n }
    }
    /// Fills a pointer block at `position` of a source that starts at address
    /// `first`.
    pub(super) fn write_pointers(&self, position: TreePosition, first: u32, block: &mut [u8]) {
        let below = usize::from(position.level) - 1;
        let start: u64 = self.levels[..below].iter().sum();
        block.fill(0);
        for i in 0..POINTERS {
            let child = position.index * POINTERS + i;
            let score = match child < self.levels[below] {
                true => Score::local(first + (start + child) as u32),
                false => Score::ZERO,
            };
            let at = i as usize * SCORE_LEN;
            block[at..at + SCORE_LEN].copy_from_slice(&score.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_grows_where_the_notes_say() {
        let depth = |size| Shape::for_size(size).depth();
        for (size, d) in [(0, 0), (1, 0), (8192, 0), (8193, 1), (3_350_528, 1), (3_350_529, 2)] {
            assert_eq!(depth(size), d, "{size}");
        }
        for (size, d) in [(1_370_365_952, 2), (1_370_365_953, 3), (560_479_674_368, 3), (560_479_674_369, 4)] {
            assert_eq!(depth(size), d, "{size}");
        }
    }

    #[test]
    fn an_entry_is_forty_known_bytes() {
        let e = Entry::placed(true, 0x0102_0304_0506, &Shape::new(2), 0x10, 0x21);
        let mut want = vec![0, 0, 0, 0, 0x1f, 0xf4, 0x20, 0, 0x27, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        want.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0x12]);
        assert_eq!(e.write()[..], want);
        assert_eq!(Entry::parse(&want), e);
        let empty = Entry::empty(false).write();
        assert_eq!(empty[8..20], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(empty[20..24], [0xda, 0x39, 0xa3, 0xee]);
    }
}
