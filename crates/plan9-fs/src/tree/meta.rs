//! Metadata of a file in Plan 9's stat(5), except its name and length.

use std::fmt;
use std::sync::Arc;

/// Directory bit of a mode.
pub const DMDIR: u32 = 0x8000_0000;
/// Append-only bit.
pub const DMAPPEND: u32 = 0x4000_0000;
/// Exclusive-use bit.
pub const DMEXCL: u32 = 0x2000_0000;
/// Temporary bit: not backed up.
pub const DMTMP: u32 = 0x0400_0000;

/// Permissions and the `DM…` bits, as in stat(5). The directory bit is set
/// exactly on directories.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

impl Mode {
    /// A directory with permissions `perm` (the low nine bits).
    pub const fn dir(perm: u32) -> Self {
        Self(DMDIR | perm & 0o777)
    }
    /// A plain file with permissions `perm`.
    pub const fn file(perm: u32) -> Self {
        Self(perm & 0o777)
    }
    /// Whether this is a directory.
    pub const fn is_dir(self) -> bool {
        self.0 & DMDIR != 0
    }
    /// The nine permission bits.
    pub const fn perm(self) -> u32 {
        self.0 & 0o777
    }
    /// Whether writes go to the end only.
    pub const fn is_append(self) -> bool {
        self.0 & DMAPPEND != 0
    }
    /// Whether one client at a time may have it open.
    pub const fn is_exclusive(self) -> bool {
        self.0 & DMEXCL != 0
    }
    /// Whether backups leave it out.
    pub const fn is_temporary(self) -> bool {
        self.0 & DMTMP != 0
    }
}

/// As `ls -l` of Plan 9 shows it: `d-rwxrwxr-x`.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match () {
            () if self.is_dir() => 'd',
            () if self.is_append() => 'a',
            () => '-',
        };
        let exclusive = if self.is_exclusive() { 'l' } else { '-' };
        write!(f, "{kind}{exclusive}")?;
        for shift in [6, 3, 0] {
            let bits = self.0 >> shift;
            for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
                write!(f, "{}", if bits & bit != 0 { letter } else { '-' })?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self} {:#o})", self.0)
    }
}

/// Owner, group, mode and time of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permissions and kind.
    pub mode: Mode,
    /// Owner.
    pub uid: Arc<str>,
    /// Group.
    pub gid: Arc<str>,
    /// User that changed it last.
    pub muid: Arc<str>,
    /// Last change, seconds since 1970-01-01 UTC.
    pub mtime: u32,
}

impl Meta {
    /// Owned and last changed by `uid`, in group `gid`.
    pub fn new(mode: Mode, uid: &str, gid: &str, mtime: u32) -> Self {
        let uid: Arc<str> = uid.into();
        Self { mode, muid: uid.clone(), uid, gid: gid.into(), mtime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_print_as_plan9_ls_does() {
        assert_eq!(Mode::dir(0o775).to_string(), "d-rwxrwxr-x");
        assert_eq!(Mode(DMAPPEND | DMEXCL | 0o640).to_string(), "alrw-r-----");
        assert_eq!(Mode::file(0o7).to_string(), "--------rwx");
    }
}
