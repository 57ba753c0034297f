//! Compressions of whole files: which one a file has, and how to read it.

use crate::count;
use crate::read_at::ReadAt;
use std::io::{self, BufRead as _, Read};

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

    /// Reader of the bytes without it. Streams one after another count as one,
    /// and zeros after the last one as padding; anything else there is
    /// [`Trailing`].
    pub fn decoder<'a>(self, from: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let from = Input { from, at: 0, front: Vec::new() };
        Ok(Box::new(Streams { compression: self, state: State::Stream(self.stream(from)?.into()), end: 0 }))
    }

    fn stream<R: io::BufRead>(self, from: R) -> io::Result<Stream<R>> {
        Ok(match self {
            Self::Gzip => Stream::Gzip(flate2::bufread::GzDecoder::new(from)),
            Self::Bzip2 => Stream::Bzip2(bzip2::bufread::BzDecoder::new(from)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)?;
                Stream::Xz(liblzma::bufread::XzDecoder::new_stream(from, stream))
            }
            // Its window is at most 128 MiB unless more is allowed.
            Self::Zstd => Stream::Zstd(zstd::stream::read::Decoder::with_buffer(from)?.single_frame()),
        })
    }
}

/// Bytes that belong to no stream, after the last one.
#[derive(Debug, thiserror::Error)]
#[error("{len} the end of the {how} data at byte {end}, and no {how} data", len = count::either(len, "byte follows", "bytes follow"))]
pub struct Trailing {
    pub how: &'static str,
    /// End of the last stream.
    pub end: u64,
    pub len: u64,
}

impl Trailing {
    /// The one that an error of a decoder holds.
    pub fn of(e: &io::Error) -> Option<&Self> {
        e.get_ref()?.downcast_ref()
    }
}

/// One stream, member or frame.
enum Stream<R: io::BufRead> {
    Gzip(flate2::bufread::GzDecoder<R>),
    Bzip2(bzip2::bufread::BzDecoder<R>),
    Xz(liblzma::bufread::XzDecoder<R>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
}

impl<R: io::BufRead> Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(s) => s.read(buf),
            Self::Bzip2(s) => s.read(buf),
            Self::Xz(s) => s.read(buf),
            Self::Zstd(s) => s.read(buf),
        }
    }

    /// The input, at the first byte after the stream.
    fn into_input(self) -> R {
        match self {
            Self::Gzip(s) => s.into_inner(),
            Self::Bzip2(s) => s.into_inner(),
            Self::Xz(s) => s.into_inner(),
            Self::Zstd(s) => s.finish(),
        }
    }
}

enum State<R: io::BufRead> {
    Stream(Box<Stream<R>>),
    /// Nothing is left, or the input is in no state to go on.
    Over,
}

/// Streams one after another.
struct Streams<R: io::BufRead> {
    compression: Compression,
    state: State<Input<R>>,
    /// End of the last complete stream.
    end: u64,
}

impl<R: io::BufRead> Read for Streams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            let State::Stream(stream) = &mut self.state else { return Ok(0) };
            let n = stream.read(buf)?;
            if n > 0 {
                return Ok(n);
            }
            let State::Stream(stream) = std::mem::replace(&mut self.state, State::Over) else { return Ok(0) };
            let mut input = stream.into_input();
            self.end = input.at;
            let next = input.after_zeros()?;
            if next.is_empty() {
                return Ok(0);
            }
            if Compression::of(next) != Some(self.compression) {
                let (end, how) = (self.end, self.compression.name());
                let len = input.end()? - end;
                return Err(io::Error::new(io::ErrorKind::InvalidData, Trailing { how, end, len }));
            }
            self.state = State::Stream(self.compression.stream(input)?.into());
        }
        Ok(0)
    }
}

/// The compressed bytes, with how many were taken.
struct Input<R> {
    from: R,
    /// Bytes taken.
    at: u64,
    /// Bytes that were looked at, and not taken.
    front: Vec<u8>,
}

impl<R: io::BufRead> Input<R> {
    /// Takes zeros, and returns the bytes after them; nothing at the end.
    fn after_zeros(&mut self) -> io::Result<&[u8]> {
        loop {
            let here = self.fill_buf()?;
            let zeros = here.iter().take_while(|b| **b == 0).count();
            if here.is_empty() || zeros < here.len() {
                self.consume(zeros);
                break;
            }
            self.consume(zeros);
        }
        while self.front.len() < START {
            let more = self.from.fill_buf()?;
            let n = more.len().min(START - self.front.len());
            if n == 0 {
                break;
            }
            self.front.extend_from_slice(&more[..n]);
            self.from.consume(n);
        }
        Ok(&self.front)
    }

    /// Takes everything, and says how much there was in all.
    fn end(mut self) -> io::Result<u64> {
        loop {
            match self.fill_buf()?.len() {
                0 => return Ok(self.at),
                n => self.consume(n),
            }
        }
    }
}

impl<R: io::BufRead> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let here = self.fill_buf()?;
        let n = here.len().min(buf.len());
        buf[..n].copy_from_slice(&here[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: io::BufRead> io::BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.front.is_empty() { self.from.fill_buf() } else { Ok(&self.front) }
    }

    fn consume(&mut self, n: usize) {
        self.at += n as u64;
        match self.front.len() {
            0 => self.from.consume(n),
            _ => drop(self.front.drain(..n)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn packed(how: Compression, bytes: &[u8]) -> Vec<u8> {
        match how {
            Compression::Gzip => {
                let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                e.write_all(bytes).unwrap();
                e.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut e = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
                e.write_all(bytes).unwrap();
                e.finish().unwrap()
            }
            Compression::Xz => {
                let mut e = liblzma::write::XzEncoder::new(Vec::new(), 1);
                e.write_all(bytes).unwrap();
                e.finish().unwrap()
            }
            Compression::Zstd => zstd::bulk::compress(bytes, 1).unwrap(),
        }
    }

    /// Reads with a buffer of `step` bytes, so that what is looked for lies across its ends.
    fn read(how: Compression, file: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        how.decoder(io::BufReader::with_capacity(step, file))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn zeros_are_padding_streams_go_on_and_anything_else_is_counted() {
        for how in [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd] {
            let (one, two) = (packed(how, b"one, "), packed(how, &[b'2'; 70_000]));
            let both = [&b"one, "[..], &[b'2'; 70_000]].concat();
            for step in [1, 7, 4096, 1 << 20] {
                for zeros in [0, 1, 4, 8192] {
                    let zeros = vec![0; zeros];
                    let joined = [&one[..], &zeros, &two, &zeros].concat();
                    assert!(read(how, &joined, step).unwrap() == both, "{how:?} {step} {}", zeros.len());
                    let junk = [&one[..], &zeros, b"junk"].concat();
                    let e = read(how, &junk, step).unwrap_err();
                    let found = Trailing::of(&e).unwrap_or_else(|| panic!("{how:?}: {e}"));
                    assert_eq!((found.end, found.len), (one.len() as u64, zeros.len() as u64 + 4), "{how:?}");
                }
                // The second is cut off; so is its magic number.
                for cut in [one.len() + 2, one.len() + two.len() / 2, one.len() + two.len() - 1] {
                    read(how, &[&one[..], &two].concat()[..cut], step).unwrap_err();
                }
            }
            // Another compression's stream is no continuation.
            let other = if how == Compression::Gzip { Compression::Xz } else { Compression::Gzip };
            let e = read(how, &[&one[..], &packed(other, b"x")].concat(), 64).unwrap_err();
            assert!(Trailing::of(&e).is_some(), "{how:?}: {e}");
        }
    }

    #[test]
    fn frames_to_be_skipped_are_no_data() {
        let skip = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frame = packed(Compression::Zstd, b"data");
        let file = [&skip[..], &frame, &skip, &frame, &skip].concat();
        assert_eq!(read(Compression::Zstd, &file, 5).unwrap(), b"datadata");
    }
}
