//! p9img turns one lab description into bootable Plan 9 disk images.
//!
//! The idea of the library: *an image is a function of an offset*. Nothing is
//! installed and no scratch disk is written; each stage only adds knowledge
//! about what the bytes at an offset are.
//!
//! ```text
//! lab ─▶ render ─▶ partition ─▶ root, fs (volumes) ─▶ disk ─▶ artifact
//!                                 ▲                    └──▶ report
//!                       media ────┘
//! ```
//!
//! [`ops`] has the use cases, which call the stages in order; [`ops::build()`] is
//! where a program that builds labs begins. [`assemble`] calls the stages from
//! `lab` to `disk`, and makes the report.
//!
//! A stage uses only the stages before it. `ARCHITECTURE.md` walks through
//! them; `doc/` has one page for each on-disk format.

// The fence of clippy.toml: nothing that differs between two runs reaches an artifact.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod artifact;
pub mod assemble;
// Of the binary, not of the library.
#[doc(hidden)]
pub mod cli;
mod compression;
pub mod diff;
pub mod digest;
pub mod disk;
pub mod flash;
pub mod foreign;
pub mod guest;
mod inside;
pub mod lab;
mod leftovers;
mod line_ends;
mod lock;
pub mod media;
mod modes;
pub mod nbd;
pub mod ops;
pub mod page;
pub mod partition;
mod poison;
pub mod render;
pub mod root;
mod size;
pub mod stamp;
pub mod stop;
mod suggest;
pub mod template;
pub mod visible;
mod web_page;
mod xml;

pub use plan9_auth as auth;
pub use plan9_fs as fs;
pub use plan9_fs::{Extent, ReadAt, pieces, read_at, shown, tree};
use plan9_fs::{count, hex};
