//! Roles and templates: what a node's roles add to the medium's tree.
