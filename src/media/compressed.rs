//! Media under gzip, bzip2, xz or zstd.
//!
//! No byte of a compressed stream can be read without all before it, so such a
//! file is decompressed once, into the store, under the digest of the file;
//! from then on it is read there. What is in it may be compressed again.

pub mod known;

use super::error::MediumError;
use super::store::{Store, StoreError};
use crate::compression::{Compression, START, Sequential, Trailing};
use crate::read_at::ReadAt;
use crate::stop;
use std::fs::Metadata;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};

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
/// Bytes written between two looks at the free space.
const LOOK: u64 = 64 << 20;
/// Bytes read and decompressed at a time.
const BUFFER: usize = 256 << 10;
/// Such pieces that are decompressed before they are written.
const AHEAD: usize = 8;

/// The bytes of `file` without its compressions; those of a file that has none
/// as they are. `path` and `meta` are the file's.
///
/// # Errors
/// Fails when it is damaged, becomes too large, or the store cannot be used.
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
pub(super) fn most(len: u64) -> u64 {
    len.saturating_mul(MAX_RATIO).clamp(SMALL, MAX_LEN)
}

/// Whether the store's file system has room to go on unpacking what is at `path`.
///
/// # Errors
/// Fails when it has no room.
pub(super) fn room(store: &Store, path: &Path) -> Result<(), StoreError> {
    let free = rustix::fs::statvfs(store.root()).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    // Where the system cannot say, a full disk shows when it is written to.
    if free.is_ok_and(|free| free < SPARE) {
        let most = SPARE >> 20;
        let text = format!("fewer than {most} MiB are free for the decompressed {}", path.display());
        let source = io::Error::new(io::ErrorKind::StorageFull, text);
        return Err(StoreError::Write { path: store.root().into(), source });
    }
    Ok(())
}

fn unpack(
    compression: Compression,
    from: &dyn ReadAt,
    to: &mut dyn Write,
    path: &Path,
    store: &Store,
    most: u64,
) -> Result<(), MediumError> {
    let wrong = |source: io::Error| match Trailing::of(&source) {
        Some(found) => MediumError::Trailing { path: path.into(), how: found.how, end: found.end, len: found.len },
        None => MediumError::Compressed { path: path.into(), how: compression.name(), source },
    };
    let full = |source| StoreError::Write { path: store.root().into(), source };
    std::thread::scope(|scope| {
        // Decompressing takes a core of its own; what is written and digested
        // meanwhile costs no time.
        let (ahead, pieces) = mpsc::sync_channel(AHEAD);
        scope.spawn(move || decode(compression, from, &ahead));
        let (mut len, mut looked) = (0, None);
        // When this end stops, the other cannot send, and stops too.
        for piece in pieces {
            stop::go_on().map_err(|source| MediumError::Read { path: path.into(), source })?;
            let piece: Vec<u8> = piece.map_err(wrong)?;
            len += piece.len() as u64;
            if len > most {
                return Err(MediumError::Bomb { path: path.into(), how: compression.name(), most });
            }
            if looked.is_none_or(|at| len - at >= LOOK) {
                looked = Some(len);
                room(store, path)?;
            }
            to.write_all(&piece).map_err(full)?;
        }
        Ok(())
    })
}

/// Sends the decompressed bytes in pieces of [`BUFFER`], and what is wrong with
/// the stream in place of the next; ends early when nobody listens.
fn decode(compression: Compression, from: &dyn ReadAt, to: &mpsc::SyncSender<io::Result<Vec<u8>>>) {
    let input = BufReader::with_capacity(BUFFER, Sequential::new(from));
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

#[cfg(test)]
mod tests;
