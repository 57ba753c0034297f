//! Fields that `disk/mk9660 -9` puts after each name: the real name, owner,
//! group and mode (`Cputplan9` in `/sys/src/cmd/disk/9660/write.c`, read by
//! `rzdir` in `/sys/src/cmd/9660srv/9660srv.c`).

use super::error::{IsoError, shown};
use super::format::{Record, both};
use crate::tree::{DMAPPEND, DMDIR, DMEXCL, DMTMP, Meta, Mode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// First word of the volume's system identifier.
pub const SYSTEM: &str = "PLAN 9";
/// Bits of a mode that a file on a disk can have; other bits are the server's.
const MODE_BITS: u32 = DMDIR | DMAPPEND | DMEXCL | DMTMP | 0o777;

/// The fields of one record.
pub struct Fields<'a> {
    /// `None`: the identifier is the name.
    pub name: Option<&'a [u8]>,
    pub meta: Meta,
}

/// Names of owners and groups, each held once.
#[derive(Default)]
pub struct Owners(BTreeSet<Arc<str>>);

impl Owners {
    fn get(&mut self, name: &[u8], path: &str) -> Result<Arc<str>, IsoError> {
        let wrong = || IsoError::Owner { path: path.into(), found: shown(name) };
        let name = std::str::from_utf8(name).map_err(|_| wrong())?;
        // So fossil shows an owner that its list of users lacks.
        let name = name.strip_prefix('(').and_then(|n| n.strip_suffix(')')).unwrap_or(name);
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == '/' || c == ' ') {
            return Err(wrong());
        }
        if let Some(known) = self.0.get(name) {
            return Ok(known.clone());
        }
        let new: Arc<str> = name.into();
        self.0.insert(new.clone());
        Ok(new)
    }
}

/// Reads the fields of `record`, which is at byte `at` of the image.
///
/// # Errors
/// Fails when they are not there or contradict the record.
pub fn fields<'a>(record: &Record<'a>, owners: &mut Owners, path: &str, at: u64) -> Result<Fields<'a>, IsoError> {
    let damaged = |why| IsoError::Record { path: path.into(), at, why };
    let area = record.system_use;
    let mut place = 0;
    let mut string = || {
        let len = usize::from(*area.get(place)?);
        let text = area.get(place + 1..place + 1 + len)?;
        place += 1 + len;
        Some(text)
    };
    let strings = (|| Some((string()?, string()?, string()?)))();
    let (name, uid, gid) = strings.ok_or_else(|| damaged("Plan 9's name, owner or group passes its end"))?;
    let mode = area.get(place + (place & 1)..).filter(|rest| rest.len() >= 8);
    let mode = both(mode.ok_or_else(|| damaged("Plan 9's mode passes its end"))?, 0, path, "mode")?;
    if (mode & DMDIR != 0) != record.is_dir() {
        return Err(damaged("Plan 9's mode and the record do not agree on whether it is a directory"));
    }
    let uid = owners.get(uid, path)?;
    let meta = Meta {
        mode: Mode(mode & MODE_BITS),
        muid: uid.clone(),
        uid,
        gid: owners.get(gid, path)?,
        mtime: record.time(),
    };
    Ok(Fields { name: (!name.is_empty()).then_some(name), meta })
}
