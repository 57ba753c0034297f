//! A lab that runs: its nodes as machines of a [runner](super::runner) on one
//! private network, and a gateway through which this host reaches them.
//!
//! ```text
//! OUT/run/lab.json         state of the run
//! OUT/run/network.sock     socket of the switch
//! OUT/run/NODE/disk.qcow2  what the node wrote, over base.qcow2, its artifact's other name
//! OUT/run/NODE/node.json   record to find and stop it without the lab
//! OUT/run/NODE/serial.log  output of its console since it was started
//! OUT/run/NODE/*.sock pid  sockets and process of its machine
//! OUT/run/.gateway/        the same for the gateway
//! ```
//!
//! Every machine is a process of its own that outlives p9img. Nothing here is
//! remembered that can be asked: whether a node runs, the system and the runner
//! answer; whether it is up, its console log says.

mod disk;
mod down;
mod error;
mod gateway;
mod halt;
mod listen;
mod pause;
mod paused;
mod ports;
mod process;
mod ready;
mod record;
mod room;
pub mod running;
pub mod session;
mod spec;
mod state;
mod switch;
mod watch;

pub use disk::serve_disk_on_stdin;
pub use error::{GridError, Wish};
pub use paused::Paused;
pub use process::Process;
pub use record::Record;
pub use spec::{BaseSpec, GridSpec, NodeSpec, UpSettings};
pub use state::State;
pub use switch::serve_stdin;
pub use watch::{NodeState, Silent, Watch};

use super::computed::{self, Compute};
use super::folder::{self, FolderError};
use super::gateway::Gateway;
use super::machine::{Accel, Disk};
use super::node_disk;
use super::runner::{Picture, RUNNERS, Runner, RunnerError};
use crate::artifact::output::digest;
use crate::lab::PcFirmware;
use crate::lock::{self, Held, Taken};
use crate::stop;
use process::is_up;
use room::enough;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the gateway's folder; no node can have it, as its name is theirs.
const GATEWAY: &str = ".gateway";
/// Longest time for a machine to end.
const END: Duration = Duration::from_secs(30);
/// Times that a start is tried when ports that were free are taken meanwhile.
const TRIES: usize = 3;
/// Nodes whose disks are served before the first of them starts.
const AHEAD: usize = 8;
/// File that is locked while nodes are started or stopped.
const LOCK: &str = ".lock";

/// The folder of a run.
pub struct Grid {
    dir: PathBuf,
    runner: &'static dyn Runner,
    compute: Compute,
}

/// Held while nodes are started or stopped.
pub struct Lock {
    _file: Held,
    path: PathBuf,
}

impl Lock {
    /// Lets go and removes the file.
    fn remove(self) {
        // A process that waits for it sees that the file has gone.
        let _ = folder::remove(&self.path);
    }
}

impl Grid {
    /// The run in the folder `out`: its machines are those of the runner that
    /// started it, and of the first of the table where there was no start yet.
    pub fn new(out: &Path) -> Self {
        let state = State::load(&out.join("run")).ok().flatten();
        let runner = state.and_then(|s| RUNNERS.iter().copied().find(|r| r.name() == s.runner));
        Self::with(runner.unwrap_or(RUNNERS[0]), out)
    }

    /// The run in the folder `out`, whose machines `runner` runs.
    pub fn with(runner: &'static dyn Runner, out: &Path) -> Self {
        Self { dir: out.join("run"), runner, compute: computed::nothing }
    }

    /// The same run, whose nodes may have disks that are computed.
    pub fn computing(self, compute: Compute) -> Self {
        Self { compute, ..self }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn node(&self, name: &str) -> Process {
        Process::with(self.runner, self.dir.join(name), name)
    }

    fn gateway(&self) -> Process {
        Process::with(self.runner, self.dir.join(GATEWAY), GATEWAY)
    }

    /// State of the run; none when there was none.
    ///
    /// # Errors
    /// Fails when the folder holds something else.
    pub fn state(&self) -> Result<Option<State>, GridError> {
        State::load(&self.dir)
    }

    /// State of a node.
    pub fn node_state(&self, node: &NodeSpec) -> NodeState {
        match self.node(&node.name).is_running() {
            false => NodeState::Down,
            true => self.running_state(&node.name, &node.ready),
        }
    }

    /// The nodes that run, by name, with their processes, and the gateway.
    pub fn running(&self) -> BTreeMap<String, i32> {
        let run = running::real(&self.dir);
        let mut out = BTreeMap::new();
        for found in running::all().into_iter().filter(|found| found.run == run) {
            if let running::Part::Machine(name) = found.part {
                out.insert(name, found.pid);
            }
        }
        // Where the folder was moved, or the system tells less.
        for dir in folder::sorted(&self.dir).unwrap_or_default() {
            let Some(name) = dir.file_name().and_then(|n| n.to_str()) else { continue };
            if !out.contains_key(name)
                && let Some(pid) = self.node(name).listener()
            {
                out.insert(name.to_owned(), pid);
            }
        }
        out
    }

    /// As [`Grid::running`], without the gateway.
    pub fn running_nodes(&self) -> BTreeMap<String, i32> {
        let mut out = self.running();
        out.remove(GATEWAY);
        out
    }

    /// State of a node that runs; `ready` is the text on its console that shows
    /// that it is up.
    pub fn running_state(&self, name: &str, ready: &str) -> NodeState {
        let process = self.node(name);
        match process.paused() {
            Some(_) => NodeState::Paused,
            None if is_up(&process.said(), ready) => NodeState::Up,
            None => NodeState::Starting,
        }
    }

    /// Takes the lock of the folder, which is made if need be.
    fn lock(&self) -> Result<Lock, GridError> {
        let failed = |source| FolderError::Use { path: self.dir.clone(), source };
        if let Some(out) = self.dir.parent() {
            fs::create_dir_all(out).map_err(failed)?;
        }
        folder::make(&self.dir)?;
        let path = self.dir.join(LOCK);
        loop {
            let file = lock::open(&path).map_err(failed)?;
            if lock::attempt(&path, &file).map_err(failed)? == Taken::Busy {
                return Err(GridError::Busy);
            }
            // Somebody may have removed it between the two.
            let ours = file.metadata().map_err(failed)?;
            if fs::symlink_metadata(&path).is_ok_and(|m| (m.dev(), m.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Lock { _file: Held::new(file), path });
            }
        }
    }

    /// Starts the nodes in `names` that do not run, in that order, and waits
    /// until all of them are up; lets those go on that are paused. When one fails, what this call has started is
    /// turned off again.
    ///
    /// # Errors
    /// Fails when the host cannot run them or one does not come up.
    pub fn up(
        &self,
        spec: &GridSpec,
        names: &[String],
        settings: &UpSettings,
        watch: &dyn Watch,
    ) -> Result<State, GridError> {
        self.runner.check_host()?;
        let _lock = self.lock()?;
        let running = self.running();
        let named = names.iter().filter_map(|name| spec.nodes.iter().find(|n| n.name == *name));
        let (up, start): (Vec<_>, Vec<_>) = named.partition(|n| running.contains_key(&n.name));
        self.wishes(&up, settings)?;
        for node in &up {
            self.go_on(node, watch)?;
        }
        self.strangers(spec, &start, &running)?;
        let mut state = self.prepare(spec, settings, &running, watch)?;
        let nodes = running.keys().filter(|name| *name != GATEWAY).count();
        if nodes > 0 && !switch::is_running(&self.dir) {
            return Err(GridError::NoNetwork);
        }
        // The nodes that run already have theirs.
        if !settings.force {
            enough(&start, nodes, state.accel, self.runner.overhead())?;
        }
        let machines = start.iter().map(|n| n.machine(self.disk(n, settings), settings.firmware, state.accel));
        let machines = machines.collect::<Vec<_>>();
        self.runner.check(&machines)?;
        for node in &start {
            self.make_disk(node, settings.fresh, &state, watch)?;
        }
        // When all are there, as a tick of the clock must have gone by.
        for node in &start {
            let dir = self.dir.join(&node.name);
            if let Some(record) = Record::load(&dir).filter(Record::lacks_base) {
                record.with_base_of(&dir).save(&dir)?;
            }
        }
        watch.disks_are_ready();
        state.save(&self.dir)?;
        match self.start_and_wait(spec, &start, &mut state, settings, watch) {
            Err(GridError::Kvm { name, what }) if settings.accel.is_none() => {
                watch.fell_back(&name, what);
                (state.accel, state.kvm_hangs) = (Accel::Tcg, true);
                self.start_and_wait(spec, &start, &mut state, settings, watch)?;
            }
            result => result?,
        }
        Ok(state)
    }

    /// Lets a node that runs go on when it is paused, and says so.
    fn go_on(&self, node: &NodeSpec, watch: &dyn Watch) -> Result<(), GridError> {
        if self.node(&node.name).go_on()? {
            watch.note(&format!("{} was paused and goes on", node.name));
        }
        Ok(())
    }

    /// Refuses wishes that nodes in `up`, which run, cannot be given any more.
    fn wishes(&self, up: &[&NodeSpec], settings: &UpSettings) -> Result<(), GridError> {
        let names = |nodes: Vec<&&NodeSpec>| nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
        if settings.fresh && !up.is_empty() {
            return Err(GridError::Runs { names: names(up.iter().collect()), wish: Wish::Fresh });
        }
        if let Some(firmware) = settings.firmware {
            let both = names(up.iter().filter(|n| n.firmware == PcFirmware::Both).collect());
            if !both.is_empty() {
                return Err(GridError::Runs { names: both, wish: Wish::Firmware(firmware) });
            }
        }
        if let Some(accel) = settings.accel {
            let other = |n: &&&NodeSpec| Record::load(self.node(&n.name).dir()).is_some_and(|r| r.accel != accel);
            let others = names(up.iter().filter(other).collect());
            if !others.is_empty() {
                return Err(GridError::Runs { names: others, wish: Wish::Accel(accel) });
            }
        }
        Ok(())
    }

    /// Refuses to start a node while one runs under another name with its
    /// address, as after a change of its name.
    fn strangers(
        &self,
        spec: &GridSpec,
        start: &[&NodeSpec],
        running: &BTreeMap<String, i32>,
    ) -> Result<(), GridError> {
        for name in running.keys().filter(|name| !spec.nodes.iter().any(|n| n.name == **name)) {
            let ip = Record::load(self.node(name).dir()).map(|r| r.ip);
            if let Some(node) = start.iter().find(|n| Some(n.ip) == ip) {
                return Err(GridError::Address { node: node.name.clone(), ip: node.ip, other: name.clone() });
            }
        }
        Ok(())
    }

    /// The state to start with: ports and acceleration chosen, or those of
    /// what runs.
    fn prepare(
        &self,
        spec: &GridSpec,
        settings: &UpSettings,
        running: &BTreeMap<String, i32>,
        watch: &dyn Watch,
    ) -> Result<State, GridError> {
        let before = self.state()?.filter(|s| s.lab == spec.lab);
        let accel = settings.accel.unwrap_or_else(|| match &before {
            Some(s) if !running.is_empty() => s.accel,
            Some(s) if s.kvm_hangs => Accel::Tcg,
            _ => self.runner.fastest(),
        });
        let mut state = before.clone().unwrap_or_else(|| State::new(&spec.lab, accel));
        (state.accel, state.runner) = (accel, self.runner.name().to_owned());
        (state.file, state.user) = (spec.file.clone(), spec.user.clone());
        match gateway::load(self.gateway().dir()).filter(|_| before.is_some() && running.contains_key(GATEWAY)) {
            Some(gateway) => {
                if let Some(base) = settings.ports.filter(|base| *base != state.base) {
                    return Err(GridError::PortsRun { base: state.base, asked: base });
                }
                if let Some(base) = spec.base.filter(|base| *base != state.base) {
                    watch.ports_stay(state.base, base);
                }
                let held = |local: u16| gateway.forwards.contains_key(&local);
                state.ports = ports::assign(spec, state.base, &state.ports, Some(&held))?;
            }
            None => {
                let asked = settings.ports.or(spec.base);
                let (base, all) = ports::choose(spec, before.as_ref(), asked)?;
                if asked.is_none() && state.base != 0 && base != state.base {
                    watch.note(&format!(
                        "ports begin at {base}, because another program uses a port of those from {} on",
                        state.base
                    ));
                }
                (state.base, state.ports) = (base, all);
            }
        }
        Ok(state)
    }

    /// Starts nodes and waits for them; what it has started ends again when
    /// one fails.
    fn start_and_wait(
        &self,
        spec: &GridSpec,
        nodes: &[&NodeSpec],
        state: &mut State,
        settings: &UpSettings,
        watch: &dyn Watch,
    ) -> Result<(), GridError> {
        let mut started = Vec::new();
        watch.starts(nodes.len(), state.accel);
        let result = self.start_all(spec, nodes, state, settings, &mut started).and_then(|()| match settings.wait {
            true => ready::wait(&|name| self.node(name), nodes, state.accel, &state.ports, watch),
            false => Ok(()),
        });
        if result.is_err() {
            // The first error says more than one of the cleaning.
            for process in started.iter().rev() {
                let _ = process.quit(END);
            }
            if self.running_nodes().is_empty() {
                let _ = self.gateway().quit(END);
                let _ = switch::stop(&self.dir);
            }
        }
        result
    }

    fn start_all(
        &self,
        spec: &GridSpec,
        nodes: &[&NodeSpec],
        state: &mut State,
        settings: &UpSettings,
        started: &mut Vec<Process>,
    ) -> Result<(), GridError> {
        if !switch::is_running(&self.dir) {
            self.gateway().quit(END)?;
            switch::start(&spec.program, &self.dir, &spec.file)?;
        }
        self.open_gateway(spec, state, settings)?;
        state.save(&self.dir)?;
        for name in self.running_nodes().keys() {
            let dir = self.node(name).dir().to_owned();
            if let (Some(mut record), Some(ports)) = (Record::load(&dir), state.ports.get(name)) {
                record.ports.clone_from(ports);
                record.save(&dir)?;
            }
        }
        for some in nodes.chunks(AHEAD) {
            self.start_some(spec, some, state, settings, started)?;
        }
        Ok(())
    }

    /// Starts nodes, when the disks of all of them are being served: one that is computed takes a
    /// moment until it is.
    fn start_some(
        &self,
        spec: &GridSpec,
        nodes: &[&NodeSpec],
        state: &State,
        settings: &UpSettings,
        started: &mut Vec<Process>,
    ) -> Result<(), GridError> {
        let mut machines = Vec::new();
        for node in nodes {
            let process = self.node(&node.name);
            let ports = state.ports.get(&node.name).cloned().unwrap_or_default();
            let mut record = Record::new(node, state.accel, ports);
            if let Some(before) = Record::load(process.dir()) {
                (record.base, record.below) = (before.base, before.below);
            }
            record.save(process.dir())?;
            let machine = node.machine(node_disk::of(process.dir()), settings.firmware, state.accel);
            started.push(process.clone());
            process.prepare(&machine, &spec.program)?;
            machines.push((process, machine));
        }
        for (process, machine) in machines {
            process.start(&machine, self.compute)?;
        }
        Ok(())
    }

    /// Makes the gateway forward the lab's ports: the one that runs, or a new one.
    fn open_gateway(&self, spec: &GridSpec, state: &mut State, settings: &UpSettings) -> Result<(), GridError> {
        let process = self.gateway();
        folder::make(process.dir())?;
        // Nodes that run and are not in the lab any more keep their ports.
        let running = self.running_nodes();
        let strangers = running.keys().filter(|name| !spec.nodes.iter().any(|n| n.name == **name));
        let addresses: Vec<Ipv4Addr> =
            strangers.filter_map(|name| Some(Record::load(self.node(name).dir())?.ip)).collect();
        let theirs = |now: Gateway| now.forwards.into_iter().filter(|(_, to)| addresses.contains(to.ip()));
        for attempt in 1.. {
            let mut gateway = gateway::of(spec, &state.ports, &addresses)?;
            for (local, to) in gateway::load(process.dir()).into_iter().flat_map(theirs) {
                gateway.forwards.entry(local).or_insert(to);
            }
            if process.is_running() && gateway::apply(&gateway, &process)? {
                break;
            }
            process.quit(END)?;
            match process.start_gateway(&gateway) {
                Ok(()) => {
                    gateway::save(&gateway, process.dir())?;
                    break;
                }
                // Another lab was quicker, though they were free a moment ago.
                Err(GridError::Runner(RunnerError::Ports(_)))
                    if attempt < TRIES && settings.ports.or(spec.base).is_none() =>
                {
                    (state.base, state.ports) = ports::choose(spec, None, None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The disk that a node is started with, which is not made yet.
    fn disk(&self, node: &NodeSpec, settings: &UpSettings) -> Disk {
        match settings.fresh {
            true => node_disk::served(),
            false => node_disk::of(&self.dir.join(&node.name)),
        }
    }

    /// Makes the disk that a node writes to, over its artifact.
    fn make_disk(&self, node: &NodeSpec, fresh: bool, state: &State, watch: &dyn Watch) -> Result<(), GridError> {
        let dir = self.dir.join(&node.name);
        folder::make(&dir)?;
        let record = Record::load(&dir);
        if node_disk::exists(&dir) && !fresh {
            let recorded = record.as_ref().map(|r| &r.image);
            match recorded.or_else(|| state.copies.get(&node.name)) {
                Some(sha256) if *sha256 == node.sha256 => {}
                _ => return Err(self.other_base(node)),
            }
            return match &node.computed {
                Some(base) => Ok(base.save(&dir)?),
                None => self.base_is_whole(node, record, watch),
            };
        }
        if let Some(base) = &node.computed {
            node_disk::make_computed(&dir, base, self.runner.disk_len(node.board, base.len))?;
            return Record::new(node, state.accel, BTreeMap::new()).save(&dir);
        }
        let unusable = |source| GridError::Image { node: node.name.clone(), path: node.image.clone(), source };
        let len = node_disk::image(&node.image, node.format).map_err(unusable)?.len();
        node_disk::make(&dir, &node.image, node.format, self.runner.disk_len(node.board, len))?;
        Record::new(node, state.accel, BTreeMap::new()).save(&dir)
    }

    /// The error for a node with a disk over something else than the one that it is to start from.
    fn other_base(&self, node: &NodeSpec) -> GridError {
        let dir = self.dir.join(&node.name);
        let (name, copy) = (node.name.clone(), node_disk::file(&dir));
        match (node_disk::is_computed(&dir), node.computed.is_some()) {
            (false, false) => GridError::Rebuilt { node: name, copy },
            (true, true) => GridError::Recomputed { node: name, copy },
            (computed, _) => GridError::OtherStart { node: name, copy, computed },
        }
    }

    /// Makes sure that the image under a node's disk is still the one that it was: its other
    /// name is the artifact, which somebody may have written to.
    fn base_is_whole(&self, node: &NodeSpec, record: Option<Record>, watch: &dyn Watch) -> Result<(), GridError> {
        let dir = self.dir.join(&node.name);
        if node_disk::is_copy(&dir) || record.as_ref().is_some_and(|record| record.knows_base_of(&dir)) {
            return Ok(());
        }
        let is = |path: Option<PathBuf>, sha256: &str| {
            let found = path.and_then(|path| node_disk::regular(&path).and_then(digest::of).ok());
            found.is_some_and(|found| found == sha256)
        };
        let base = node_disk::base(&dir);
        let below = |base: Option<&Path>| match &node.base {
            Some(of) => is(base.and_then(node_disk::below), &of.sha256),
            None => true,
        };
        let is_whole = is(base.clone(), &node.sha256) && below(base.as_deref());
        if stop::asked() {
            return Err(GridError::Interrupted);
        }
        if !is_whole {
            node_disk::share_again(&dir, &node.image, node.format)?;
            watch.note(&format!(
                "the image under the disk of {} had changed since the node was started from it, and was put back: do not \
                 start other machines from it",
                node.name
            ));
        }
        match record {
            Some(record) => record.without_base().save(&dir),
            None => Ok(()),
        }
    }

    /// Writes a picture of a node's screen as PNG.
    ///
    /// # Errors
    /// Fails when the node does not run or the file cannot be written.
    pub fn screenshot(&self, node: &str, file: &Path) -> Result<(), GridError> {
        let process = self.node(node);
        if !process.is_running() {
            return Err(GridError::NotRunning { name: node.to_owned() });
        }
        let bytes = self.runner.screen(&process.folder, Picture::Png)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Use { path, source }
        };
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut new = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(at(file))?;
        std::io::Write::write_all(&mut new, &bytes).map_err(at(file))?;
        new.persist(file).map_err(|e| at(file)(e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::spec::tests::spec;
    use super::*;
    use crate::guest::machine::DiskFormat;
    use crate::guest::runner::PID;
    use crate::guest::runner::stub::{PAUSED, Stub};
    use crate::hex::hex;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn what_a_node_wrote_is_not_thrown_away_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let spec = spec(1);
        let copy = grid.dir().join("n1").join(node_disk::COPY);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(&copy, "precious").unwrap();
        let mut state = State::new("test", Accel::Tcg);
        let copied = |state: &State| grid.make_disk(&spec.nodes[0], false, state, &Silent);
        let error = copied(&state).unwrap_err();
        assert!(matches!(error, GridError::Rebuilt { .. }), "{error}");
        // As its own record says, or the run's, of before there were such.
        state.copies.insert("n1".into(), spec.nodes[0].sha256.clone());
        copied(&state).unwrap();
        state.copies.clear();
        Record::new(&spec.nodes[0], Accel::Tcg, BTreeMap::new()).save(copy.parent().unwrap()).unwrap();
        copied(&state).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"precious");
    }

    #[test]
    fn an_image_that_was_written_to_is_put_back_under_what_the_node_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let mut node = spec(1).nodes.remove(0);
        (node.image, node.format) = (dir.path().join("n1.img"), DiskFormat::Raw);
        let image = vec![3; 64 << 10];
        node.sha256 = hex(&Sha256::digest(&image));
        fs::write(&node.image, &image).unwrap();
        let state = State::new("test", Accel::Tcg);
        fs::create_dir(grid.dir()).unwrap();
        let make = |fresh| grid.make_disk(&node, fresh, &state, &Silent).unwrap();
        make(false);
        let folder = grid.dir().join("n1");
        let write = |at: u64, byte| {
            let (overlay, _held) = node_disk::open_for_writing(&folder, computed::nothing).unwrap();
            overlay.write_at(at, &[byte; 512]).unwrap();
        };
        let read = || {
            let mut out = vec![0; 64 << 10];
            node_disk::open(&folder, computed::nothing).unwrap().read_at(0, &mut out).unwrap();
            out
        };
        write(512, 9);
        let mut expected = image.clone();
        expected[512..1024].fill(9);
        let base = node_disk::base(&folder).unwrap();
        // Whoever ran QEMU on the artifact wrote to it; then it was built again.
        fs::write(&base, vec![4; 64 << 10]).unwrap();
        fs::write(dir.path().join("new"), &image).unwrap();
        fs::rename(dir.path().join("new"), &node.image).unwrap();
        assert!(read() != expected);
        make(false);
        assert!(read() == expected);
        fs::remove_file(&base).unwrap();
        make(false);
        assert!(read() == expected);
        make(true);
        assert!(read() == image);
        // Another image is not put under what was written over this one.
        node.sha256 = "00".into();
        let error = grid.make_disk(&node, false, &state, &Silent).unwrap_err();
        assert!(matches!(error, GridError::Rebuilt { .. }), "{error}");
    }

    #[test]
    fn one_p9img_at_a_time_starts_and_stops() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let _held = grid.lock().unwrap();
        assert!(matches!(grid.lock(), Err(GridError::Busy)));
        assert!(matches!(grid.down(&[], &["n1".into()], false, &Silent), Err(GridError::Busy)));
        drop(_held);
        grid.lock().unwrap().remove();
        assert!(!grid.dir().join(LOCK).exists());
        grid.lock().unwrap();
    }

    #[test]
    fn a_lab_runs_in_another_runner() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::with(&Stub { refuses: false }, dir.path());
        let mut spec = spec(2);
        // It ends at once: no machine here has a network.
        spec.program = "true".into();
        for node in &mut spec.nodes {
            node.image = dir.path().join(format!("{}.img", node.name));
            node.format = crate::guest::DiskFormat::Raw;
            (node.memory, node.shell) = (1 << 20, false);
            node.ports.clear();
            fs::write(&node.image, [1; 4096]).unwrap();
        }
        let names: Vec<String> = spec.nodes.iter().map(|n| n.name.clone()).collect();
        let settings = UpSettings { fresh: false, ports: None, accel: None, firmware: None, wait: true, force: false };
        let state = grid.up(&spec, &names, &settings, &Silent).unwrap();
        assert_eq!(state.accel, Accel::Tcg);
        let running: Vec<String> = grid.running_nodes().into_keys().collect();
        assert_eq!(running, names);
        // Whoever comes later asks the runner that started it.
        let grid = Grid::new(dir.path());
        assert_eq!(grid.runner.name(), "the stub");
        let state = || grid.node_state(&spec.nodes[0]);
        assert_eq!(state(), NodeState::Up);
        let png = dir.path().join("n1.png");
        grid.screenshot("n1", &png).unwrap();
        assert_eq!(fs::read(png).unwrap(), b"Png of n1");
        fs::write(grid.node("n1").folder.file(PAUSED), "").unwrap();
        assert_eq!(state(), NodeState::Paused);
        assert!(grid.node("n1").go_on().unwrap());
        assert_eq!(state(), NodeState::Up);
        // One alone, and then the rest with the gateway.
        assert!(grid.down(&spec.nodes, &names[..1], false, &Silent).unwrap().is_empty());
        assert_eq!(state(), NodeState::Down);
        assert_eq!(grid.running().len(), 2);
        assert!(grid.down(&spec.nodes, &[], false, &Silent).unwrap().is_empty());
        assert!(grid.running().is_empty());
        assert!(matches!(grid.screenshot("n1", &dir.path().join("none")), Err(GridError::NotRunning { .. })));
        assert!(!grid.node("n1").folder.file(PID).exists());
    }
}
