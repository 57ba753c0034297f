//! Who does what with whom: a role says how its nodes deal with those of
//! another, for pictures of the lab.

use super::Catalog;
use super::role::Role;
use crate::lab::Lab;
use serde::{Deserialize, Serialize};

/// What a node with the role does with a node that has another role (`to`), or
/// the other way round (`from`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleLink {
    pub to: Option<String>,
    pub from: Option<String>,
    /// With the first node's name before it and the second's behind it:
    /// `authenticates with`.
    pub does: String,
}

/// The same between two nodes of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    pub from: String,
    pub does: String,
    pub to: String,
}

impl RoleLink {
    /// What is wrong with it, if anything.
    pub(super) fn problem(&self, known: impl Fn(&str) -> bool) -> Option<String> {
        match (&self.to, &self.from) {
            (Some(role), None) | (None, Some(role)) if known(role) => None,
            (Some(role), None) | (None, Some(role)) => Some(format!("`link` names {role:?}, which is not a role")),
            _ => Some("A link has either `to` or `from`".into()),
        }
    }
}

impl Catalog {
    /// Every link between nodes of `lab`, in the order of its nodes. Where
    /// several nodes could be dealt with, it is the first.
    pub fn links(&self, lab: &Lab) -> Vec<Link> {
        let first = |role: &str| lab.nodes.iter().find(|n| n.roles.iter().any(|r| r == role));
        let mut out: Vec<Link> = Vec::new();
        for node in &lab.nodes {
            let own = |role: &&Role| node.roles.contains(&role.name);
            let to = self.roles().filter(own).flat_map(|r| &r.links).filter_map(|l| Some((l.to.as_ref()?, l)));
            let from = self.roles().flat_map(|r| r.links.iter().map(move |l| (r, l)));
            let from = from.filter(|(_, l)| l.from.as_ref().is_some_and(|f| node.roles.contains(f)));
            let from = from.map(|(role, l)| (&role.name, l));
            for (role, link) in to.chain(from) {
                let Some(other) = first(role).filter(|other| other.name != node.name) else { continue };
                let link = Link { from: node.name.clone(), does: link.does.clone(), to: other.name.clone() };
                if !out.contains(&link) {
                    out.push(link);
                }
            }
        }
        out
    }
}
