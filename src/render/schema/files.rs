//! Files and fragments, which both roles and distributions have.

use super::{middle, yes};
use serde::Deserialize;
use toml::Spanned;

/// One file or folder of the node. Exactly one of `source`, `copy`, `make`,
/// `folder` and `remove` says which of these it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct File {
    /// Template of the path from the root.
    pub path: Spanned<String>,
    /// File next to role.toml, rendered as a template.
    pub source: Option<Spanned<String>>,
    /// False: `source` is taken as it is.
    #[serde(default = "yes")]
    pub template: bool,
    /// Template of a path in the medium whose bytes to take.
    pub copy: Option<Spanned<String>>,
    /// Something that only p9img can make.
    pub make: Option<Make>,
    #[serde(default)]
    pub folder: bool,
    #[serde(default)]
    pub remove: bool,
    /// The permissions, with the bits of stat(5) for append-only and exclusive.
    pub mode: Option<u32>,
    /// Templates of the owner's and group's names; `sys` when left out.
    pub uid: Option<Spanned<String>>,
    pub gid: Option<Spanned<String>>,
    /// Once for each of these, with one more variable.
    pub each: Option<Each>,
    /// Whether a file that the medium has stays.
    #[serde(default)]
    pub keep: bool,
    /// SHA-256, in hexadecimal, of files of releases that do not stay.
    #[serde(default)]
    pub unless: Vec<String>,
    /// For this distribution alone, and those that are like it.
    pub only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::render) enum Make {
    /// The key file for keyfs(4).
    Keys,
}

/// Set that a file entry is repeated for, once for each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::render) enum Each {
    /// Everybody who can log in; the variable is `user`.
    Login,
}

/// A piece that a shared template puts together with those of other roles.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct Fragment {
    pub slot: Spanned<String>,
    /// File next to role.toml, rendered as a template.
    pub source: Spanned<String>,
    /// Smaller comes first; among equals the node's order of roles counts.
    #[serde(default = "middle")]
    pub order: i64,
    /// For this distribution alone, and those that are like it.
    pub only: Option<String>,
}
