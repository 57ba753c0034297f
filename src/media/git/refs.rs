//! The commit that `HEAD` names, read without git: from a file with an id, or
//! with the name of another such file or of a line in `packed-refs`.

use super::error::GitError;
use super::id::is_id;
use super::own::{Kind, kind, read};
use std::path::Path;

const HEAD: &str = "HEAD";
const PACKED: &str = "packed-refs";
/// Names followed one after another; git stops there, too.
const MAX_HOPS: usize = 5;
/// Bytes of a file that holds one id or name.
const MAX_LOOSE: u64 = 4096;
/// Bytes of `packed-refs`: a million branches.
const MAX_PACKED: u64 = 64 << 20;

/// The id of the commit that `HEAD` of a git directory names.
///
/// # Errors
/// Fails when there is none, or one of the files is not what git writes.
pub fn head(dir: &Path) -> Result<String, GitError> {
    let mut name = HEAD.to_owned();
    for _ in 0..=MAX_HOPS {
        let Some(text) = loose(dir, &name)? else {
            let none = || GitError::NoCommit { name: name.clone() };
            let text = read(&dir.join(PACKED), MAX_PACKED)?.ok_or_else(none)?;
            return packed(&text, &name).ok_or_else(none);
        };
        name = match parse(&text) {
            Some(Named::Id(id)) => return Ok(id),
            Some(Named::Other(next)) => next,
            None => return Err(GitError::BadRef { name }),
        };
    }
    Err(GitError::BadRef { name: HEAD.into() })
}

/// Content of a file of refs.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    Id(String),
    /// Another ref, which lies in the same directory.
    Other(String),
}

/// Reads the text of one ref.
pub fn parse(text: &[u8]) -> Option<Named> {
    let text = str::from_utf8(text).ok()?.trim_end();
    if is_id(text) {
        return Some(Named::Id(text.into()));
    }
    let name = text.strip_prefix("ref:")?.trim_start();
    let inside = name.strip_prefix("refs/")?.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (inside && !name.contains(|c: char| c.is_control() || c == '\\')).then(|| Named::Other(name.into()))
}

/// The id of a ref in the text of `packed-refs`.
pub fn packed(text: &[u8], name: &str) -> Option<String> {
    text.split(|b| *b == b'\n').find_map(|line| {
        let (id, of) = str::from_utf8(line).ok()?.split_once(' ')?;
        (of == name && is_id(id)).then(|| id.to_owned())
    })
}

/// The text of a ref that has a file; each folder on the way to it is a real one.
fn loose(dir: &Path, name: &str) -> Result<Option<Vec<u8>>, GitError> {
    let mut at = dir.to_path_buf();
    for part in name.split('/') {
        // A branch `a` where `a/b` is looked for.
        if at != dir && kind(&at)? != Some(Kind::Folder) {
            return Ok(None);
        }
        at.push(part);
    }
    match kind(&at)? {
        Some(Kind::Folder) => Ok(None),
        _ => read(&at, MAX_LOOSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_an_id_or_a_name_inside() {
        let id = "0123456789".repeat(4);
        assert_eq!(parse(format!("{id}\n").as_bytes()), Some(Named::Id(id.clone())));
        assert_eq!(parse(b"ref: refs/heads/a b\n"), Some(Named::Other("refs/heads/a b".into())));
        let long = format!("{id}0");
        let wrong: [&[u8]; 8] = [
            b"",
            b"ref: ",
            b"ref: refs/../../secret",
            b"ref: /etc/passwd",
            b"ref: refs//x",
            b"ref: refs/a\x1b[31m",
            b"ref: refs/\xff",
            long.as_bytes(),
        ];
        for text in wrong {
            assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
        }
        let text =
            format!("# pack-refs with: peeled\n{} refs/heads/mai\n{id} refs/heads/main\n^{id}\n", "f".repeat(40));
        assert_eq!(packed(text.as_bytes(), "refs/heads/main"), Some(id));
        assert_eq!(packed(text.as_bytes(), "refs/heads/none"), None);
    }
}
