//! Faults that a tree catches on its way through other systems, and that no
//! build would show: names that Windows and macOS lose, and their line ends.

use super::metadata::Database;
use crate::count;
use crate::line_ends;
use crate::tree::{Entry, EntryId, Tree};

/// Names that a note shows.
const SHOWN: usize = 4;
/// Folders of scripts and tables that every node needs to start.
const TEXTS: [&str; 2] = ["rc/bin", "lib/ndb"];

/// Files that the release's records name and that are not in the tree, in a
/// sentence; `by` says which records.
pub fn missing(tree: &Tree, records: &Database, by: &str) -> Option<String> {
    let files = records.iter().filter(|(_, meta)| !meta.mode.is_dir()).map(|(path, _)| path);
    missing_of(tree, files, by)
}

/// As [`missing`], for paths of files.
pub fn missing_of<'a>(tree: &Tree, paths: impl Iterator<Item = &'a [u8]>, by: &str) -> Option<String> {
    let mut gone: Vec<(bool, String)> = paths
        .filter(|path| tree.find(path).is_none())
        .map(|path| (!lost_by_its_name(tree, path), String::from_utf8_lossy(path).replace(char::is_control, "?")))
        .collect();
    let why = match gone.iter().any(|(other, _)| !other) {
        true => {
            ": Windows and macOS lose names with `:` and names that differ in capitals only; \
             get it as an archive or a disc, and give p9img that"
        }
        false => "",
    };
    // Those that say why they are gone come first.
    gone.sort();
    let shown: Vec<&str> = gone.iter().take(SHOWN).map(|(_, name)| name.as_str()).collect();
    let names = shown.join(", ");
    match gone.len() {
        0 => None,
        1 => Some(format!("the medium lacks a file that {by} lists, {names}{why}")),
        n => Some(format!("the medium lacks {n} that {by} lists, such as {names}{why}", n = count::of(n, "file"))),
    }
}

/// Whether another system dropped this name, or has only another that differs
/// in capitals.
fn lost_by_its_name(tree: &Tree, path: &[u8]) -> bool {
    if path.contains(&b':') {
        return true;
    }
    let (above, name) = match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&b""[..], path),
    };
    let parent = if above.is_empty() { Some(EntryId::ROOT) } else { tree.find(above) };
    let alike = |id: &EntryId| tree.entry(*id).name.eq_ignore_ascii_case(name);
    parent.is_some_and(|dir| tree.entry(dir).children().iter().any(alike))
}

/// Scripts and tables whose lines end as on Windows, in a sentence.
pub fn line_ends(tree: &Tree) -> Option<String> {
    let (mut all, mut wrong, mut first) = (0, 0, None);
    for top in TEXTS {
        let Some(dir) = tree.find(top.as_bytes()) else { continue };
        files(tree, dir, top, &mut |path, file| {
            all += 1;
            if ends_as_windows(file) {
                wrong += 1;
                first.get_or_insert_with(|| path.to_owned());
            }
        });
    }
    let first: String = first?;
    Some(format!(
        "{wrong} of the {all} in {} end their lines as Windows does (CR and LF), such as {first}: Plan 9 does not \
         run or read these; get the tree again with LF alone, with git after `git config --global core.autocrlf false`",
        TEXTS.join(" and "),
        all = count::of(all, "file")
    ))
}

/// Calls `on` for every file below `dir`, whose path is `path`.
fn files(tree: &Tree, dir: EntryId, path: &str, on: &mut dyn FnMut(&str, &Entry)) {
    for id in tree.entry(dir).children() {
        let entry = tree.entry(*id);
        let below = format!("{path}/{}", String::from_utf8_lossy(&entry.name).replace(char::is_control, "?"));
        match entry.is_dir() {
            true => files(tree, *id, &below, on),
            false => on(&below, entry),
        }
    }
}

/// Whether all lines of the file's beginning end with CR and LF.
fn ends_as_windows(file: &Entry) -> bool {
    let Some(content) = file.content() else { return false };
    let mut start = vec![0; content.len().min(line_ends::LOOK as u64) as usize];
    // An error of reading is reported where the file is needed.
    content.read_at(0, &mut start).is_ok() && line_ends::of_windows(&start)
}

#[cfg(test)]
mod tests {
    use super::super::listing::{Attributes, Listing};
    use super::*;
    use crate::tree::Content;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut listing = Listing::default();
        for (path, text) in files {
            let unix = Attributes::Unix { executable: false };
            listing.file(path.as_bytes(), unix, Content::bytes(text.as_bytes())).unwrap();
        }
        listing.tree(None, 0)
    }

    #[test]
    fn what_the_records_name_and_the_tree_lacks_is_counted() {
        let records = "rc/bin/9fat: - 775 sys sys 1 1\nrc/bin/kill - 775 sys sys 1 1\nrc/bin/Kill - 775 sys sys 1 1\n\
                       a/big - 664 sys sys 1 1\nmnt - 20000000775 sys sys 1 0\n";
        let records = Database::parse(records.as_bytes()).unwrap();
        let note = missing(&tree(&[("rc/bin/kill", "k")]), &records, "plan9.db").unwrap();
        assert!(
            note.starts_with(
                "the medium lacks 3 files that plan9.db lists, such as rc/bin/9fat:, rc/bin/Kill, a/big: "
            )
        );
        let all = tree(&[("rc/bin/kill", "k"), ("rc/bin/Kill", "k"), ("rc/bin/9fat:", "9"), ("a/big", "")]);
        assert_eq!(missing(&all, &records, "plan9.db"), None);
        let one = tree(&[("rc/bin/kill", "k"), ("rc/bin/Kill", "k"), ("rc/bin/9fat:", "9")]);
        assert_eq!(missing(&one, &records, "x").unwrap(), "the medium lacks a file that x lists, a/big");
    }

    #[test]
    fn windows_line_ends_are_counted_and_odd_ones_are_not() {
        let windows =
            [("rc/bin/cpurc", "#!/bin/rc\r\nx\r\n"), ("rc/bin/a/b", "a\r\n"), ("rc/bin/ok", "a\nb\r\n"), ("x", "\r\n")];
        let note = line_ends(&tree(&windows)).unwrap();
        assert!(
            note.starts_with("2 of the 3 files in rc/bin and lib/ndb") && note.contains("such as rc/bin/a/b:"),
            "{note}"
        );
        assert_eq!(line_ends(&tree(&[("rc/bin/ok", "a\n"), ("lib/ndb/none", ""), ("lib/ndb/one", "a\r")])), None);
    }
}
