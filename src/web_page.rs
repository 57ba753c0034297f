//! Web pages in the place of media: what a network answers before one has
//! logged in to it, or a server that has a page about a file at its address.

/// Bytes that are enough to tell.
pub const START: usize = 512;

/// Elements that a page begins with.
const FIRST: [&[u8]; 8] =
    [b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<meta", b"<script", b"<!doctype\nhtml"];

/// Whether a file that begins like this is HTML, not a medium of any kind.
pub fn matches(start: &[u8]) -> bool {
    let mut text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    loop {
        text = text.trim_ascii_start();
        let (head, end): (&[u8], &[u8]) = match () {
            () if text.starts_with(b"<?xml") => (b"<?xml", b"?>"),
            () if text.starts_with(b"<!--") => (b"<!--", b"-->"),
            () => break,
        };
        let rest = &text[head.len()..];
        let Some(at) = rest.windows(end.len()).position(|w| w == end) else { return false };
        text = &rest[at + end.len()..];
    }
    FIRST.iter().any(|first| {
        let ends = |after: Option<&u8>| after.is_none_or(|b| !b.is_ascii_alphanumeric());
        text.len() >= first.len() && text[..first.len()].eq_ignore_ascii_case(first) && ends(text.get(first.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn pages_are_known_by_their_beginning() {
        let pages = [
            "<!DOCTYPE html>\n<html>",
            "\u{feff} \r\n<!doctype HTML PUBLIC",
            "<HTML><head>",
            "<html lang=en>",
            "<?xml version=\"1.0\"?>\n<!-- a > b -->\n<!DOCTYPE html>",
            "<script>location=\"/login\"</script>",
        ];
        for page in pages {
            assert!(matches(page.as_bytes()), "{page}");
        }
        let others: [&[u8]; 6] =
            [b"", b"<", b"<htmlx", b"<!-- no end <html>", b"<?xml version=\"1.0\"?><svg>", b"\x1f\x8b<html>"];
        for other in others {
            assert!(!matches(other), "{}", String::from_utf8_lossy(other));
        }
    }
}
