//! Stamps: metadata of a file of the host, and the conditions under which it
//! shows that the contents are unchanged.
//!
//! A file whose stamp is the one that was remembered has not been written to:
//! every write sets the change time, and nobody can set that back. Except in
//! the tick of the host's clock in which the stamp was taken: a second write
//! then leaves the same stamp. So a stamp is believed only when it is
//! *settled*, older than a tick at the moment when it was taken; git's index
//! has the same rule. A clock that was set back makes stamps of the future,
//! which are not settled either.

use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

/// Longest tick of a clock that counts fractions of a second.
const TICK: Duration = Duration::from_millis(20);
/// Longest tick of a file system that does not.
const COARSE: Duration = Duration::from_secs(2);

/// A time of the host in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(i64);

impl Moment {
    /// A moment before every stamp: nothing is settled.
    pub const NEVER: Self = Self(i64::MIN);

    #[expect(clippy::disallowed_methods, reason = "decides what is read again, never what is written")]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn new(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Identity, length, mode and times of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    mode: u32,
    pub len: u64,
    modified: Moment,
    changed: Moment,
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            mode: meta.mode(),
            len: meta.len(),
            modified: Moment::new(meta.mtime(), meta.mtime_nsec()),
            changed: Moment::new(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether no write since `taken`, when this stamp was, can leave it as it is.
    pub fn settled(&self, taken: Moment) -> bool {
        let tick = |t: Moment| if t.0 % 1_000_000_000 == 0 { COARSE } else { TICK };
        [self.modified, self.changed].into_iter().all(|t| t.after(tick(t)) <= taken)
    }

    /// Time to wait until a stamp of this file would be settled; none when it
    /// is settled already, or would take longer than a tick.
    pub fn wait(&self, now: Moment) -> Option<Duration> {
        let left = self.changed.after(TICK).0.saturating_sub(now.0);
        u64::try_from(left).ok().map(Duration::from_nanos).filter(|t| *t > Duration::ZERO && *t <= TICK)
    }

    /// Whether `other` is the same file with the same bytes under another name:
    /// renaming sets the change time.
    pub fn renamed(&self, other: &Self) -> bool {
        let other = Self { changed: self.changed, ..other.clone() };
        *self == other
    }

    /// For digests.
    pub fn bytes(&self) -> [u8; 44] {
        let mut out = [0; 44];
        let parts = [self.dev, self.ino, self.len, self.modified.0 as u64, self.changed.0 as u64];
        for (to, from) in out.chunks_exact_mut(8).zip(parts) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        out[40..].copy_from_slice(&self.mode.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn at(nanoseconds: i64) -> Stamp {
        let t = Moment(nanoseconds);
        Stamp { dev: 1, ino: 2, mode: 3, len: 4, modified: t, changed: t }
    }

    #[test]
    fn a_write_in_the_tick_of_the_stamp_is_not_believed_to_show() {
        let second = 1_000_000_000;
        let fine = at(100 * second + 5);
        for (after, settled) in [(-second, false), (0, false), (19_000_000, false), (20_000_000, true)] {
            assert_eq!(fine.settled(Moment(100 * second + 5 + after)), settled, "{after}");
        }
        // A file system with whole seconds.
        assert!(!at(100 * second).settled(Moment(101 * second)));
        assert!(at(100 * second).settled(Moment(102 * second)));
        assert!(!fine.settled(Moment::NEVER));
        // The clock was set back since: the file is of the future.
        assert!(!fine.settled(Moment(50 * second)));
        // Restoring the modification time does not hide the change.
        let restored = Stamp { modified: Moment(second), ..fine.clone() };
        assert!(!restored.settled(Moment(100 * second + 6)));
        assert!(!restored.renamed(&fine));
    }

    #[test]
    fn every_write_shows_whatever_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "abc").unwrap();
        let stamp = || Stamp::of(&fs::metadata(&path).unwrap());
        let first = stamp();
        assert_eq!(stamp(), first);
        std::thread::sleep(2 * TICK);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "abd").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_ne!(stamp(), first);
        assert_ne!(stamp().bytes(), first.bytes());
        let before = stamp();
        fs::rename(&path, dir.path().join("g")).unwrap();
        assert!(before.renamed(&Stamp::of(&fs::metadata(dir.path().join("g")).unwrap())));
    }
}
