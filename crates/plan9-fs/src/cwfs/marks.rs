//! A set of block addresses that takes memory only where there are some.

use std::collections::BTreeMap;

/// Words of 64 bits in a page.
const WORDS: usize = 64;
const PAGE: u64 = 64 * WORDS as u64;

#[derive(Default)]
pub(super) struct Marks(BTreeMap<u64, [u64; WORDS]>);

impl Marks {
    /// Adds an address; false when it was there.
    pub(super) fn insert(&mut self, address: u64) -> bool {
        let page = self.0.entry(address / PAGE).or_insert([0; WORDS]);
        let (word, bit) = ((address % PAGE / 64) as usize, 1 << (address % 64));
        let new = page[word] & bit == 0;
        page[word] |= bit;
        new
    }

    /// The ranges of `from..to` that are not in the set.
    pub(super) fn gaps(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let mut at = from;
        for (page, words) in self.0.range(from / PAGE..) {
            for (i, word) in words.iter().enumerate().filter(|(_, w)| **w != 0) {
                for bit in (0..64).filter(|b| word >> b & 1 == 1) {
                    let address = page * PAGE + i as u64 * 64 + bit;
                    if at < address.min(to) {
                        out.push((at, address.min(to)));
                    }
                    at = at.max(address + 1);
                }
            }
        }
        if at < to {
            out.push((at, to));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_was_not_added() {
        let mut m = Marks::default();
        assert_eq!(m.gaps(2, 10), [(2, 10)]);
        for a in [3, 4, 63, 64, 5000, 1 << 50] {
            assert!(m.insert(a) && !m.insert(a));
        }
        assert_eq!(m.gaps(2, 66), [(2, 3), (5, 63), (65, 66)]);
        assert_eq!(m.gaps(4, 5), []);
        assert_eq!(m.gaps(4999, 5003), [(4999, 5000), (5001, 5003)]);
        assert_eq!(m.gaps(5001, 1 << 51), [(5001, 1 << 50), ((1 << 50) + 1, 1 << 51)]);
    }
}
