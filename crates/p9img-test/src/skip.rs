//! Tests that are left out where something is missing.

use std::fmt::Display;
use std::io::Write as _;

/// Says on the real standard error that a test, or a part of one, is left out,
/// and why. The harness holds back what `eprintln!` prints, and shows it of
/// tests that fail alone.
pub fn skipped(why: impl Display) {
    let _ = std::io::stderr().write_all(format!("SKIPPED {why}\n").as_bytes());
}
