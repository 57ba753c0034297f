//! Plan 9's file systems, read, written, checked and dumped: [`fossil`],
//! [`venti`], [`hjfs`], [`cwfs`], [`gefs`], and [`fat`] as Plan 9 boots from it.
//!
//! Two interfaces carry everything. [`ReadAt`] is bytes at any offset: disks,
//! partitions, and the volumes that this crate makes. A volume is laid out from
//! a [`tree::Tree`] and computes its bytes when they are asked for, so it is
//! never in memory as a whole, and equal trees give equal bytes. [`FileSystem`]
//! is an opened volume, whatever wrote it: it lists, reads, checks and dumps.
//! It never panics and never uses memory without bound, whatever the bytes.
//!
//! A volume made in memory, opened again by what its bytes say it is, and
//! listed:
//!
//! ```
//! use plan9_fs::fossil::{Base, Fossil, Options};
//! use plan9_fs::tree::{Content, EntryId, Meta, Mode, Tree};
//! use plan9_fs::{alone, open, walk};
//! use std::{error::Error, sync::Arc};
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let mut tree = Tree::new(Meta::new(Mode::dir(0o775), "sys", "sys", 0));
//! let hello = Content::bytes(*b"hello, world\n");
//! tree.push(EntryId::ROOT, b"hello", Meta::new(Mode::file(0o664), "glenda", "sys", 0), Some(hello));
//! let tree = Arc::new(tree);
//! let options = Options { len: 2 << 20, config: "fossil config\n".into(), name: "main".into(), epoch: 0 };
//! let volume = Fossil::layout(&Arc::new(Base::layout(&tree)?), &tree, &options)?;
//!
//! let fs = open(Arc::new(volume), None, &alone)?;
//! assert_eq!(fs.kind(), "fossil");
//! let mut listed = Vec::new();
//! walk(&*fs, &fs.root()?, &mut |path, node| -> Result<(), std::io::Error> {
//!     listed.push(format!("{} {} {} {}", node.meta.mode, node.meta.uid, node.len, plan9_fs::shown::name(path)));
//!     Ok(())
//! })?;
//! assert_eq!(listed, ["--rw-rw-r-- glenda 13 hello"]);
//! # Ok(())
//! # }
//! ```
//!
//! An image on the host is a [`read_at::HostFile`], and a partition of it a
//! [`read_at::Window`].
//!
//! Comments name pages such as `doc/fossil.md`: byte maps and rules, which are
//! part of p9img, the project that this crate comes from.

#![deny(missing_docs, unreachable_pub)]
#![forbid(unsafe_code)]
// The fence of clippy.toml: nothing that differs between two runs reaches an image.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod contents;
pub mod count;
pub mod cwfs;
mod error;
pub mod fat;
mod file_system;
mod finding;
pub mod fossil;
pub mod gefs;
pub mod hex;
pub mod hjfs;
mod kinds;
pub mod pieces;
mod probe;
pub mod read_at;
mod shared;
pub mod shown;
#[cfg(test)]
mod testing;
pub mod tree;
mod tree_fs;
pub mod venti;
mod walk;

pub use contents::{Contents, MOST_TIMES, most, read_contents};
pub use error::ErrorKind;
pub use file_system::{FileSystem, Node};
pub use finding::Finding;
pub use kinds::{OpenError, Tried, holds, names_a_file_system, open, roots};
pub use probe::{Beside, Holds, alone};
pub use read_at::{Extent, ReadAt};
pub use shared::refused::Refused;
pub use tree_fs::TreeFs;
pub use walk::walk;
