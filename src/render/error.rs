//! Errors of roles and templates.

use thiserror::Error;

/// Reason why roles cannot be read or a node's files not be rendered.
#[derive(Debug, Error)]
pub enum RenderError {
    /// A mistake in a role.toml, distribution.toml or template; `place` is
    /// `file`, `file:line` or `file:line:column`.
    #[error("{place}: {message}")]
    At { place: String, message: String },
    #[error("Cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("There is no role {name:?}{suggestion}")]
    UnknownRole { name: String, suggestion: String },
    #[error("There are no templates for the distribution {name:?}: templates/ has {known}")]
    UnknownDistribution { name: String, known: String },
    #[error("{0}")]
    Node(String),
    #[error("Node {node}: {source}")]
    Nvram { node: String, source: crate::auth::NvramError },
    #[error("Node {node}: {source}")]
    Keys { node: String, source: crate::auth::KeyFileError },
    /// A file that should be copied is not in the medium.
    #[error("The medium has no file {path}, which {from} copies")]
    NoSource { path: String, from: String },
    #[error(
        "The medium has no listener {path}, nor {off}, but {from} needs it: add the file with a [[file]] of the role, \
         or leave it out of `services`"
    )]
    NoListener { path: String, off: String, from: String },
}

impl RenderError {
    pub(super) fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::At { place: place.into(), message: message.into() }
    }
}
