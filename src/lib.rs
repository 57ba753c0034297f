//! p9img turns one lab description into bootable Plan 9 disk images.
//!
//! The idea of the library: *an image is a function of an offset*. Nothing is
//! installed and no scratch disk is written; each stage only adds knowledge
//! about what the bytes at an offset are.
//!
//! ```text
//! lab ─▶ plan ─▶ tree ─▶ fs (volume) ─▶ disk ─▶ artifact
//!          └─ render ──┘  media ─┘
//! ```
//!
//! A stage uses only the stages before it. `ARCHITECTURE.md` walks through
//! them; `doc/` has one page for each on-disk format.

// The fence of clippy.toml: nothing that differs between two runs reaches an artifact.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod artifact;
pub mod assemble;
pub mod auth;
pub mod cli;
mod compression;
pub mod diff;
pub mod digest;
pub mod disk;
pub mod flash;
pub mod fs;
pub mod guest;
mod hex;
pub mod lab;
pub mod media;
pub mod page;
pub mod pieces;
pub mod plan;
pub mod read_at;
pub mod render;
#[cfg(test)]
#[path = "../tests/skip/mod.rs"]
mod skip;
pub mod stamp;
pub mod tree;

pub use read_at::{Extent, ReadAt};
