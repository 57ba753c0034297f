//! The bytes of a cache that holds nothing yet: the configuration, the header
//! and empty buckets.

use super::format::{BLOCK, HEADER_AT, Header, Kind, Tag};
use crate::read_at::{Extent, ReadAt, check_range};
use crate::shared::front;
use std::io;

/// The partition `fscache`.
pub struct Cache {
    pub(super) len: u64,
    pub(super) config: Vec<u8>,
    pub(super) header: Header,
}

impl Cache {
    fn block(&self, n: u64) -> [u8; BLOCK] {
        if n == HEADER_AT {
            return self.header.write();
        }
        let mut block = [0; BLOCK];
        if n == 0 {
            block[..self.config.len()].copy_from_slice(&self.config);
            Tag { kind: Kind::CONFIG, path: 0 }.write(&mut block);
        } else if (self.header.maddr..self.header.caddr).contains(&n) {
            Tag { kind: Kind::BUCKETS, path: n }.write(&mut block);
        }
        block
    }
}

impl ReadAt for Cache {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("fscache", offset, buf.len(), self.len)?;
        let done = front(offset, buf, self.header.caddr, |n| self.block(n));
        buf[done..].fill(0);
        Ok(())
    }

    fn extents(&self) -> Vec<Extent> {
        let block = BLOCK as u64;
        let map = Extent { offset: HEADER_AT * block, len: (self.header.caddr - HEADER_AT) * block };
        vec![Extent { offset: 0, len: block }, map]
    }
}
