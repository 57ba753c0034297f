//! Putting hashes right, so that tests and fuzzing reach the blocks below them:
//! a wound below a hash is found by the hash, and by nothing else.

use super::format::{
    ARENA, BLOCK, BLOCK64, K_DATA, K_SNAP, LEAF, LEAF_HEAD, LOG, LOG_HEAD, LOG_SPACE, MAX_ARENAS, PIVOT, PIVOT_HEAD,
    Snap, VERSION, get16, get32, get64, put64,
};
use super::hash::hash;
use super::tree::MAX_HEIGHT;
use crate::read_at::ReadAt;
use std::collections::BTreeMap;
use std::io;

/// Offset of the arenas in the super block.
const ARENAS_AT: usize = 104;

/// The blocks of an image, by their numbers, that must change for all hashes to
/// be those of what there is, from the super block down. Other damage stays.
///
/// # Errors
/// Fails when the image cannot be read.
pub fn mend(image: &dyn ReadAt) -> io::Result<BTreeMap<u64, Vec<u8>>> {
    let mut m = Mender { image, blocks: image.len() / BLOCK64, changed: BTreeMap::new(), sums: BTreeMap::new() };
    let Some(mut first) = m.block(0)?.filter(|b| b[..8] == VERSION) else { return Ok(m.changed) };
    let arenas = get32(&first, 16).min(MAX_ARENAS) as usize;
    for at in (0..arenas).map(|i| ARENAS_AT + 16 * i) {
        let address = get64(&first, at);
        let Some(header) = m.block(address)? else { continue };
        if get16(&header, 0) == ARENA {
            m.logs(get64(&header, 2))?;
        }
        put64(&mut first, at + 8, hash(&header));
    }
    let root = m.sum(get64(&first, 24), true, MAX_HEIGHT)?;
    put64(&mut first, 32, root);
    let end = ARENAS_AT + 16 * arenas;
    let whole = hash(&first[..end]);
    put64(&mut first, end, whole);
    m.changed.insert(m.blocks - 1, first.clone());
    m.changed.insert(0, first);
    Ok(m.changed)
}

struct Mender<'a> {
    image: &'a dyn ReadAt,
    blocks: u64,
    changed: BTreeMap<u64, Vec<u8>>,
    /// Hashes by address; 0 for a block that is being read.
    sums: BTreeMap<u64, u64>,
}

impl Mender<'_> {
    fn block(&self, address: u64) -> io::Result<Option<Vec<u8>>> {
        if !address.is_multiple_of(BLOCK64) || address / BLOCK64 >= self.blocks {
            return Ok(None);
        }
        let mut b = vec![0; BLOCK];
        self.image.read_at(address, &mut b)?;
        Ok(Some(b))
    }

    fn logs(&mut self, mut at: u64) -> io::Result<()> {
        while let Some(mut b) = self.block(at)?.filter(|b| get16(b, 0) == LOG) {
            let bytes = usize::from(get16(&b, 2)).min(LOG_SPACE);
            let sum = hash(&b[LOG_HEAD..LOG_HEAD + bytes]);
            put64(&mut b, 4, sum);
            let next = get64(&b, 12);
            if self.changed.insert(at / BLOCK64, b).is_some() {
                break;
            }
            at = next;
        }
        Ok(())
    }

    /// The hash of a block when all below it are right.
    fn sum(&mut self, address: u64, tree: bool, height: u32) -> io::Result<u64> {
        if let Some(sum) = self.sums.get(&address) {
            return Ok(*sum);
        }
        let Some(mut b) = self.block(address)? else { return Ok(0) };
        self.sums.insert(address, 0);
        let (kind, head) = match get16(&b, 0) {
            PIVOT => (PIVOT, PIVOT_HEAD),
            LEAF => (LEAF, LEAF_HEAD),
            _ => (0, BLOCK),
        };
        let count = if tree && kind != 0 && height > 0 { usize::from(get16(&b, 2)).min((BLOCK - head) / 2) } else { 0 };
        for i in 0..count {
            let cell = head + usize::from(get16(&b, head + 2 * i));
            let Some(value) = b.get(cell..cell + 3).map(|c| cell + 4 + usize::from(get16(c, 0))) else { continue };
            let (pointer, below) = match (kind, b[cell + 2]) {
                (PIVOT, _) => (value, true),
                (_, K_DATA) => (value, false),
                (_, K_SNAP) => (value + Snap::ROOT_AT, true),
                _ => continue,
            };
            if pointer + 16 <= BLOCK {
                let sum = self.sum(get64(&b, pointer), below, height - 1)?;
                put64(&mut b, pointer + 8, sum);
            }
        }
        let sum = hash(&b);
        self.sums.insert(address, sum);
        if count > 0 {
            self.changed.insert(address / BLOCK64, b);
        }
        Ok(sum)
    }
}
