//! Undoing venti's compression of blocks: literals and copies of what came
//! before, in codes of varying length (`doc/venti.md`).

use crate::count;

/// Base and number of extra bits of a copy's distance, by its first four bits.
const DISTANCES: [(usize, u32); 16] = [
    (0, 5),
    (0x20, 5),
    (0x40, 5),
    (0x60, 5),
    (0x80, 6),
    (0xc0, 6),
    (0x100, 7),
    (0x180, 7),
    (0x200, 8),
    (0x300, 8),
    (0x400, 9),
    (0x600, 9),
    (0x800, 10),
    (0xc00, 10),
    (0x1000, 12),
    (0x2000, 13),
];

/// Bits from the highest of each byte down; zeros past the end.
struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits taken so far.
    at: usize,
}

impl Bits<'_> {
    fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    fn take(&mut self, n: u32) -> usize {
        (0..n).fold(0, |v, _| {
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            v << 1 | usize::from(bit)
        })
    }
}

/// The block of `len` bytes that `from` was compressed from.
///
/// # Errors
/// Flaw of the data, in words that follow "its data: ".
pub(super) fn unwhack(from: &[u8], len: usize) -> Result<Vec<u8>, String> {
    let mut bits = Bits { bytes: from, at: 0 };
    let mut out: Vec<u8> = Vec::with_capacity(len);
    // One bit for each of the last four literals: whether it was uncommon.
    let mut uncommon = 0xfu8;
    while bits.left() >= 8 {
        if bits.take(1) == 0 {
            let byte = literal(&mut bits, uncommon & 0xf != 0);
            if out.len() == len {
                return Err(format!("it becomes longer than the {len} it was", len = count::of(len, "byte")));
            }
            out.push(byte);
            uncommon = uncommon << 1 | u8::from(!(32..128).contains(&byte));
            continue;
        }
        let count = length(&mut bits, len)?;
        let (base, extra) = DISTANCES[bits.take(4)];
        let distance = (base | bits.take(extra)) + 1;
        if distance > out.len() {
            return Err(format!("byte {} copies from {distance} before it", out.len()));
        }
        if count > len - out.len() {
            return Err(format!("it becomes longer than the {len} it was", len = count::of(len, "byte")));
        }
        for _ in 0..count {
            out.push(out[out.len() - distance]);
        }
    }
    match (bits.at > from.len() * 8, out.len() == len) {
        (true, _) => Err("it ends within a code".into()),
        (_, false) => Err(format!("it becomes {}, but was {len}", count::of(out.len(), "byte"))),
        _ => Ok(out),
    }
}

fn literal(bits: &mut Bits<'_>, plain: bool) -> u8 {
    if plain {
        return bits.take(8) as u8;
    }
    match bits.take(7) {
        v if v >= 32 => v as u8,
        v if v < 24 => (v << 2 | bits.take(2)).wrapping_sub(64) as u8,
        v => (v << 3 | bits.take(3)).wrapping_sub(64) as u8,
    }
}

/// Length of a copy in bytes, from the bits after its first one; not many more
/// than `most`.
fn length(bits: &mut Bits<'_>, most: usize) -> Result<usize, String> {
    if bits.take(1) == 0 {
        return Ok(3);
    }
    if bits.take(1) == 0 {
        return Ok(4);
    }
    if bits.take(1) == 0 {
        return Ok(5 + bits.take(1));
    }
    let (mut len, mut value, mut group) = (7, bits.take(2), 1);
    let mut double = true;
    while value >= group {
        len += group;
        if len > most {
            return Err("a copy is longer than the block".into());
        }
        value = (value - group) << 1 | bits.take(1);
        if double {
            group <<= 1;
        }
        double = !double;
    }
    Ok(len + value)
}
