//! Media under gzip, bzip2, xz or zstd.
//!
//! No byte of a compressed stream can be read without all before it, so such a
//! file is decompressed once, into the store, under the digest of the file;
//! from then on it is read there. What is in it may be compressed again.

pub mod known;

use super::MediumError;
use super::store::{Store, StoreError};
use crate::read_at::ReadAt;
use std::fs::Metadata;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};

/// Bytes needed to know a compression.
pub const START: usize = 10;

/// Compressions inside each other: some files hold themselves without end.
const MAX_LAYERS: usize = 4;
/// Most bytes that a file may become, however long it is.
const MAX_LEN: u64 = 64 << 30;
/// Most times that a file may grow; disk images are mostly zeros. Small files
/// may reach [`SMALL`] anyway.
const MAX_RATIO: u64 = 1000;
const SMALL: u64 = 1 << 30;
/// Bytes of the cache's file system that are left to others.
const SPARE: u64 = 256 << 20;
/// How often the free space is looked at, in bytes written.
const LOOK: u64 = 64 << 20;
/// Bytes that xz may use for its dictionary: three times what `xz -9` needs.
const XZ_MEMORY: u64 = 192 << 20;
/// Bytes read and decompressed at a time.
const BUFFER: usize = 256 << 10;
/// Such pieces that are decompressed before they are written.
const AHEAD: usize = 8;

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

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Each goes on where a stream ends and another begins.
    pub(super) fn decoder<'a>(self, from: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
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

/// The bytes of `file` without its compressions; those of a file that has none
/// as they are. `path` and `meta` are the file's.
///
/// # Errors
/// When it is damaged, becomes too large, or the store cannot be used.
pub fn peel(
    path: &Path,
    meta: &Metadata,
    file: Arc<dyn ReadAt>,
    store: Option<&Store>,
) -> Result<Arc<dyn ReadAt>, MediumError> {
    let fail = |source| MediumError::Read { path: path.into(), source };
    let mut bytes = file.clone();
    let mut digest = None;
    for layer in 1..=MAX_LAYERS {
        let Some(compression) = Compression::of(&start(&*bytes).map_err(fail)?) else { return Ok(bytes) };
        let store = store.ok_or_else(|| MediumError::NoCache { path: path.into() })?;
        let digest = match digest {
            Some(digest) => digest,
            None => *digest.insert(known::digest(store, path, meta, &*file).map_err(fail)?),
        };
        let key = format!("{digest} without {layer} compressions");
        bytes = store.derived(&key, |out| unpack(compression, &*bytes, out, path, store, most(bytes.len())))?;
    }
    match Compression::of(&start(&*bytes).map_err(fail)?) {
        None => Ok(bytes),
        Some(_) => Err(MediumError::Layers { path: path.into(), most: MAX_LAYERS }),
    }
}

fn start(bytes: &dyn ReadAt) -> io::Result<Vec<u8>> {
    let mut start = vec![0; bytes.len().min(START as u64) as usize];
    bytes.read_at(0, &mut start)?;
    Ok(start)
}

/// Most bytes that a file of `len` may become.
fn most(len: u64) -> u64 {
    len.saturating_mul(MAX_RATIO).clamp(SMALL, MAX_LEN)
}

fn unpack(
    compression: Compression,
    from: &dyn ReadAt,
    to: &mut dyn Write,
    path: &Path,
    store: &Store,
    most: u64,
) -> Result<(), MediumError> {
    let wrong = |source| MediumError::Compressed { path: path.into(), how: compression.name(), source };
    let full = |source| StoreError::Write { path: store.root().into(), source };
    std::thread::scope(|scope| {
        // Decompressing takes a core of its own; what is written and digested
        // meanwhile costs no time.
        let (ahead, pieces) = mpsc::sync_channel(AHEAD);
        scope.spawn(move || decode(compression, from, &ahead));
        let (mut len, mut looked) = (0, None);
        // When this end stops, the other cannot send, and stops too.
        for piece in pieces {
            let piece: Vec<u8> = piece.map_err(wrong)?;
            len += piece.len() as u64;
            if len > most {
                return Err(MediumError::Bomb { path: path.into(), how: compression.name(), most });
            }
            if looked.is_none_or(|at| len - at >= LOOK) {
                looked = Some(len);
                let free = rustix::fs::statvfs(store.root()).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
                // Where the system cannot say, a full disk shows when it is written to.
                if free.is_ok_and(|free| free < SPARE) {
                    let most = SPARE >> 20;
                    let text = format!("fewer than {most} MiB are free for {} without its compression", path.display());
                    return Err(full(io::Error::new(io::ErrorKind::StorageFull, text)).into());
                }
            }
            to.write_all(&piece).map_err(full)?;
        }
        Ok(())
    })
}

/// Sends the decompressed bytes in pieces of [`BUFFER`], and what is wrong with
/// the stream in place of the next; ends early when nobody listens.
fn decode(compression: Compression, from: &dyn ReadAt, to: &mpsc::SyncSender<io::Result<Vec<u8>>>) {
    let input = BufReader::with_capacity(BUFFER, Sequential { bytes: from, at: 0 });
    let mut reader = match compression.decoder(input) {
        Ok(reader) => reader,
        Err(e) => return drop(to.send(Err(e))),
    };
    loop {
        let mut piece = Vec::with_capacity(BUFFER);
        let end = (&mut reader).take(BUFFER as u64).read_to_end(&mut piece);
        if !piece.is_empty() && to.send(Ok(piece)).is_err() {
            return;
        }
        match end {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) => return drop(to.send(Err(e))),
        }
    }
}

/// Reads from the beginning to the end.
struct Sequential<'a> {
    bytes: &'a dyn ReadAt,
    at: u64,
}

impl Read for Sequential<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (self.bytes.len() - self.at).min(buf.len() as u64) as usize;
        self.bytes.read_at(self.at, &mut buf[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
