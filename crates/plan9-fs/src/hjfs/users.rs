//! User table: the names of the numbers in dentries, from `/adm/users` as hjfs
//! reads it (`/sys/src/cmd/hjfs/auth.c`).

use crate::shared::users::{Nobody, UsersFile};

/// Most bytes of a name.
const MAX_NAME: usize = 63;
/// User table of hjfs when the file has no user.
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

/// `/adm/users`.
pub(super) const FILE: UsersFile = UsersFile { nobody: Nobody::Number, born: &DEFAULT, line };

fn line(l: &str) -> Option<(i16, &str)> {
    let f: Vec<_> = l.split(':').collect();
    let [id, name, leader, _members, ..] = f[..] else { return None };
    let good = |n: &str| !n.is_empty() && n.len() <= MAX_NAME && !n.chars().any(|c| c < ' ' || "?=+-/:".contains(c));
    // The server reads any integer and keeps its lower 16 bits.
    let id = id.trim_start().parse::<i64>().ok()? as i16;
    (!l.starts_with('#') && good(name) && (leader.is_empty() || good(leader))).then_some((id, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_hjfs_ignores_are_ignored() {
        let u = FILE.parse(b"#1:x:x:\n-1:adm:adm:glenda\n2:a/b::\n3:short\n7:bob:bob:\n8:bob::\n9::x:\n");
        assert_eq!([-1, 1, 2, 3, 7, 8, 9].map(|n| u.name(n)), ["adm", "1", "2", "3", "bob", "bob", "9"]);
        assert_eq!((u.id("bob"), u.id("adm"), u.id("sys"), u.id("12")), (Some(7), Some(-1), None, Some(12)));
        assert_eq!((u.name(7), u.name(99)), ("bob".into(), "99".into()));
    }

    #[test]
    fn nobody_means_the_built_in_ones() {
        for text in [&b""[..], b"nothing\n"] {
            assert_eq!(FILE.parse(text).id("upas"), Some(10_003));
        }
    }
}
