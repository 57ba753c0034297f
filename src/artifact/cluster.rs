//! Clusters: the pieces in which disks are read, compressed and stored.

use crate::read_at::Extent;

/// Bytes in a cluster: qcow2's default cluster, and the grain of VMware's own
/// streamOptimized disks, so that both formats store the same pieces.
pub const CLUSTER: usize = crate::partition::CLUSTER as usize;

/// Progress through the clusters of a list of extents.
#[derive(Default)]
pub struct Walk {
    extent: usize,
    /// First cluster not handed out yet.
    next: u64,
}

impl Walk {
    /// The next `start..end` of clusters that an extent touches.
    pub fn next_run(&mut self, extents: &[Extent]) -> Option<(u64, u64)> {
        loop {
            let e = extents.get(self.extent)?;
            let start = self.next.max(e.offset / CLUSTER as u64);
            let end = e.end().div_ceil(CLUSTER as u64);
            self.extent += 1;
            if start < end {
                self.next = end;
                return Some((start, end));
            }
        }
    }
}

/// `n` rounded up to a multiple of `to`.
pub const fn round_up(n: u64, to: u64) -> u64 {
    n.div_ceil(to) * to
}

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Pieces of fixed size that the compiler can turn into vector operations.
    let mut words = bytes.chunks_exact(64);
    words.by_ref().all(|w| w.iter().fold(0, |any, b| any | b) == 0) && words.remainder().iter().all(|b| *b == 0)
}
