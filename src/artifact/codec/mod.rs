//! Compression of one cluster.
//!
//! Each method is one library at one level, called directly: through another crate,
//! which library compresses would depend on what else is linked. None of them asks
//! for the processor where bytes are decided, and [`probe`] shows before a build that
//! they still are the bytes of this version.
//!
//! | method | library | why it |
//! |---|---|---|
//! | [`Method::Zstd`] | zstd | fastest of all, and smaller than deflate |
//! | [`Method::Deflate`] | libdeflate | fastest deflate with its whole window |
//! | [`Method::Deflate4k`] | zlib-rs | the only fast one whose window can be made smaller |
//!
//! `doc/qcow2.md` has the figures.

pub mod probe;
mod zlib;

pub use zlib::{store_zlib, wrap_zlib};

use crate::artifact::cluster::CLUSTER;
use libdeflater::{CompressionLvl, Compressor};
use std::collections::BTreeMap;
use zlib_rs::{DeflateFlush, Status};

/// Number of the containers' layouts. It is raised when a container's bytes
/// change for an equal disk: artifacts of an earlier number are written again.
/// A test pins the bytes.
pub const CONTAINERS: u32 = 2;
/// zstd level.
pub const ZSTD_LEVEL: i32 = 3;
/// libdeflate level: on 9legacy's tree it is as small as zlib's level 4, and four
/// times as fast; level 2 is 3 % smaller and takes 1.3 times as long.
const DEFLATE_LEVEL: i32 = 1;
/// zlib-rs level: as small as zlib's level 4 with the same window.
const DEFLATE_4K_LEVEL: i32 = 6;
/// Base-2 logarithm of the window that every reader of qcow2 has.
const WINDOW_BITS: u8 = 12;

/// Versions of the crates, which `Cargo.toml` pins: another one may give other bytes.
const LIBDEFLATE: &str = "1.26.1";
const ZLIB_RS: &str = "0.6.8";

/// Version of the zstd that is linked in, such as `1.5.7`.
pub fn zstd_version() -> String {
    zstd::zstd_safe::version_string().to_owned()
}

/// Compression method of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// A zstd frame.
    Zstd,
    /// A deflate stream.
    Deflate,
    /// A deflate stream that reaches back no further than 4 KiB.
    Deflate4k,
}

impl Method {
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Deflate, Self::Deflate4k];

    /// Library of the method, its version and level.
    pub fn library(self) -> (&'static str, String) {
        match self {
            Self::Zstd => ("zstd", format!("{} -{ZSTD_LEVEL}", zstd_version())),
            Self::Deflate => ("libdeflate", format!("{LIBDEFLATE} -{DEFLATE_LEVEL}")),
            Self::Deflate4k => ("zlib-rs", format!("{ZLIB_RS} -{DEFLATE_4K_LEVEL}")),
        }
    }
}

/// Libraries that compress, by name, with version and level.
pub fn libraries() -> BTreeMap<String, String> {
    Method::ALL.into_iter().map(Method::library).map(|(name, version)| (name.to_owned(), version)).collect()
}

/// A compressed cluster.
#[derive(Debug, PartialEq, Eq)]
pub enum Packed {
    /// A deflate stream and the Adler-32 sum of the cluster, where its method has one.
    Deflate { stream: Vec<u8>, adler32: u32 },
    /// A zstd frame.
    Zstd { frame: Vec<u8> },
    /// Compressing would not make it smaller.
    Incompressible,
}

/// Compresses clusters; one per thread, its states are made when they are first
/// needed, and used again.
#[derive(Default)]
pub struct Packer {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    deflate: Option<Compressor>,
    deflate_4k: Option<zlib_rs::Deflate>,
    buffer: Vec<u8>,
}

impl Packer {
    /// Compresses one cluster.
    pub fn pack(&mut self, method: Method, cluster: &[u8]) -> Packed {
        // What does not fit is not smaller.
        self.buffer.resize(CLUSTER - 1, 0);
        match method {
            Method::Zstd => self.zstd(cluster),
            Method::Deflate => self.deflate(cluster),
            Method::Deflate4k => self.deflate_4k(cluster),
        }
        .unwrap_or(Packed::Incompressible)
    }

    fn zstd(&mut self, cluster: &[u8]) -> Option<Packed> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        let n = self.zstd.as_mut()?.compress_to_buffer(cluster, &mut self.buffer[..]).ok()?;
        Some(Packed::Zstd { frame: self.buffer[..n].to_vec() })
    }

    fn deflate(&mut self, cluster: &[u8]) -> Option<Packed> {
        if self.deflate.is_none() {
            self.deflate = CompressionLvl::new(DEFLATE_LEVEL).ok().map(Compressor::new);
        }
        let n = self.deflate.as_mut()?.deflate_compress(cluster, &mut self.buffer).ok()?;
        Some(Packed::Deflate { stream: self.buffer[..n].to_vec(), adler32: libdeflater::adler32(cluster) })
    }

    fn deflate_4k(&mut self, cluster: &[u8]) -> Option<Packed> {
        let deflate =
            self.deflate_4k.get_or_insert_with(|| zlib_rs::Deflate::new(DEFLATE_4K_LEVEL, false, WINDOW_BITS));
        deflate.reset();
        let end = deflate.compress(cluster, &mut self.buffer, DeflateFlush::Finish).ok()?;
        if end != Status::StreamEnd {
            return None;
        }
        let n = deflate.total_out() as usize;
        Some(Packed::Deflate { stream: self.buffer[..n].to_vec(), adler32: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;

    /// The cluster that a packed one stands for, as readers of its containers take it.
    fn unpacked(method: Method, packed: &Packed) -> Option<Vec<u8>> {
        let mut out = vec![0; CLUSTER];
        match packed {
            Packed::Incompressible => return None,
            Packed::Zstd { frame } => zstd::bulk::decompress(frame, CLUSTER).unwrap().clone_into(&mut out),
            Packed::Deflate { stream, adler32 } if method == Method::Deflate => {
                // As a VMDK reader: zlib with checksum.
                let mut zlib = Vec::new();
                wrap_zlib(stream, *adler32, &mut zlib);
                flate2::read::ZlibDecoder::new(&zlib[..]).read_exact(&mut out).unwrap();
            }
            Packed::Deflate { stream, .. } => {
                // As QEMU reads qcow2: raw, in pieces, with a window of 4 KiB.
                let mut inflate = zlib_rs::Inflate::new(false, WINDOW_BITS);
                let (mut from, mut to) = (0, 0);
                while to < CLUSTER {
                    let end = (to + 1000).min(CLUSTER);
                    inflate.decompress(&stream[from..], &mut out[to..end], zlib_rs::InflateFlush::NoFlush).unwrap();
                    assert!(inflate.total_out() as usize > to, "a distance of more than 4 KiB");
                    (from, to) = (inflate.total_in() as usize, inflate.total_out() as usize);
                }
            }
        }
        Some(out)
    }

    #[test]
    fn what_is_packed_is_unpacked_by_its_readers() {
        let clusters = probe::clusters();
        for method in Method::ALL {
            let mut packer = Packer::default();
            for (i, cluster) in clusters.iter().enumerate() {
                let packed = packer.pack(method, cluster);
                assert!(packed == Packer::default().pack(method, cluster), "{method:?} {i}");
                let found = unpacked(method, &packed);
                assert!(found.is_none_or(|found| found == *cluster), "{method:?} {i}");
            }
            let none = clusters.iter().filter(|c| packer.pack(method, c) == Packed::Incompressible).count();
            // Noise does not shrink, and a long period not in a window that is shorter.
            assert_eq!(none, if method == Method::Deflate4k { 2 } else { 1 }, "{method:?}");
        }
    }

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        for (name, version) in [("libdeflater", LIBDEFLATE), ("zlib-rs", ZLIB_RS)] {
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
        }
        assert_eq!(libraries().len(), Method::ALL.len());
    }

    /// A cluster of repeated and random pieces.
    fn cluster() -> impl Strategy<Value = Vec<u8>> {
        let piece = (proptest::collection::vec(any::<u8>(), 1..300), 1usize..200);
        proptest::collection::vec(piece, 1..40).prop_map(|pieces| {
            let all = pieces.iter().flat_map(|(bytes, times)| bytes.repeat(*times)).collect::<Vec<u8>>();
            all.iter().copied().cycle().take(CLUSTER).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// A compressor that has seen other clusters gives the bytes of a new one.
        #[test]
        fn a_used_compressor_is_as_good_as_new(clusters in proptest::collection::vec(cluster(), 1..6)) {
            let mut used = Packer::default();
            for cluster in &clusters {
                for method in Method::ALL {
                    prop_assert_eq!(used.pack(method, cluster), Packer::default().pack(method, cluster));
                }
            }
        }
    }
}
