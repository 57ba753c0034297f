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
//!
//! `schema` is what their files look like, `catalog` finds and checks the files,
//! `scene` has the variables that templates see, and `node` and `checks` make of
//! all three what a node gets. `mistakes` is what `p9img check` asks.
//!
//! It may ask `lab`, `partition`, `root` and `template`.

mod catalog;
mod checks;
mod clashes;
mod cmdline;
mod context;
mod engine;
mod error;
mod ini;
mod link;
mod mistakes;
mod node;
mod path;
mod rendered;
mod scene;
mod schema;
mod source;
mod systems;

pub use catalog::Catalog;
pub use checks::{Check, HostPorts};
pub use error::RenderError;
pub use link::Link;
pub use node::{render, render_next};
pub use rendered::{BootFiles, PiFiles, Rendered, RenderedFile, What};
pub use scene::Scenes;
pub use schema::{CheckSite, Kernel, Partition, Port, Role, RoleLink, Secret, SystemUser};
pub use systems::Systems;
