//! A commit's files in one file of the store.
//!
//! ```text
//! 8 bytes            length of the list, little-endian
//! list               for each file: `MODE ID LENGTH<tab>PATH` and a zero byte,
//!                    the length `-` where the repository lacks the bytes
//! the rest           the files' bytes, in the order of the list
//! ```

use super::id::is_id;
use crate::read_at::ReadAt;
use std::io;

/// Bytes of a list that are read.
const MAX_LIST: u64 = 256 << 20;

/// One file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub mode: u32,
    pub oid: String,
    /// Offset and length of its bytes.
    pub place: Option<(u64, u64)>,
    pub path: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub items: Vec<Item>,
}

impl Snapshot {
    /// Sets the offsets of the files that have a length.
    pub fn new(mut items: Vec<Item>) -> Self {
        let list: usize = items.iter().map(|item| line(item).len()).sum();
        let mut at = 8 + list as u64;
        for (offset, len) in items.iter_mut().filter_map(|item| item.place.as_mut()) {
            *offset = at;
            at = at.saturating_add(*len);
        }
        Self { items }
    }

    /// Everything before the files' bytes.
    pub fn head(&self) -> Vec<u8> {
        let list: Vec<u8> = self.items.iter().flat_map(line).collect();
        [&(list.len() as u64).to_le_bytes()[..], &list].concat()
    }

    /// Reads a snapshot's list.
    ///
    /// # Errors
    /// `InvalidData` when it is none.
    pub fn read(from: &dyn ReadAt) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "The list of files in the cache is damaged");
        let mut len = [0; 8];
        from.read_at(0, &mut len)?;
        let len = u64::from_le_bytes(len);
        if len > MAX_LIST || len > from.len() - 8 {
            return Err(bad());
        }
        let mut text = vec![0; len as usize];
        from.read_at(8, &mut text)?;
        let lines = text.split(|b| *b == 0).filter(|line| !line.is_empty());
        let snapshot = Self::new(lines.map(item).collect::<Option<_>>().ok_or_else(bad)?);
        let inside = |(offset, len): (u64, u64)| offset.checked_add(len).is_some_and(|end| end <= from.len());
        if snapshot.items.iter().filter_map(|item| item.place).all(inside) { Ok(snapshot) } else { Err(bad()) }
    }

    /// The files whose bytes the repository lacks.
    pub fn missing(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.place.is_none() && item.mode != 0o160_000)
    }
}

fn line(item: &Item) -> Vec<u8> {
    let len = item.place.map_or("-".into(), |(_, len)| len.to_string());
    [format!("{:o} {} {len}\t", item.mode, item.oid).as_bytes(), &item.path, &[0]].concat()
}

fn item(line: &[u8]) -> Option<Item> {
    let tab = line.iter().position(|b| *b == b'\t')?;
    let mut words = str::from_utf8(&line[..tab]).ok()?.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let oid = words.next().filter(|id| is_id(id))?.to_owned();
    let place = match words.next()? {
        "-" => None,
        len => Some((0, len.parse().ok()?)),
    };
    Some(Item { mode, oid, place, path: line[tab + 1..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let item = |path: &str, len: Option<u64>| Item {
            mode: 0o100_644,
            oid: "0123456789".repeat(4),
            place: len.map(|len| (0, len)),
            path: path.into(),
        };
        let snapshot =
            Snapshot::new(vec![item("a", Some(3)), item("b\tc", None), item("d", Some(0)), item("e", Some(2))]);
        let mut bytes = snapshot.head();
        let data = bytes.len() as u64;
        assert_eq!(snapshot.items[0].place, Some((data, 3)));
        assert_eq!(snapshot.items[3].place, Some((data + 3, 2)));
        bytes.extend_from_slice(b"12345");
        assert_eq!(Snapshot::read(&bytes).unwrap(), snapshot);
        assert_eq!(snapshot.missing().count(), 1);
        for cut in 0..bytes.len() {
            assert!(Snapshot::read(&bytes[..cut].to_vec()).is_err(), "{cut}");
        }
        bytes[9] = b'x';
        assert!(Snapshot::read(&bytes).is_err());
    }
}
