//! Layers: the parts of disks that have files of their own.
//!
//! The files of a medium are at the same places on the disks of all nodes that are alike. So one
//! file, the *base*, can hold them, and each node's image is over it and holds the rest.

use super::cluster::{CLUSTER, Walk};
use crate::read_at::{Extent, Origin, ReadAt, normalize};
use std::collections::BTreeMap;

const SIZE: u64 = CLUSTER as u64;

/// Beginning of the names of bases.
pub const BASE_NAME: &str = "base-";

/// Whether a file with this name may be a base: it is in the same folder, and called like one.
pub fn is_base_name(name: &str) -> bool {
    name.starts_with(BASE_NAME) && name.ends_with(".qcow2") && !name.contains(['/', '\0'])
}

/// Part of a disk that the artifacts of a job have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    #[default]
    Whole,
    /// What nodes have in common: these extents, of whole clusters.
    Base(Vec<Extent>),
    /// What a base lacks.
    Over(Over),
}

/// Part of a disk of which another file has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Name of that file, which is in the same folder.
    pub base: String,
    /// Extents of the part, of whole clusters.
    pub extents: Vec<Extent>,
    /// Clusters in them that the base has, too, with other bytes; ascending.
    pub replaced: Vec<u64>,
}

impl Layer {
    /// Name of the file that has the rest of the disk.
    pub fn base(&self) -> Option<&str> {
        match self {
            Self::Over(over) => Some(&over.base),
            Self::Whole | Self::Base(_) => None,
        }
    }

    /// Data that the bytes of artifacts depend on because they have a part of the disk; none
    /// for a whole disk.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Whole => Vec::new(),
            Self::Base(_) => vec![b"base".to_vec()],
            Self::Over(over) => {
                let replaced = over.replaced.iter().flat_map(|n| n.to_le_bytes()).collect();
                vec![b"over".to_vec(), over.base.clone().into_bytes(), replaced]
            }
        }
    }
}

/// What nodes have in common of their disks: clusters that come from the medium alone.
pub struct Shared {
    clusters: BTreeMap<u64, Origin>,
}

impl Shared {
    /// The clusters of a disk that come from the medium alone.
    pub fn of(disk: &dyn ReadAt) -> Self {
        let origin = |n: u64| Some((n, disk.origin(n * SIZE, SIZE)?));
        Self { clusters: clusters(disk).filter_map(origin).collect() }
    }

    /// The layer of the file that holds them.
    pub fn layer(&self) -> Layer {
        Layer::Base(extents(self.clusters.keys().copied(), u64::MAX))
    }

    /// What a disk has over that file, which has no name yet.
    pub fn over(&self, disk: &dyn ReadAt) -> Over {
        let same = |n: &u64| {
            let origin = self.clusters.get(n).copied();
            origin.is_some() && origin == disk.origin(n * SIZE, SIZE)
        };
        let own: BTreeMap<u64, bool> = clusters(disk)
            .chain(self.clusters.keys().copied().filter(|n| n * SIZE < disk.len()))
            .filter(|n| !same(n))
            .map(|n| (n, self.clusters.contains_key(&n)))
            .collect();
        Over {
            base: String::new(),
            extents: extents(own.keys().copied(), disk.len()),
            replaced: own.iter().filter(|(_, replaces)| **replaces).map(|(n, _)| *n).collect(),
        }
    }
}

/// Numbers of the clusters of a disk that may hold data, ascending.
fn clusters(disk: &dyn ReadAt) -> impl Iterator<Item = u64> {
    let extents = normalize(disk.extents());
    let mut walk = Walk::default();
    std::iter::from_fn(move || walk.next_run(&extents)).flat_map(|(start, end)| start..end)
}

/// The clusters with these ascending numbers, of a disk of `len` bytes, as extents.
fn extents(numbers: impl Iterator<Item = u64>, len: u64) -> Vec<Extent> {
    let mut out: Vec<Extent> = Vec::new();
    for offset in numbers.map(|n| n * SIZE) {
        let size = SIZE.min(len - offset);
        match out.last_mut().filter(|last| last.end() == offset) {
            Some(last) => last.len += size,
            None => out.push(Extent { offset, len: size }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// A disk of clusters: number, base of its origin if it has one, value of its bytes.
    struct Disk(Vec<(u64, Option<u64>, u8)>, u64);
    impl ReadAt for Disk {
        fn len(&self) -> u64 {
            self.1
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            for (at, byte) in (offset..).zip(buf) {
                *byte = self.0.iter().find(|(n, ..)| *n == at / SIZE).map_or(0, |(.., value)| *value);
            }
            Ok(())
        }
        fn extents(&self) -> Vec<Extent> {
            extents(self.0.iter().map(|(n, ..)| *n), self.1)
        }
        fn origin(&self, offset: u64, _: u64) -> Option<Origin> {
            let base = self.0.iter().find(|(n, ..)| *n == offset / SIZE)?.1?;
            Some(Origin { base, offset })
        }
    }

    fn extent(first: u64, count: u64) -> Extent {
        Extent { offset: first * SIZE, len: count * SIZE }
    }

    #[test]
    fn a_disk_is_what_it_has_over_its_base() {
        let common =
            Disk(vec![(0, None, 9), (2, Some(1), 2), (3, Some(1), 3), (4, Some(1), 4), (6, Some(1), 6)], 8 * SIZE);
        let shared = Shared::of(&common);
        assert_eq!(shared.layer(), Layer::Base(vec![extent(2, 3), extent(6, 1)]));
        // Cluster 3 is another, 4 is of another base, 6 is gone; 0 and 7 are new, and the last is short.
        let own =
            Disk(vec![(0, None, 1), (2, Some(1), 2), (3, None, 8), (4, Some(2), 4), (7, None, 7)], 8 * SIZE - 512);
        let over = shared.over(&own);
        let last = Extent { offset: 6 * SIZE, len: 2 * SIZE - 512 };
        assert_eq!(over.extents, [extent(0, 1), extent(3, 2), last]);
        assert_eq!(over.replaced, [3, 4, 6]);
        // What a smaller disk has no room for is not in it.
        let small = Disk(vec![(2, Some(1), 2)], 3 * SIZE);
        let over = shared.over(&small);
        assert_eq!((over.extents, over.replaced), (vec![], vec![]));
    }

    #[test]
    fn bases_have_names_of_their_own() {
        assert!(is_base_name("base-fossil-0123456789ab.qcow2") && is_base_name("base-x.zlib.qcow2"));
        for other in ["plan9n1.qcow2", "base-x.img", "base-/etc/x.qcow2", "base.qcow2", "../base-x.qcow2"] {
            assert!(!is_base_name(other), "{other}");
        }
    }
}
