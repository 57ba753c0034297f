//! MetroHash64, variant 1: the hash in every pointer of a gefs
//! (`/sys/src/cmd/gefs/hash.c`). Crates have the later variants, whose
//! constants differ.

/// The seed of gefs.
const SEED: u32 = 0x6765;

const K: [u64; 4] = [0xc83a_91e1, 0x8648_dbdb, 0x7bde_c03b, 0x2f58_70a5];

/// The hash of some bytes, as gefs stores it.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    metro(bytes, SEED)
}

/// The first `N` bytes as a little-endian number.
fn word<const N: usize>(b: &[u8]) -> u64 {
    let mut w = [0; 8];
    w[..N].copy_from_slice(&b[..N]);
    u64::from_le_bytes(w)
}

fn metro(bytes: &[u8], seed: u32) -> u64 {
    let mul = u64::wrapping_mul;
    let add = u64::wrapping_add;
    let mut hash = add(mul(add(u64::from(seed), K[2]), K[0]), bytes.len() as u64);
    let lines = bytes.chunks_exact(32);
    let mut rest = lines.remainder();
    if lines.len() > 0 {
        let mut v = [hash; 4];
        for line in lines {
            v[0] = add(add(v[0], mul(word::<8>(line), K[0])).rotate_right(29), v[2]);
            v[1] = add(add(v[1], mul(word::<8>(&line[8..]), K[1])).rotate_right(29), v[3]);
            v[2] = add(add(v[2], mul(word::<8>(&line[16..]), K[2])).rotate_right(29), v[0]);
            v[3] = add(add(v[3], mul(word::<8>(&line[24..]), K[3])).rotate_right(29), v[1]);
        }
        let mix = |a: u64, b: u64, c: u64, k: usize| mul(add(mul(add(a, b), K[k]), c).rotate_right(33), K[1 - k]);
        v[2] ^= mix(v[0], v[3], v[1], 0);
        v[3] ^= mix(v[1], v[2], v[0], 1);
        v[0] ^= mix(v[0], v[2], v[3], 0);
        v[1] ^= mix(v[1], v[3], v[2], 1);
        hash = add(hash, v[0] ^ v[1]);
    }
    if let Some((line, more)) = rest.split_first_chunk::<16>() {
        let mut a = mul(add(hash, mul(word::<8>(line), K[0])).rotate_right(33), K[1]);
        let mut b = mul(add(hash, mul(word::<8>(&line[8..]), K[1])).rotate_right(33), K[2]);
        a ^= add(mul(a, K[0]).rotate_right(35), b);
        b ^= add(mul(b, K[3]).rotate_right(35), a);
        hash = add(hash, b);
        rest = more;
    }
    let tail = |hash: u64, w: u64, turn: u32| {
        let hash = add(hash, mul(w, K[3]));
        hash ^ mul(hash.rotate_right(turn), K[1])
    };
    if rest.len() >= 8 {
        hash = tail(hash, word::<8>(rest), 33);
        rest = &rest[8..];
    }
    if rest.len() >= 4 {
        hash = tail(hash, word::<4>(rest), 15);
        rest = &rest[4..];
    }
    if rest.len() >= 2 {
        hash = tail(hash, word::<2>(rest), 13);
        rest = &rest[2..];
    }
    if !rest.is_empty() {
        hash = tail(hash, word::<1>(rest), 25);
    }
    hash ^= hash.rotate_right(33);
    hash = mul(hash, K[0]);
    hash ^ hash.rotate_right(33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that MetroHash's author published with it: 63 bytes, so
    /// that every tail is gone through.
    #[test]
    fn the_published_vectors_come_out() {
        let key: Vec<u8> = b"0123456789".iter().copied().cycle().take(60).chain(*b"012").collect();
        assert_eq!(metro(&key, 0).to_le_bytes(), [0x65, 0x8f, 0x04, 0x4f, 0x5c, 0x73, 0x0e, 0x40]);
        assert_eq!(metro(&key, 1).to_le_bytes(), [0xae, 0x49, 0xeb, 0xb0, 0xa8, 0x56, 0x53, 0x7b]);
    }

    /// The header of a node's first arena as 9front itself had written it, and
    /// the hash that 9front's super block said of it.
    #[test]
    fn a_block_of_9fronts_has_the_hash_that_9front_says() {
        let fields = [0x26_8000u64, u64::MAX, 0xebd_0000, 0x3d3_c000];
        let mut block = [&[0, 5][..], &fields.map(u64::to_be_bytes).concat()].concat();
        block.resize(16_384, 0);
        assert_eq!(hash(&block), 0x25cb_f5de_90e2_3e83);
    }
}
