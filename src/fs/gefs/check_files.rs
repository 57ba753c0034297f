//! What entries of directories must be to each other.

use super::format::{Dir, K_UP, NOWHERE, entry_key, get64, number_key, parse_entry_key};
use super::limits::{MAX_FILE, MAX_NAME};
use super::tree::Values;
use crate::fs::shared::{bad_name, join};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A file in its directory.
struct File<'a> {
    key: &'a [u8],
    name: &'a [u8],
    dir: Dir,
}

/// Checks the snapshot `label` by its entries and the directories' ways up;
/// `next` is the qid path that is given out next.
pub fn check(label: &str, entries: &Values, ups: &Values, next: u64, find: &mut dyn FnMut(&'static str, String)) {
    let mut below: BTreeMap<u64, Vec<File<'_>>> = BTreeMap::new();
    for (key, value) in entries {
        // What cannot be taken apart has been found before, but for messages.
        let (Some((up, name)), Some(dir)) = (parse_entry_key(key), Dir::parse(value)) else {
            find("entry", format!("{label}: an entry of {} bytes is no file", value.len()));
            continue;
        };
        below.entry(up).or_default().push(File { key, name, dir });
    }
    let root_key = entry_key(NOWHERE, b"");
    let root = below.remove(&NOWHERE).unwrap_or_default().into_iter().find(|f| f.key == root_key);
    let Some(root) = root.filter(|f| f.dir.is_dir()) else {
        find("root", format!("{label}: there is no root directory"));
        return;
    };
    let mut qids = BTreeSet::from([root.dir.qid]);
    let mut dirs = BTreeSet::new();
    let mut work = VecDeque::from([(root.dir.qid, String::new(), root.key)]);
    while let Some((qid, path, key)) = work.pop_front() {
        let shown = if path.is_empty() { "/" } else { &path };
        dirs.insert(qid);
        match ups.get(&number_key(K_UP, qid)) {
            Some(up) if up == key => {}
            Some(_) => find("up", format!("{label}: {shown}: it says that it is somewhere else")),
            None => find("up", format!("{label}: {shown}: it does not say where it is")),
        }
        for file in below.remove(&qid).unwrap_or_default() {
            let path = join(&path, file.name);
            one(label, &path, &file, next, find);
            if !qids.insert(file.dir.qid) {
                find("qid", format!("{label}: {path}: another file has its qid path {:x}, too", file.dir.qid));
            } else if file.dir.is_dir() {
                work.push_back((file.dir.qid, path, file.key));
            }
        }
    }
    for (up, files) in below {
        let names: Vec<_> = files.iter().take(3).map(|f| String::from_utf8_lossy(f.name)).collect();
        let (n, names) = (files.len(), names.join(", "));
        find("orphan", format!("{label}: {n} files ({names}) are in the directory {up:x}, to which nothing leads"));
    }
    for key in ups.keys().filter(|k| !dirs.contains(&get64(k, 1))) {
        find("up", format!("{label}: {:x} says where it is, but is no directory", get64(key, 1)));
    }
}

/// The fields of one file.
fn one(label: &str, path: &str, file: &File<'_>, next: u64, find: &mut dyn FnMut(&'static str, String)) {
    let d = &file.dir;
    if let Some(why) = bad_name(file.name) {
        find("name", format!("{label}: {path:?}: the name cannot be: {why}"));
    } else if file.name.len() > MAX_NAME {
        find("name", format!("{label}: {path}: the name has {} bytes, but {MAX_NAME} at most", file.name.len()));
    }
    if d.qid >= next {
        find("qid", format!("{label}: {path}: qid path {:x} is not below the next one to give out, {next:x}", d.qid));
    }
    if d.is_dir() != (d.kind & 0x80 != 0) {
        find("entry", format!("{label}: {path}: its mode {:x} and its qid's type {:x} disagree", d.mode, d.kind));
    }
    if d.len > MAX_FILE {
        find("entry", format!("{label}: {path}: its length {:x} is negative", d.len));
    }
}
