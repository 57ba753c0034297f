//! TOML values with their positions, read without stopping at a mistake.
//!
//! serde's errors end a read, and the lab must report all of its mistakes at once.
//! So the spanned table is walked here: every accessor notes a mistake and returns
//! None, and the caller goes on. [`KEYS`] alone says which keys a section has: it
//! finds unknown keys, makes suggestions, and recognizes a key in the wrong
//! section.

use super::mistakes::{Kind, Notes, Problem, capital, choice, quote};
use crate::suggest::nearest;
use std::collections::BTreeSet;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The sections of a lab file, as their header is written, with their keys.
pub const KEYS: &[(&str, &[&str])] = &[
    ("the lab file", &["lab", "user", "network", "defaults", "format", "node", "media", "tree", "run"]),
    ("[lab]", &["name", "medium", "authdom", "hostowner", "epoch", "timezone", "formats", "layout", "out", "url"]),
    ("[[user]]", &["name", "groups"]),
    ("[network]", &["name", "subnet", "gateway", "dns", "domain"]),
    ("[defaults]", &["medium", "arch", "cpus", "memory", "disk", "card", "firmware", "fs", "controller", "nic"]),
    (
        "[[node]]",
        &[
            "name",
            "roles",
            "board",
            "mac",
            "ip",
            "medium",
            "arch",
            "cpus",
            "memory",
            "disk",
            "card",
            "firmware",
            "fs",
            "controller",
            "nic",
            "partitions",
        ],
    ),
    ("[format.NAME]", &["controller"]),
    ("[media.NAME]", &["path", "url", "urls", "sha256"]),
    ("[tree]", &["include", "exclude"]),
    ("[run]", &["ports"]),
];

fn keys_of(section: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(name, _)| *name == section).map_or(&[], |(_, keys)| keys)
}

/// A value and the bytes of the file that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// One table of the file.
pub(crate) struct Section<'a, 't> {
    pub notes: &'a Notes<'t>,
    /// Its name in [`KEYS`], empty for a table whose keys are names.
    name: &'static str,
    table: &'a DeTable<'t>,
    pub span: Range<usize>,
}

impl<'a, 't> Section<'a, 't> {
    /// Notes every key that the section does not have.
    pub fn new(notes: &'a Notes<'t>, name: &'static str, table: &'a DeTable<'t>, span: Range<usize>) -> Self {
        if !name.is_empty() {
            let known = keys_of(name);
            for key in table.keys().filter(|k| !known.contains(&k.get_ref().as_ref())) {
                notes.note_with(&key.span(), || unknown_key(name, known, key.get_ref()));
            }
        }
        Self { notes, name, table, span }
    }

    pub fn get(&self, key: &'static str) -> Option<Value<'a, 't>> {
        debug_assert!(keys_of(self.name).contains(&key), "{key} is not in KEYS of {}", self.name);
        let value = self.table.get(key)?;
        Some(Value { notes: self.notes, key: key.into(), value: value.get_ref(), span: value.span() })
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// As [`Self::get`], and notes it when the key is not there.
    pub fn require(&self, key: &'static str, example: &str) -> Option<Value<'a, 't>> {
        let value = self.get(key);
        if value.is_none() {
            let problem = Problem::new(Kind::MissingKey, format!("{} has no `{key}`", self.name));
            self.notes.note(&self.span, problem.help(format!("add a line such as `{key} = {example}`")));
        }
        value
    }

    /// A table within; nothing when the key is not there.
    pub fn section(&self, key: &'static str, name: &'static str) -> Option<Section<'a, 't>> {
        self.get(key)?.section(name)
    }

    /// The tables of an array of tables, `[[key]]`; one bare `[key]` is a mistake.
    pub fn sections(&self, key: &'static str, name: &'static str) -> Vec<Section<'a, 't>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        if let DeValue::Table(_) = value.value {
            let problem = Problem::new(Kind::WrongType, format!("`[{key}]` is one table, and there may be several"));
            self.notes.note(&value.span, problem.help(format!("write `[[{key}]]`")));
            return value.section(name).into_iter().collect();
        }
        let items = value.list(&format!("tables, each under `[[{key}]]`")).unwrap_or_default();
        items.iter().filter_map(|item| item.section(name)).collect()
    }

    /// Every key with its value, in the order of the names.
    pub fn entries(&self) -> Vec<(At<String>, Value<'a, 't>)> {
        let entry = |(key, value): (&'a toml::Spanned<_>, &'a toml::Spanned<_>)| {
            let key: (&std::borrow::Cow<'t, str>, _) = (key.get_ref(), key.span());
            let name = key.0.to_string();
            let value = Value { notes: self.notes, key: name.clone(), value: value.get_ref(), span: value.span() };
            (At { value: name, span: key.1 }, value)
        };
        self.table.iter().map(entry).collect()
    }
}

fn unknown_key(section: &str, known: &[&str], key: &str) -> Problem {
    let problem = Problem::new(Kind::UnknownKey, format!("Unknown key {} in {section}", quote(key)));
    let homes: Vec<&str> =
        KEYS[1..].iter().filter(|(name, keys)| *name != section && keys.contains(&key)).map(|(n, _)| *n).collect();
    // The key of a section: how its header is written.
    let header = |name: &str| name.trim_matches(['[', ']']).split('.').next() == Some(key);
    if let Some((header, _)) = KEYS[1..].iter().find(|(name, _)| header(name)) {
        return problem.help(format!("it is a section of its own, which begins with a line `{header}`"));
    }
    match (nearest(key, known.iter().copied()), homes.split_last()) {
        (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
        (None, Some((home, []))) => problem.help(format!("`{key}` belongs in {home}")),
        (None, Some((home, rest))) => problem.help(format!("`{key}` belongs in {} or {home}", rest.join(", "))),
        (None, None) => problem.expected(choice(known)),
    }
}

/// One value of the file.
#[derive(Clone)]
pub(crate) struct Value<'a, 't> {
    pub notes: &'a Notes<'t>,
    key: String,
    value: &'a DeValue<'t>,
    pub span: Range<usize>,
}

impl<'a, 't> Value<'a, 't> {
    /// Notes that the value is wrong.
    pub fn wrong(&self, problem: Problem) {
        self.notes.note(&self.span, problem);
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let article = if self.value.type_str().starts_with(['a', 'i']) { "an" } else { "a" };
        let found = format!("{} is {article} {}", quote(&self.key), self.value.type_str());
        let problem = Problem::new(Kind::WrongType, found).expected(expected);
        self.wrong(match self.value {
            DeValue::Array(_) | DeValue::Table(_) => problem,
            _ if expected.starts_with("a list") => {
                problem.help(format!("write it in brackets: `[{}]`", self.written().trim()))
            }
            _ => problem,
        });
        None
    }

    /// The value as the file has it, where that is short.
    fn written(&self) -> String {
        match self.value {
            DeValue::String(text) if text.len() <= 40 => format!("\"{text}\""),
            DeValue::Integer(i) if i.as_str().len() <= 40 => i.to_string(),
            _ => "…".into(),
        }
    }

    pub fn section(&self, name: &'static str) -> Option<Section<'a, 't>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(self.notes, name, table, self.span.clone())),
            _ => self.wrong_type(&format!("a table, {}", if name.is_empty() { "`NAME = VALUE`" } else { name })),
        }
    }

    pub fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|items| items.is_empty())
    }

    /// The items of an array. Each is called what the array is called.
    pub fn list(&self, expected: &str) -> Option<Vec<Value<'a, 't>>> {
        let DeValue::Array(items) = self.value else { return self.wrong_type(expected) };
        let item = |item: &'a toml::Spanned<DeValue<'t>>| Value {
            notes: self.notes,
            key: self.key.clone(),
            value: item.get_ref(),
            span: item.span(),
        };
        Some(items.iter().map(item).collect())
    }

    /// A list of strings, none of them twice, each through `leaf`.
    pub fn strings<T>(&self, expected: &str, mut leaf: impl FnMut(&str) -> Result<T, Problem>) -> Option<Vec<At<T>>> {
        let mut seen = std::collections::BTreeMap::new();
        let mut all = Vec::new();
        for item in self.list(&format!("a list of {expected}"))? {
            let Some(text) = item.text(expected) else { continue };
            if let Some(first) = seen.insert(text.clone(), item.span.clone()) {
                let problem =
                    Problem::new(Kind::Duplicate, format!("{} appears twice in `{}`", quote(&text), self.key));
                self.notes.note_beside(&item.span, problem.help("remove one of them"), Some(&first));
                seen.insert(text, first);
                continue;
            }
            match leaf(&text) {
                Ok(value) => all.push(At { value, span: item.span }),
                Err(problem) => item.wrong(problem),
            }
        }
        Some(all)
    }

    pub fn text(&self, expected: &str) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            _ => self.wrong_type(expected),
        }
    }

    /// A string through `leaf`.
    pub fn parse<T>(&self, expected: &str, leaf: impl FnOnce(&str) -> Result<T, Problem>) -> Option<At<T>> {
        let text = self.text(expected)?;
        self.done(leaf(&text))
    }

    /// A string or an integer through `leaf`.
    pub fn parse_scalar<T>(
        &self,
        expected: &str,
        leaf: impl FnOnce(Scalar<'_>) -> Result<T, Problem>,
    ) -> Option<At<T>> {
        let scalar = match self.value {
            DeValue::String(text) => Scalar::Text(text),
            DeValue::Datetime(time) => Scalar::Time(*time),
            // The TOML reader has checked the digits, but not how many there are.
            DeValue::Integer(i) => match i128::from_str_radix(i.as_str(), i.radix()) {
                Ok(number) => Scalar::Number(number),
                Err(_) => {
                    self.wrong(Problem::bad(format!("{} is too large a number", quote(i.as_str()))).expected(expected));
                    return None;
                }
            },
            _ => return self.wrong_type(expected),
        };
        match scalar {
            Scalar::Time(_) if !expected.contains("time") => self.wrong_type(expected),
            _ => self.done(leaf(scalar)),
        }
    }

    /// An integer through `leaf`.
    pub fn integer<T>(&self, expected: &str, leaf: impl FnOnce(i128) -> Result<T, Problem>) -> Option<At<T>> {
        if !matches!(self.value, DeValue::Integer(_)) {
            return self.wrong_type(expected);
        }
        self.parse_scalar(expected, |scalar| match scalar {
            Scalar::Number(number) => leaf(number),
            _ => Err(Problem::new(Kind::WrongType, "Not an integer")),
        })
    }

    fn done<T>(&self, result: Result<T, Problem>) -> Option<At<T>> {
        result.map(|value| At { value, span: self.span.clone() }).map_err(|problem| self.wrong(problem)).ok()
    }
}

/// A value that may be written in several ways.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(i128),
    Time(toml::value::Datetime),
}

/// Content of a TOML file, as far as it could be read.
pub(crate) struct Toml<'t> {
    pub table: DeTable<'t>,
    /// Lines, from 0, that hold a mistake.
    pub broken: BTreeSet<usize>,
    /// Whether the rest can be trusted to stand in the right section.
    pub sound: bool,
}

/// Reads the TOML, and notes each line that is not TOML.
pub(crate) fn read_toml<'t>(notes: &Notes<'t>, text: &'t str) -> Toml<'t> {
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut sound = true;
    let mut lines = BTreeSet::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = notes.line_of(span.start);
        let message = error.message();
        let (what, expected) = match message.split_once(", expected ") {
            Some((what, expected)) => (what, Some(expected)),
            None => (message, None),
        };
        let bracket = ["array", "table", "recursion"].iter().any(|word| what.contains(word));
        sound &= !bracket && !notes.line(line).trim_start().starts_with('[') && !message.contains("multi");
        if !lines.insert(line) {
            continue;
        }
        let what = capital(what);
        let kind = if message == "duplicate key" { Kind::Duplicate } else { Kind::Syntax };
        let mut problem = Problem::new(kind, what);
        problem.expected = expected.map(str::to_owned);
        problem.help = advice(message).map(str::to_owned);
        notes.note(&span, problem);
        if bracket {
            // An open bracket swallows the lines after it: what is said of them is noise.
            break;
        }
    }
    Toml { table: table.into_inner(), broken: lines, sound }
}

fn advice(message: &str) -> Option<&'static str> {
    Some(match message {
        "duplicate key" => "a key may appear once in a table: remove one of them",
        m if m.contains("must be quoted") => "put the text in double quotes",
        m if m.contains("array") => {
            "a list has commas between its items and ends with `]`; perhaps one above is not closed"
        }
        m if m.contains("basic string") => "close the text with a double quote on the same line",
        m if m.contains("key with no value") => "write `KEY = VALUE`",
        _ => return None,
    })
}
