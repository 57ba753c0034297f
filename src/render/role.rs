//! `role.toml` and `distribution.toml` as their authors write them.
//!
//! Both say which files a node gets; `doc/roles.md` explains every key.

use super::RenderError;
use super::check::{CheckToml, Port};
use super::link::RoleLink;
use super::source::Source;
use crate::lab::Need;
use crate::lab::units::{self, Sectors};
use crate::partition::Holds;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use toml::Spanned;

/// A role, as `roles/NAME/role.toml` describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// What the role does, in one sentence.
    pub description: String,
    /// Which kernel the role needs; a node needs exactly one role that says it.
    pub kernel: Option<Kernel>,
    /// Roles that cannot be on the same node.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Roles that must be on the same node.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Roles that some node of the lab must have.
    #[serde(default)]
    pub needs_in_lab: Vec<Need>,
    /// Roles that some node built from the same medium must have.
    #[serde(default)]
    pub needs_on_medium: Vec<Need>,
    /// Whether only one node of a lab may have it.
    #[serde(default)]
    pub at_most_one: bool,
    /// Boards that the role can be on, such as `pc`; none: on all.
    #[serde(default)]
    pub boards: Vec<Spanned<String>>,
    /// Listeners of the distribution that are on, such as `tcp17010`.
    #[serde(default)]
    pub(super) services: Vec<Spanned<Service>>,
    /// TCP ports that its programs listen on, beside `services` and `[[port]]`:
    /// nobody outside is meant to call them.
    #[serde(default)]
    pub listens: Vec<u16>,
    /// Files of the medium that its programs need, as templates of their paths.
    #[serde(default)]
    pub(super) needs_files: Vec<Spanned<String>>,
    #[serde(default)]
    pub secrets: Vec<Secret>,
    #[serde(default, rename = "partition")]
    pub partitions: Vec<Spanned<Partition>>,
    #[serde(default, rename = "user")]
    pub users: Vec<Spanned<SystemUser>>,
    #[serde(default, rename = "file")]
    pub(super) files: Vec<File>,
    #[serde(default, rename = "fragment")]
    pub(super) fragments: Vec<Fragment>,
    #[serde(default, rename = "port")]
    pub ports: Vec<Spanned<Port>>,
    #[serde(default, rename = "link")]
    pub links: Vec<RoleLink>,
    #[serde(default, rename = "check")]
    pub(super) checks: Vec<CheckToml>,
}

/// A listener that a role wants on.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "Expected a listener such as \"tcp80\", or { name = \"tcp80\", only = \"9front\" }")]
pub(super) enum Service {
    Everywhere(String),
    /// For one distribution alone, and those that are like it.
    Only {
        name: String,
        only: String,
    },
}

impl Service {
    pub fn name(&self) -> &str {
        match self {
            Self::Everywhere(name) | Self::Only { name, .. } => name,
        }
    }

    pub fn only(&self) -> Option<&str> {
        match self {
            Self::Everywhere(_) => None,
            Self::Only { only, .. } => Some(only),
        }
    }

    /// Its TCP port.
    pub fn tcp(&self) -> Option<u16> {
        self.name().strip_prefix("tcp")?.parse().ok()
    }
}

/// Which of a distribution's kernels runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// For servers: boots to the host owner without asking.
    Cpu,
    /// For people: has a screen, and one user.
    Terminal,
}

impl Kernel {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Terminal => "terminal",
        }
    }
}

/// A secret that a node with the role gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Secret {
    /// The host owner's key, in the nvram partition.
    Nvram,
    /// Everybody's keys, in /adm/keys.
    Keys,
}

/// A partition that a role wants behind those that every node has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PartitionToml")]
pub struct Partition {
    pub name: String,
    /// Bytes, unless the lab's file says otherwise; whole sectors.
    pub size: u64,
    /// What was rounded of the size.
    pub rounded: Option<String>,
    /// What to format it for; none: it stays all zeros.
    pub holds: Option<Holds>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionToml {
    name: String,
    #[serde(deserialize_with = "size")]
    size: Sectors,
    holds: Option<Holds>,
}

impl From<PartitionToml> for Partition {
    fn from(toml: PartitionToml) -> Self {
        Self { name: toml.name, size: toml.size.bytes, rounded: toml.size.rounded, holds: toml.holds }
    }
}

/// A user or group that the file system must know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemUser {
    pub name: String,
    /// Where the file system keeps numbers.
    pub id: Option<i16>,
    #[serde(default)]
    pub leader: String,
    #[serde(default)]
    pub members: Vec<String>,
}

/// One file or folder of the node. Exactly one of `source`, `copy`, `make`,
/// `folder` and `remove` says what it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Template of the path from the root.
    pub path: Spanned<String>,
    /// File beside role.toml, rendered as a template.
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
    /// Leave a file that the medium has.
    #[serde(default)]
    pub keep: bool,
    /// SHA-256, in hexadecimal, of files of releases that are not kept.
    #[serde(default)]
    pub unless: Vec<String>,
    /// For this distribution alone, and those that are like it.
    pub only: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Make {
    /// The key file for keyfs(4).
    Keys,
}

/// What a file entry is repeated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Each {
    /// Everybody who can log in; the variable is `user`.
    Login,
}

/// A piece that a shared template puts together with those of other roles.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fragment {
    pub slot: Spanned<String>,
    /// File beside role.toml, rendered as a template.
    pub source: Spanned<String>,
    /// Smaller comes first; among equals the node's order of roles counts.
    #[serde(default = "middle")]
    pub order: i64,
    /// For this distribution alone, and those that are like it.
    pub only: Option<String>,
}

/// How one distribution is put together: `templates/NAME/distribution.toml`.
/// What it leaves out comes from the one that it is `like`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Distribution {
    #[serde(skip)]
    pub name: String,
    #[expect(dead_code, reason = "for readers of the file")]
    pub description: String,
    pub like: Option<Spanned<String>>,
    pub boot: Option<Boot>,
    /// Paths in the medium by kind and architecture.
    pub kernel: Option<BTreeMap<Kernel, BTreeMap<String, String>>>,
    /// Source of plan9.ini.
    pub plan9_ini: Option<Spanned<String>>,
    /// Sources of the configurations that file systems keep themselves.
    pub fossil_config: Option<Spanned<String>>,
    pub cwfs_config: Option<Spanned<String>>,
    /// Whether keys for dp9ik stand beside those for p9sk1.
    pub dp9ik: Option<bool>,
    /// The file systems that its kernels can have their root on; the first is
    /// that of a node that names none.
    pub fs: Option<Vec<Spanned<String>>>,
    /// Architectures of its PCs; the first that a medium has is that of a new lab.
    pub arch: Option<Vec<String>>,
    /// Sources of what a Pi's firmware reads: config.txt, and the lines that
    /// become the one of cmdline.txt.
    pub config_txt: Option<Spanned<String>>,
    pub cmdline: Option<Spanned<String>>,
    /// Source of the script that U-Boot runs.
    pub boot_script: Option<Spanned<String>>,
    pub slots: Option<BTreeMap<String, Scope>>,
    /// Files without which no node of it starts, as templates of their paths;
    /// one that comes to nothing is none.
    pub needs_files: Option<Vec<Spanned<String>>>,
    pub listeners: Option<Listeners>,
    #[serde(default, rename = "user")]
    pub users: Vec<Spanned<SystemUser>>,
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
    #[serde(default, rename = "check")]
    pub checks: Vec<CheckToml>,
}

impl Distribution {
    /// Sources of the configurations that roots keep themselves, under
    /// [`RootKind::config`](crate::root::RootKind::config).
    pub fn root_configs(&self) -> [(&'static str, &Option<Spanned<String>>); 2] {
        [("fossil_config", &self.fossil_config), ("cwfs_config", &self.cwfs_config)]
    }
}

/// The medium's files that start a machine, as paths from its root.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Boot {
    pub mbr: String,
    pub pbs: String,
    pub loader: String,
    /// Loaders for UEFI by architecture.
    #[serde(default)]
    pub efi: BTreeMap<String, String>,
}

/// Whose fragments a slot gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// Those of the node's own roles.
    Node,
    /// Those of all nodes of the lab, each rendered with its node.
    Lab,
}

/// The distribution's listeners that are on unless they are taken away.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listeners {
    pub folder: String,
    pub on: Vec<String>,
    /// What comes before the name of a listener that the medium has switched off.
    #[serde(default)]
    pub off: String,
    /// TCP ports that the distribution itself listens on.
    #[serde(default)]
    pub own: Vec<u16>,
    /// Whether a listener that a role wants must be in the medium.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}
fn middle() -> i64 {
    50
}

/// A size as lab files have it.
fn size<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Sectors, D::Error> {
    let text = String::deserialize(d)?;
    units::size(&text).and_then(|bytes| units::sectors(&text, bytes)).map_err(serde::de::Error::custom)
}

/// The line and column (from 1) of byte `at` of `text`.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    (before.iter().filter(|b| **b == b'\n').count() + 1, column)
}

/// Reads a TOML file; errors name file, line and column.
pub(super) fn parse<T: DeserializeOwned>(source: &Source) -> Result<T, RenderError> {
    let text = text(source)?;
    toml::from_str(text).map_err(|e| {
        let (line, column) = line_and_column(text, e.span().map_or(0, |s| s.start));
        let said = e.message().trim();
        let mut chars = said.chars();
        let first = chars.next().into_iter().flat_map(char::to_uppercase);
        let message: String = first.chain(chars).collect();
        RenderError::at(format!("{}:{line}:{column}", source.place), message)
    })
}

/// A file's text.
pub(super) fn text(source: &Source) -> Result<&str, RenderError> {
    std::str::from_utf8(&source.bytes).map_err(|e| {
        RenderError::at(
            source.place.clone(),
            format!("Byte {} is not UTF-8; a file that is not text needs `template = false`", e.valid_up_to()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(text: &str) -> Result<Role, String> {
        let source = Source { place: "roles/x/role.toml".into(), bytes: text.as_bytes().to_vec().into() };
        parse(&source).map_err(|e| e.to_string())
    }

    #[test]
    fn sizes_have_units() {
        let with = |size: &str| {
            role(&format!("description = 'x'\n[[partition]]\nname = 'a'\nsize = '{size}'"))
                .map(|r| r.partitions[0].get_ref().size)
        };
        assert_eq!(with("3 KiB"), Ok(3072));
        assert_eq!(with("512MiB"), Ok(512 << 20));
        assert_eq!(with("2 GiB"), Ok(2 << 30));
        assert_eq!(with("1 GB"), Ok(1_000_000_000 / 512 * 512));
        for wrong in ["", "5", "GiB", "1 XB", "99999999999999 GiB", "-1 MiB"] {
            let said = with(wrong).unwrap_err();
            assert!(said.starts_with("roles/x/role.toml:4:8: `"), "{said}");
        }
    }

    #[test]
    fn a_size_that_is_no_sectors_is_rounded_and_said() {
        let text = "description = 'x'\n[[partition]]\nname = 'a'\nsize = '1.8 TiB'";
        let role = role(text).unwrap();
        let found = role.partitions[0].get_ref();
        assert_eq!(found.size, 1_979_120_929_792);
        let want = "`1.8 TiB` is 1979120929996 bytes; rounded down to 1979120929792, whole sectors of 512";
        assert_eq!(found.rounded.as_deref(), Some(want));
    }

    #[test]
    fn partitions_say_what_they_hold() {
        let with = |more: &str| {
            role(&format!("description = 'x'\n[[partition]]\nname = 'a'\nsize = '1 MiB'\n{more}"))
                .map(|r| r.partitions[0].get_ref().holds)
        };
        assert_eq!(with(""), Ok(None));
        assert_eq!(with("holds = 'isect'"), Ok(Some(Holds::Isect)));
        let said = with("holds = 'index'").unwrap_err();
        assert!(said.starts_with("roles/x/role.toml:5:9: Unknown variant `index`, expected one of `arenas`"), "{said}");
    }

    #[test]
    fn mistakes_name_their_place() {
        let said = role("description = 'x'\nkernal = 'cpu'").unwrap_err();
        assert!(said.starts_with("roles/x/role.toml:2:1: Unknown field `kernal`"), "{said}");
        let said = role("description = 'x'\nkernel = 'gpu'").unwrap_err();
        assert!(said.starts_with("roles/x/role.toml:2:10: Unknown variant `gpu`"), "{said}");
        let said = role("kernel = 'cpu'").unwrap_err();
        assert!(said.contains("issing field `description`"), "{said}");
    }
}
