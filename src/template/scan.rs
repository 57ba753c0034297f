//! Bounds on a template's text, judged before the parser sees it.
//!
//! The parser and the renderer of handlebars recurse once for each block in a
//! block and each expression in an expression, and the parser looks up the line
//! of each tag from the start of the text. So a text is refused here that nests
//! too deep or has too many tags, and so is what p9img's templates do without:
//! partials and decorators, which can call themselves, raw blocks, and lists and
//! objects written out.
//!
//! The scanner reads exactly what the grammar of the `handlebars` crate calls a
//! tag (`grammar.pest`); where it would have to guess, it refuses.

use super::Refused;
use crate::count;

/// Bytes of a template.
pub(super) const LONGEST: usize = 1 << 20;
/// Tags of a template, `\{{` among them.
pub(super) const TAGS: usize = 4096;
/// Blocks within blocks, each `{{else if}}` among them.
pub(super) const BLOCKS: usize = 16;
/// Expressions within expressions.
pub(super) const EXPRESSIONS: usize = 16;

/// Refuses a text that handlebars should not be asked to parse.
pub(super) fn check(text: &str) -> Result<(), Refused> {
    if text.len() > LONGEST {
        let message = format!("The template has {}, and it may have {LONGEST}", count::of(text.len(), "byte"));
        return Err(Refused { at: None, tag: None, message });
    }
    let mut tags = 0;
    // For each open block, how deep it makes the parser go.
    let mut blocks: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some((start, escaped)) = next_tag(text, at) {
        tags += 1;
        if tags > TAGS {
            return Err(refused(text, start, format!("The template has more than {TAGS} tags")));
        }
        if escaped {
            at = start;
            continue;
        }
        let tag = Tag::read(text, start)?;
        at = tag.end;
        match tag.kind {
            Kind::Open => blocks.push(1),
            Kind::Else => blocks.last_mut().into_iter().for_each(|depth| *depth += 1),
            Kind::Close => drop(blocks.pop()),
            Kind::Other => {}
        }
        if blocks.iter().sum::<usize>() > BLOCKS {
            return Err(refused(text, start, format!("Blocks are nested more than {BLOCKS} deep")));
        }
    }
    Ok(())
}

/// The refusal of the tag that begins at `start`.
pub(super) fn refused(text: &str, start: usize, message: impl Into<String>) -> Refused {
    let before = &text[..start];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Refused { at: Some((line, column)), tag: Some(excerpt(&text[start..])), message: message.into() }
}

/// The tag at the beginning of `text`, as a message shows it: on one line, and
/// not long.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 40;
    let line = text.lines().next().unwrap_or_default();
    let tag = line.find("}}").map_or(line, |end| &line[..end + 2]);
    match tag.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &tag[..end]),
        None => tag.to_owned(),
    }
}

/// Offset of the next `{{` from `from` on, and `false`; or the offset after a
/// `\{{`, which is text, and `true`.
fn next_tag(text: &str, from: usize) -> Option<(usize, bool)> {
    let bytes = text.as_bytes();
    let start = from + text.get(from..)?.find("{{")?;
    let slashes = bytes[from..start].iter().rev().take_while(|b| **b == b'\\').count();
    // Two and more stand for themselves, and the tag is one.
    if slashes != 1 {
        return Some((start, false));
    }
    let more = if text[start + 2..].starts_with("{{") { 4 } else { 2 };
    Some((start + more, true))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Else,
    Close,
    Other,
}

struct Tag {
    kind: Kind,
    /// Offset of the text after it.
    end: usize,
}

impl Tag {
    /// Reads the tag at `start`.
    fn read(text: &str, start: usize) -> Result<Self, Refused> {
        let no = |message: &str| Err(refused(text, start, message));
        let blank = [' ', '\t', '\n', '\r'];
        let inner = text[start + 2..].trim_start_matches(blank);
        let inner = inner.strip_prefix('~').unwrap_or(inner).trim_start_matches(blank);
        let body = |skip: usize| text.len() - inner.len() + skip;
        let mut kind = Kind::Other;
        let mut from = body(0);
        match inner.chars().next() {
            None => return no("The tag has no end"),
            Some('{') if text[start..].starts_with("{{{{") => return no("Raw blocks are not supported"),
            Some('{') => from = body(1),
            Some('>') => return no("Partials are not supported"),
            Some('*') => return no("Decorators are not supported"),
            Some('!') => return comment(text, start, body(1)),
            Some('#') => {
                let name = inner[1..].trim_start_matches(blank);
                if name.starts_with(['>', '*']) {
                    return no("Partials and decorators are not supported");
                }
                (kind, from) = (Kind::Open, body(1));
            }
            Some('/') => (kind, from) = (Kind::Close, body(1)),
            Some('^') => (kind, from) = (Kind::Else, body(1)),
            Some(_) if inner.starts_with("else") => kind = Kind::Else,
            Some(_) => {}
        }
        Ok(Self { kind, end: end_of(text, start, from)? })
    }
}

/// The comment whose `!` is before `from`.
fn comment(text: &str, start: usize, from: usize) -> Result<Tag, Refused> {
    let rest = text[from..].trim_start_matches([' ', '\t', '\n', '\r']);
    let end = if rest.starts_with("--") { "--}}" } else { "}}" };
    match text[from..].find(end) {
        Some(found) => Ok(Tag { kind: Kind::Other, end: from + found + end.len() }),
        None => Err(refused(text, start, format!("The comment has no end `{end}`"))),
    }
}

/// The end of the tag at `start` whose expressions begin at `from`.
fn end_of(text: &str, start: usize, from: usize) -> Result<usize, Refused> {
    let no = |message: String| Err(refused(text, start, message));
    let bytes = text.as_bytes();
    let mut depth = 0;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'}' => match bytes[at..].iter().take_while(|b| **b == b'}').count() {
                1 => return no("A brace is in the tag".into()),
                count => return Ok(at + count.min(3)),
            },
            b'{' => return no("A brace is in the tag".into()),
            b'(' if depth == EXPRESSIONS => {
                return no(format!("Expressions are nested more than {EXPRESSIONS} deep"));
            }
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => match string(&bytes[at + 1..], *byte) {
                Some(len) => at += len,
                None => return no("A quote in the tag has no end".into()),
            },
            b'[' => {
                let plain = |b: &&u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
                let len = bytes[at + 1..].iter().take_while(plain).count();
                if bytes.get(at + 1 + len) != Some(&b']') {
                    return no("Lists cannot be written out here".into());
                }
                at += len + 1;
            }
            _ => {}
        }
        at += 1;
    }
    no("The tag has no end".into())
}

/// Bytes of the string whose opening quote is before `bytes`, with the closing
/// one.
fn string(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b if *b == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_may_be_is_bounded() {
        let said = |text: &str| check(text).err().map(|r| r.message).unwrap_or_default();
        let nested = |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
        for (text, want) in [
            ("{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}".to_owned(), "Partials and decorators are not"),
            ("{{~# * inline}}".to_owned(), "Partials and decorators are not"),
            ("a {{ ~ > a}}".to_owned(), "Partials are not"),
            ("{{* a}}".to_owned(), "Decorators are not"),
            ("{{{{raw}}}} {{{{/raw}}}}".to_owned(), "Raw blocks are not"),
            (nested("{{#if a}}", "{{/if}}", BLOCKS + 1), "nested more than 16"),
            (nested("{{# if a}}{{! -- }} {{/if}} --}}", "{{/if}}", BLOCKS + 1), "nested more than 16"),
            (format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if b}}".repeat(BLOCKS)), "nested more than 16"),
            (format!("{{{{#if {}1{}}}}}", "(eq 1 ".repeat(17), ")".repeat(17)), "Expressions are nested"),
            (format!("{{{{eq \")))\" {}", "(eq \"))\" ".repeat(17)), "Expressions are nested"),
            ("{{a [[1]]}}".to_owned(), "Lists"),
            ("{{a {\"b\": 1}}}".to_owned(), "A brace"),
            ("awk '{{print $1}'".to_owned(), "A brace"),
            ("{{a 'b}}".to_owned(), "A quote"),
            ("{{!-- a }} {{b}}".to_owned(), "The comment"),
            ("{{a}} {{b".to_owned(), "no end"),
            ("{{a}}".repeat(TAGS + 1), "more than 4096 tags"),
            ("\\{{a}}".repeat(TAGS + 1), "more than 4096 tags"),
            ("x".repeat(LONGEST + 1), "may have 1048576"),
        ] {
            let text: String = text.chars().take(LONGEST + 1).collect();
            assert!(said(&text).contains(want), "{want}: {} for {}", said(&text), excerpt(&text));
        }
        for text in [
            nested("{{#if a}}", "{{/if}}", BLOCKS),
            "{{#if a}}{{/if}}".repeat(100),
            format!("{{{{#if {}1{}}}}}{{{{/if}}}}", "(eq 1 ".repeat(16), ")".repeat(16)),
            "{{{this}}} {{lab.nodes.[0].dom}} {{{{}}}}{{a \"}}\" '{{'}} \\{{ ((((".replace("{{{{}}}}", ""),
            "\\\\{{a}} \\{{{{ {{!-- {{#if}} --}} {{! a }}".to_owned(),
        ] {
            assert_eq!(said(&text), "", "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_tag_and_its_place() {
        let refused = check("a\nbä {{> footer}} more").unwrap_err();
        assert_eq!((refused.at, refused.tag.as_deref()), (Some((2, 4)), Some("{{> footer}}")));
    }
}
