//! Choosing what of a medium goes into an image.

use crate::tree::{EntryId, Tree};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Compiled `include` and `exclude` patterns.
///
/// A file is taken when an include pattern matches it and no exclude pattern
/// matches it or a directory above it; a directory is taken when it is matched
/// itself or something below it is taken.
#[derive(Debug)]
pub struct Selection {
    include: GlobSet,
    exclude: GlobSet,
}

/// A pattern that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("The pattern {pattern:?} is not valid: {why}")]
pub struct PatternError {
    pub pattern: String,
    pub why: String,
}

impl Selection {
    /// Compiles shell patterns over paths without leading slash; `*` stops at
    /// a slash, `**` does not.
    ///
    /// # Errors
    /// For the first pattern that is not valid.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, PatternError> {
        Ok(Self { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// Whether the patterns choose a file.
    pub fn takes(&self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.include.is_match(path) && !above.chain([path]).any(|p| self.exclude.is_match(p))
    }

    /// The part of `tree` that the patterns choose.
    pub fn apply(&self, tree: &Tree) -> Tree {
        let mut wanted = vec![false; tree.len()];
        let mut path = String::new();
        self.mark(tree, EntryId::ROOT, &mut path, &mut wanted);
        let mut out = Tree::new(tree.entry(EntryId::ROOT).meta.clone());
        copy(tree, EntryId::ROOT, &wanted, &mut out, EntryId::ROOT);
        out
    }

    fn mark(&self, tree: &Tree, id: EntryId, path: &mut String, wanted: &mut [bool]) -> bool {
        let entry = tree.entry(id);
        let mut any = id == EntryId::ROOT;
        if !path.is_empty() {
            if self.exclude.is_match(path.as_str()) {
                return false;
            }
            // `sys/**` means the directory sys too.
            any = self.include.is_match(path.as_str())
                || entry.is_dir() && self.include.is_match(format!("{path}/\u{1}"));
        }
        for child in entry.children() {
            let keep = path.len();
            if keep > 0 {
                path.push('/');
            }
            path.push_str(&String::from_utf8_lossy(&tree.entry(*child).name));
            any |= self.mark(tree, *child, path, wanted);
            path.truncate(keep);
        }
        wanted[id.index()] = any;
        any
    }
}

fn compile(patterns: &[String]) -> Result<GlobSet, PatternError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let fail = |e: globset::Error| PatternError { pattern: pattern.clone(), why: e.kind().to_string() };
        set.add(GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build().map_err(fail)?);
    }
    set.build().map_err(|e| PatternError { pattern: patterns.join(" "), why: e.kind().to_string() })
}

fn copy(from: &Tree, id: EntryId, wanted: &[bool], out: &mut Tree, to: EntryId) {
    for child in from.entry(id).children().iter().filter(|c| wanted[c.index()]) {
        let entry = from.entry(*child);
        let new = out.push(to, &entry.name, entry.meta.clone(), entry.content().cloned());
        copy(from, *child, wanted, out, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Content, Meta, Mode};

    fn tree() -> Tree {
        let dir = Meta::new(Mode::dir(0o775), "sys", "sys", 0);
        let file = Meta::new(Mode::file(0o664), "sys", "sys", 0);
        let mut t = Tree::new(dir.clone());
        let mnt = t.push(EntryId::ROOT, b"mnt", dir.clone(), None);
        t.push(mnt, b"term", dir.clone(), None);
        let sys = t.push(EntryId::ROOT, b"sys", dir.clone(), None);
        let src = t.push(sys, b"src", dir, None);
        t.push(src, b"a.c", file.clone(), Some(Content::bytes(*b"a")));
        t.push(src, b"a.h", file, Some(Content::bytes(*b"h")));
        t
    }

    fn chosen(include: &[&str], exclude: &[&str]) -> Vec<String> {
        let own = |p: &[&str]| p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let t = Selection::new(&own(include), &own(exclude)).unwrap().apply(&tree());
        t.paths().split_off(1)
    }

    #[test]
    fn patterns_choose_files_and_the_directories_above() {
        assert_eq!(chosen(&["sys/**"], &[]), ["sys", "sys/src", "sys/src/a.c", "sys/src/a.h"]);
        assert_eq!(chosen(&["**/*.h"], &[]), ["sys", "sys/src", "sys/src/a.h"]);
        assert_eq!(chosen(&["**"], &["sys/src"]), ["mnt", "mnt/term", "sys"]);
        assert_eq!(chosen(&["mnt/**"], &[]), ["mnt", "mnt/term"]);
        assert_eq!(chosen(&["nothing"], &[]), Vec::<String>::new());
        let own = |p: &[&str]| p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let takes = |i: &[&str], e: &[&str]| Selection::new(&own(i), &own(e)).unwrap().takes("sys/src/a.c");
        assert!(takes(&["sys/**"], &["sys/*.c"]) && !takes(&["sys/*"], &[]));
        assert!(!takes(&["**"], &["sys/src"]) && !takes(&["**"], &["**/*.c"]));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let e = Selection::new(&["sys/{a".into()], &[]).unwrap_err();
        assert!(e.to_string().starts_with("The pattern \"sys/{a\" is not valid"), "{e}");
    }
}
