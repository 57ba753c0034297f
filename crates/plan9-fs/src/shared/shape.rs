//! The blocks of one file or directory, placed one after the other: first what
//! it holds, then its blocks of pointers, for each tree of them the lowest
//! level first. So every address follows from the first one.

use std::marker::PhantomData;

/// Trees of pointers that an entry has: the first of height 1, and so on.
pub(crate) const LEVELS: usize = 4;

/// Pointer structure of a format.
pub trait Reach {
    /// Blocks that an entry points to itself.
    const DIRECT: u64;
    /// Pointers in a block of them.
    const POINTERS: u64;
    /// Most blocks that an entry reaches, without those of pointers.
    const MAX_DATA: u64 =
        Self::DIRECT + Self::POINTERS + Self::POINTERS.pow(2) + Self::POINTERS.pow(3) + Self::POINTERS.pow(4);
}

/// One level of one tree of pointers.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Number of its first block, counted from the file's first.
    start: u64,
    blocks: u64,
    /// Number of the first block that it points to, and how many these are.
    below: u64,
    pointers: u64,
    /// Levels below.
    height: usize,
    /// The index of the tree, when this is its top.
    top: Option<usize>,
}

/// Blocks of a file: their number, and the position of each.
#[derive(Clone, Debug)]
pub struct Shape<R> {
    data: u64,
    levels: Vec<Level>,
    reach: PhantomData<R>,
}

impl<R: Reach> Shape<R> {
    /// The shape of `data` blocks, of which there are at most `MAX_DATA`.
    pub fn new(data: u64) -> Self {
        let mut levels = Vec::new();
        let mut next = data;
        let mut first = R::DIRECT;
        let mut reach = 1;
        for tree in 0..LEVELS {
            reach *= R::POINTERS;
            let Some(covered) = data.checked_sub(first).filter(|n| *n > 0).map(|n| n.min(reach)) else { break };
            let (mut below, mut pointers) = (first, covered);
            for height in 0..=tree {
                let blocks = pointers.div_ceil(R::POINTERS);
                let top = (height == tree).then_some(tree);
                levels.push(Level { start: next, blocks, below, pointers, height, top });
                (below, pointers) = (next, blocks);
                next += blocks;
            }
            first += covered;
        }
        Self { data, levels, reach: PhantomData }
    }

    /// Blocks that hold bytes or entries.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// All blocks.
    pub fn total(&self) -> u64 {
        self.levels.last().map_or(self.data, |l| l.start + l.blocks)
    }

    /// Fills in what the entry says when the first block is at `first`;
    /// `direct` has as many pointers as the format.
    pub fn point(&self, first: u64, direct: &mut [u64], indirect: &mut [u64; LEVELS]) {
        for (slot, at) in direct.iter_mut().zip(first..first + self.data) {
            *slot = at;
        }
        for level in &self.levels {
            if let Some(tree) = level.top {
                indirect[tree] = first + level.start;
            }
        }
    }

    /// Fills `pointers`, which are zeros, with the block of them number `n`,
    /// counted from the first block, which is not one of [`Self::data`] and
    /// lies within [`Self::total`]. Returns its height: 0 for one that points
    /// to data.
    pub fn indirect(&self, n: u64, first: u64, pointers: &mut [u8]) -> usize {
        let Some(level) = self.levels.iter().rfind(|l| l.start <= n) else { return 0 };
        let from = (n - level.start) * R::POINTERS;
        let to = (from + R::POINTERS).min(level.pointers);
        for (slot, i) in pointers.chunks_exact_mut(8).zip(from..to) {
            slot.copy_from_slice(&(first + level.below + i).to_le_bytes());
        }
        level.height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hjfs;
    impl Reach for Hjfs {
        const DIRECT: u64 = 15;
        const POINTERS: u64 = 341;
    }
    struct Cwfs;
    impl Reach for Cwfs {
        const DIRECT: u64 = 6;
        const POINTERS: u64 = 2046;
    }

    /// All addresses, found as a server finds them.
    fn follow<R: Reach>(shape: &Shape<R>, first: u64) -> Vec<u64> {
        let (mut direct, mut indirect) = (vec![0; R::DIRECT as usize], [0; LEVELS]);
        shape.point(first, &mut direct, &mut indirect);
        let mut out: Vec<u64> = direct.into_iter().filter(|a| *a != 0).collect();
        for (tree, top) in indirect.into_iter().enumerate().filter(|(_, a)| *a != 0) {
            let mut addresses = vec![top];
            for height in (0..=tree).rev() {
                let mut below = Vec::new();
                for a in addresses {
                    let mut block = vec![0; 8 * R::POINTERS as usize];
                    assert_eq!(shape.indirect(a - first, first, &mut block), height);
                    below.extend(block.chunks(8).map(|p| u64::from_le_bytes(p.try_into().unwrap())));
                }
                addresses = below.into_iter().filter(|a| *a != 0).collect();
            }
            out.extend(addresses);
        }
        out
    }

    fn all<R: Reach>(sizes: &[u64]) {
        for n in sizes {
            let shape = Shape::<R>::new(*n);
            assert_eq!(follow(&shape, 1000), (1000..1000 + n).collect::<Vec<_>>(), "{n}");
        }
    }

    #[test]
    fn every_block_is_reached_in_order() {
        let two = 15 + 341 + 341 * 341;
        all::<Hjfs>(&[0, 1, 15, 16, 356, 357, 358, 700, two, two + 1, 118_000]);
        all::<Cwfs>(&[0, 5, 6, 7, 2052, 2053, 5000, 6 + 2046 + 2 * 2046, 6 + 2046 + 2 * 2046 + 1]);
        assert_eq!(Shape::<Hjfs>::new(15).total(), 15);
        assert_eq!(Shape::<Hjfs>::new(16).total(), 17);
        assert_eq!(Shape::<Hjfs>::new(357).total(), 357 + 1 + 2);
        assert_eq!(Cwfs::MAX_DATA, 6 + 2046 + 2046u64.pow(2) + 2046u64.pow(3) + 2046u64.pow(4));
    }
}
