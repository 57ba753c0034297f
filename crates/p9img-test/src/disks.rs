//! Disks to build from.

use p9img::artifact::Machine;
use p9img::lab::{Arch, Controller, Mac, Nic, PcFirmware};
use p9img::read_at::{check_range, normalize};
use p9img::{Extent, ReadAt};

/// Pieces of data on a disk of zeros.
pub struct Scattered {
    size: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Scattered {
    /// Pieces at ascending offsets that do not overlap.
    pub fn of(size: u64, pieces: Vec<(u64, Vec<u8>)>) -> Self {
        for pair in pieces.windows(2) {
            assert!(pair[0].0 + pair[0].1.len() as u64 <= pair[1].0);
        }
        Self { size, pieces }
    }

    /// `count` pieces of noise, text and zeros, the last at the disk's end.
    pub fn new(seed: u64, size: u64, count: u64) -> Self {
        let step = (size / count).max(1);
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        for i in 0..count.min(size) {
            let len = step.min(1 + (i * i * 7919) % 200_000);
            let at = if i + 1 == count.min(size) { size - len } else { i * step + (step - len) * (i % 3) / 2 };
            if pieces.last().is_some_and(|(last, b)| last + b.len() as u64 > at) {
                continue;
            }
            let len = len as usize;
            pieces.push((
                at,
                match i % 4 {
                    0 => noise(seed + i, len),
                    3 => vec![0; len],
                    _ => text(seed + i, len),
                },
            ));
        }
        Self::of(size, pieces)
    }
}

impl ReadAt for Scattered {
    fn len(&self) -> u64 {
        self.size
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        check_range("test disk", offset, buf.len(), self.size)?;
        buf.fill(0);
        let end = offset + buf.len() as u64;
        for (at, bytes) in &self.pieces {
            let (a, b) = (offset.max(*at), end.min(at + bytes.len() as u64));
            if a < b {
                buf[(a - offset) as usize..(b - offset) as usize]
                    .copy_from_slice(&bytes[(a - at) as usize..(b - at) as usize]);
            }
        }
        Ok(())
    }
    fn extents(&self) -> Vec<Extent> {
        normalize(self.pieces.iter().map(|(at, b)| Extent { offset: *at, len: b.len() as u64 }).collect())
    }
}

/// Bytes that do not compress.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}

/// Bytes that compress.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    noise(seed, len).iter().map(|b| b"abcdefgh \n"[usize::from(*b) % 10]).collect()
}

/// All bytes of something small.
pub fn bytes(source: &dyn ReadAt) -> Vec<u8> {
    let mut out = vec![0; source.len() as usize];
    source.read_at(0, &mut out).unwrap();
    out
}

/// Compares two disks byte for byte, at odd offsets too, and asserts that data
/// lies within the extents of both.
pub fn same(a: &dyn ReadAt, b: &dyn ReadAt) {
    assert_eq!(a.len(), b.len());
    let step = 1_000_003;
    let (mut x, mut y, zeros) = (vec![0; step], vec![0; step], vec![0; step]);
    let mut at = 0;
    while at < a.len() {
        let n = (a.len() - at).min(step as u64) as usize;
        a.read_at(at, &mut x[..n]).unwrap();
        b.read_at(at, &mut y[..n]).unwrap();
        assert!(x[..n] == y[..n], "the disks differ after byte {at}");
        at += n as u64;
    }
    for (from, to) in [(a, b), (b, a)] {
        let extents = to.extents();
        assert_eq!(extents, normalize(extents.clone()));
        let mut at = 0;
        for e in extents.iter().chain([&Extent { offset: to.len(), len: 0 }]) {
            while at < e.offset {
                let n = (e.offset - at).min(step as u64) as usize;
                from.read_at(at, &mut x[..n]).unwrap();
                assert!(x[..n] == zeros[..n], "data outside the extents after byte {at}");
                at += n as u64;
            }
            at = e.end();
        }
    }
}

pub fn identity(name: &str) -> Machine {
    Machine {
        lab: "testlab".into(),
        name: name.into(),
        annotation: "cpu + fs + auth".into(),
        arch: Arch::I386,
        cpus: 1,
        memory: 512 << 20,
        mac: Mac([0x52, 0x54, 0, 9, 0, 1]),
        nic: Nic::E1000,
        controller: Controller::Ide,
        firmware: PcFirmware::Bios,
        network: "plan9lab".into(),
    }
}
