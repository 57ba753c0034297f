//! Distribution of each node of a lab.

use crate::lab::Node;
use std::collections::BTreeMap;

/// The distributions of a lab's media, for the nodes that are built from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Systems {
    /// Of nodes that name no medium of their own.
    common: String,
    /// Of the others, by the medium's name in the lab.
    own: BTreeMap<String, String>,
}

impl Systems {
    /// `common` is the distribution of the lab's medium, which can be empty
    /// when no node is built from it; `own` those of media that nodes name.
    pub fn new(common: impl Into<String>, own: BTreeMap<String, String>) -> Self {
        Self { common: common.into(), own }
    }

    /// The distribution of a node, such as `9legacy`. For a medium that is not in
    /// `own`, it is that of the lab's medium.
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
