//! Machines that QEMU has paused: they run and do nothing, until what stopped
//! them is mended and they are told to go on.

use super::{COPY, GridError, Process};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A machine that was let go on tries the write that failed again by then.
const AGAIN: Duration = Duration::from_secs(1);

/// Reason why QEMU paused a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Its disk could not be read or written, as when the host has no room.
    Disk,
    /// Its processor met something that the accelerator cannot do.
    Processor,
    /// Somebody asked for it.
    Asked,
}

impl Pause {
    /// The meaning of QEMU's word for the state of a machine; none when it goes on.
    fn of(status: &str) -> Option<Self> {
        match status {
            "io-error" => Some(Self::Disk),
            "internal-error" | "guest-panicked" => Some(Self::Processor),
            "paused" => Some(Self::Asked),
            _ => None,
        }
    }
}

/// A machine that is paused.
#[derive(Debug)]
pub struct Paused {
    pub name: String,
    pub pause: Pause,
    /// File that it writes to.
    disk: PathBuf,
    /// Bytes that are free there, where the system tells.
    free: Option<u64>,
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { name, disk, .. } = self;
        write!(f, "{name} is paused, because ")?;
        match self.pause {
            Pause::Disk => {
                write!(f, "QEMU could not read or write {}", disk.display())?;
                if let Some(free) = self.free {
                    write!(f, ", where {} MiB are free", free >> 20)?;
                }
                write!(f, ": make room there")
            }
            Pause::Processor => {
                write!(f, "QEMU met an error of its own")
            }
            Pause::Asked => write!(f, "QEMU was told to pause it"),
        }
    }
}

impl std::error::Error for Paused {}

impl Process {
    /// Reason why the machine is paused; none when it goes on, or does not
    /// answer.
    pub fn paused(&self) -> Option<Paused> {
        let status = self.control("query-status", Value::Null).ok()?;
        let pause = Pause::of(status.get("status")?.as_str()?)?;
        let stat = rustix::fs::statvfs(&self.dir).ok();
        let free = stat.map(|s| s.f_bavail.saturating_mul(s.f_frsize));
        Some(Paused { name: self.name.clone(), pause, disk: self.dir.join(COPY), free })
    }

    /// Lets a machine go on when it is paused; returns whether it was.
    ///
    /// # Errors
    /// Fails when QEMU refuses, or the machine is paused again at once, because
    /// nothing was mended.
    pub fn go_on(&self) -> Result<bool, GridError> {
        if self.paused().is_none() {
            return Ok(false);
        }
        self.control("cont", Value::Null)?;
        std::thread::sleep(AGAIN);
        self.paused().map_or(Ok(true), |paused| Err(paused.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_goes_on_is_not_paused() {
        for status in ["running", "prelaunch", "shutdown", "", "Paused"] {
            assert_eq!(Pause::of(status), None, "{status}");
        }
        assert_eq!(Pause::of("io-error"), Some(Pause::Disk));
        let dir = tempfile::tempdir().unwrap();
        assert!(Process::new(dir.path().to_owned(), "n1").paused().is_none());
    }

    #[test]
    fn the_reason_and_the_disk_are_said() {
        let said =
            |pause, free| Paused { name: "n1".into(), pause, disk: "output/run/n1/disk.img".into(), free }.to_string();
        assert_eq!(
            said(Pause::Disk, Some(3 << 19)),
            "n1 is paused, because QEMU could not read or write output/run/n1/disk.img, where 1 MiB are free: make room \
             there"
        );
        assert!(said(Pause::Disk, None).contains("disk.img: make room"), "{}", said(Pause::Disk, None));
    }
}
