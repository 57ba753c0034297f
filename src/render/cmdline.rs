//! The one line of a Pi's cmdline.txt.
//!
//! The kernel splits it at blanks, with single quotes around what holds some,
//! and takes a bounded number of words, some of which the firmware puts before
//! ours (/sys/src/9/bcm/main.c; tokenize(2)).

use crate::count;

/// Bytes of a variable's name and of its value (KNAMELEN and MAXCONFLINE, each
/// without the byte at its end).
const NAME: usize = 27;
const VALUE: usize = 159;
/// Words: MAXCONF is 64, and the firmware has some fifteen of its own.
const WORDS: usize = 40;
/// Bytes of the line: the firmware takes 1024 with its own words.
const LONGEST: usize = 600;

/// Joins lines of `NAME=VALUE`, leaving out comments.
///
/// # Errors
/// The line (from 1; 0 for all of them) and what is wrong with it.
pub(super) fn join(text: &str) -> Result<String, (usize, String)> {
    let mut words: Vec<String> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let wrong = |what: String| Err((i + 1, what));
        if let Some(c) = line.chars().find(|c| !(' '..='~').contains(c)) {
            return wrong(format!("cmdline.txt has the character {c:?} in {line:?}; only printable ASCII is safe"));
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) if !name.is_empty() && !name.contains([' ', '\'']) => (name, value),
            _ => return wrong(format!("cmdline.txt has {line:?}, but NAME=VALUE is expected")),
        };
        if name.len() > NAME || value.len() > VALUE {
            return wrong(format!(
                "cmdline.txt has {line:?}, but the kernel stores {NAME} bytes of a name and {VALUE} of a value"
            ));
        }
        if names.contains(&name) {
            return wrong(format!("cmdline.txt sets {name} twice"));
        }
        names.push(name);
        words.push(match value.contains([' ', '\'']) {
            true => format!("{name}='{}'", value.replace('\'', "''")),
            false => line.to_owned(),
        });
    }
    if words.len() > WORDS {
        return Err((
            0,
            format!("cmdline.txt has {}, but the kernel has room for {WORDS}", count::of(words.len(), "variable")),
        ));
    }
    let line = words.join(" ");
    match line.len() {
        n if n > LONGEST => Err((
            0,
            format!(
                "cmdline.txt has {n}, but the firmware has room for {LONGEST} in addition to its own words",
                n = count::of(n, "byte")
            ),
        )),
        _ => Ok(line + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn values_with_blanks_are_quoted() {
        let line = join("# comment\nsysname=n1\n\nconsole=0 b115200\nx=it's\nempty=\n").unwrap();
        assert_eq!(line, "sysname=n1 console='0 b115200' x='it''s' empty=\n");
    }

    #[test]
    fn what_the_kernel_would_cut_is_refused() {
        let many: String = (0..41).map(|i| format!("v{i}=\n")).collect();
        assert!(join(&many).unwrap_err().1.contains("41 variables"));
        let long: String = (0..5).map(|i| format!("v{i}={}\n", "y".repeat(150))).collect();
        assert!(join(&long).unwrap_err().1.contains("bytes, but the firmware"));
        for (text, line) in [
            ("a=1\nb\n", 2),
            ("a=1\na=2", 2),
            ("a b=1", 1),
            ("=1", 1),
            ("a=ä", 1),
            ("a='\t'", 1),
            (&format!("a={}", "y".repeat(160)), 1),
            (&format!("{}=1", "y".repeat(28)), 1),
        ] {
            assert_eq!(join(text).map_err(|p| p.0), Err(line), "{text:?}");
        }
    }
}
