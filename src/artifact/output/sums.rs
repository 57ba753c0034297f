//! `SHA256SUMS`: one line for each artifact, as `sha256sum -c` reads it,
//! sorted by name. Lines of artifacts that a build did not touch stay as long
//! as the artifacts do.

use crate::artifact::error::Error;
use crate::artifact::output::folder::Folder;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// Name of the file.
pub const FILE: &str = "SHA256SUMS";

/// The digests by file name, in hexadecimal; empty when there is no file.
///
/// # Errors
/// [`Error::Sums`] for a line that is not one.
pub fn load(folder: &Folder) -> Result<BTreeMap<String, String>, Error> {
    load_in(folder.path())
}

/// As [`load`], of a folder that is not locked.
///
/// # Errors
/// As [`load`].
pub fn load_in(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let mut sums = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let (digest, name) = parse(line).ok_or_else(|| Error::Sums { path: path.clone(), line: i + 1 })?;
        sums.insert(name.to_owned(), digest.to_ascii_lowercase());
    }
    Ok(sums)
}

fn parse(line: &str) -> Option<(&str, &str)> {
    let (digest, name) = line.split_once(' ')?;
    // A blank for text or an asterisk for binary mode, then the name.
    let name = name.strip_prefix([' ', '*'])?;
    let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && !name.is_empty() && !name.contains('/')).then_some((digest, name))
}

fn save(folder: &Folder, sums: &BTreeMap<String, String>) -> Result<(), Error> {
    let text: String = sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    folder.replace(FILE, text.as_bytes())
}

/// Removes the lines of `names`, which are about to change. Does nothing when
/// there are none.
///
/// # Errors
/// As [`load`], or when the file cannot be written.
pub fn forget(folder: &Folder, names: &BTreeSet<&str>) -> Result<(), Error> {
    let mut sums = load(folder)?;
    let before = sums.len();
    sums.retain(|name, _| !names.contains(name.as_str()));
    if sums.len() == before { Ok(()) } else { save(folder, &sums) }
}

/// Adds or replaces lines, and removes those whose file is gone.
///
/// # Errors
/// Fails when the file cannot be read or written.
pub fn add(folder: &Folder, new: Vec<(String, String)>) -> Result<(), Error> {
    let mut sums = load(folder)?;
    sums.retain(|name, _| folder.path().join(name).exists());
    sums.extend(new);
    save(folder, &sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::output::folder::Wait;

    #[test]
    fn keeps_what_is_still_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        for name in ["a", "b"] {
            folder.replace(name, b"x").unwrap();
        }
        let digest = |c: &str| c.repeat(64);
        let entry = |n: &str, c: &str| (n.to_owned(), digest(c));
        add(&folder, vec![entry("b", "1"), entry("a", "2"), entry("gone", "3")]).unwrap();
        forget(&folder, &BTreeSet::from(["b"])).unwrap();
        add(&folder, vec![entry("c", "4")]).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(text, format!("{}  a\n{}  c\n", digest("2"), digest("4")));
    }

    #[test]
    fn a_foreign_line_is_pointed_at() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        let good = format!("{}  a\n", "0".repeat(64));
        folder.replace(FILE, format!("{good}hello\n").as_bytes()).unwrap();
        assert!(matches!(load(&folder), Err(Error::Sums { line: 2, .. })));
        assert_eq!(parse(&format!("{} *a b", "0".repeat(64))).unwrap().1, "a b");
    }
}
