//! Compressions of whole files: which one a file has, and how to read it.

use crate::read_at::ReadAt;
use std::io::{self, Read};

/// Bytes needed to know a compression.
pub const START: usize = 10;

/// Bytes that xz may use for its dictionary: three times what `xz -9` needs.
const XZ_MEMORY: u64 = 192 << 20;

/// A compression of whole files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// The compression of a file that begins so.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // The mark of a block, or of an empty stream's end.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // A frame, or one to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// What reads the bytes without it. Each goes on where a stream ends and another begins.
    pub fn decoder<'a>(self, from: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
            }
            // Its window is at most 128 MiB unless more is allowed.
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
        })
    }
}

/// Reads from the beginning to the end.
pub struct Sequential<'a> {
    bytes: &'a dyn ReadAt,
    at: u64,
}

impl<'a> Sequential<'a> {
    pub fn new(bytes: &'a dyn ReadAt) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Read for Sequential<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (self.bytes.len() - self.at).min(buf.len() as u64) as usize;
        self.bytes.read_at(self.at, &mut buf[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}
