//! Raw images of CD-ROMs (`.bin`): sectors of 2352 bytes, of which 2048 are the
//! disc's data. Before them lie a mark, an address and the mode (ECMA-130, 14);
//! in mode 2, form 1, also eight bytes of a subheader.

use crate::read_at::{ReadAt, check_range};
use std::io;
use std::sync::Arc;

/// Bytes of a sector, and of its data.
const RAW: u64 = 2352;
const DATA: u64 = 2048;
/// First bytes of a sector.
const SYNC: [u8; 12] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
/// Place of the mode.
const MODE: usize = 15;

/// The data of such an image.
pub struct RawSectors {
    file: Arc<dyn ReadAt>,
    /// Offset of the data in a sector.
    skip: u64,
}

impl RawSectors {
    /// The data in `file`, if it begins like such an image.
    pub fn of(file: &Arc<dyn ReadAt>) -> Option<Self> {
        let mut first = [0; 16];
        let mut second = [0; 12];
        file.read_at(0, &mut first).ok()?;
        file.read_at(RAW, &mut second).ok()?;
        let skip = match first[MODE] {
            1 => 16,
            2 => 24,
            _ => return None,
        };
        (first.starts_with(&SYNC) && second == SYNC).then(|| Self { file: file.clone(), skip })
    }
}

impl ReadAt for RawSectors {
    fn len(&self) -> u64 {
        self.file.len() / RAW * DATA
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("CD-ROM", offset, buf.len(), self.len())?;
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let within = at % DATA;
            let n = (DATA - within).min(rest.len() as u64) as usize;
            let (piece, behind) = rest.split_at_mut(n);
            self.file.read_at(at / DATA * RAW + self.skip + within, piece)?;
            (at, rest) = (at + n as u64, behind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_found_in_both_modes_across_sectors() {
        let data: Vec<u8> = (0..5 * DATA).map(|i| (i % 251) as u8).collect();
        for (mode, skip) in [(1, 16), (2, 24)] {
            let mut raw = Vec::new();
            for piece in data.chunks(DATA as usize) {
                let start = raw.len();
                raw.extend(SYNC);
                raw.extend([0, 2, 0, mode]);
                raw.resize(start + skip, 0xaa);
                raw.extend(piece);
                raw.resize(start + RAW as usize, 0xbb);
            }
            let file: Arc<dyn ReadAt> = Arc::new(raw);
            let disc = RawSectors::of(&file).unwrap();
            assert_eq!(disc.len(), data.len() as u64);
            for (at, len) in [(0, 1), (2047, 2), (100, 6000), (0, data.len())] {
                let mut got = vec![0; len];
                disc.read_at(at as u64, &mut got).unwrap();
                assert!(got == data[at..at + len], "{mode} {at} {len}");
            }
            assert!(disc.read_at(data.len() as u64 - 1, &mut [0; 2]).is_err());
        }
        let plain: Arc<dyn ReadAt> = Arc::new(vec![0; 10_000]);
        assert!(RawSectors::of(&plain).is_none());
    }
}
