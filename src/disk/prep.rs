//! The Plan 9 partition table: text in the second sector of the Plan 9
//! partition, as `disk/prep` writes it (`/sys/src/cmd/disk/prep/prep.c`).
//!
//! One line per partition: `part NAME START END`, in sectors from the start of
//! the Plan 9 partition, the end exclusive; sorted by start; zeros to the end
//! of the sector. The boot loader (`/sys/src/9/pcboot/parts.c`) stops at the
//! first line that it does not like and silently loses the rest, so this
//! module writes only what it surely likes and names the first line that it
//! would not.

use crate::count;
use thiserror::Error;

/// Sector of the Plan 9 partition that holds the table.
pub const TABLE_SECTOR: u64 = 1;
/// Bytes of text: the loader overwrites the sector's last byte with a zero.
pub const MAX_TEXT: usize = 511;

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepEntry {
    pub name: String,
    /// First sector, from the start of the Plan 9 partition.
    pub start: u64,
    /// First sector after it.
    pub end: u64,
}

/// Damage of a partition table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrepError {
    #[error("There is no Plan 9 partition table: sector 1 begins with {found}, expected `part `")]
    None { found: String },
    #[error("Line {line} of the partition table is {text:?}, expected `part NAME START END` with single blanks")]
    Line { line: usize, text: String },
    #[error("Partition {name} starts at sector {start} and ends at {end}: it has no sectors")]
    Empty { name: String, start: u64, end: u64 },
    #[error("Partition {name} ends at sector {end}, but the Plan 9 partition has {sectors}")]
    PastEnd { name: String, end: u64, sectors: u64 },
    #[error("Partition {second} starts at sector {start}, inside partition {first}, which ends at {end}")]
    Overlap { first: String, second: String, start: u64, end: u64 },
    #[error("Partition {second} starts at sector {start}, before partition {first} of the line above")]
    Order { first: String, second: String, start: u64 },
    #[error("There are two partitions called {0}")]
    Twice(String),
    #[error("{0:?} is not a name for a partition: it must have letters, and no blank, slash or control character")]
    Name(String),
    #[error(
        "Partition {name} starts at sector {start}: only 9fat may contain sectors 0 and 1, which have boot code and \
         table"
    )]
    OverTable { name: String, start: u64 },
    #[error("The partition table has {n} of text, but only 511 fit into its sector: use fewer or shorter names", n = count::of(.0, "byte"))]
    TooLong(usize),
    #[error("Byte {0} of the partition table's sector, after its text, is not zero")]
    Behind(usize),
}

/// The table's sector for a Plan 9 partition of `sectors` sectors.
///
/// # Errors
/// Fails when [`verify`] finds fault.
pub fn encode(entries: &[PrepEntry], sectors: u64) -> Result<[u8; 512], PrepError> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|e| e.start);
    verify(&entries, sectors)?;
    let text = text(&entries);
    let mut out = [0; 512];
    out[..text.len()].copy_from_slice(text.as_bytes());
    Ok(out)
}

fn text(entries: &[PrepEntry]) -> String {
    entries.iter().map(|e| format!("part {} {} {}\n", e.name, e.start, e.end)).collect()
}

/// Decodes a table's sector: the entries up to the first line that the boot
/// loader would not take, and what is wrong there. Does not judge where the
/// partitions are; see [`verify`].
pub fn decode(sector: &[u8; 512]) -> (Vec<PrepEntry>, Option<PrepError>) {
    let len = sector.iter().position(|b| *b == 0).unwrap_or(MAX_TEXT).min(MAX_TEXT);
    let text = &sector[..len];
    if !text.starts_with(b"part ") {
        let found = format!("{:?}", String::from_utf8_lossy(&text[..text.len().min(5)]));
        return (Vec::new(), Some(PrepError::None { found }));
    }
    let mut entries = Vec::new();
    for (index, raw) in text.strip_suffix(b"\n").unwrap_or(text).split(|b| *b == b'\n').enumerate() {
        match line(raw) {
            Some(entry) => entries.push(entry),
            None => {
                let text = String::from_utf8_lossy(raw).into_owned();
                return (entries, Some(PrepError::Line { line: index + 1, text }));
            }
        }
    }
    let behind = sector[len..].iter().position(|b| *b != 0).map(|at| PrepError::Behind(len + at));
    (entries, behind)
}

fn line(raw: &[u8]) -> Option<PrepEntry> {
    let mut fields = std::str::from_utf8(raw).ok()?.split(' ');
    let (word, name, start, end) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    // The loader reads 010 as octal, and more than it should from 12x: refuse both.
    let number = |s: &str| {
        let plain = s.bytes().all(|b| b.is_ascii_digit()) && (s == "0" || !s.starts_with('0'));
        plain.then(|| s.parse().ok()).flatten()
    };
    if word != "part" || name.is_empty() || fields.next().is_some() {
        return None;
    }
    Some(PrepEntry { name: name.to_owned(), start: number(start)?, end: number(end)? })
}

/// Judges partitions, in the order of the table, of a Plan 9 partition of
/// `sectors` sectors.
///
/// # Errors
/// The first fault.
pub fn verify(entries: &[PrepEntry], sectors: u64) -> Result<(), PrepError> {
    for (index, e) in entries.iter().enumerate() {
        let name = e.name.clone();
        if e.name.is_empty() || e.name.chars().any(|c| c == '/' || c == ' ' || c.is_control()) {
            return Err(PrepError::Name(name));
        }
        if e.start >= e.end {
            return Err(PrepError::Empty { name, start: e.start, end: e.end });
        }
        if e.end > sectors {
            return Err(PrepError::PastEnd { name, end: e.end, sectors });
        }
        if e.start <= TABLE_SECTOR && e.name != "9fat" {
            return Err(PrepError::OverTable { name, start: e.start });
        }
        if entries[..index].iter().any(|o| o.name == e.name) {
            return Err(PrepError::Twice(name));
        }
        if let Some(before) = index.checked_sub(1).map(|i| &entries[i]) {
            let first = before.name.clone();
            if e.start < before.start {
                return Err(PrepError::Order { first, second: name, start: e.start });
            }
            if e.start < before.end {
                return Err(PrepError::Overlap { first, second: name, start: e.start, end: before.end });
            }
        }
    }
    match text(entries).len() {
        len if len > MAX_TEXT => Err(PrepError::TooLong(len)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn e(name: &str, start: u64, end: u64) -> PrepEntry {
        PrepEntry { name: name.into(), start, end }
    }

    #[test]
    fn writes_what_prep_writes() {
        let table = [e("nvram", 81920, 81921), e("9fat", 0, 81920), e("fossil", 81921, 4_000_000)];
        let sector = encode(&table, 4_000_000).unwrap();
        let text = "part 9fat 0 81920\npart nvram 81920 81921\npart fossil 81921 4000000\n";
        assert_eq!(&sector[..text.len()], text.as_bytes());
        assert!(sector[text.len()..].iter().all(|b| *b == 0));
        let (read, wrong) = decode(&sector);
        assert_eq!((read.len(), wrong), (3, None));
    }

    #[test]
    fn each_fault_has_its_error() {
        let bad = |t: &[PrepEntry]| encode(t, 1000).unwrap_err().to_string();
        assert_eq!(bad(&[e("9fat", 0, 1001)]), "Partition 9fat ends at sector 1001, but the Plan 9 partition has 1000");
        assert_eq!(bad(&[e("a", 5, 5)]), "Partition a starts at sector 5 and ends at 5: it has no sectors");
        assert!(matches!(encode(&[e("a", 1, 5)], 9), Err(PrepError::OverTable { .. })));
        assert!(matches!(encode(&[e("a b", 3, 5)], 9), Err(PrepError::Name(_))));
        assert!(matches!(encode(&[e("a", 2, 5), e("a", 5, 6)], 9), Err(PrepError::Twice(_))));
        assert!(matches!(encode(&[e("a", 2, 5), e("b", 4, 6)], 9), Err(PrepError::Overlap { .. })));
        assert!(matches!(verify(&[e("a", 5, 6), e("b", 2, 3)], 9), Err(PrepError::Order { .. })));
        let many: Vec<_> = (0..40).map(|i| e(&format!("p{i}"), 2 + i, 3 + i)).collect();
        assert!(matches!(encode(&many, 1000), Err(PrepError::TooLong(_))));
    }

    #[test]
    fn stops_where_the_loader_stops() {
        let read = |text: &str| {
            let mut sector = [0; 512];
            sector[..text.len()].copy_from_slice(text.as_bytes());
            let (entries, wrong) = decode(&sector);
            (entries.len(), wrong)
        };
        let line = |line, text: &str| Some(PrepError::Line { line, text: text.into() });
        assert_eq!(read("part a 2 3\npart b 3 4"), (2, None));
        assert_eq!(read("part a 2 3\n part b 3 4\n"), (1, line(2, " part b 3 4")));
        assert_eq!(read("part a 2 3\npart b  3 4\n"), (1, line(2, "part b  3 4")));
        assert_eq!(read("part a 2 3\npart b 3\n"), (1, line(2, "part b 3")));
        assert_eq!(read("part a 2 3\npart b 3 4 5\n"), (1, line(2, "part b 3 4 5")));
        assert_eq!(read("part a 2 3\npart b 03 4\n"), (1, line(2, "part b 03 4")));
        assert_eq!(read("part a 2 3\n\npart b 3 4\n"), (1, line(2, "")));
        assert_eq!(read("part a 2 3\n\0x"), (1, Some(PrepError::Behind(12))));
        assert!(matches!(read(""), (0, Some(PrepError::None { .. }))));
        let (_, wrong) = decode(&[b'p'; 512]);
        assert!(matches!(wrong, Some(PrepError::None { .. })));
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(sizes in proptest::collection::vec((0u64..9, 1u64..1 << 40), 0..10)) {
            let mut at = 2;
            let mut table = Vec::new();
            for (index, (gap, len)) in sizes.into_iter().enumerate() {
                table.push(e(&format!("p{index}"), at + gap, at + gap + len));
                at += gap + len;
            }
            let sector = encode(&table, at);
            prop_assume!(!table.is_empty() && sector.is_ok());
            prop_assert_eq!(decode(&sector.unwrap()), (table, None));
        }

        #[test]
        fn any_sector_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 507)) {
            let mut sector = *b"part ".repeat(103)[..512].first_chunk::<512>().unwrap();
            sector[5..].copy_from_slice(&bytes);
            let (entries, _) = decode(&sector);
            let _ = verify(&entries, 1000);
        }
    }
}
