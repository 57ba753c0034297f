//! `[[check]]` of `role.toml` and `distribution.toml`.

use super::middle;
use crate::lab::Need;
use serde::Deserialize;
use toml::Spanned;

/// A check as its author writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct CheckToml {
    /// Sentence that the check proves.
    pub name: Spanned<String>,
    #[serde(default)]
    pub at: At,
    /// Template of the command that is typed.
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
    /// Whether it deals with other nodes, though it is typed on the node itself.
    #[serde(default)]
    pub network: bool,
    /// For nodes of this distribution alone, and those that are like it.
    pub only: Option<String>,
    /// Typed on nodes of this distribution alone, and those that are like it.
    pub only_at: Option<String>,
    /// Reason, as a template, why the check needs two nodes of one distribution. On
    /// nodes of two distributions, the check is left out and says this.
    pub alike: Option<Spanned<String>>,
    /// Roles that some node of the lab must have. Where none has, the check is left
    /// out and says so.
    #[serde(default)]
    pub needs_in_lab: Vec<Spanned<Need>>,
    /// Template of another condition. If it renders to nothing, the check is left
    /// out and says `without`.
    pub given: Option<Spanned<String>>,
    /// Template of the reason why the check is left out if `given` renders to nothing.
    pub without: Option<Spanned<String>>,
}

/// Nodes, or the host, that a check is tried on.
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

/// Console or shell that a check runs in: one of those that `At` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckSite {
    /// On a node's console.
    Node(String),
    /// In a shell of this machine.
    Host,
}
