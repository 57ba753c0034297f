//! Names of the numbers in directory entries, from the `/adm/users` of the
//! volume itself.

use crate::Finding;
use crate::tree::Tree;
use std::collections::BTreeMap;
use std::io;

/// Longest file that is looked into, in bytes: 30,000 users and more.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// Name of a number that no user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nobody {
    /// The number, which also stands for itself where a name is asked for.
    Number,
    /// The user `none`.
    None,
}

/// Names and numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Users {
    nobody: Nobody,
    by_id: BTreeMap<i16, String>,
    by_name: BTreeMap<String, i16>,
}

impl Users {
    /// Users by number and name; the first of two with one number or name
    /// counts.
    pub fn new<'a>(nobody: Nobody, all: impl IntoIterator<Item = (i16, &'a str)>) -> Self {
        let (mut by_id, mut by_name) = (BTreeMap::new(), BTreeMap::new());
        for (id, name) in all {
            by_id.entry(id).or_insert_with(|| name.to_owned());
            by_name.entry(name.to_owned()).or_insert(id);
        }
        Self { nobody, by_id, by_name }
    }

    /// The number of a name.
    pub fn id(&self, name: &str) -> Option<i16> {
        let number = if self.nobody == Nobody::Number { name.parse().ok() } else { None };
        number.or_else(|| self.by_name.get(name).copied())
    }

    /// Whether somebody has a number.
    pub fn has(&self, id: i16) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The name of a number.
    pub fn name(&self, id: i16) -> String {
        match (self.by_id.get(&id), self.nobody) {
            (Some(name), _) => name.clone(),
            (None, Nobody::Number) => id.to_string(),
            (None, Nobody::None) => "none".into(),
        }
    }
}

/// Rules by which a file system reads its `/adm/users`.
pub(crate) struct UsersFile {
    pub nobody: Nobody,
    /// User table when the file has no user.
    pub born: &'static [(i16, &'static str)],
    /// A line's number and name; `None` for a line that does not count.
    pub line: fn(&str) -> Option<(i16, &str)>,
}

impl UsersFile {
    /// User table of a volume whose file has no user.
    pub(crate) fn born(&self) -> Users {
        Users::new(self.nobody, self.born.iter().copied())
    }

    /// Reads the text of an `/adm/users`.
    pub(crate) fn parse(&self, text: &[u8]) -> Users {
        let text = String::from_utf8_lossy(text);
        let users = Users::new(self.nobody, text.lines().filter_map(self.line));
        if users.by_id.is_empty() { self.born() } else { users }
    }

    /// User table of a tree.
    ///
    /// # Errors
    /// Fails when its `/adm/users` cannot be read.
    pub(crate) fn of(&self, tree: &Tree) -> io::Result<Users> {
        Ok(text(tree)?.map_or_else(|| self.born(), |t| self.parse(&t)))
    }
}

/// Remarks about lines of `/adm/users` that are no text.
pub(crate) fn lines_text(text: &[u8], report: &mut dyn FnMut(Finding)) {
    for (line, n) in text.split(|b| *b == b'\n').zip(1..) {
        if std::str::from_utf8(line).is_err() {
            let message = format!("/adm/users: line {n} is not UTF-8, but {}", line.escape_ascii());
            report(Finding { kind: "name-text", message });
        }
    }
}

/// The text of a tree's `/adm/users`, if it has one of a sensible length.
///
/// # Errors
/// Fails when that file cannot be read.
pub(crate) fn text(tree: &Tree) -> io::Result<Option<Vec<u8>>> {
    let content = tree.find(b"adm/users").and_then(|id| tree.entry(id).content()).filter(|c| c.len() <= MAX_FILE);
    content.map(crate::tree::Content::read_all).transpose()
}
