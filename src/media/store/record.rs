//! Record of a stored file's bytes: a text in a second file.
//!
//! ```text
//! p9img store 1
//! sha256 5aaf…                    or: key decompressed of SHA-256 5aaf…
//! length 491550720
//! 4d2e…                           SHA-256 of each chunk, 469 lines
//! record 81c0…                    SHA-256 of all lines above
//! ```

use crate::digest::Digest;
use std::fmt::Write as _;

/// Bytes of a chunk: what is read and digested to answer for one byte of it.
pub const CHUNK: u64 = 1 << 20;
/// Bytes of the longest record that is read: that of a file of a tebibyte.
pub const LARGEST: u64 = 80 << 20;
const FIRST: &str = "p9img store 1";

/// Name of a file in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Digest of the content.
    Content(Digest),
    /// Description of how it is made from other files.
    Derived(String),
}

impl Name {
    /// A derived file's. A record is lines, so control characters become blanks.
    pub fn derived(key: &str) -> Self {
        Self::Derived(key.replace(char::is_control, " "))
    }

    /// The file's name in its folder.
    pub(super) fn file(&self) -> String {
        match self {
            Self::Content(digest) => digest.to_string(),
            Self::Derived(key) => Digest::of(key.as_bytes()).to_string(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Content(digest) => write!(f, "SHA-256 {digest}"),
            Self::Derived(key) => f.write_str(key),
        }
    }
}

/// Length and digests of a file in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: Name,
    /// Bytes.
    pub len: u64,
    /// Digest of each chunk, the last one perhaps shorter than [`CHUNK`].
    pub chunks: Vec<Digest>,
}

impl Record {
    /// As it is written.
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST}\n");
        // Writing to a String cannot fail.
        let _ = match &self.name {
            Name::Content(digest) => writeln!(text, "sha256 {digest}"),
            Name::Derived(key) => writeln!(text, "key {key}"),
        };
        let _ = writeln!(text, "length {}", self.len);
        for chunk in &self.chunks {
            let _ = writeln!(text, "{chunk}");
        }
        let _ = writeln!(text, "record {}", Digest::of(text.as_bytes()));
        text
    }

    /// None when anything in it is not as [`Self::text`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.strip_suffix('\n')?.rfind('\n')? + 1;
        let sum = text[end..].trim_end().strip_prefix("record ")?.parse::<Digest>().ok()?;
        if sum != Digest::of(&text.as_bytes()[..end]) {
            return None;
        }
        let mut lines = text[..end].lines();
        lines.next().filter(|line| *line == FIRST)?;
        let name = match lines.next()?.split_once(' ')? {
            ("sha256", digest) => Name::Content(digest.parse().ok()?),
            ("key", key) => Name::Derived(key.to_owned()),
            _ => return None,
        };
        let len: u64 = lines.next()?.strip_prefix("length ")?.parse().ok()?;
        let chunks: Vec<Digest> = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
        (chunks.len() as u64 == len.div_ceil(CHUNK)).then_some(Self { name, len, chunks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written_and_no_byte_of_it_can_change() {
        for name in [Name::Content(Digest::of(b"x")), Name::derived("a key with\nlines and ü")] {
            let record = Record { name, len: CHUNK + 1, chunks: vec![Digest::of(b"a"), Digest::of(b"b")] };
            let text = record.text();
            assert_eq!(Record::parse(&text), Some(record));
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let changed = String::from_utf8(bytes).ok().and_then(|text| Record::parse(&text));
                assert_eq!(changed, None, "byte {at}");
                assert_eq!(text.get(..at).and_then(Record::parse), None);
            }
        }
    }

    #[test]
    fn a_record_with_a_right_sum_but_too_few_chunks_is_refused() {
        let record = Record { name: Name::derived("k"), len: 3 * CHUNK, chunks: vec![Digest::of(b"a")] };
        assert_eq!(Record::parse(&record.text()), None);
    }
}
