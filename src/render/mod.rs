//! Roles and templates: what a node's roles add to the medium's tree.
//!
//! ```text
//! roles/NAME/role.toml ──┐                    ┌─ files laid over the medium
//! templates/DISTRIBUTION ├─▶ Catalog ─render─▶│  plan9.ini, fossil's configuration
//! the lab's own of both ─┘      ▲             │  nvram, names of boot files
//!                           Lab, Node         └─ partitions
//! ```
//!
//! A role is a folder, never Rust: it says which files a node gets, which
//! pieces it adds to files that roles share (*fragments* for *slots*), which
//! listeners stay on and which secrets the node needs. Templates are strict
//! and see no secret. `doc/roles.md` tells how to write one.

mod catalog;
mod check;
mod clashes;
mod cmdline;
mod context;
mod engine;
mod error;
mod ini;
mod link;
mod node;
mod path;
mod rendered;
mod role;
mod source;
mod systems;

pub use catalog::Catalog;
pub use check::{Check, HostPorts, Place, Port};
pub use error::RenderError;
pub use link::{Link, RoleLink};
pub use node::render;
pub use rendered::{BootFiles, PiFiles, Rendered, RenderedFile, What};
pub use role::{Kernel, Partition, Role, Secret, SystemUser};
pub use systems::Systems;
