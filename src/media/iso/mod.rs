//! ISO 9660 images as media, read in place.
//!
//! An image holds one tree under several descriptions: plain ISO 9660 names,
//! Plan 9's fields or Rock Ridge's in the system use area after each of them,
//! and Joliet's second set of directories. [`list()`] takes the richest that is
//! there, for the whole image. `doc/iso.md` has the byte maps.
//!
//! `format` knows the structures that every image has, `plan9`, `susp`,
//! `names` and `dump` one way of describing files each; `walk` goes through
//! the directories, with what keeps a hostile image harmless (`taken`); `links`
//! follows Rock Ridge's symbolic links.

mod bin;
mod dump;
mod error;
mod format;
mod links;
mod list;
mod names;
mod plan9;
#[cfg(test)]
mod sample;
mod susp;
mod taken;
#[cfg(test)]
mod tests;
mod walk;

pub use bin::RawSectors;
pub use error::IsoError;
pub use list::list;

use crate::read_at::ReadAt;

/// Whether `image` has the mark of a volume descriptor where ISO 9660 has its
/// first one.
pub fn matches(image: &dyn ReadAt) -> bool {
    let mut mark = [0; format::MAGIC.len()];
    image.read_at(format::FIRST_DESCRIPTOR + 1, &mut mark).is_ok() && mark == *format::MAGIC
}
