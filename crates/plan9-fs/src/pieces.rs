//! Bytes put together from pieces at fixed offsets, zeros between them: what a
//! volume and a disk are once their layout is decided.

use crate::read_at::{Extent, Origin, ReadAt, check_range, normalize};
use crate::tree::Content;
use std::io;
use std::sync::Arc;

/// The bytes of one piece.
#[derive(Clone)]
pub enum Source {
    /// Bytes of a file.
    Content(Content),
    /// Bytes of something else that is computed.
    Volume(Arc<dyn ReadAt>),
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Self::Content(c) => c.len(),
            Self::Volume(v) => v.len(),
        }
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Content(c) => c.read_at(offset, buf),
            Self::Volume(v) => v.read_at(offset, buf),
        }
    }
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        match self {
            Self::Content(c) => c.origin(offset, len),
            Self::Volume(v) => v.origin(offset, len),
        }
    }
    fn extents(&self) -> Vec<Extent> {
        match self {
            Self::Content(c) => vec![Extent { offset: 0, len: c.len() }],
            Self::Volume(v) => v.extents(),
        }
    }
}

/// Pieces that do not overlap, in ascending order, within a fixed length.
#[derive(Clone)]
pub struct Pieces {
    len: u64,
    pieces: Vec<(u64, Source)>,
}

impl Pieces {
    /// `len` bytes of zeros.
    pub fn new(len: u64) -> Self {
        Self { len, pieces: Vec::new() }
    }

    /// Puts a piece at `offset`; an empty one is dropped.
    ///
    /// # Panics
    /// If the piece overlaps another or passes the end: the layout of a
    /// volume or disk makes sure that it does not.
    pub fn put(&mut self, offset: u64, source: Source) {
        let len = source.len();
        if len == 0 {
            return;
        }
        let end = offset.checked_add(len).expect("a piece ends below 2^64");
        let at = self.pieces.partition_point(|(o, _)| *o < offset);
        let before = at.checked_sub(1).map_or(0, |i| self.pieces[i].0 + self.pieces[i].1.len());
        let after = self.pieces.get(at).map_or(self.len, |p| p.0);
        assert!(before <= offset && end <= after, "pieces do not overlap");
        self.pieces.insert(at, (offset, source));
    }

    /// Puts bytes held in memory at `offset`; as [`Pieces::put`].
    pub fn put_bytes(&mut self, offset: u64, bytes: impl Into<Arc<[u8]>>) {
        self.put(offset, Source::Content(Content::bytes(bytes)));
    }
}

impl ReadAt for Pieces {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("volume", offset, buf.len(), self.len)?;
        buf.fill(0);
        let end = offset + buf.len() as u64;
        let first = self.pieces.partition_point(|(o, s)| o + s.len() <= offset);
        for (start, source) in self.pieces[first..].iter().take_while(|(o, _)| *o < end) {
            let (from, to) = ((*start).max(offset), (start + source.len()).min(end));
            source.read_at(from - start, &mut buf[(from - offset) as usize..(to - offset) as usize])?;
        }
        Ok(())
    }

    fn extents(&self) -> Vec<Extent> {
        let mut out = Vec::new();
        for (start, source) in &self.pieces {
            out.extend(source.extents().into_iter().map(|e| Extent { offset: start + e.offset, len: e.len }));
        }
        normalize(out)
    }

    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        let at = self.pieces.partition_point(|(o, s)| o + s.len() <= offset);
        match self.pieces.get(at)? {
            (start, source) if *start <= offset && offset + len <= start + source.len() => {
                source.origin(offset - start, len)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_pieces_and_gaps() {
        let mut p = Pieces::new(10);
        p.put_bytes(6, vec![2u8; 2]);
        p.put_bytes(1, vec![1u8; 3]);
        p.put_bytes(4, vec![3u8; 1]);
        let mut all = [9u8; 10];
        p.read_at(0, &mut all).unwrap();
        assert_eq!(all, [0, 1, 1, 1, 3, 0, 2, 2, 0, 0]);
        for from in 0..10 {
            for to in from..=10 {
                let mut part = vec![9u8; to - from];
                p.read_at(from as u64, &mut part).unwrap();
                assert_eq!(part, all[from..to]);
            }
        }
        assert_eq!(p.extents(), [Extent { offset: 1, len: 4 }, Extent { offset: 6, len: 2 }]);
        assert!(p.read_at(9, &mut [0; 2]).is_err());
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_pieces_are_refused() {
        let mut p = Pieces::new(10);
        p.put_bytes(1, vec![1u8; 3]);
        p.put_bytes(3, vec![1u8; 3]);
    }
}
