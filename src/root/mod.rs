//! Roots: the file systems that a node's own files can be on.
//!
//! [`ROOTS`] is the only list, with one file for each. A root says with data
//! which partitions it wants, what it is called and what it needs of a
//! distribution, and lays itself out. It knows trees and volumes, and nothing of
//! labs, roles and disks.
//!
//! It asks no other folder.

mod bases;
mod cwfs;
mod fossil;
mod gefs;
mod hjfs;
mod kind;

pub use bases::Bases;
pub use kind::{Fs, LaidOut, Partitions, RootError, RootJob, RootKind};

/// All roots, as messages list them.
pub const ROOTS: &[RootKind] = &[fossil::KIND, hjfs::KIND, cwfs::KIND, gefs::KIND];

impl Fs {
    /// Properties of this root.
    ///
    /// # Panics
    /// Never: a test finds every row.
    pub fn kind(self) -> &'static RootKind {
        let found = ROOTS.iter().find(|kind| kind.fs == self);
        found.unwrap_or_else(|| unreachable!("every root has its row"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_has_its_row() {
        for root in ROOTS {
            assert_eq!(root.fs.kind().word, root.word);
            assert_eq!(serde_json::to_value(root.fs).unwrap(), root.word);
        }
        // A new variant is an error here until it is counted, and then needs its row.
        let place = |fs: Fs| match fs {
            Fs::Fossil => 0,
            Fs::Hjfs => 1,
            Fs::Gefs => 2,
            Fs::Cwfs64x => 3,
        };
        let mut variants: Vec<_> = ROOTS.iter().map(|root| place(root.fs)).collect();
        variants.sort_unstable();
        assert_eq!(variants, (0..=3).collect::<Vec<_>>());
        let names = |fs: Fs| fs.kind().partitions.names().collect::<Vec<_>>();
        assert_eq!(names(Fs::Cwfs64x), ["fscache", "fsworm", "other"]);
        assert_eq!(names(Fs::Gefs), ["fs"]);
    }
}
