//! The probe: a fixed set of clusters, compressed by every method and digested. An
//! equal digest means that the libraries which are linked into this program, on this
//! processor, give the bytes that its version promises.

use super::{Method, Packed, Packer};
use crate::artifact::cluster::CLUSTER;
use crate::artifact::error::Error;
use crate::digest::FieldHasher;

/// Digest of the probe. If its test fails, other bytes come out of a codec: raise
/// `CONTAINERS`, say so in CHANGELOG.md, and put the new one here.
pub const DIGEST: &str = "621193c46767e1de672cb33e452af55889e36d3186b9b1c19b1c9c79056e4cb1";

/// The clusters: zeros and one byte, text, a table of numbers, something like
/// machine code, a short period, one that is longer than a window, and noise.
pub fn clusters() -> Vec<Vec<u8>> {
    // An xorshift generator: the same everywhere.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut almost_zeros = vec![0; CLUSTER];
    almost_zeros[CLUSTER / 3] = 1;
    let words: [&[u8]; 8] = [b"the ", b"file ", b"server ", b"of ", b"a grid, ", b"which ", b"listens.\n", b"\t"];
    let text = (0..CLUSTER).flat_map(|_| words[(random() % 8) as usize]).copied().take(CLUSTER).collect();
    let table = (0..CLUSTER as u32 / 4).flat_map(|i| (i * i / 5).to_be_bytes()).collect();
    let code = (0..CLUSTER / 8).flat_map(|_| {
        let r = random();
        [0x8b, 0x44, 0x24, (r % 7) as u8 * 4, 0xe8, (r >> 8) as u8 & 0x1f, (r >> 13) as u8 & 3, 0]
    });
    let code = code.collect();
    let period = b"plan9n1 plan9n2 plan9n3 plan9n4".iter().copied().cycle().take(CLUSTER).collect();
    let long: Vec<u8> = std::iter::repeat_with(|| random() as u8).take(20_000).collect();
    let long = long.into_iter().cycle().take(CLUSTER).collect();
    let noise = std::iter::repeat_with(|| random() as u8).take(CLUSTER).collect();
    vec![almost_zeros, text, table, code, period, long, noise]
}

/// Digest of what the libraries make of the clusters.
pub fn run() -> String {
    let (clusters, mut packer, mut hash) = (clusters(), Packer::default(), FieldHasher::new());
    for method in Method::ALL {
        for cluster in &clusters {
            match packer.pack(method, cluster) {
                Packed::Deflate { stream, adler32 } => {
                    hash.field(&stream);
                    hash.field(adler32.to_le_bytes());
                }
                Packed::Zstd { frame } => hash.field(&frame),
                Packed::Incompressible => hash.field([]),
            }
        }
    }
    hash.finish().to_string()
}

/// Refuses to build where the bytes would not be those of this version.
///
/// # Errors
/// Fails when a library gives other bytes.
pub(in crate::artifact) fn check() -> Result<(), Error> {
    let found = run();
    if found == DIGEST { Ok(()) } else { Err(Error::Codec { found, expected: DIGEST }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codecs_give_the_bytes_of_this_version() {
        assert_eq!(run(), DIGEST);
        check().unwrap();
    }
}
