//! Free space of the store's file system, some of which is left to others.

use super::folders::Store;
use std::io;

/// Bytes that are left free.
pub const SPARE: u64 = 256 << 20;
/// Bytes written between two looks at the free space.
const LOOK: u64 = 64 << 20;

/// Looks at the free space now and then while a file is written.
#[derive(Clone, Debug)]
pub struct Room {
    spare: u64,
    /// Bytes written when it was looked at last.
    looked: Option<u64>,
}

impl Default for Room {
    fn default() -> Self {
        Self::leaving(SPARE)
    }
}

impl Room {
    /// Leaves so many bytes free.
    pub const fn leaving(spare: u64) -> Self {
        Self { spare, looked: None }
    }

    /// Says that the file has, or is about to have, `len` bytes.
    ///
    /// # Errors
    /// Fails when fewer bytes are free than p9img leaves.
    pub fn at(&mut self, store: &Store, len: u64) -> io::Result<()> {
        if self.looked.is_some_and(|at| len >= at && len - at < LOOK) {
            return Ok(());
        }
        self.looked = Some(len);
        // Where the system cannot say, a full disk shows when it is written to.
        match rustix::fs::statvfs(store.root()).map(|s| s.f_bavail.saturating_mul(s.f_frsize)) {
            Ok(free) if free < self.spare => {
                let text = format!("only {} MiB are free, and p9img leaves {}", free >> 20, self.spare >> 20);
                Err(io::Error::new(io::ErrorKind::StorageFull, text))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_before_the_disk_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        Room::leaving(0).at(&store, 1).unwrap();
        let e = Room::leaving(u64::MAX).at(&store, 0).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull, "{e}");
        // Not at each step, but again after some way, and in a file that begins anew.
        let mut room = Room { spare: u64::MAX, looked: Some(LOOK) };
        assert!(room.at(&store, LOOK + 1).is_ok());
        assert!(room.at(&store, 2 * LOOK).is_err());
        room.looked = Some(LOOK);
        assert!(room.at(&store, 5).is_err());
    }
}
