//! User table: the names of the numbers in directory entries, from `/adm/users`
//! as cwfs reads it (`/sys/src/cmd/cwfs/uidgid.c`).

use super::format::NAME;
use crate::shared::users::{Nobody, UsersFile};

/// User table of cwfs after `users default`.
const DEFAULT: [(i16, &str); 9] = [
    (-1, "adm"),
    (0, "none"),
    (1, "tor"),
    (10_000, "sys"),
    (10_001, "map"),
    (10_002, "doc"),
    (10_003, "upas"),
    (10_004, "font"),
    (10_005, "bootes"),
];

/// `/adm/users`.
pub(super) const FILE: UsersFile = UsersFile { nobody: Nobody::None, born: &DEFAULT, line };

fn line(l: &str) -> Option<(i16, &str)> {
    let mut fields = l.split(':');
    let (id, name, _leader) = (fields.next()?, fields.next()?, fields.next()?);
    (name.len() < NAME).then(|| (number(id), name))
}

/// A number as the server reads it: what is in front of the first other
/// character, 0 for nothing; of it the lower 16 bits.
fn number(text: &str) -> i16 {
    let text = text.trim_start_matches([' ', '\t', '\r', '\x0b', '\x0c']);
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let digits = digits.bytes().take_while(u8::is_ascii_digit);
    let n = digits.fold(0i64, |n, d| n.wrapping_mul(10).wrapping_add(i64::from(d - b'0')));
    n.wrapping_mul(sign) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_cwfs_does() {
        let u = FILE.parse(b"-1:adm:adm:glenda\n7:bob:bob\n8:x\n 9 :eve:\n\n65546:far:\n");
        let names = [-1, 7, 8, 9, 10, 99].map(|n| u.name(n));
        assert_eq!(names, ["adm", "bob", "none", "eve", "far", "none"]);
        assert_eq!((u.id("bob"), u.id("sys"), u.id("7")), (Some(7), None, None));
        assert_eq!(FILE.parse(b"nothing\n").id("bootes"), Some(10_005));
    }
}
