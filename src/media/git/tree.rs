//! Trees of a commit: folders, each an object that names what is in it.

use super::error::GitError;
use super::id::is_id;
use super::objects::Objects;
use super::snapshot::Item;
use crate::hex::hex;
use crate::media::listing::{MOST, MOST_BYTES};

/// Bytes of a commit that are read.
const MAX_COMMIT: u64 = 1 << 20;
/// Bytes of all trees that are read: twenty times those of a large one.
const MAX_TREES: u64 = 128 << 20;
/// Folders: twenty times those of a large tree. Each is asked for by itself.
const MOST_FOLDERS: usize = 1 << 16;
/// Folders inside each other.
const MAX_DEPTH: usize = 256;

pub const FOLDER: u32 = 0o040_000;
pub const LINK: u32 = 0o120_000;
pub const SUBMODULE: u32 = 0o160_000;

/// The id of the tree that a commit is of.
///
/// # Errors
/// Fails when the commit is not there, or is damaged.
pub fn of_commit(objects: &mut Objects, id: &str) -> Result<String, GitError> {
    const KIND: &str = "commit";
    let text = objects.small(id, KIND, MAX_COMMIT)?.ok_or_else(|| GitError::Missing { kind: KIND, id: id.into() })?;
    let tree = commit(&text).filter(|tree| tree.len() == id.len());
    tree.ok_or_else(|| GitError::Malformed { kind: KIND, id: id.into(), why: "it names no tree" })
}

/// The tree that the text of a commit names.
pub fn commit(text: &[u8]) -> Option<String> {
    let line = text.split(|b| *b == b'\n').next()?;
    let id = str::from_utf8(line.strip_prefix(b"tree ")?).ok()?;
    is_id(id).then(|| id.to_owned())
}

/// All files of a tree, without their lengths and bytes. Each folder was
/// compared with its id, so the id of the tree stands for all of it.
///
/// # Errors
/// Fails when a folder is missing or damaged, or there is more than any medium
/// has.
pub fn files(objects: &mut Objects, tree: &str) -> Result<Vec<Item>, GitError> {
    const KIND: &str = "tree";
    let mut items = Vec::new();
    let mut waiting = vec![(Vec::new(), tree.to_owned(), 0)];
    let (mut bytes, mut names, mut count, mut folders) = (0, 0, 0, 0);
    while let Some((path, id, depth)) = waiting.pop() {
        let text = objects.small(&id, KIND, MAX_TREES - bytes)?;
        let text = text.ok_or_else(|| GitError::Missing { kind: KIND, id: id.clone() })?;
        bytes += text.len() as u64;
        let malformed = |why| GitError::Malformed { kind: KIND, id: id.clone(), why };
        for entry in entries(&text, id.len() / 2).map_err(malformed)? {
            let path = if path.is_empty() { entry.name.to_vec() } else { [&path, &b"/"[..], entry.name].concat() };
            names += path.len();
            count += 1;
            // A tree may be in itself a thousand times, as another a thousand times is in that.
            folders += usize::from(entry.mode == FOLDER);
            if count > MOST || names > MOST_BYTES || folders > MOST_FOLDERS || depth == MAX_DEPTH {
                return Err(GitError::Large { most: MOST, folders: MOST_FOLDERS, bytes: MOST_BYTES, depth: MAX_DEPTH });
            }
            match entry.mode {
                FOLDER => waiting.push((path, entry.id, depth + 1)),
                mode => items.push(Item { mode, oid: entry.id, place: None, path }),
            }
        }
    }
    items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(items)
}

/// One name in a folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub mode: u32,
    pub name: &'a [u8],
    pub id: String,
}

/// Names in a folder, from its bytes: for each the mode in octal digits, a
/// blank, the name, a zero and the `width` bytes of the id.
///
/// # Errors
/// Flaw of the folder, in words.
pub fn entries(mut text: &[u8], width: usize) -> Result<Vec<Entry<'_>>, &'static str> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    while !text.is_empty() {
        let blank = text.iter().position(|b| *b == b' ').ok_or("it is cut off")?;
        let mode = str::from_utf8(&text[..blank]).ok().and_then(|m| u32::from_str_radix(m, 8).ok());
        let mode = mode.ok_or("it has a mode that is not a number")?;
        text = &text[blank + 1..];
        let end = text.iter().position(|b| *b == 0).ok_or("it is cut off")?;
        let (name, rest) = (&text[..end], &text[end + 1..]);
        let (id, rest) = rest.split_at_checked(width).ok_or("it is cut off")?;
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return Err("it has a name that leads elsewhere");
        }
        if !matches!(mode, FOLDER | LINK | SUBMODULE) && mode & 0o170_000 != 0o100_000 {
            return Err("it has a file of an unknown kind");
        }
        entries.push(Entry { mode, name, id: hex(id) });
        text = rest;
    }
    let mut names: Vec<&[u8]> = entries.iter().map(|e| e.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a name appears twice in it");
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_to_its_end_or_refused() {
        let good = b"100644 a b\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x1440000 d\0\xff\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14";
        let found = entries(good, 20).unwrap();
        let short: Vec<_> = found.iter().map(|e| (e.mode, e.name, &e.id[..4])).collect();
        assert_eq!(short, [(0o100_644, &b"a b"[..], "0102"), (FOLDER, b"d", "ff02")]);
        for cut in (1..good.len()).filter(|cut| *cut != good.len() / 2 + 1 && *cut != 31) {
            assert!(entries(&good[..cut], 20).is_err(), "{cut}");
        }
        let id = [7; 20];
        let wrong: [&[u8]; 7] =
            [b"100644 ..\0", b"100644 a/b\0", b"100644 \0", b"60000 dev\0", b"9 a\0", b"100644 a", b"644 a\0"];
        for text in wrong {
            assert!(entries(&[text, &id].concat(), 20).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let twice = [b"100644 a\0", &id[..], b"40000 a\0", &id].concat();
        assert_eq!(entries(&twice, 20), Err("a name appears twice in it"));
    }

    #[test]
    fn a_commit_begins_with_its_tree() {
        let id = "ab".repeat(20);
        assert_eq!(commit(format!("tree {id}\nauthor x\n").as_bytes()), Some(id.clone()));
        for text in [format!("author x\ntree {id}\n"), format!("tree {id}0\n"), "tree \n".into(), String::new()] {
            assert_eq!(commit(text.as_bytes()), None, "{text}");
        }
    }
}
