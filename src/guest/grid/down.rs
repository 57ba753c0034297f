//! The end of a run: machines are halted and turned off, whatever the lab says
//! of them by now.

use super::room::cores;
use super::{END, GATEWAY, Grid, GridError, NodeSpec, NodeState, Process, Record, Watch, disk, halt, switch};
use crate::guest::{Accel, folder};
use std::time::Instant;

impl Grid {
    /// Halts the nodes in `names` that run, or all that run when there is no
    /// name, all at the same time, and turns them off; the gateway and the switch
    /// too when no node is left. A node that does not halt goes on, and is among
    /// the errors that are returned; one whose console cannot be had is turned
    /// off. `force` does not halt. Nor can a terminal be halted: no shell is on its
    /// console. `known` are the lab's nodes, in place of the records of those
    /// that left none.
    ///
    /// # Errors
    /// Fails when a machine cannot be turned off.
    pub fn down(
        &self,
        known: &[NodeSpec],
        names: &[String],
        force: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<GridError>, GridError> {
        // Without a folder nobody can hold its lock, and none is made for it.
        let lock = if self.dir.exists() { Some(self.lock()?) } else { None };
        let mut nodes: Vec<String> = self.running_nodes().into_keys().collect();
        nodes.retain(|name| names.is_empty() || names.contains(name));
        let records: Vec<Option<Record>> = nodes.iter().map(|name| self.record(known, name)).collect();
        let slow = records.iter().any(|r| r.as_ref().is_none_or(|r| r.accel == Accel::Tcg));
        let share = if slow { nodes.len().div_ceil(cores()) as u32 } else { 1 };
        let ends: Vec<_> = std::thread::scope(|scope| {
            let pairs = nodes.iter().zip(&records);
            let work: Vec<_> = pairs
                .map(|(name, record)| scope.spawn(move || self.end(name, record.as_ref(), force, share, watch)))
                .collect();
            work.into_iter().map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
        });
        let mut complaints = Vec::new();
        for end in ends {
            complaints.extend(end?);
        }
        if self.running_nodes().is_empty() {
            self.node(GATEWAY).quit(END)?;
            switch::stop(&self.dir)?;
            disk::stop(&self.dir)?;
            // Of machines that came to their end by themselves.
            for dir in folder::sorted(&self.dir).unwrap_or_default().iter().filter(|dir| dir.is_dir()) {
                let _ = Process::with(self.runner, dir.clone(), "").sweep();
            }
            if let Some(lock) = lock {
                lock.remove();
            }
        }
        Ok(complaints)
    }

    /// Record of a node that runs, or else one made from the lab.
    fn record(&self, known: &[NodeSpec], name: &str) -> Option<Record> {
        let of_lab = || known.iter().find(|n| n.name == name).map(|n| Record::new(n, Accel::Tcg, Default::default()));
        Record::load(self.node(name).dir()).or_else(of_lab)
    }

    /// Halts a node, which goes on for that when it is paused.
    fn halt(process: &Process, share: u32) -> Result<(), GridError> {
        process.go_on()?;
        halt::halt(process, share).map_err(|error| process.paused().map_or(error, Into::into))
    }

    /// Halts and turns off one node; says why if it still runs.
    #[expect(clippy::disallowed_methods, reason = "how long it took, for people; no artifact sees it")]
    fn end(
        &self,
        name: &str,
        record: Option<&Record>,
        force: bool,
        share: u32,
        watch: &dyn Watch,
    ) -> Result<Option<GridError>, GridError> {
        let (process, begin) = (self.node(name), Instant::now());
        let why = match record {
            _ if force => None,
            None => Some("no record says whether its console has a shell".to_owned()),
            Some(record) if !record.shell => None,
            Some(_) => match Self::halt(&process, share) {
                Ok(()) => None,
                Err(
                    error @ (GridError::Paused(_)
                    | GridError::ConsoleBusy { .. }
                    | GridError::NoPrompt { .. }
                    | GridError::NotHalted { .. }),
                ) => return Ok(Some(error)),
                Err(_) => Some("its console cannot be reached".to_owned()),
            },
        };
        if let Some(why) = why {
            watch.note(&format!("{name} is turned off and not halted first: {why}"));
        }
        process.quit(END)?;
        watch.node(name, NodeState::Down, begin.elapsed());
        Ok(None)
    }
}
