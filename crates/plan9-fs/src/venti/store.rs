//! A venti of a few blocks, written as venti(8) writes them. For tests.

use super::format::{ArenaTail, BloomHead, Entry, Stats};
use super::*;
use crate::FileSystem as _;
use crate::read_at::ReadAt as _;
use sha1::{Digest as _, Sha1};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const BASE: usize = 794_624;
const TAIL: usize = (2 * MIB - 8192) as usize;

pub(super) fn arenas(name: &str, len: u64) -> Wanted {
    Wanted { name: name.into(), len, kind: Kind::Arenas }
}
pub(super) fn section(name: &str, len: u64) -> Wanted {
    Wanted { name: name.into(), len, kind: Kind::Section }
}
pub(super) fn bloom(name: &str, len: u64) -> Wanted {
    Wanted { name: name.into(), len, kind: Kind::Bloom }
}

/// The kinds of what a check finds.
pub(super) fn kinds(fs: &Venti) -> Vec<String> {
    let mut out = Vec::new();
    fs.check(&mut |f| out.push(f.kind.to_owned())).unwrap();
    out
}

/// Arenas, index section and bloom filter.
pub(super) struct Store {
    pub bytes: [Vec<u8>; 3],
    /// Offset of each clump from the start of the log.
    clumps: Vec<usize>,
    sum: Stats,
}

impl Store {
    /// 400 blocks, the last one compressed and not indexed.
    pub(super) fn sample() -> Self {
        let parts = [arenas("a", 2 * MIB), section("is", MIB + 5000), bloom("b", MIB)];
        let volumes = layout(&parts, "store").unwrap();
        let bytes = [0, 1, 2].map(|i: usize| {
            let mut b = vec![0; volumes[i].len() as usize];
            volumes[i].read_at(0, &mut b).unwrap();
            b
        });
        let mut store = Self { bytes, clumps: Vec::new(), sum: Stats::default() };
        for i in 0..399u32 {
            let data: Vec<u8> = (0..i % 90 + 60).map(|k| (k * 7 + i) as u8).chain(i.to_be_bytes()).collect();
            store.add(13, &data, &data);
            store.enter();
        }
        let indexed = store.sum;
        // Three literals `aaa`, each plain as the history is young, then 4 copies at distance 1.
        // 0 01100001 ×3 is 27 bits; the fourth: 110 for 4, 0000 00000 for 1.
        let bits = ["001100001"; 4].concat() + "110" + "0000" + "00000";
        let packed: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|c| c.iter().chain(b"0000000").take(8).fold(0, |n, b| n << 1 | (b - b'0')))
            .collect();
        store.add(2, b"aaaaaaaa", &packed);
        store.write_tail(indexed, store.sum);
        store
    }

    pub(super) fn opened(&self) -> Vec<Venti> {
        self.bytes.iter().map(|b| open(Arc::new(b.clone())).unwrap_or_else(|e| panic!("{e}"))).collect()
    }

    pub(super) fn clump_magic(&self) -> u32 {
        u32::from_be_bytes(self.bytes[0][BASE + 84..BASE + 88].try_into().unwrap())
    }

    /// Byte of the partition where clump `i` begins.
    pub(super) fn clump_at(&self, i: usize) -> usize {
        BASE + 8192 + self.clumps[i]
    }

    /// Byte of the partition where the bucket number `n` begins.
    pub(super) fn bucket_at(&self, n: usize) -> usize {
        BASE + 8192 * n
    }

    /// Appends a block to the log and to the directory.
    fn add(&mut self, kind: u8, data: &[u8], stored: &[u8]) {
        let len = |d: &[u8]| (d.len() as u16).to_be_bytes();
        let score: [u8; 20] = Sha1::digest(data).into();
        let info = [&[kind][..], &len(stored), &len(data), &score].concat();
        let encoding = if stored.len() < data.len() { 2 } else { 1 };
        let magic = self.clump_magic().to_be_bytes();
        let clump = [&magic[..], &info, &[encoding], &[0; 4], &[0, 0, 0, 9], stored].concat();
        let (at, i) = (self.sum.used as usize, self.clumps.len());
        self.clumps.push(at);
        self.bytes[0][BASE + 8192 + at..][..clump.len()].copy_from_slice(&clump);
        let slot = TAIL - (i / 327 + 1) * 8192 + i % 327 * 25;
        self.bytes[0][slot..slot + 25].copy_from_slice(&info);
        self.sum.clumps += 1;
        self.sum.compressed += u32::from(encoding == 2);
        self.sum.used += clump.len() as u64;
        self.sum.uncompressed += data.len() as u64;
    }

    /// Enters the last block in index and bloom filter.
    fn enter(&mut self) {
        let at = *self.clumps.last().unwrap();
        let clump = &self.bytes[0][BASE + 8192 + at..][..38];
        let (kind, stored, len, score) = (clump[4], &clump[5..7], &clump[7..9], clump[9..29].to_vec());
        let blocks = (38 + u16::from_be_bytes([stored[0], stored[1]])).div_ceil(512) as u8;
        let address = (MIB + at as u64).to_be_bytes();
        let entry = [&score, &[0; 6][..], &address, len, &[kind, blocks]].concat();
        let head = u32::from_be_bytes(score[..4].try_into().unwrap());
        let buckets = u32::from_be_bytes(self.bytes[1][262_296..262_300].try_into().unwrap());
        let bucket = self.bucket_at((u64::from(head) / (1u64 << 32).div_ceil(buckets.into())) as usize);
        let magic: [u8; 4] = self.bytes[1][262_300..262_304].try_into().unwrap();
        let b = &mut self.bytes[1][bucket..bucket + 8192];
        let n = usize::from(u16::from_be_bytes([b[0], b[1]]));
        let mut entries: Vec<Vec<u8>> = b[6..6 + n * Entry::LEN].chunks(Entry::LEN).map(<[u8]>::to_vec).collect();
        entries.push(entry);
        entries.sort();
        b[..2].copy_from_slice(&(n as u16 + 1).to_be_bytes());
        b[2..6].copy_from_slice(&magic);
        b[6..6 + (n + 1) * Entry::LEN].copy_from_slice(&entries.concat());
        let word = |at: usize| u32::from_le_bytes(score[at..at + 4].try_into().unwrap());
        let (x, y) = (word(4) ^ word(12), word(8) ^ word(16));
        for i in 0..32u32 {
            let hash = x.wrapping_add(i.wrapping_mul(y)).max(8 * BloomHead::LEN as u32);
            let bit = hash as usize % self.bytes[2].len().strict_mul(8);
            self.bytes[2][bit / 8] |= 1 << (bit % 8);
        }
    }

    pub(super) fn write_tail(&mut self, indexed: Stats, stored: Stats) {
        let clump_magic = self.clump_magic();
        let tail =
            ArenaTail { version: 5, name: b"a0".to_vec(), created: 10, written: 20, clump_magic, indexed, stored };
        let tail = tail.encode();
        self.bytes[0][TAIL..TAIL + 200].fill(0);
        self.bytes[0][TAIL..TAIL + tail.len()].copy_from_slice(&tail);
    }

    /// Sets the magic after the last clump.
    pub(super) fn set_end(&mut self, magic: u32) {
        let at = BASE + 8192 + self.sum.used as usize;
        self.bytes[0][at..at + 4].copy_from_slice(&magic.to_be_bytes());
    }

    pub(super) fn seal(&mut self, seal: [u8; 20]) {
        let all = Stats { sealed: true, ..self.sum };
        self.write_tail(all, all);
        self.bytes[0][2 * MIB as usize - 20..].copy_from_slice(&seal);
    }

    /// The seal of the arena once it is sealed.
    pub(super) fn right_seal(&self) -> [u8; 20] {
        let mut sealed = Self { bytes: self.bytes.clone(), clumps: Vec::new(), sum: self.sum };
        sealed.seal([0; 20]);
        Sha1::digest(&sealed.bytes[0][BASE..]).into()
    }
}
