//! Texts, line by line.

use super::{Difference, MOST, Sink};
use std::io;

/// Reports the lines between what both texts begin and end with; the offset of
/// a difference is the number of its line, from 1.
///
/// # Errors
/// Error of `sink`.
pub fn lines(place: &str, kind: &'static str, what: &str, a: &str, b: &str, sink: &mut Sink<'_>) -> io::Result<()> {
    let (left, right): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let same = |(x, y): &(&&str, &&str)| x == y;
    let head = left.iter().zip(&right).take_while(same).count();
    let room = left.len().min(right.len()) - head;
    let tail = left.iter().rev().zip(right.iter().rev()).take_while(same).count().min(room);
    let (l, r) = (&left[head..left.len() - tail], &right[head..right.len() - tail]);
    let mut named = 0;
    let rows = l.len().max(r.len());
    for i in 0..rows {
        let (x, y) = (l.get(i), r.get(i));
        if x == y {
            continue;
        }
        if named == MOST {
            return sink(Difference::new(place, kind, format!("{what}: more lines differ after line {}", head + i)));
        }
        named += 1;
        let show = |line: Option<&&str>| line.map(|l| format!("{:?}", short(l.trim())));
        let d = Difference::new(place, kind, format!("{what}, line {}", head + i + 1));
        sink(Difference { a: show(x), b: show(y), ..d.at((head + i + 1) as u64) })?;
    }
    Ok(())
}

/// A line that fits where people read.
fn short(line: &str) -> String {
    const MOST_CHARS: usize = 200;
    let mut chars = line.chars();
    let text: String = chars.by_ref().take(MOST_CHARS).collect();
    if chars.next().is_some() { text + "…" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_a_change_is_left_out() {
        let mut found = Vec::new();
        lines("p", "text", "t", "a\nb\nc\n", "a\nx\ny\nc\n", &mut |d| {
            found.push(d.to_string());
            Ok(())
        })
        .unwrap();
        assert_eq!(found, ["p: t, line 2: \"b\" → \"x\" [text]", "p: t, line 3: \"y\" [text]"]);
    }
}
