//! Limits of Plan 9's loader on a plan9.ini.
//!
//! 9load has a buffer of about 3,008 bytes for the file and the kernels take 64
//! variables, some of which the loader adds itself (/sys/src/9/pcboot/conf.c,
//! /sys/src/9/pc/main.c); so there is a margin.

use crate::count;

/// Bytes that a plan9.ini must stay below.
const LONGEST: usize = 3000;
/// Number of variables in it that it must stay below.
const MOST: usize = 60;

/// Says what is wrong with a plan9.ini, with the line (from 1; 0 for all of it).
pub(super) fn problem(text: &str) -> Option<(usize, String)> {
    if text.len() >= LONGEST {
        return Some((
            0,
            format!("plan9.ini has {}, but the loader takes fewer than {LONGEST}", count::of(text.len(), "byte")),
        ));
    }
    let mut variables = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let wrong = |what: String| Some((i + 1, what));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(c) = line.chars().find(|c| !(' '..='~').contains(c)) {
            // The loader turns a tab into a blank and does not know UTF-8.
            return wrong(format!("plan9.ini has the character {c:?} in {line:?}; only printable ASCII is safe"));
        }
        match line.split_once('=') {
            Some((name, _)) if !name.is_empty() && !name.contains(' ') => variables.push(name),
            _ => return wrong(format!("plan9.ini has the line {line:?}, but NAME=VALUE is expected")),
        }
        let name = variables[variables.len() - 1];
        // Several kernels make a menu; anything else twice is a mistake.
        if name != "bootfile" && variables[..variables.len() - 1].contains(&name) {
            return wrong(format!("plan9.ini sets {name} twice"));
        }
    }
    (variables.len() >= MOST).then(|| {
        (0, format!("plan9.ini has {}, but the loader takes fewer than {MOST}", count::of(variables.len(), "variable")))
    })
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn limits_are_kept() {
        assert_eq!(problem("# comment\n\nbootfile=a\nbootfile=b\nx=1 2\n"), None);
        let many: String = (0..60).map(|i| format!("v{i}=\n")).collect();
        assert!(problem(&many).unwrap().1.contains("60 variables"));
        assert!(problem(&format!("x={}\n", "y".repeat(3000))).unwrap().1.contains("bytes"));
        for (text, line) in [("a=1\nb\n", 2), ("a=1\na=2", 2), ("a=\t1", 1), ("a b=1", 1), ("=1", 1), ("a=ä", 1)] {
            assert_eq!(problem(text).map(|p| p.0), Some(line), "{text:?}");
        }
    }
}
