//! Facts about roles that the lab's checks need; `role.toml` has the rest.

use super::needs::Need;

/// One role's facts for the checks of a lab file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleFacts {
    /// Name of its folder in `roles/`.
    pub name: String,
    /// Roles that cannot be on the same node. One of the two saying so is enough.
    pub conflicts: Vec<String>,
    /// Roles that must be on the same node.
    pub needs: Vec<Need>,
    /// Roles that some node of the lab must have.
    pub needs_in_lab: Vec<Need>,
    /// Roles that some node built from the same medium must have.
    pub needs_on_medium: Vec<Need>,
    /// Whether only one node of the lab may have it.
    pub at_most_one: bool,
    /// Boards it can be on; empty: on all.
    pub boards: Vec<String>,
    /// TCP ports that people reach from the host, whatever the distribution.
    pub ports: Vec<u16>,
    /// Partitions it adds to those of the node's board
    /// ([`Board::partitions`](super::Board::partitions)).
    pub partitions: Vec<String>,
}

/// A PC that starts from UEFI has this; without BIOS, it stands for 9fat.
pub const ESP: &str = "esp";
