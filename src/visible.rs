//! Text of others, for a terminal: characters that steer one are shown
//! instead of obeyed.

use std::borrow::Cow;
use std::io::{self, Write};

/// `text` with each control character but newline and tab written as Rust
/// writes it, such as `\u{1b}`, and so each that turns the direction of text.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal does something else with it than show it.
fn steers(c: char) -> bool {
    crate::shown::acts(c) && !matches!(c, '\n' | '\t')
}

/// Longest piece of a line that is held back, bytes.
const HELD: usize = 64 << 10;

/// Writes lines as [`visible`] makes them, whatever writes here.
pub struct Lines<W: Write> {
    to: W,
    /// Of a line whose end has not come yet.
    line: Vec<u8>,
}

impl<W: Write> Lines<W> {
    pub const fn new(to: W) -> Self {
        Self { to, line: Vec::new() }
    }

    /// Writes what is held back.
    ///
    /// # Errors
    /// Error of the other writer.
    pub fn finish(mut self) -> io::Result<()> {
        self.pass()?;
        self.to.flush()
    }

    fn pass(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.to.write_all(visible(&String::from_utf8_lossy(&line)).as_bytes())
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() > HELD {
                self.pass()?;
            }
        }
        Ok(bytes.len())
    }

    /// Nothing: a character may be in two writes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON without characters that steer a terminal: in strings, `DEL` and those
/// above it may stand as they are.
///
/// # Errors
/// Fails when the value cannot be written as JSON.
pub fn json(value: &(impl serde::Serialize + ?Sized)) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?))
}

/// As [`json`], in one line.
///
/// # Errors
/// As [`json`].
pub fn json_line(value: &(impl serde::Serialize + ?Sized)) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string(value)?))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_all_else_stays() {
        assert!(matches!(visible("a line\n\tΠλάν 9 …"), Cow::Borrowed("a line\n\tΠλάν 9 …")));
        let said = "\u{1b}]0;title\u{7}\u{1b}[2J\rgood\u{9b}31m\u{7f}\u{202e}txt.exe\n";
        assert_eq!(visible(said), "\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{d}good\\u{9b}31m\\u{7f}\\u{202e}txt.exe\n");
        for c in (0..0x2100).filter_map(char::from_u32).filter(|c| steers(*c)) {
            assert!(!visible(&c.to_string()).contains(c), "{c:?}");
        }
    }

    #[test]
    fn whatever_writes_lines_they_are_shown() {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out);
        // Characters and lines in pieces, bytes that are no text, and an end without a line's.
        for piece in ["a\u{1b}[31m\nΠλ".as_bytes(), b"\xce", b"\xac\xff\n\xc2", b"\x9b\n", b"", b"end\x07"] {
            lines.write_all(piece).unwrap();
        }
        lines.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\\u{1b}[31m\nΠλά\u{fffd}\n\\u{9b}\nend\\u{7}");
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out);
        (0..200).for_each(|_| lines.write_all(&[b'x'; 1000]).unwrap());
        assert!(lines.line.len() <= HELD);
        lines.finish().unwrap();
        assert_eq!(out, [b'x'; 200_000]);
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({"said": "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}x\n", "\u{85}": [1]});
        let text = json(&value).unwrap();
        assert!(!text.contains(steers), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        let line = json_line(&value).unwrap();
        assert!(!line.contains(steers) && !line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
