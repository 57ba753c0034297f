//! The metadata that a release carries about its own files.
//!
//! A tree copied to a Unix host has lost owners, modes and Plan 9's times.
//! 9legacy ships a replica(8) database, `dist/replica/plan9.db`, with one line
//! for every path: path, server path, octal mode, uid, gid, mtime, length.

use crate::tree::{Meta, Mode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The database's path inside a medium.
pub const PATH: &str = "dist/replica/plan9.db";
/// Bytes of a release's records that are read: 9legacy's have 1.4 MB.
pub const MAX_RECORDS: u64 = 64 << 20;

/// File in which replica(8) records the files that it has installed; the fields
/// are the same. Plan 9's installer copies everything but the database itself.
pub const INSTALLED: &str = "dist/replica/client/plan9.db";

/// replica(8) writes the `DM…` bits of a mode as they are: the directory bit is
/// octal 020000000000.
const FIELDS: usize = 7;

/// Attributes by path (no leading slash).
#[derive(Debug, Default)]
pub struct Database {
    records: BTreeMap<Vec<u8>, Meta>,
}

/// Reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("{PATH} line {line}: expected 7 fields (path, server path, mode, uid, gid, mtime, length), found {found}")]
    Fields { line: usize, found: usize },
    #[error("{PATH} line {line}: {field} is {found:?}, expected {expected}")]
    Number { line: usize, field: &'static str, found: String, expected: &'static str },
}

impl Database {
    /// Records by path.
    pub(super) fn new(records: BTreeMap<Vec<u8>, Meta>) -> Self {
        Self { records }
    }

    /// Reads a database.
    ///
    /// # Errors
    /// For the first line that is not a record.
    pub fn parse(text: &[u8]) -> Result<Self, MetadataError> {
        let mut records = BTreeMap::new();
        let mut names: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let mut intern = |s: &str| names.entry(s.into()).or_insert_with(|| s.into()).clone();
        for (i, raw) in text.split(|b| *b == b'\n').enumerate() {
            if raw.is_empty() {
                continue;
            }
            let line = i + 1;
            let fields = split_quoted(raw);
            let [path, _server, mode, uid, gid, mtime, _len] =
                <[Vec<u8>; FIELDS]>::try_from(fields).map_err(|f| MetadataError::Fields { line, found: f.len() })?;
            let number = |field, bytes: &[u8], radix, expected| {
                let text = String::from_utf8_lossy(bytes);
                u32::from_str_radix(&text, radix).map_err(|_| MetadataError::Number {
                    line,
                    field,
                    found: text.chars().take(40).collect(),
                    expected,
                })
            };
            let mode = Mode(number("mode", &mode, 8, "an octal number of at most 32 bits")?);
            let mtime = number("mtime", &mtime, 10, "seconds since 1970")?;
            let (uid, gid) = (String::from_utf8_lossy(&uid), String::from_utf8_lossy(&gid));
            let uid = intern(&uid);
            records.insert(path, Meta { mode, muid: uid.clone(), uid, gid: intern(&gid), mtime });
        }
        Ok(Self { records })
    }

    pub fn get(&self, path: &[u8]) -> Option<&Meta> {
        self.records.get(path)
    }

    /// All records, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Meta)> {
        self.records.iter().map(|(p, m)| (p.as_slice(), m))
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Fields separated by blanks; quoted as rc(1) does, `''` standing for a quote.
fn split_quoted(line: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut field: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut bytes = line.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        match b {
            b'\'' if quoted && bytes.peek() == Some(&b'\'') => {
                bytes.next();
                field.get_or_insert_default().push(b'\'');
            }
            b'\'' => {
                quoted = !quoted;
                field.get_or_insert_default();
            }
            b' ' | b'\t' if !quoted => out.extend(field.take()),
            _ => field.get_or_insert_default().push(b),
        }
    }
    out.extend(field);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_mode_owner_and_time() {
        let db =
            Database::parse(b"386 - 20000000775 sys sys 1681498236 0\n'a b' - 10000000666 upas 'it''s' 7 3\n").unwrap();
        let dir = db.get(b"386").unwrap();
        assert!(dir.mode.is_dir() && dir.mode.perm() == 0o775 && dir.mtime == 1_681_498_236);
        let file = db.get(b"a b").unwrap();
        assert!(file.mode.is_append() && &*file.uid == "upas" && &*file.gid == "it's");
    }

    #[test]
    fn a_bad_line_is_named() {
        let short = Database::parse(b"x - 664 sys sys 1 2\nx - 664\n").unwrap_err();
        assert!(short.to_string().contains("line 2: expected 7 fields"), "{short}");
        let mode = Database::parse(b"x - 999 sys sys 1 2\n").unwrap_err();
        assert!(mode.to_string().contains("line 1: mode is \"999\""), "{mode}");
    }
}
