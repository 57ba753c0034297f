//! Reason why a template is refused.

use std::fmt;

/// Reason why a text is no template, or a template cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Line and column, from 1.
    pub at: Option<(usize, usize)>,
    /// The offending tag, if the error has a position.
    pub tag: Option<String>,
    pub message: String,
}

impl Refused {
    /// The place in a file or value that is called `file`.
    pub fn place(&self, file: &str) -> String {
        self.at.map_or_else(|| file.to_owned(), |(line, column)| format!("{file}:{line}:{column}"))
    }

    /// The message with the tag that it is about.
    pub fn said(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}: {tag}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, _)) => write!(f, "Line {line}: {}", self.said()),
            None => f.write_str(&self.said()),
        }
    }
}

impl std::error::Error for Refused {}
