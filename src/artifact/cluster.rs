//! Clusters: the pieces in which disks are read, compressed and stored.

/// Bytes in a cluster: qcow2's default cluster, and the grain of VMware's own
/// streamOptimized disks, so that both formats store the same pieces.
pub const CLUSTER: usize = crate::partition::CLUSTER as usize;

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
