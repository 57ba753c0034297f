//! Differences between two images, media or manifests, from the container down
//! to the byte.
//!
//! Each layer is compared for itself and names what it knows: containers their
//! header's fields and members, disks their boot code and partitions, file
//! systems their structures and files. A differing byte that no field and no
//! file accounts for is named by its place, with both values. What follows from
//! something that was named already (the blocks of a file whose content
//! differs) is not named again.
//!
//! Images of any origin: what one claims is followed only as far as its own
//! size makes sense ([`Budget`]), and what cannot be read is a difference.
//!
//! It may ask `artifact` and `disk`.

mod bytes;
mod container;
mod difference;
mod disk;
mod fat;
mod files;
mod fossil;
mod json;
mod nvram;
mod owners;
mod text;
mod volume;

pub use container::{Compared, Image, images};
pub use json::manifests;
pub use volume::{Side, partitions};

pub use difference::{Budget, Difference, Sink};

use crate::fs::FileSystem;
use std::io;

/// Differences of one kind in one place that are named one by one; the rest is
/// counted.
const MOST: usize = 20;

/// Compares a field of each side and reports it when it differs.
fn field<T: PartialEq + std::fmt::Display>(
    place: &str,
    kind: &'static str,
    what: &str,
    (a, b): (T, T),
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    if a == b {
        return Ok(());
    }
    sink(Difference::new(place, kind, what).values(a.to_string(), b.to_string()))
}

/// Compares the files below two directories.
///
/// # Errors
/// Error of `sink`; damage is a difference.
pub fn trees(
    place: &str,
    a: (&dyn FileSystem, &[u8]),
    b: (&dyn FileSystem, &[u8]),
    budget: &mut Budget,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    files::compare(place, a, b, budget, &mut |_| {}, sink)
}
