//! Machines that are paused: they run and do nothing, until what stopped them is
//! mended and they are told to go on.

use super::spec::COPY;
use super::{GridError, Process};
use crate::guest::runner::Pause;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A machine that was let go on tries the write that failed again by then.
const AGAIN: Duration = Duration::from_secs(1);

/// A machine that is paused.
#[derive(Debug)]
pub struct Paused {
    pub name: String,
    pub pause: Pause,
    /// Name of the program that runs it.
    runner: &'static str,
    /// File that it writes to.
    disk: PathBuf,
    /// Bytes that are free there, where the system tells.
    free: Option<u64>,
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

impl Process {
    /// Reason why the machine is paused; none when it goes on, or does not
    /// answer.
    pub fn paused(&self) -> Option<Paused> {
        let pause = self.runner.pause(&self.folder)?;
        let stat = rustix::fs::statvfs(self.dir()).ok();
        let free = stat.map(|s| s.f_bavail.saturating_mul(s.f_frsize));
        Some(Paused {
            name: self.name().to_owned(),
            pause,
            runner: self.runner.name(),
            disk: self.folder.file(COPY),
            free,
        })
    }

    /// Lets a machine go on when it is paused; returns whether it was.
    ///
    /// # Errors
    /// Fails when the runner refuses, or the machine is paused again at once, because
    /// nothing was mended.
    pub fn go_on(&self) -> Result<bool, GridError> {
        if self.paused().is_none() {
            return Ok(false);
        }
        self.runner.go_on(&self.folder)?;
        std::thread::sleep(AGAIN);
        self.paused().map_or(Ok(true), |paused| Err(paused.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_does_not_run_is_not_paused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Process::new(dir.path().to_owned(), "n1").paused().is_none());
    }

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
