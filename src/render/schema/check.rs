//! `[[check]]` of both.

use super::middle;
use crate::lab::Need;
use serde::Deserialize;
use toml::Spanned;

/// A check as its author writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct CheckToml {
    /// What is proven, as a sentence.
    pub name: Spanned<String>,
    #[serde(default)]
    pub at: At,
    /// Template of what is typed.
    pub run: Spanned<String>,
    /// Template of a text that must be in the output.
    pub expect: Option<Spanned<String>>,
    /// Pairs of a text to wait for and the reply to type.
    #[serde(default)]
    pub answers: Vec<[Spanned<String>; 2]>,
    /// Seconds.
    pub timeout: Option<u64>,
    #[serde(default = "middle")]
    pub order: i64,
    /// It deals with other nodes, though it is typed on the node itself.
    #[serde(default)]
    pub network: bool,
    /// For nodes of this distribution alone, and those that are like it.
    pub only: Option<String>,
    /// Typed on nodes of this distribution alone, and those that are like it.
    pub only_at: Option<String>,
    /// It needs two nodes of one distribution: why, as a template. Where they are
    /// of two, the check is left out and says this.
    pub alike: Option<Spanned<String>>,
    /// Roles that some node of the lab must have. Where none has, the check is left
    /// out and says so.
    #[serde(default)]
    pub needs_in_lab: Vec<Spanned<Need>>,
    /// What else it needs, as a template. Where that comes to nothing, the check
    /// is left out and says `without`.
    pub given: Option<Spanned<String>>,
    /// Why it is left out where `given` comes to nothing: a template.
    pub without: Option<Spanned<String>>,
}

/// Where a check is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::render) enum At {
    /// On the role's node.
    #[default]
    #[serde(rename = "self")]
    Itself,
    /// On every other node with a cpu server's kernel.
    Others,
    /// On the machine that runs the lab.
    Host,
}
