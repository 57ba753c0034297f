//! `role.toml` and `distribution.toml` as their authors write them; `doc/roles.md`
//! explains every key.
//!
//! These are types of serde alone: the keys that can be read, and their defaults.
//! The catalog checks that they go together, and the rest of `render` uses them.
//! This folder may use `lab` for words and units, and nothing of `render`.

mod check;
mod distribution;
mod files;
mod role;

pub use check::CheckSite;
pub(super) use check::{At, CheckToml};
pub(super) use distribution::{Boot, Distribution, Listeners, Scope};
pub(super) use files::{Each, File, Fragment, Make};
pub(super) use role::Service;
pub use role::{Kernel, Partition, Port, Role, RoleLink, Secret, SystemUser};

/// Default of a key that is on unless it is switched off.
fn yes() -> bool {
    true
}

/// Default of `order`.
fn middle() -> i64 {
    50
}
