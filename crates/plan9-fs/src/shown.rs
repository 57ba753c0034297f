//! Names of files in images, as text that no terminal acts on and no folder of
//! the host is surprised by.
//!
//! Plan 9 refuses control characters in names, and its names are UTF-8. An
//! image can hold others all the same: one that is damaged, or was made to
//! recolour, overwrite or forge what a terminal shows. Such a byte is written
//! as `%` and two hexadecimal digits in capitals, and what looks like that
//! already has its `%` written as `%25`. All other names stay as they are, and
//! every name can be found again from its text.

use std::fmt::Write as _;

/// Whether a terminal may act on a character or show what follows in another
/// order: control characters, ends of lines and marks of direction.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The byte that two digits stand for, if it is one that [`name`] writes so.
fn digits(text: &[u8]) -> Option<u8> {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'F').then(|| (b as char).to_digit(16)).flatten();
    let byte = (digit(*text.first()?)? * 16 + digit(*text.get(1)?)?) as u8;
    (byte < b' ' || byte == b'%' || byte > b'~').then_some(byte)
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "%{byte:02X}");
    }
}

/// The text for a name or path.
pub fn name(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            let (this, after) = rest.split_at(c.len_utf8());
            match c {
                '%' if digits(after).is_some() => escape(&mut out, this),
                c if acts(c) => escape(&mut out, this),
                c => out.push(c),
            }
            rest = after;
        }
        escape(&mut out, chunk.invalid());
        rest = &rest[chunk.invalid().len()..];
    }
    out
}

/// The name or path that [`name`] wrote.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match digits(after).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_acts_is_written_otherwise() {
        let names: [(&[u8], &str); 10] = [
            (b"cpurc", "cpurc"),
            ("α β.ms".as_bytes(), "α β.ms"),
            (b"a%20b 100% %zz %1", "a%20b 100% %zz %1"),
            (b"\x1b[31m", "%1B[31m"),
            (b"a\nb\t", "a%0Ab%09"),
            (b"\xff/x\x7f", "%FF/x%7F"),
            (b"%1B %25", "%251B %2525"),
            ("x\u{9b}31m".as_bytes(), "x%C2%9B31m"),
            ("exe.\u{202e}txt".as_bytes(), "exe.%E2%80%AEtxt"),
            (b"%4\x1b", "%4%1B"),
        ];
        for (raw, shown) in names {
            assert_eq!(name(raw), shown);
            assert_eq!(bytes(shown), raw, "{shown}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(raw: Vec<u8>, piece in "[%0-9A-F\u{1b}é]{0,12}") {
            for raw in [&raw[..], piece.as_bytes(), &[piece.as_bytes(), &raw].concat()] {
                let shown = name(raw);
                prop_assert!(!shown.contains(acts), "{shown:?}");
                prop_assert_eq!(bytes(&shown), raw);
            }
        }
    }
}
