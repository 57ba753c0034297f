//! Trees put together at once, from keys and values in their order: leaves
//! first, then pivots without messages, level by level. Until a block is read,
//! its pointers hold block indices instead of addresses, and no hashes.

use super::area::Area;
use super::arenas::{BlockIndex, Map};
use super::format::{BLOCK64, K_DATA, K_SNAP, LEAF, LEAF_HEAD, PIVOT, PIVOT_HEAD, Pointer, Snap, get16, get64, put64};
use super::node::{CHILD, COUNT_AT, Filler};

/// A block of a tree that a pivot can point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    /// The smallest key below it.
    pub key: Vec<u8>,
    pub index: BlockIndex,
    pub fill: u16,
}

/// A tree that was put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub index: BlockIndex,
    pub height: u32,
}

/// A leaf that is being filled, and those that are done.
pub(super) struct Leaves {
    now: Filler,
    first: Vec<u8>,
    pub done: Vec<Child>,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Self { now: Filler::leaf(), first: Vec::new(), done: Vec::new() }
    }

    /// Adds a value; keys come in their order. True when it is the first of a
    /// new leaf.
    pub(super) fn push(&mut self, area: &mut Area, key: &[u8], value: &[u8]) -> bool {
        if !self.now.fits(key.len(), value.len()) {
            self.close(area);
        }
        let first = self.now.is_empty();
        if first {
            self.first = key.to_vec();
        }
        self.now.push(key, value);
        first
    }

    /// Ends the leaf, if it has a value.
    pub(super) fn close(&mut self, area: &mut Area) {
        if self.now.is_empty() {
            return;
        }
        let (block, fill) = std::mem::replace(&mut self.now, Filler::leaf()).finish();
        let key = std::mem::take(&mut self.first);
        self.done.push(Child { key, index: area.add_block(&block), fill });
    }
}

/// A tree of some values.
pub(super) fn load(area: &mut Area, generation: u64, values: &[(Vec<u8>, Vec<u8>)]) -> Root {
    let mut leaves = Leaves::new();
    for (key, value) in values {
        leaves.push(area, key, value);
    }
    leaves.close(area);
    pivots(area, generation, leaves.done)
}

/// The pivots over some leaves, of which there is at least one.
pub(super) fn pivots(area: &mut Area, generation: u64, mut level: Vec<Child>) -> Root {
    let mut height = 1;
    while level.len() > 1 {
        let mut groups: Vec<usize> = Vec::new();
        let mut sizes = Filler::pivot();
        let mut count = 0;
        for child in &level {
            if !sizes.fits(child.key.len(), CHILD) {
                groups.push(count);
                (sizes, count) = (Filler::pivot(), 0);
            }
            sizes.push(&child.key, &[0; CHILD]);
            count += 1;
        }
        groups.push(count);
        // A pivot has two values at least.
        if let [.., before, last @ 1] = &mut groups[..] {
            *before -= 1;
            *last += 1;
        }
        let mut next = Vec::with_capacity(groups.len());
        let mut rest = &level[..];
        for n in groups {
            let (some, more) = rest.split_at(n);
            rest = more;
            let mut pivot = Filler::pivot();
            for child in some {
                let pointer = Pointer { address: child.index, hash: 0, generation };
                let value = [&pointer.write()[..], &child.fill.to_be_bytes()].concat();
                pivot.push(&child.key, &value);
            }
            let (block, fill) = pivot.finish();
            next.push(Child { key: some[0].key.clone(), index: area.add_block(&block), fill });
        }
        level = next;
        height += 1;
    }
    Root { index: level[0].index, height }
}

/// The byte of the partition at which an index is; an index after all others has
/// none, and is refused before anything is written.
pub(super) fn address(map: &Map, index: BlockIndex) -> u64 {
    map.block(index).map_or(u64::MAX, |(block, _)| block * BLOCK64)
}

/// Replaces placeholders by addresses and hashes in a block that was made here.
pub(super) fn fill_in(block: &mut [u8], map: &Map, found: &dyn Fn(BlockIndex) -> u64) {
    let (kind, head) = match get16(block, 0) {
        PIVOT => (PIVOT, PIVOT_HEAD),
        _ => (LEAF, LEAF_HEAD),
    };
    for i in 0..usize::from(get16(block, COUNT_AT)) {
        let cell = head + usize::from(get16(block, head + 2 * i));
        let key = cell + 2;
        let value = key + usize::from(get16(block, cell)) + 2;
        let pointer = match (kind, block[key]) {
            (PIVOT, _) | (LEAF, K_DATA) => value,
            (_, K_SNAP) => value + Snap::ROOT_AT,
            _ => continue,
        };
        let index = get64(block, pointer);
        put64(block, pointer, address(map, index));
        put64(block, pointer + 8, found(index));
    }
}

#[cfg(test)]
mod tests {
    use super::super::arenas::Arenas;
    use super::super::node::Node;
    use super::*;

    #[test]
    fn all_values_are_below_the_root_in_their_order() {
        let map = Map::new(Arenas::new(1 << 30).unwrap(), 1000, 0).unwrap();
        for n in [1u64, 100, 3000, 60_000] {
            let values: Vec<_> = (0..n).map(|i| (i.to_be_bytes().to_vec(), vec![9; 90])).collect();
            let mut area = Area::new(0);
            let root = load(&mut area, 2, &values);
            assert_eq!(root.index + 1, area.end());
            let read = |index: BlockIndex| {
                let mut b = vec![0; super::super::format::BLOCK];
                area.read_made(index, 0, &mut b, &map, &|_| 5);
                Node::parse(b).unwrap_or_else(|e| panic!("{e}"))
            };
            let mut level = vec![(root.index, None)];
            for height in (1..=root.height).rev() {
                let mut below = Vec::new();
                for (index, fill) in &level {
                    let node = read(*index);
                    assert!(fill.is_none_or(|f| f == node.fill()));
                    assert_eq!(node.is_pivot(), height > 1);
                    assert!(height == 1 || node.len() > 1, "a pivot has two values");
                    if height > 1 {
                        below.extend((0..node.len()).map(|i| {
                            let (pointer, fill) = node.child(i);
                            assert_eq!((pointer.hash, pointer.generation), (5, 2));
                            (map.index(pointer.address / BLOCK64).unwrap().0, Some(fill))
                        }));
                    }
                }
                if height > 1 {
                    level = below;
                }
            }
            let keys: Vec<_> = level
                .iter()
                .flat_map(|(index, _)| {
                    let node = read(*index);
                    (0..node.len()).map(|i| node.key(i).to_vec()).collect::<Vec<_>>()
                })
                .collect();
            assert!(keys.iter().eq(values.iter().map(|(k, _)| k)), "{n}");
        }
    }
}
