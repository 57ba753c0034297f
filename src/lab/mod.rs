//! What the user wrote: `lab.toml`, parsed and checked.
//!
//! [`model`] is the lab after every default is filled in and every mistake is
//! refused; the stages after this one never see the text.

pub mod model;

pub use model::*;
