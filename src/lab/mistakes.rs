//! Everything that is wrong with a file the user wrote, each with its place.
//!
//! A reader never stops at the first mistake: it notes a [`Mistake`] and goes
//! on, so that one run of `p9img check` shows them all, in the order of the
//! file. A mistake says what was found, what was expected and what to do, and
//! quotes its line with a caret. Excerpts and counts are bounded, so that a
//! hostile file cannot make the report larger than a few hundred kilobytes, and
//! control characters never reach the terminal.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::ops::Range;

/// Mistakes recorded of one file; the rest is only counted.
const MOST: usize = 200;
/// Characters of a source line that are quoted.
const EXCERPT: usize = 110;

/// Kind of a mistake: stable words for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The file cannot be read or is not text.
    File,
    /// Not TOML.
    Syntax,
    UnknownKey,
    MissingKey,
    /// A boolean where a string belongs, and the like.
    WrongType,
    BadValue,
    /// A word that names nothing: a role, a medium, a format.
    UnknownName,
    /// The second of what may be there once.
    Duplicate,
    /// Two values, each right, that cannot be together.
    Conflict,
}

/// A stretch of one line in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters that the caret covers, at least 1.
    pub length: usize,
    /// The line, or the part of a long one around the column.
    pub excerpt: String,
    /// Character of `excerpt` that the column is at, from 0.
    #[serde(skip)]
    caret: usize,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Way out of a mistake that a program can offer in words of its own, such as the
/// name of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Writing the lab file that does not exist, or naming another one.
    OtherFile,
    /// Leaving the choice of the local ports to the program that runs the lab.
    FreePorts,
}

/// Flaw of a value, before its position in the file is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub message: String,
    pub expected: Option<String>,
    pub help: Option<String>,
    pub remedy: Option<Remedy>,
}

impl Problem {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), expected: None, help: None, remedy: None }
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(Kind::BadValue, message)
    }

    pub fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, ": expected {expected}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    pub kind: Kind,
    pub message: String,
    pub expected: Option<String>,
    pub help: Option<String>,
    /// Way out that a program can offer instead of `help`.
    #[serde(skip)]
    pub remedy: Option<Remedy>,
    /// None: the whole file.
    pub place: Option<Span>,
    /// For a duplicate or a conflict: the other one.
    pub first: Option<Span>,
}

/// Every mistake of one file, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistakes {
    pub file: String,
    pub mistakes: Vec<Mistake>,
    /// Number of mistakes that `mistakes` does not contain.
    pub left_off: usize,
}

impl Mistakes {
    /// The one mistake of a file that could not be read at all.
    pub fn whole_file(file: impl Into<String>, problem: Problem) -> Self {
        let Problem { kind, message, expected, help, remedy } = problem;
        let mistakes = vec![Mistake { kind, message, expected, help, remedy, place: None, first: None }];
        Self { file: file.into(), mistakes, left_off: 0 }
    }

    pub fn count(&self) -> usize {
        self.mistakes.len() + self.left_off
    }

    /// The report for people: for each mistake its place, its line with a caret,
    /// what was expected and what to do; a count at the end. No final newline.
    pub fn render(&self, color: bool) -> String {
        let ink = Ink::new(color);
        let mut out = String::new();
        for mistake in &self.mistakes {
            // Writing to a String cannot fail.
            let _ = mistake.render(&self.file, &ink, &mut out);
            out.push('\n');
        }
        if self.left_off > 0 {
            let _ = writeln!(out, "{} more not shown", self.left_off);
        }
        let _ = write!(out, "{} in {}", crate::count::of(self.count(), "mistake"), printable(&self.file));
        out
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Mistakes {}

/// The styles of a report; all plain without colour.
struct Ink {
    error: Style,
    frame: Style,
    help: Style,
}

impl Ink {
    fn new(color: bool) -> Self {
        let on = |style: Style| if color { style } else { Style::new() };
        Self {
            error: on(AnsiColor::Red.on_default().bold()),
            frame: on(AnsiColor::Blue.on_default().bold()),
            help: on(AnsiColor::Cyan.on_default()),
        }
    }
}

impl Mistake {
    fn render(&self, file: &str, ink: &Ink, out: &mut String) -> fmt::Result {
        let Ink { error, frame, help } = ink;
        match &self.place {
            Some(place) => write!(out, "{}:{}:{}", printable(&place.file), place.line, place.column)?,
            None => out.push_str(&printable(file)),
        }
        writeln!(out, ": {error}{}{error:#}", printable(&self.message))?;
        let mut gutter = 1;
        if let Some(place) = &self.place {
            gutter = place.line.to_string().len();
            writeln!(out, "{frame}{:gutter$} |{frame:#}", "")?;
            writeln!(out, "{frame}{} |{frame:#} {}", place.line, place.excerpt)?;
            let (skip, carets) = (place.caret, "^".repeat(place.length));
            writeln!(out, "{frame}{:gutter$} |{frame:#} {:skip$}{error}{carets}{error:#}", "", "")?;
        }
        if let Some(text) = &self.expected {
            writeln!(out, "{:gutter$} {frame}={frame:#} expected: {}", "", printable(text))?;
        }
        if let Some(first) = &self.first {
            let what = if self.kind == Kind::Duplicate { "the first one" } else { "see also" };
            let place = printable(&first.to_string());
            writeln!(out, "{:gutter$} {frame}={frame:#} {what}: {place}", "")?;
        }
        if let Some(text) = &self.help {
            writeln!(out, "{:gutter$} {frame}={frame:#} {help}help: {}{help:#}", "", printable(text))?;
        }
        Ok(())
    }
}

/// The text with control characters shown as `\u{…}`: a file must not be able
/// to steer the terminal of the report's reader.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A text as it begins a sentence.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A value as a message quotes it: bounded and in backquotes.
pub(crate) fn quote(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return format!("`{text}`");
    }
    let head: String = text.chars().take(MOST).collect();
    format!("`{head}…`")
}

/// `a`, `b` or `c`.
pub(crate) fn choice<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.split_last() {
        None => "nothing".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// Collects the mistakes of one file while it is read.
pub(crate) struct Notes<'t> {
    pub file: &'t str,
    text: &'t str,
    /// Byte offset of each line's first character.
    lines: Vec<usize>,
    noted: RefCell<Vec<(usize, Mistake)>>,
    left_off: Cell<usize>,
    /// Remarks that are no mistakes.
    hints: RefCell<Vec<String>>,
}

impl<'t> Notes<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        Self { file, text, lines, noted: RefCell::default(), left_off: Cell::new(0), hints: RefCell::default() }
    }

    /// Index of the line that holds the byte, from 0.
    pub fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The line without its end.
    pub fn line(&self, index: usize) -> &'t str {
        let start = self.lines.get(index).copied().unwrap_or(self.text.len());
        let end = self.lines.get(index + 1).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    pub fn place(&self, span: &Range<usize>) -> Span {
        let index = self.line_of(span.start);
        let line = self.line(index);
        // The line can be the whole file: only std's fast counts go over all of it.
        let in_line = line.floor_char_boundary(span.start.saturating_sub(self.lines[index]));
        let end = line.floor_char_boundary(in_line.saturating_add(span.len()));
        let (before, after) = line.split_at(in_line);
        let column = before.chars().count();
        let width = column + after.chars().count();
        let from = if width <= EXCERPT { 0 } else { column.saturating_sub(EXCERPT / 2).min(width - EXCERPT) };
        let caret = column - from;
        let start = before.char_indices().rev().take(caret).last().map_or(in_line, |(i, _)| i);
        // A tab or control character would put the caret elsewhere.
        let tame = |c: char| if c.is_control() { ' ' } else { c };
        let excerpt: String = line[start..].chars().take(EXCERPT).map(tame).collect();
        let length = line[in_line..end].chars().count().clamp(1, EXCERPT.saturating_sub(caret).max(1));
        Span {
            file: self.file.to_owned(),
            line: index + 1,
            column: column + 1,
            length,
            excerpt: excerpt.trim_end().into(),
            caret,
        }
    }

    /// Notes a remark that is no mistake; the first [`MOST`] are recorded.
    pub fn hint(&self, span: &Range<usize>, text: &str) {
        let mut hints = self.hints.borrow_mut();
        if hints.len() < MOST {
            hints.push(format!("{}: {}", printable(&self.place(span).to_string()), printable(text)));
        }
    }

    pub fn hints(&self) -> Vec<String> {
        self.hints.borrow().clone()
    }

    pub fn note(&self, span: &Range<usize>, problem: Problem) {
        self.note_beside(span, problem, None);
    }

    /// As [`Self::note`], for a problem that costs something to describe.
    pub fn note_with(&self, span: &Range<usize>, problem: impl FnOnce() -> Problem) {
        if self.len() < MOST {
            self.note(span, problem());
        } else {
            self.left_off.set(self.left_off.get() + 1);
        }
    }

    /// Notes a mistake, pointing to `first` as the one it collides with.
    pub fn note_beside(&self, span: &Range<usize>, problem: Problem, first: Option<&Range<usize>>) {
        let mut noted = self.noted.borrow_mut();
        if noted.len() >= MOST {
            self.left_off.set(self.left_off.get() + 1);
            return;
        }
        let Problem { kind, message, expected, help, remedy } = problem;
        let (place, first) = (Some(self.place(span)), first.map(|span| self.place(span)));
        noted.push((span.start, Mistake { kind, message, expected, help, remedy, place, first }));
    }

    /// Number of mistakes that are recorded so far.
    pub fn len(&self) -> usize {
        self.noted.borrow().len()
    }

    /// Drops the mistakes from the `from`th on for which `keep` is false; the line is from 0.
    pub fn retain_from(&self, from: usize, keep: impl Fn(usize, &Mistake) -> bool) {
        let mut index = 0;
        self.noted.borrow_mut().retain(|(offset, mistake)| {
            index += 1;
            index <= from || keep(self.line_of(*offset), mistake)
        });
    }

    pub fn is_empty(&self) -> bool {
        self.noted.borrow().is_empty() && self.left_off.get() == 0
    }

    /// The mistakes in the order of the file; None when there is none.
    pub fn finish(self) -> Option<Mistakes> {
        if self.is_empty() {
            return None;
        }
        let mut noted = self.noted.into_inner();
        noted.sort_by_key(|(offset, _)| *offset);
        let mistakes = noted.into_iter().map(|(_, mistake)| mistake).collect();
        Some(Mistakes { file: self.file.to_owned(), mistakes, left_off: self.left_off.get() })
    }
}
