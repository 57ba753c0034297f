//! Common part of the readers of images that store a disk in units of one size
//! (qcow2's clusters, VMDK's grains) have in common.

use crate::read_at::Extent;
use std::io;

/// Cuts a read at `offset` into pieces that stay inside one unit of `size`
/// bytes, and reads each: number of the unit, offset in it, where to.
///
/// # Errors
/// The first that `read` returns.
pub fn read_units(
    size: u64,
    mut offset: u64,
    mut buf: &mut [u8],
    mut read: impl FnMut(u64, usize, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    while !buf.is_empty() {
        let within = (offset % size) as usize;
        let n = buf.len().min(size as usize - within);
        let (piece, rest) = buf.split_at_mut(n);
        read(offset / size, within, piece)?;
        offset += n as u64;
        buf = rest;
    }
    Ok(())
}

/// Extents collected in ascending order: neighbours are joined, and nothing
/// lies past the disk's end.
pub struct Extents {
    disk: u64,
    out: Vec<Extent>,
}

impl Extents {
    /// For a disk of `disk` bytes.
    pub fn new(disk: u64) -> Self {
        Self { disk, out: Vec::new() }
    }

    pub fn add(&mut self, offset: u64, len: u64) {
        let len = len.min(self.disk.saturating_sub(offset));
        match self.out.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.end() == offset => last.len += len,
            _ => self.out.push(Extent { offset, len }),
        }
    }

    pub fn finish(self) -> Vec<Extent> {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_inside_units_and_extents_inside_the_disk() {
        let mut seen = Vec::new();
        let mut buf = [0; 10];
        read_units(4, 3, &mut buf, |unit, within, piece| {
            seen.push((unit, within, piece.len()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, 3, 1), (1, 0, 4), (2, 0, 4), (3, 0, 1)]);

        let mut extents = Extents::new(10);
        for (offset, len) in [(0, 2), (2, 2), (6, 2), (9, 5), (12, 1)] {
            extents.add(offset, len);
        }
        let e = |offset, len| Extent { offset, len };
        assert_eq!(extents.finish(), [e(0, 4), e(6, 2), e(9, 1)]);
    }
}
