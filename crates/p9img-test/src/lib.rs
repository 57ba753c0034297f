//! Common code of p9img's tests.
//!
//! | Module | |
//! |---|---|
//! | [`lab`] | a lab in a folder of its own, and p9img run in it |
//! | [`default_lab`] | the repository's lab as values, for tests of what comes after the lab file |
//! | [`cards`] | a lab of Raspberry Pis with a medium of a few files |
//! | [`guest`] | machines that end with the test |
//! | [`folder`] | copies of folders, edits of files |
//! | [`media`] | real media of this machine |
//! | [`process`] | processes that tests interrupt |
//! | [`tools`] | other people's tools |
//! | [`skip`] | tests that are left out where something is missing |
//! | [`disks`], [`sparse`] | disks to build from, volumes as files |

pub mod cards;
pub mod default_lab;
pub mod disks;
pub mod folder;
pub mod guest;
pub mod lab;
pub mod media;
pub mod process;
pub mod skip;
pub mod sparse;
pub mod tools;

pub use lab::Lab;

use std::path::{Path, PathBuf};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// The program that cargo built for the test that runs.
///
/// # Panics
/// Panics when it is not in the folder above the test's own, as cargo puts it.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("p9img");
    assert!(program.is_file(), "{} is missing", program.display());
    program
}
