//! The zlib wrapping of a deflate stream (RFC 1950), as VMDK has it.

/// Header of the wrapping: deflate, window of 32 KiB, default effort, as every VMDK
/// writer has it.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// Appends a deflate stream in its zlib wrapping.
pub fn wrap_zlib(stream: &[u8], adler32: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&ZLIB_HEADER);
    out.extend_from_slice(stream);
    out.extend_from_slice(&adler32.to_be_bytes());
}

/// Appends a zlib stream that stores `cluster` as it is: what deflate would
/// make of an incompressible cluster, in its smallest form.
pub fn store_zlib(cluster: &[u8], out: &mut Vec<u8>) {
    const MOST: usize = u16::MAX as usize; // in one stored block
    out.extend_from_slice(&ZLIB_HEADER);
    let blocks = cluster.len().div_ceil(MOST);
    for (i, block) in cluster.chunks(MOST).enumerate() {
        let len = block.len() as u16;
        out.push(u8::from(i + 1 == blocks));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&libdeflater::adler32(cluster).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::cluster::CLUSTER;
    use std::io::Read as _;

    #[test]
    fn what_is_stored_is_read() {
        for len in [1, 65_535, CLUSTER, 3 * CLUSTER + 7] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * i / 7) as u8).collect();
            let mut zlib = Vec::new();
            store_zlib(&bytes, &mut zlib);
            let mut out = Vec::new();
            flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut out).unwrap();
            assert!(out == bytes, "{len}");
        }
    }
}
