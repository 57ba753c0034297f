//! Pointers, little-endian as servers of 9front write them, and the way from an
//! entry to its blocks, in images of any origin.

use super::shape::{LEVELS, Reach};
use crate::error::damaged;
use std::io;

/// The pointers of an entry; 0 points nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointers<const DIRECT: usize> {
    pub direct: [u64; DIRECT],
    pub indirect: [u64; LEVELS],
}

impl<const DIRECT: usize> Default for Pointers<DIRECT> {
    fn default() -> Self {
        Self { direct: [0; DIRECT], indirect: [0; LEVELS] }
    }
}

impl<const DIRECT: usize> Pointers<DIRECT> {
    /// Reads them from the bytes that they fill.
    pub(crate) fn parse(b: &[u8]) -> Self {
        let mut p = Self::default();
        let all = p.direct.iter_mut().chain(&mut p.indirect);
        all.zip(b.as_chunks().0).for_each(|(p, b)| *p = u64::from_le_bytes(*b));
        p
    }

    /// Fills the bytes for them.
    pub(crate) fn write(&self, b: &mut [u8]) {
        let all = self.direct.iter().chain(&self.indirect);
        all.zip(b.as_chunks_mut().0).for_each(|(p, b)| *b = p.to_le_bytes());
    }

    pub(crate) fn tops(&self) -> Tops<'_> {
        Tops { direct: &self.direct, indirect: &self.indirect }
    }
}

/// The same without how many there are.
#[derive(Clone, Copy)]
pub(crate) struct Tops<'a> {
    pub direct: &'a [u64],
    pub indirect: &'a [u64; LEVELS],
}

/// The pointers that fill so many bytes.
pub(crate) fn parse(b: &[u8]) -> Vec<u64> {
    b.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect()
}

/// Reads a block of pointers with so many levels of them below.
pub(crate) type ReadPointers<'a> = dyn Fn(u64, usize) -> io::Result<Vec<u64>> + 'a;

/// Addresses of up to `max` blocks from number `bn` on; 0 for a hole. At least
/// one, as far as one block of pointers reaches.
///
/// # Errors
/// Errors of `read`; `InvalidData` beyond the reach of the pointers.
pub(crate) fn addresses<R: Reach>(
    tops: Tops<'_>,
    bn: u64,
    max: usize,
    read: &ReadPointers<'_>,
) -> io::Result<Vec<u64>> {
    if let Some(direct) = usize::try_from(bn).ok().and_then(|i| tops.direct.get(i..))
        && !direct.is_empty()
    {
        return Ok(direct[..direct.len().min(max.max(1))].to_vec());
    }
    let mut rest = bn - R::DIRECT;
    let mut span = 1;
    for (height, top) in tops.indirect.iter().enumerate() {
        span *= R::POINTERS;
        if rest < span {
            return below::<R>(*top, height, rest, span, max, read);
        }
        rest -= span;
    }
    Err(damaged(format!("Block {bn} of a file is out of reach of its pointers")))
}

fn below<R: Reach>(
    top: u64,
    height: usize,
    mut rest: u64,
    mut span: u64,
    max: usize,
    read: &ReadPointers<'_>,
) -> io::Result<Vec<u64>> {
    let mut address = top;
    for left in (0..=height).rev() {
        span /= R::POINTERS;
        let place = rest / span;
        rest %= span;
        let n = max.clamp(1, (R::POINTERS - place) as usize);
        if address == 0 {
            return Ok(vec![0; if left == 0 { n } else { 1 }]);
        }
        let pointers = read(address, left)?;
        let from = place as usize;
        if left == 0 {
            return Ok(pointers[from..from + n].to_vec());
        }
        address = pointers[from];
    }
    Ok(vec![address])
}

/// A pointer that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub address: u64,
    /// Number in the file of the first block that it leads to.
    pub number: u64,
    /// 0 for what the file holds, else levels of pointers from there on.
    pub height: usize,
}

/// Calls `visit` for every pointer but 0. For a block of pointers it returns
/// those, if they are to be followed.
///
/// # Errors
/// Errors of `visit`.
pub(crate) fn follow<R: Reach, E>(
    tops: Tops<'_>,
    visit: &mut dyn FnMut(Pointer) -> Result<Option<Vec<u64>>, E>,
) -> Result<(), E> {
    for (number, address) in (0..).zip(tops.direct).filter(|(_, a)| **a != 0) {
        visit(Pointer { address: *address, number, height: 0 })?;
    }
    let mut first = R::DIRECT;
    let mut span = 1;
    for (i, top) in tops.indirect.iter().enumerate() {
        span *= R::POINTERS;
        // Pointers that wait, with how many blocks each of theirs spans.
        let mut work = vec![(Pointer { address: *top, number: first, height: i + 1 }, span / R::POINTERS)];
        while let Some((p, each)) = work.pop() {
            if p.address == 0 {
                continue;
            }
            let Some(pointers) = visit(p)? else { continue };
            if p.height == 0 {
                continue;
            }
            let numbers = (0..).map(|i| p.number + i * each);
            let below = pointers.into_iter().zip(numbers).filter(|(a, _)| *a != 0);
            let below = below.map(|(address, number)| Pointer { address, number, height: p.height - 1 });
            let each = (each / R::POINTERS).max(1);
            let mut below: Vec<_> = below.map(|p| (p, each)).collect();
            below.reverse();
            work.append(&mut below);
        }
        first += span;
    }
    Ok(())
}
