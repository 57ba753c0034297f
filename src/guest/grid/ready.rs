//! Waits until nodes are up: the console says so, a terminal's screen shows
//! rio, and what they serve answers on the ports of this machine.

use super::paused::Paused;
use super::process::is_up;
use super::room::cores;
use super::{GridError, NodeSpec, NodeState, Process, Watch, listen};
use crate::guest::Accel;
use crate::guest::console::find;
use crate::guest::folder;
use crate::guest::runner::{Pause, Picture};
use crate::guest::screen::Screen;
use crate::render::HostPorts;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Text of init when the program on the screen, or the shell that was to start
/// it, has ended; the text before it says why.
const ENDED: &str = "rc exit status:";
/// Name of the picture that an error is about.
const PICTURE: &str = "screen.png";

/// Under KVM the first output comes much earlier.
const SILENT: Duration = Duration::from_secs(20);
/// A node under KVM that has said something is up, or says more, long before.
const HANGS: Duration = Duration::from_secs(30);

/// Time limits of nodes.
struct Limits {
    /// To the prompt.
    console: Duration,
    /// From there to rio, and to the last of the listeners.
    more: Duration,
}

/// Waits for all `nodes`, each on its own; `process` gives the process of one.
/// `ports` are those of this machine.
///
/// # Errors
/// Fails when one does not come up, or the user wants no more of it.
#[expect(clippy::disallowed_methods, reason = "a deadline for running machines; no artifact sees it")]
pub(super) fn wait(
    process: &(dyn Fn(&str) -> Process + Sync),
    nodes: &[&NodeSpec],
    accel: Accel,
    ports: &HostPorts,
    watch: &dyn Watch,
) -> Result<(), GridError> {
    // About 15 s each on an idle core in software; the limits are for a busy one.
    let share = if accel == Accel::Tcg { nodes.len().div_ceil(cores()) as u64 } else { 1 };
    let limit = Duration::from_secs(120 + 120 * share);
    let limits = Limits { console: limit, more: limit };
    let stop = AtomicBool::new(false);
    let (begin, stop, limits) = (Instant::now(), &stop, &limits);
    let ends: Vec<_> = std::thread::scope(|scope| {
        let waits: Vec<_> = nodes
            .iter()
            .map(|node| {
                let one = One { process: process(&node.name), node, accel, ports, watch, begin, stop };
                scope.spawn(move || {
                    let end = one.run(limits);
                    stop.fetch_or(end.is_err(), Ordering::Relaxed);
                    end
                })
            })
            .collect();
        waits.into_iter().map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    // The others were interrupted by the one that failed.
    let (interrupted, failed): (Vec<_>, Vec<_>) =
        ends.into_iter().filter_map(Result::err).partition(|e| matches!(e, GridError::Interrupted));
    failed.into_iter().chain(interrupted).next().map_or(Ok(()), Err)
}

/// Last output of a console that is not up yet, and its time. KVM inside other
/// virtual machines lets a kernel hang or panic that runs well in software.
#[derive(Default)]
struct Pulse {
    said: usize,
    at: Duration,
}

impl Pulse {
    /// Failure of a machine whose output is `log` after `elapsed`, if any.
    fn fails(&mut self, log: &[u8], elapsed: Duration) -> Option<&'static str> {
        if log.len() != self.said {
            (self.said, self.at) = (log.len(), elapsed);
        }
        if find(log, b"panic:").is_some() {
            return Some("panics");
        }
        let (limit, what) = if log.is_empty() { (SILENT, "says nothing") } else { (HANGS, "says nothing more") };
        (elapsed.saturating_sub(self.at) > limit).then_some(what)
    }
}

struct One<'a> {
    process: Process,
    node: &'a NodeSpec,
    accel: Accel,
    ports: &'a HostPorts,
    watch: &'a dyn Watch,
    begin: Instant,
    stop: &'a AtomicBool,
}

impl One<'_> {
    fn run(&self, limits: &Limits) -> Result<(), GridError> {
        self.console(limits.console)?;
        if self.node.screen {
            self.screen(self.begin.elapsed() + limits.more)?;
        }
        let deaf = self.listeners(self.begin.elapsed() + limits.more)?;
        self.watch.node(&self.node.name, NodeState::Up, self.begin.elapsed());
        for (service, local) in deaf {
            self.watch.deaf(&self.node.name, &service, local);
        }
        Ok(())
    }

    fn pause(&self) -> Result<(), GridError> {
        if self.watch.cancelled() || self.stop.load(Ordering::Relaxed) {
            return Err(GridError::Interrupted);
        }
        std::thread::sleep(LOOK);
        Ok(())
    }

    /// Waits for the console to say that the node is up.
    fn console(&self, limit: Duration) -> Result<(), GridError> {
        let mut pulse = Pulse::default();
        loop {
            // Asked first: what it said before it ended is then in the log.
            let running = self.process.is_running();
            let said = self.process.said();
            if is_up(&said, &self.node.ready) {
                return Ok(());
            }
            self.goes_on(running)?;
            let name = self.node.name.clone();
            if self.accel == Accel::Kvm
                && let Some(what) = pulse.fails(&said, self.begin.elapsed())
            {
                return Err(GridError::Kvm { name, what });
            }
            if self.begin.elapsed() > limit {
                return Err(GridError::NotUp { name, seconds: limit.as_secs(), tail: self.process.tail() });
            }
            self.pause()?;
        }
    }

    fn goes_on(&self, running: bool) -> Result<(), GridError> {
        if !running {
            return Err(GridError::Ended { name: self.node.name.clone(), tail: self.process.tail() });
        }
        match self.process.paused() {
            Some(Paused { pause: Pause::Processor, name, .. }) if self.accel == Accel::Kvm => {
                Err(GridError::Kvm { name, what: "fails" })
            }
            Some(paused) => Err(paused.into()),
            None => Ok(()),
        }
    }

    /// Waits for rio on the screen, until `limit` after the beginning.
    fn screen(&self, limit: Duration) -> Result<(), GridError> {
        loop {
            let running = self.process.is_running();
            // A screen that changes its size just now is looked at again.
            if look(&self.process).is_ok_and(|screen| screen.shows_rio()) {
                return Ok(());
            }
            self.goes_on(running)?;
            let late = self.begin.elapsed() > limit;
            if late || self.has_given_up() {
                let why = if late { "still shows no rio" } else { "shows no rio, which has ended" };
                let (name, tail) = (self.node.name.clone(), self.process.tail());
                return Err(GridError::NoRio { name, why, tail, picture: keep(&self.process) });
            }
            self.pause()?;
        }
    }

    /// Whether init says that what it started has ended.
    fn has_given_up(&self) -> bool {
        find(&self.process.said(), ENDED.as_bytes()).is_some()
    }

    /// Waits for what the node serves, until `limit` after the beginning;
    /// returns the services that do not answer by then, with their ports.
    fn listeners(&self, limit: Duration) -> Result<Vec<(String, u16)>, GridError> {
        let mine = self.ports.get(&self.node.name);
        let local = |name: &str| mine.and_then(|m| m.get(name)).copied();
        let mut deaf: Vec<_> =
            self.node.ports.iter().filter_map(|p| Some((p.name.clone(), local(&p.name)?, p.tcp))).collect();
        loop {
            deaf.retain(|(_, local, tcp)| !listen::answers(*local, *tcp));
            if deaf.is_empty() || self.begin.elapsed() > limit {
                return Ok(deaf.into_iter().map(|(name, local, _)| (name, local)).collect());
            }
            self.goes_on(self.process.is_running())?;
            self.pause()?;
        }
    }
}

/// A machine's screen.
fn look(process: &Process) -> io::Result<Screen> {
    let picture = process.runner.screen(&process.folder, Picture::Pixmap).map_err(io::Error::other)?;
    Screen::from_ppm(&picture)
}

/// Leaves a picture of the screen in the machine's folder; none where that
/// does not work, as there is an error already.
fn keep(process: &Process) -> Option<PathBuf> {
    let picture = process.runner.screen(&process.folder, Picture::Png).ok()?;
    let path = process.folder.file(PICTURE);
    folder::replace(&path, &picture).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_hangs_or_panics_is_told_from_one_that_is_slow() {
        let after = |pulse: &mut Pulse, log: &str, seconds| pulse.fails(log.as_bytes(), Duration::from_secs(seconds));
        let mut pulse = Pulse::default();
        assert_eq!(after(&mut pulse, "", 20), None);
        assert_eq!(after(&mut pulse, "", 21), Some("says nothing"));
        assert_eq!(after(&mut pulse, "Plan 9\n", 30), None);
        assert_eq!(after(&mut pulse, "Plan 9\n", 60), None);
        assert_eq!(after(&mut pulse, "Plan 9\n", 61), Some("says nothing more"));
        assert_eq!(after(&mut pulse, "Plan 9\n125 holes free\n", 92), None);
        assert_eq!(after(&mut pulse, "Plan 9\npanic: boot process died\n", 93), Some("panics"));
    }
}
