//! The lab as its user describes it: `lab.toml`, parsed and checked.
//!
//! [`model`] is the lab after every default is filled in and every mistake is
//! refused; the stages after this one never see the text. The way there:
//! `value` walks the TOML with the position of each value, `draft` judges
//! each value alone (with [`names`], [`units`] and [`words`]), `check` judges
//! them together, `resolve` fills in the defaults, and [`mistakes`] reports all
//! that any of them found. `secrets.toml`, in the lab's folder, is read by
//! [`secrets`]; [`identity`] derives ids from names.
//!
//! It may ask `root`.

mod addresses;
pub mod board;
pub(crate) mod check;
mod draft;
pub mod format;
mod hardware;
pub mod identity;
mod load;
pub mod local_ports;
pub mod mistakes;
pub mod model;
pub mod names;
mod needs;
mod once;
pub mod releases;
mod resolve;
mod roles;
pub mod secrets;
pub mod template;
pub mod units;
mod value;
pub mod words;

pub use crate::root::Fs;
pub use board::{Board, Boot};
pub use format::Format;
pub use load::EPOCH_VARIABLE;
pub use mistakes::{Mistake, Mistakes, Problem, Remedy, Span};
pub use model::*;
pub use needs::Need;
pub use roles::{ESP, RoleFacts};
pub use secrets::Secrets;
pub use value::KEYS;
pub use words::Word;

/// Name of the embedded medium.
pub const SAMPLE: &str = "sample";

/// Host owner of a lab that names none.
pub const HOSTOWNER: &str = "bootes";
/// DNS domain of a lab that names none.
pub const DOMAIN: &str = "plan9.lab";
/// Epoch of a lab that gives none: 2026-01-01T00:00:00Z.
pub const EPOCH: u32 = 1_767_225_600;

#[cfg(test)]
mod tests;
