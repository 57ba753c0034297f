//! Machines that are paused: they run and do nothing, until what stopped them is
//! mended and they are told to go on.

use super::paused::Paused;
use super::{GridError, Process};
use crate::guest::node_disk;
use std::time::Duration;

/// A machine that was let go on tries the write that failed again by then.
const AGAIN: Duration = Duration::from_secs(1);

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
            disk: node_disk::file(self.dir()),
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
}
