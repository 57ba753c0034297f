//! The room for a root, divided among its partitions.

use crate::root::Partitions;
use std::collections::BTreeMap;

/// Bytes that artifacts compress at a time (qcow2's and VMDK's default).
pub const CLUSTER: u64 = 65536;
/// Bytes that a root without other partitions is a multiple of: a fossil block, two
/// of hjfs. gefs leaves a part of a block unused.
const BLOCK: u64 = 8192;
/// Divisor of the room for a cwfs64x: its cache and its plain device get one such
/// part each, as prep(8) divides it.
const PARTS: u64 = 7;
/// Bytes of the smallest data partition.
pub(super) const LEAST: u64 = 16 * CLUSTER;

/// Partitions of a root with their bytes.
pub(super) struct Shares {
    /// Partitions that have a share of the room, as the lab or prep(8) sizes them.
    pub beside: Vec<(&'static str, u64)>,
    /// Bytes of the data partition; none: there is no room for it.
    pub data: Option<u64>,
}

impl Shares {
    /// Divides `room` bytes; none: all else fills the disk. `sizes` are the lab's, by
    /// partition name.
    pub fn of(root: &Partitions, room: Option<u64>, sizes: &BTreeMap<String, u64>) -> Self {
        let room = room.filter(|room| *room >= LEAST);
        let share = room.unwrap_or(0) / PARTS / CLUSTER * CLUSTER;
        let size = |name: &'static str| (name, sizes.get(name).copied().unwrap_or(share));
        let beside = root.shares.iter().flatten().map(|name| size(name)).collect();
        let shares = Self { beside, data: None };
        let room = room.and_then(|room| room.checked_sub(shares.taken())).filter(|room| *room >= LEAST);
        let block = if shares.beside.is_empty() { BLOCK } else { CLUSTER };
        let asked = sizes.get(root.data).copied();
        let data = room.and_then(|room| asked.map_or(Some(room), |asked| (asked <= room).then_some(asked)));
        Self { data: data.map(|len| len / block * block), ..shares }
    }

    /// Bytes of the partitions other than the data, in whole clusters.
    pub fn taken(&self) -> u64 {
        self.beside.iter().map(|(_, size)| size.next_multiple_of(CLUSTER)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Fs;

    #[test]
    fn the_data_gets_what_the_shares_leave() {
        let of = |fs: Fs, room, sizes: &[(&str, u64)]| {
            let sizes = sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
            let shares = Shares::of(&fs.kind().partitions, room, &sizes);
            (shares.beside, shares.data.map(|len| len / CLUSTER))
        };
        assert_eq!(of(Fs::Fossil, Some(70 * CLUSTER + 1), &[]), (vec![], Some(70)));
        let seventh = vec![("fscache", 10 * CLUSTER), ("other", 10 * CLUSTER)];
        assert_eq!(of(Fs::Cwfs64x, Some(70 * CLUSTER + 1), &[]), (seventh, Some(50)));
        assert_eq!(of(Fs::Hjfs, Some(70 * CLUSTER), &[("fs", 20 * CLUSTER)]), (vec![], Some(20)));
        assert_eq!(of(Fs::Hjfs, Some(70 * CLUSTER), &[("fs", 71 * CLUSTER)]), (vec![], None));
        assert_eq!(of(Fs::Gefs, Some(LEAST - 1), &[]), (vec![], None));
        assert_eq!(of(Fs::Gefs, None, &[]), (vec![], None));
    }
}
