//! Line ends of Windows, which Plan 9 takes for a part of the line: rc looks for
//! a program whose name ends with CR, ndb gives values that do.

/// Bytes of a file that are looked at.
pub const LOOK: usize = 4096;

/// Places of files that Plan 9 runs or reads line by line.
const LINES: [&str; 3] = ["rc/", "cfg/", "lib/ndb/"];
const NAMES: [&str; 2] = ["lib/namespace", "lib/profile"];

/// Whether a text has lines, and all of those at its beginning end with CR and LF.
pub fn of_windows(text: &[u8]) -> bool {
    let text = &text[..text.len().min(LOOK)];
    let mut ends = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).peekable();
    ends.peek().is_some() && ends.all(|at| at > 0 && text[at - 1] == b'\r') && !text.contains(&0)
}

/// Whether Plan 9 could not use the file at `path` because of its line ends.
pub fn stop(path: &str, text: &[u8]) -> bool {
    let lines = LINES.iter().any(|top| path.starts_with(top)) || NAMES.iter().any(|name| path.ends_with(name));
    (lines || text.starts_with(b"#!")) && of_windows(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_windows_are_known_and_stop_scripts_alone() {
        for windows in [&b"a\r\n"[..], b"#!/bin/rc\r\nb\r\nc"] {
            assert!(of_windows(windows));
        }
        for other in [&b""[..], b"a", b"a\n", b"\n", b"a\r", b"a\r\nb\n", b"MZ\r\n\0"] {
            assert!(!of_windows(other), "{other:?}");
        }
        assert!(stop("rc/bin/x", b"a\r\n") && stop("usr/bob/lib/profile", b"a\r\n") && stop("x", b"#!/bin/rc\r\n"));
        assert!(!stop("lib/readme", b"a\r\n") && !stop("rc/bin/x", b"a\n"));
    }
}
