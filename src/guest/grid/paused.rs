//! A machine that is paused, and the reason, in words.

use crate::guest::runner::Pause;
use std::fmt;
use std::path::PathBuf;

/// A machine that is paused.
#[derive(Debug)]
pub struct Paused {
    pub name: String,
    pub pause: Pause,
    /// Name of the program that runs it.
    pub(super) runner: &'static str,
    /// File that it writes to.
    pub(super) disk: PathBuf,
    /// Bytes that are free there, where the system tells.
    pub(super) free: Option<u64>,
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { name, disk, runner, .. } = self;
        write!(f, "{name} is paused, because ")?;
        match self.pause {
            Pause::Disk => {
                write!(f, "{runner} could not read or write {}", disk.display())?;
                if let Some(free) = self.free {
                    write!(f, ", where {} MiB are free", free >> 20)?;
                }
                write!(f, ": make room there")
            }
            Pause::Processor => {
                write!(f, "{runner} met an error of its own")
            }
            Pause::Asked => write!(f, "{runner} was told to pause it"),
        }
    }
}

impl std::error::Error for Paused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_and_the_disk_are_said() {
        let said = |pause, free| {
            Paused { name: "n1".into(), pause, runner: "QEMU", disk: "output/run/n1/disk.img".into(), free }.to_string()
        };
        assert_eq!(
            said(Pause::Disk, Some(3 << 19)),
            "n1 is paused, because QEMU could not read or write output/run/n1/disk.img, where 1 MiB are free: make room \
             there"
        );
        assert!(said(Pause::Disk, None).contains("disk.img: make room"), "{}", said(Pause::Disk, None));
    }
}
