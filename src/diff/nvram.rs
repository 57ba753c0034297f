//! The nvram block, by its fields. Keys are secrets: a difference is reported,
//! but not the keys.

use super::{Difference, Sink};
use std::io;

/// First byte, first byte after the field, name, whether its bytes may be
/// shown. By `struct Nvrsafe` in /sys/include/authsrv.h, as
/// `crates/plan9-auth/src/nvram.rs`.
const FIELDS: [(usize, usize, &str, bool); 12] = [
    (0, 7, "machine key", false),
    (7, 8, "checksum of the machine key", false),
    (8, 15, "authentication key", false),
    (15, 16, "checksum of the authentication key", false),
    (16, 30, "configuration", true),
    (30, 31, "checksum of the configuration", true),
    (31, 59, "owner of the host (authid)", true),
    (59, 60, "checksum of the owner", true),
    (60, 108, "authentication domain (authdom)", true),
    (108, 109, "checksum of the domain", true),
    (109, 125, "AES key of 9front", false),
    (125, 126, "checksum of the AES key", false),
];
/// Bytes that the fields take.
pub const LEN: u64 = 126;

/// Compares two blocks of [`LEN`] bytes.
///
/// # Errors
/// Error of `sink`.
pub fn compare(place: &str, a: &[u8], b: &[u8], sink: &mut Sink<'_>) -> io::Result<()> {
    for (start, end, name, open) in FIELDS {
        let (Some(x), Some(y)) = (a.get(start..end), b.get(start..end)) else { continue };
        let Some(i) = x.iter().zip(y).position(|(x, y)| x != y) else { continue };
        let at = start + i;
        let d = Difference::new(place, "nvram", format!("{name}, byte {at}")).at(at as u64);
        let text = |f: &[u8]| format!("{:?}", String::from_utf8_lossy(f.split(|c| *c == 0).next().unwrap_or_default()));
        sink(match (open, end - start) {
            (false, _) => Difference { what: format!("{name} differs from byte {at} on (a secret: not shown)"), ..d },
            (true, 1) => d.values(format!("{:02x}", x[0]), format!("{:02x}", y[0])),
            (true, _) if text(x) != text(y) => d.values(text(x), text(y)),
            (true, _) => d.values(format!("{:02x}", x[i]), format!("{:02x}", y[i])),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_show() {
        let a = [0x41u8; 126];
        let mut b = a;
        (b[3], b[31]) = (0x5a, 0x42);
        let mut found = Vec::new();
        compare("nvram", &a, &b, &mut |d| {
            found.push(d.to_string());
            Ok(())
        })
        .unwrap();
        assert_eq!(found[0], "nvram: machine key differs from byte 3 on (a secret: not shown) [nvram]");
        assert!(found[1].contains("owner of the host (authid), byte 31: \"AAAA"), "{}", found[1]);
    }
}
