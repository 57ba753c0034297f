//! Counts as people say them.

use std::fmt::Display;

/// `1 node`, `2 nodes`; `entry` and `hash` become `entries` and `hashes`.
pub fn of(n: impl Display, noun: &str) -> String {
    either(n, noun, &many(noun))
}

/// A number and one of two texts: that for one, or that for any other number,
/// such as `byte is` and `bytes are`.
pub fn either(n: impl Display, one: &str, other: &str) -> String {
    let n = n.to_string();
    let text = if n == "1" { one } else { other };
    format!("{n} {text}")
}

/// The plural of a noun; of several words, that of the last.
fn many(noun: &str) -> String {
    let ends = |ends: &[&str]| ends.iter().any(|end| noun.ends_with(end));
    match noun.strip_suffix('y') {
        Some(stem) if !ends(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends(&["s", "sh", "ch", "x"]) => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2, 11].map(|n| super::of(n, "node")), ["0 nodes", "1 node", "2 nodes", "11 nodes"]);
        let two = ["index section", "entry", "key", "hash", "address", "index"].map(|noun| super::of(2, noun));
        assert_eq!(two, ["2 index sections", "2 entries", "2 keys", "2 hashes", "2 addresses", "2 indexes"]);
        assert_eq!([1, 2].map(|n| super::either(n, "byte is", "bytes are")), ["1 byte is", "2 bytes are"]);
    }
}
