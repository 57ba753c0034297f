//! Ports of this machine for the nodes' services when the lab runs.
//!
//! The first node's from `base + 10` on, the second's from `base + 20`; a node
//! with more than ten services takes as many tens as it needs.

/// Ports of a node begin at a multiple of this after the base.
pub const STRIDE: usize = 10;

/// Groups of ten ports that a node with so many services takes.
pub fn tens(services: usize) -> usize {
    services.div_ceil(STRIDE).max(1)
}

/// The highest port that nodes with so many services each need; none if no node
/// has services.
pub fn highest(base: u16, services: impl IntoIterator<Item = usize>) -> Option<usize> {
    let mut begin = usize::from(base) + STRIDE;
    let mut highest = None;
    for count in services {
        if count > 0 {
            highest = Some(begin + count - 1);
        }
        begin += STRIDE * tens(count);
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_whole_tens() {
        assert_eq!(highest(2000, [1, 12, 0, 1]), Some(2050));
        assert_eq!(highest(2000, [1, 0]), Some(2010));
        assert_eq!(highest(2000, [0]), None);
    }
}
