//! Verifying a sparse VMDK: where grains and tables lie, without inflating.

use super::format::{FLAG_COMPRESSED, FLAG_MARKERS, GD_AT_END, GRAIN_MARKER, TABLE_ENTRIES};
use super::read::{LAST_ZERO, Vmdk};
use crate::artifact::container::findings::{FEW, Say, more};
use crate::read_at::{ReadAt as _, SECTOR};
use std::io;

/// A part of the file, in bytes, and what it is: a grain by its number.
struct Part {
    start: u64,
    end: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Grain(u64),
    Table(u64),
    Other(&'static str),
}

impl What {
    fn name(self) -> String {
        match self {
            Self::Grain(n) => format!("grain {n}"),
            Self::Table(n) => format!("grain table {n}"),
            Self::Other(name) => name.into(),
        }
    }
}

impl Vmdk {
    /// Verifies that grains, tables and the rest lie in the file, each in a
    /// place of its own; kinds of findings are listed in `doc/vmdk.md`.
    ///
    /// # Errors
    /// Only when the image itself cannot be read.
    pub(in crate::artifact) fn check(&self, say: Say<'_>) -> io::Result<()> {
        let header = &self.header;
        let mut parts = vec![Part { start: 0, end: SECTOR, what: What::Other("the header") }];
        let mut add = |sector: u64, bytes: u64, what| {
            let start = sector.saturating_mul(SECTOR);
            parts.push(Part { start, end: start.saturating_add(bytes), what });
        };
        if header.descriptor_offset > 0 {
            let len = header.descriptor_size.saturating_mul(SECTOR);
            add(header.descriptor_offset, len, What::Other("the descriptor"));
        }
        if header.gd_offset != GD_AT_END {
            add(header.gd_offset, self.directory.len() as u64 * 4, What::Other("the grain directory"));
        }
        let (mut beyond, mut first) = (0, String::new());
        for index in 0..self.directory.len() {
            let table = match self.table(index) {
                Ok(Some(table)) => table,
                Ok(None) => continue,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    say("vmdk-table", e.to_string());
                    continue;
                }
                Err(e) => return Err(e),
            };
            add(self.directory[index].into(), u64::from(TABLE_ENTRIES) * 4, What::Table(index as u64));
            for (i, sector) in table.iter().enumerate().filter(|(_, s)| **s > LAST_ZERO) {
                let grain = index as u64 * u64::from(TABLE_ENTRIES) + i as u64;
                let mut wrong = |why: String| {
                    beyond += 1;
                    if beyond == 1 {
                        first = why;
                    }
                };
                if grain * self.grain_bytes() >= self.len() {
                    wrong(format!("Grain {grain} is after the end of the disk"));
                }
                let sector = u64::from(*sector);
                let Some(len) = self.grain_len(sector)? else {
                    wrong(format!("Grain {grain} is at sector {sector}, after the end of the file"));
                    continue;
                };
                if sector * SECTOR + len > self.file.len() {
                    wrong(format!("Grain {grain} at sector {sector} passes the end of the file"));
                    continue;
                }
                add(sector, len, What::Grain(grain));
            }
        }
        if beyond > 0 {
            let more = more(beyond - 1, "grain is like that", "grains are like that");
            say("vmdk-grain", format!("{first}{more}"));
        }
        overlaps(parts, say);
        Ok(())
    }

    /// Bytes of the file that the grain at a sector fills; `None` past its end.
    fn grain_len(&self, sector: u64) -> io::Result<Option<u64>> {
        if self.header.flags & FLAG_COMPRESSED == 0 {
            return Ok((sector * SECTOR < self.file.len()).then(|| self.grain_bytes()));
        }
        let head = if self.header.flags & FLAG_MARKERS != 0 { GRAIN_MARKER } else { 4 };
        if sector * SECTOR + head > self.file.len() {
            return Ok(None);
        }
        let mut len = [0; 4];
        self.file.read_at(sector * SECTOR + head - 4, &mut len)?;
        Ok(Some(head + u64::from(u32::from_le_bytes(len))))
    }
}

fn overlaps(mut parts: Vec<Part>, say: Say<'_>) {
    parts.sort_by_key(|p| (p.start, p.end));
    let (mut found, mut end, mut last) = (0, 0, What::Other(""));
    for p in parts.iter().filter(|p| p.start < p.end) {
        if p.start < end {
            found += 1;
            if found <= FEW {
                let m = format!(
                    "Sector {} of the file is in {}, but in {}, too",
                    p.start / SECTOR,
                    last.name(),
                    p.what.name()
                );
                say("vmdk-overlap", m);
            }
        }
        if p.end > end {
            (end, last) = (p.end, p.what);
        }
    }
    if found > FEW {
        say(
            "vmdk-overlap",
            crate::count::either(found - FEW, "more part of the file overlaps", "more parts of the file overlap"),
        );
    }
}
