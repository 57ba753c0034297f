//! FAT12 and FAT16 as Plan 9's loader needs them, and a reader for those, for
//! FAT32 and for long names.
//!
//! [`Fat::layout`] makes the volume that `disk/format` would
//! (`/sys/src/cmd/disk/format.c`): two tables, a fixed root directory, and
//! every file in one run of clusters, in the order given. What the boot sector
//! of 9legacy relies on holds by construction: the volume id is the absolute
//! address of the root directory, and a loader given first lies in the root's
//! first sector and in one piece.
//!
//! [`FatFs`] opens any FAT volume; `doc/fat.md` describes the format.

mod check;
mod dump;
pub mod format;
mod geometry;
mod layout;
mod names;
mod place;
mod read;
mod sizes;

pub use layout::{Fat, FatFile, LayoutError, NO_LABEL, Options};
pub use read::{FatFs, OpenError};

use crate::probe::{self, Holds, Probe};

/// Entry of the table of kinds.
pub(crate) const KIND: probe::Kind = probe::Kind {
    name: "FAT",
    damaged: "a FAT volume, but its boot sector is damaged",
    partitions: &["9fat"],
    holds: Holds::Boot,
    probe: |v| Probe::of(FatFs::open(v.bytes.clone(), v.partition_lba), OpenError::kind),
};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_names;
