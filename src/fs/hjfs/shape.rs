//! The blocks of one file or directory, placed one after the other: first what
//! it holds, then its indirect blocks, for each tree of them the lowest level
//! first. So every address follows from the first one.

use super::format::{BLOCK, DIRECT, INDIRECT, LEVELS, POINTERS, Pointers};

/// One level of one tree of indirect blocks.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Where its first block is, counted from the file's first.
    start: u64,
    blocks: u64,
    /// Where what its first block points to is, and how many those are.
    below: u64,
    pointers: u64,
    /// The index of the tree, when this is its top.
    top: Option<usize>,
}

/// How many blocks a file has, and where each is.
#[derive(Clone, Debug)]
pub struct Shape {
    data: u64,
    levels: Vec<Level>,
}

/// Most blocks that a dentry reaches, without indirect ones.
pub const MAX_DATA: u64 = DIRECT as u64 + POINTERS + POINTERS.pow(2) + POINTERS.pow(3) + POINTERS.pow(LEVELS as u32);

impl Shape {
    /// The shape of `data` blocks, of which there are at most [`MAX_DATA`].
    pub fn new(data: u64) -> Self {
        let mut levels = Vec::new();
        let mut next = data;
        let mut first = DIRECT as u64;
        let mut reach = 1;
        for tree in 0..LEVELS {
            reach *= POINTERS;
            let Some(covered) = data.checked_sub(first).filter(|n| *n > 0).map(|n| n.min(reach)) else { break };
            let (mut below, mut pointers) = (first, covered);
            for level in 0..=tree {
                let blocks = pointers.div_ceil(POINTERS);
                let top = (level == tree).then_some(tree);
                levels.push(Level { start: next, blocks, below, pointers, top });
                (below, pointers) = (next, blocks);
                next += blocks;
            }
            first += covered;
        }
        Self { data, levels }
    }

    /// Blocks that hold bytes or dentries.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// All blocks.
    pub fn total(&self) -> u64 {
        self.levels.last().map_or(self.data, |l| l.start + l.blocks)
    }

    /// What the dentry says when the first block is at `first`.
    pub fn pointers(&self, first: u64) -> Pointers {
        let mut out = Pointers::default();
        for (slot, at) in out.direct.iter_mut().zip(first..first + self.data) {
            *slot = at;
        }
        for level in &self.levels {
            if let Some(tree) = level.top {
                out.indirect[tree] = first + level.start;
            }
        }
        out
    }

    /// The indirect block number `n`, counted from the first block, which is
    /// not one of [`Self::data`] and lies within [`Self::total`].
    pub fn indirect(&self, n: u64, first: u64) -> [u8; BLOCK] {
        let level = self.levels.iter().rfind(|l| l.start <= n).copied();
        let mut block = [0; BLOCK];
        block[0] = INDIRECT;
        if let Some(level) = level {
            let from = (n - level.start) * POINTERS;
            let to = (from + POINTERS).min(level.pointers);
            for (slot, i) in block[1..].chunks_exact_mut(8).zip(from..to) {
                slot.copy_from_slice(&(first + level.below + i).to_le_bytes());
            }
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::pointer_at;
    use super::*;

    /// All addresses, found as hjfs finds them.
    fn follow(shape: &Shape, first: u64) -> Vec<u64> {
        let p = shape.pointers(first);
        let mut out: Vec<u64> = p.direct.into_iter().filter(|a| *a != 0).collect();
        for (tree, top) in p.indirect.into_iter().enumerate().filter(|(_, a)| *a != 0) {
            let mut addresses = vec![top];
            for _ in 0..=tree {
                let blocks = addresses.iter().map(|a| shape.indirect(a - first, first));
                addresses = blocks.flat_map(|b| (0..POINTERS).map(move |i| pointer_at(&b, i))).collect();
                addresses.retain(|a| *a != 0);
            }
            out.extend(addresses);
        }
        out
    }

    #[test]
    fn every_block_is_reached_in_order() {
        for n in [0, 1, 15, 16, 356, 357, 358, 700, 15 + 341 + 341 * 341, 15 + 341 + 341 * 341 + 1, 118_000] {
            let shape = Shape::new(n);
            assert_eq!(follow(&shape, 1000), (1000..1000 + n).collect::<Vec<_>>(), "{n}");
        }
        assert_eq!(Shape::new(15).total(), 15);
        assert_eq!(Shape::new(16).total(), 17);
        assert_eq!(Shape::new(357).total(), 357 + 1 + 2);
    }
}
