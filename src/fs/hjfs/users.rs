//! Who the numbers in dentries are: `/adm/users` as hjfs reads it
//! (`/sys/src/cmd/hjfs/auth.c`).

use std::collections::BTreeMap;

/// Most bytes of a name.
const MAX_NAME: usize = 63;
/// Longest file that is looked into, in bytes: 30,000 users and more.
pub const MAX_FILE: u64 = 1 << 20;
/// What hjfs knows when the file has nobody.
const DEFAULT: [(i16, &str); 9] = [
    (-1, "adm"),
    (0, "none"),
    (1, "tor"),
    (2, "glenda"),
    (10_000, "sys"),
    (10_001, "map"),
    (10_002, "doc"),
    (10_003, "upas"),
    (10_004, "font"),
];

/// Names and numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Users {
    by_id: BTreeMap<i16, String>,
    by_name: BTreeMap<String, i16>,
}

impl Default for Users {
    fn default() -> Self {
        Self::of(DEFAULT.into_iter().map(|(id, name)| (id, name.to_owned())))
    }
}

impl Users {
    fn of(all: impl Iterator<Item = (i16, String)>) -> Self {
        let (mut by_id, mut by_name) = (BTreeMap::new(), BTreeMap::new());
        for (id, name) in all {
            by_id.entry(id).or_insert_with(|| name.clone());
            by_name.entry(name).or_insert(id);
        }
        Self { by_id, by_name }
    }

    /// Reads the text of `/adm/users`.
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let users = Self::of(text.lines().filter_map(line));
        if users.by_id.is_empty() { Self::default() } else { users }
    }

    /// The number of a name, which may be a number itself.
    pub fn id(&self, name: &str) -> Option<i16> {
        name.parse().ok().or_else(|| self.by_name.get(name).copied())
    }

    /// The name of a number.
    pub fn name(&self, id: i16) -> String {
        self.by_id.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

fn line(l: &str) -> Option<(i16, String)> {
    let f: Vec<_> = l.split(':').collect();
    let [id, name, leader, _members, ..] = f[..] else { return None };
    let good = |n: &str| !n.is_empty() && n.len() <= MAX_NAME && !n.chars().any(|c| c < ' ' || "?=+-/:".contains(c));
    // The server reads any integer and keeps its lower 16 bits.
    let id = id.trim_start().parse::<i64>().ok()? as i16;
    (!l.starts_with('#') && good(name) && (leader.is_empty() || good(leader))).then(|| (id, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_hjfs_ignores_are_ignored() {
        let u = Users::parse(b"#1:x:x:\n-1:adm:adm:glenda\n2:a/b::\n3:short\n7:bob:bob:\n8:bob::\n9::x:\n");
        assert_eq!(u.by_id.keys().copied().collect::<Vec<_>>(), [-1, 7, 8]);
        assert_eq!((u.id("bob"), u.id("adm"), u.id("sys"), u.id("12")), (Some(7), Some(-1), None, Some(12)));
        assert_eq!((u.name(7), u.name(99)), ("bob".into(), "99".into()));
    }

    #[test]
    fn nobody_means_the_built_in_ones() {
        for text in [&b""[..], b"nothing\n"] {
            assert_eq!(Users::parse(text).id("upas"), Some(10_003));
        }
    }
}
