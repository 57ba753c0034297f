//! Links between the nodes of a lab, for pictures of it: a role says how its
//! nodes deal with those of another.

use super::Catalog;
use super::schema::Role;
use crate::lab::Lab;
use serde::Serialize;

/// Relation of one node of a lab to another: `from` `does` `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    pub from: String,
    pub does: String,
    pub to: String,
}

impl Catalog {
    /// Every link between nodes of `lab`, in the order of its nodes. If several
    /// nodes have the other role, the link leads to the first.
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
