//! `role.toml`.

use super::check::CheckToml;
use super::files::{File, Fragment};
use crate::lab::Need;
use crate::lab::units::{self, Sectors};
use crate::partition::Holds;
use serde::Deserialize;
use toml::Spanned;

/// A role, as `roles/NAME/role.toml` describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// Description of what the role does, in one sentence.
    pub description: String,
    /// Kernel that the role needs; a node needs exactly one role that names one.
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
    pub(in crate::render) services: Vec<Spanned<Service>>,
    /// TCP ports that its programs listen on, in addition to `services` and
    /// `[[port]]`: nobody outside is meant to call them.
    #[serde(default)]
    pub listens: Vec<u16>,
    /// Files of the medium that its programs need, as templates of their paths.
    #[serde(default)]
    pub(in crate::render) needs_files: Vec<Spanned<String>>,
    #[serde(default)]
    pub secrets: Vec<Secret>,
    #[serde(default, rename = "partition")]
    pub partitions: Vec<Spanned<Partition>>,
    #[serde(default, rename = "user")]
    pub users: Vec<Spanned<SystemUser>>,
    #[serde(default, rename = "file")]
    pub(in crate::render) files: Vec<File>,
    #[serde(default, rename = "fragment")]
    pub(in crate::render) fragments: Vec<Fragment>,
    #[serde(default, rename = "port")]
    pub ports: Vec<Spanned<Port>>,
    #[serde(default, rename = "link")]
    pub links: Vec<RoleLink>,
    #[serde(default, rename = "check")]
    pub(in crate::render) checks: Vec<CheckToml>,
}

/// A listener that a role wants on.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "Expected a listener such as \"tcp80\", or { name = \"tcp80\", only = \"9front\" }")]
pub(in crate::render) enum Service {
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

/// Kind of a kernel of a distribution.
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

/// A partition that a role wants after those that every node has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PartitionToml")]
pub struct Partition {
    pub name: String,
    /// Bytes, unless the lab's file says otherwise; whole sectors.
    pub size: u64,
    /// Note on the size, if it was rounded.
    pub rounded: Option<String>,
    /// Content that it is formatted for; none: it stays all zeros.
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
    /// Number of the user, for file systems that store numbers.
    pub id: Option<i16>,
    #[serde(default)]
    pub leader: String,
    #[serde(default)]
    pub members: Vec<String>,
}

/// A port that nodes with a role listen on, and that people reach from the
/// host when the lab runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Purpose of the port, in one word: `cpu`, `9fs`.
    pub name: String,
    pub tcp: u16,
    /// For this distribution alone, and those that are like it.
    pub only: Option<String>,
}

/// Relation of a node with the role to a node that has another role (`to`), or the
/// other way round (`from`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleLink {
    pub to: Option<String>,
    pub from: Option<String>,
    /// Words between the first node's name and the second's: `authenticates with`.
    pub does: String,
}

impl RoleLink {
    /// Message about a mistake in the link, if there is one.
    pub(in crate::render) fn problem(&self, known: impl Fn(&str) -> bool) -> Option<String> {
        match (&self.to, &self.from) {
            (Some(role), None) | (None, Some(role)) if known(role) => None,
            (Some(role), None) | (None, Some(role)) => Some(format!("`link` names {role:?}, which is not a role")),
            _ => Some("A link has either `to` or `from`".into()),
        }
    }
}

/// A size as lab files have it.
fn size<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Sectors, D::Error> {
    let text = String::deserialize(d)?;
    units::size(&text).and_then(|bytes| units::sectors(&text, bytes)).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::super::source::Source;
    use super::*;

    fn role(text: &str) -> Result<Role, String> {
        let source = Source { place: "roles/x/role.toml".into(), bytes: text.as_bytes().to_vec().into() };
        source.parse().map_err(|e| e.to_string())
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
