//! Checks of directory entries against each other.

use super::format::{Dir, K_UP, NOWHERE, entry_key, get64, number_key, parse_entry_key};
use super::limits::{MAX_FILE, MAX_NAME};
use super::tree::Values;
use super::users::Users;
use crate::count;
use crate::shared::strangers::Strangers;
use crate::shared::{bad_name, count, join, length_flaw, name_text};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A file in its directory.
struct File<'a> {
    key: &'a [u8],
    name: &'a [u8],
    dir: Dir,
}

/// Facts that entries are checked against.
pub(super) struct About<'a> {
    /// The snapshot's.
    pub label: &'a str,
    /// The qid path that is given out next.
    pub next: u64,
    /// User table, if there is one.
    pub users: Option<&'a Users>,
    /// Bytes of the volume.
    pub volume: u64,
    /// Whether the last block of a file, by qid path and length, is there.
    pub has_end: &'a dyn Fn(u64, u64) -> bool,
}

/// Checks a snapshot by its entries and the directories' ways up.
pub(super) fn check(about: &About<'_>, entries: &Values, ups: &Values, find: &mut dyn FnMut(&'static str, String)) {
    let label = about.label;
    let mut strangers = Strangers::default();
    let mut below: BTreeMap<u64, Vec<File<'_>>> = BTreeMap::new();
    for (key, value) in entries {
        // Values that cannot be taken apart have been found before, but not
        // those of messages.
        let (Some((up, name)), Some(dir)) = (parse_entry_key(key), Dir::parse(value)) else {
            find("entry", format!("{label}: an entry of {} is not a file", count::of(value.len(), "byte")));
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
    owners(about, "/", &root.dir, &mut strangers);
    let mut work = VecDeque::from([(root.dir.qid, String::new(), root.key)]);
    while let Some((qid, path, key)) = work.pop_front() {
        let shown = if path.is_empty() { "/" } else { &path };
        dirs.insert(qid);
        match ups.get(&number_key(K_UP, qid)) {
            Some(up) if up == key => {}
            Some(_) => find("up", format!("{label}: {shown}: its record of its parent names another directory")),
            None => find("up", format!("{label}: {shown}: it has no record of its parent")),
        }
        for file in below.remove(&qid).unwrap_or_default() {
            let path = join(&path, file.name);
            one(about, &path, &file, find);
            owners(about, &path, &file.dir, &mut strangers);
            if !qids.insert(file.dir.qid) {
                find("qid", format!("{label}: {path}: another file has its qid path {:x}, too", file.dir.qid));
            } else if file.dir.is_dir() {
                work.push_back((file.dir.qid, path, file.key));
            }
        }
    }
    for (up, files) in below {
        let names: Vec<_> = files.iter().take(3).map(|f| String::from_utf8_lossy(f.name)).collect();
        let (n, names) = (count(files.len() as u64, "file", "files"), names.join(", "));
        find("orphan", format!("{label}: {n} ({names}) in the directory {up:x}, which no entry leads to"));
    }
    for key in ups.keys().filter(|k| !dirs.contains(&get64(k, 1))) {
        find("up", format!("{label}: {:x} has a record of its parent, but is not a directory", get64(key, 1)));
    }
    strangers.report("the users of adm", &mut |f| find(f.kind, format!("{label}: {}", f.message)));
}

/// Takes note of owners that no user has.
fn owners(about: &About<'_>, path: &str, d: &Dir, strangers: &mut Strangers) {
    let Some(users) = about.users else { return };
    let unknown: Vec<String> =
        [d.uid, d.gid, d.muid].into_iter().filter(|id| !users.has(*id)).map(|id| id.to_string()).collect();
    strangers.meet(path, unknown.iter().map(String::as_str));
}

/// The fields of one file.
fn one(about: &About<'_>, path: &str, file: &File<'_>, find: &mut dyn FnMut(&'static str, String)) {
    let (d, label, next) = (&file.dir, about.label, about.next);
    if let Some(f) = name_text(path, file.name) {
        find(f.kind, format!("{label}: {}", f.message));
    }
    if let Some(why) = bad_name(file.name) {
        find("name", format!("{label}: {path:?}: the name is not possible: {why}"));
    } else if file.name.len() > MAX_NAME {
        find(
            "name",
            format!("{label}: {path}: the name has {}, but {MAX_NAME} at most", count::of(file.name.len(), "byte")),
        );
    }
    if d.qid >= next {
        find("qid", format!("{label}: {path}: qid path {:x} is not below the next one to give out, {next:x}", d.qid));
    }
    if d.is_dir() != (d.kind & 0x80 != 0) {
        find("entry", format!("{label}: {path}: its mode {:x} and its qid's type {:x} disagree", d.mode, d.kind));
    }
    if d.len > MAX_FILE {
        find("entry", format!("{label}: {path}: its length {:x} is negative", d.len));
    } else if !d.is_dir()
        && let Some(why) =
            length_flaw(d.len, MAX_FILE, about.volume, d.len > about.volume && (about.has_end)(d.qid, d.len))
    {
        find("size", format!("{label}: {path}: {why}"));
    }
}
