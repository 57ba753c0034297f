//! Which distribution each node of a lab is.

use crate::lab::Node;
use std::collections::BTreeMap;

/// The distributions of a lab's media, by the nodes that are built from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Systems {
    /// Of nodes that name no medium of their own.
    common: String,
    /// Of those that do, by the medium's name in the lab.
    own: BTreeMap<String, String>,
}

impl Systems {
    /// `common` is the distribution of the lab's medium, which can be empty
    /// when no node is built from it; `own` those of media that nodes name.
    pub fn new(common: impl Into<String>, own: BTreeMap<String, String>) -> Self {
        Self { common: common.into(), own }
    }

    /// The distribution of a node, such as `9legacy`. A medium that is not known
    /// holds what the lab's holds.
    pub fn of(&self, node: &Node) -> &str {
        node.medium.as_ref().and_then(|name| self.own.get(name)).unwrap_or(&self.common)
    }
}

impl From<&str> for Systems {
    /// The same for every node.
    fn from(distribution: &str) -> Self {
        Self::new(distribution, BTreeMap::new())
    }
}
