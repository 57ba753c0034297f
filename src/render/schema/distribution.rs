//! `distribution.toml`.

use super::check::CheckToml;
use super::files::File;
use super::role::{Kernel, SystemUser};
use super::yes;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// Rules of one distribution: `templates/NAME/distribution.toml`. A value that it
/// leaves out comes from the distribution that it is `like`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct Distribution {
    #[serde(skip)]
    pub name: String,
    #[expect(dead_code, reason = "for readers of the file")]
    pub description: String,
    pub like: Option<Spanned<String>>,
    pub boot: Option<Boot>,
    /// Paths in the medium by kind and by
    /// [`Board::kernel_name`](crate::lab::Board::kernel_name).
    pub kernel: Option<BTreeMap<Kernel, BTreeMap<Spanned<String>, String>>>,
    /// Source of plan9.ini.
    pub plan9_ini: Option<Spanned<String>>,
    /// Sources of the configurations that roots store themselves, by the word of the
    /// root.
    #[serde(default)]
    pub root_config: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Whether nvram and key file have keys for dp9ik in addition to those for p9sk1.
    pub dp9ik: Option<bool>,
    /// The file systems that its kernels can have their root on; the first is
    /// that of a node that names none.
    pub fs: Option<Vec<Spanned<String>>>,
    /// Architectures of its PCs; the first that a medium has is that of a new lab.
    pub arch: Option<Vec<String>>,
    /// Sources of a Pi's config.txt, and of the lines that become the one line of
    /// cmdline.txt.
    pub config_txt: Option<Spanned<String>>,
    pub cmdline: Option<Spanned<String>>,
    /// Source of the script that U-Boot runs.
    pub boot_script: Option<Spanned<String>>,
    pub slots: Option<BTreeMap<String, Scope>>,
    /// Templates of the paths of files that every node of it needs to start; a path
    /// that renders to nothing is none.
    pub needs_files: Option<Vec<Spanned<String>>>,
    pub listeners: Option<Listeners>,
    #[serde(default, rename = "user")]
    pub users: Vec<Spanned<SystemUser>>,
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
    #[serde(default, rename = "check")]
    pub checks: Vec<CheckToml>,
}

/// The medium's files that start a machine, as paths from its root.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct Boot {
    pub mbr: String,
    pub pbs: String,
    pub loader: String,
    /// Loaders for UEFI by architecture.
    #[serde(default)]
    pub efi: BTreeMap<String, String>,
}

/// Nodes whose fragments a slot collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::render) enum Scope {
    /// Those of the node's own roles.
    Node,
    /// Those of all nodes of the lab, each rendered with its node.
    Lab,
}

/// The distribution's listeners that are on unless they are removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::render) struct Listeners {
    pub folder: String,
    pub on: Vec<String>,
    /// Prefix of the name of a listener that the medium has switched off.
    #[serde(default)]
    pub off: String,
    /// TCP ports that the distribution itself listens on.
    #[serde(default)]
    pub own: Vec<u16>,
    /// Whether a listener that a role wants must be in the medium.
    #[serde(default = "yes")]
    pub required: bool,
}
