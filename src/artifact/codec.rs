//! Compression of one cluster.
//!
//! One deflate stream serves qcow2 and VMDK: qcow2 readers inflate a raw
//! stream with a window of 4 KiB, VMDK readers a zlib stream of any window.
//! So the stream is made with the small window, left in its zlib wrapping, and
//! qcow2 takes what is between the wrapping's two header bytes and four bytes
//! of checksum. zlib is the stock one built from source, whose output depends
//! on nothing but its input and level; zstd stays below level 5, where its
//! match finder starts to depend on the processor's vector unit.

use crate::artifact::cluster::CLUSTER;
use flate2::{Compress, Compression, FlushCompress, Status};
use std::ffi::CStr;

/// Number of the containers' layouts. It is raised when a container's bytes
/// change for an equal disk: artifacts of an earlier number are written again.
/// A test pins the bytes.
pub const CONTAINERS: u32 = 1;
/// zlib level. On 9legacy's tree level 4 is 1 % larger than level 6 and takes
/// two thirds of its time; below 4 the lazy match is lost and size with it.
pub const DEFLATE_LEVEL: u32 = 4;
/// zstd level.
pub const ZSTD_LEVEL: i32 = 3;

/// Base-2 logarithm of the window that qcow2 readers promise.
const WINDOW_BITS: u8 = 12;
/// Header of the zlib wrapping: deflate, window of 32 KiB, default effort. The
/// window it names is larger than the one used, which is allowed, and is what
/// every VMDK writer puts there.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// Version of the zlib that is linked in, such as `1.3.1`.
pub fn zlib_version() -> String {
    // SAFETY: zlibVersion takes nothing and returns a constant C string.
    let version = unsafe { CStr::from_ptr(libz_sys::zlibVersion()) };
    version.to_string_lossy().into_owned()
}

/// Version of the zstd that is linked in, such as `1.5.7`.
pub fn zstd_version() -> String {
    zstd::zstd_safe::version_string().to_owned()
}

/// Compression method of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Deflate,
    Zstd,
}

/// A compressed cluster.
#[derive(Debug)]
pub enum Packed {
    /// A deflate stream and the Adler-32 sum of the cluster.
    Deflate { stream: Vec<u8>, adler32: u32 },
    /// A zstd frame.
    Zstd { frame: Vec<u8> },
    /// Compressing would not make it smaller.
    Incompressible,
}

/// Compresses clusters; one per thread, its state is reused.
pub struct Packer {
    deflate: Compress,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    buffer: Vec<u8>,
}

impl Packer {
    /// A packer with a zlib level of 0 to 9.
    pub fn new(level: u32) -> Self {
        Self {
            deflate: Compress::new_with_window_bits(Compression::new(level.min(9)), true, WINDOW_BITS),
            zstd: None,
            buffer: vec![0; CLUSTER],
        }
    }

    /// Compresses one cluster.
    pub fn pack(&mut self, method: Method, cluster: &[u8]) -> Packed {
        match method {
            Method::Deflate => self.deflate(cluster),
            Method::Zstd => self.zstd(cluster),
        }
    }

    fn deflate(&mut self, cluster: &[u8]) -> Packed {
        self.deflate.reset();
        match self.deflate.compress(cluster, &mut self.buffer, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => {}
            // The buffer holds one cluster: what does not fit is not smaller.
            _ => return Packed::Incompressible,
        }
        let zlib = &self.buffer[..self.deflate.total_out() as usize];
        let (body, sum) = zlib.split_at(zlib.len() - 4);
        let adler32 = u32::from_be_bytes(sum.try_into().unwrap_or_default());
        Packed::Deflate { stream: body[2..].to_vec(), adler32 }
    }

    fn zstd(&mut self, cluster: &[u8]) -> Packed {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        let buffer = &mut self.buffer[..CLUSTER - 1];
        match self.zstd.as_mut().map(|z| z.compress_to_buffer(cluster, buffer)) {
            Some(Ok(n)) => Packed::Zstd { frame: self.buffer[..n].to_vec() },
            _ => Packed::Incompressible,
        }
    }
}

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
    out.extend_from_slice(&adler32(cluster).to_be_bytes());
}

/// The checksum of RFC 1950, section 8.
fn adler32(bytes: &[u8]) -> u32 {
    const BASE: u32 = 65_521;
    let (mut a, mut b) = (1u32, 0u32);
    // 5552 is the most bytes before `b` could pass 32 bits.
    for chunk in bytes.chunks(5552) {
        for &byte in chunk {
            a += u32::from(byte);
            b += a;
        }
        a %= BASE;
        b %= BASE;
    }
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn noise(len: usize) -> Vec<u8> {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        (0..len)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x as u8
            })
            .collect()
    }

    #[test]
    fn one_stream_for_both_formats() {
        let cluster: Vec<u8> = noise(300).iter().cycle().take(CLUSTER).copied().collect();
        let Packed::Deflate { stream, adler32 } = Packer::new(DEFLATE_LEVEL).pack(Method::Deflate, &cluster) else {
            panic!("compressible")
        };
        // As QEMU reads qcow2: raw, window of 4 KiB.
        let mut out = vec![0; CLUSTER];
        let mut raw = flate2::Decompress::new_with_window_bits(false, WINDOW_BITS);
        raw.decompress(&stream, &mut out, flate2::FlushDecompress::Finish).unwrap();
        assert!(out == cluster);
        // As a VMDK reader: zlib with checksum.
        let mut zlib = Vec::new();
        wrap_zlib(&stream, adler32, &mut zlib);
        let mut out = Vec::new();
        flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut out).unwrap();
        assert!(out == cluster);
    }

    #[test]
    fn incompressible_is_stored() {
        let cluster = noise(CLUSTER);
        let mut packer = Packer::new(DEFLATE_LEVEL);
        assert!(matches!(packer.pack(Method::Deflate, &cluster), Packed::Incompressible));
        assert!(matches!(packer.pack(Method::Zstd, &cluster), Packed::Incompressible));
        let mut zlib = Vec::new();
        store_zlib(&cluster, &mut zlib);
        let mut out = Vec::new();
        flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut out).unwrap();
        assert!(out == cluster);
        // The packer is as good as new after a stream it gave up.
        assert!(matches!(packer.pack(Method::Deflate, &vec![7; CLUSTER]), Packed::Deflate { .. }));
    }

    #[test]
    fn linked_libraries_have_versions() {
        assert!(zlib_version().starts_with("1."));
        assert!(zstd_version().starts_with("1."));
    }
}
