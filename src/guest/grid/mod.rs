//! A lab that runs: its nodes in QEMU on one private network, and a gateway
//! through which this host reaches them. No root is needed.
//!
//! ```text
//! OUT/run/lab.json         what is known of the run
//! OUT/run/NODE/disk.img    what the node writes to, a sparse copy of its artifact
//! OUT/run/NODE/serial.log  what its console said since it was started
//! OUT/run/NODE/*.sock pid  how to talk to its QEMU
//! OUT/run/.gateway/        the same for the gateway
//! ```
//!
//! Every QEMU is a process of its own that outlives p9img. Nothing here is
//! remembered that can be asked: whether a node runs, QEMU answers; whether it
//! is up, its console log says.

mod error;
mod gateway;
mod halt;
mod process;
mod state;
mod switch;

pub use error::GridError;
pub use process::Process;
pub use state::State;
pub use switch::serve_stdin;

use super::pi::{self, Loaded};
use super::probe::{self, Accel};
use super::qemu::{Disk, DiskFormat, Link, Machine, NetworkCard};
use super::{uboot, uefi};
use crate::lab::{Board, Controller, Mac, Nic};
use crate::read_at::{HostFile, ReadAt};
use crate::render::Port;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Name of the gateway's folder; no node can have it, as its name is theirs.
const GATEWAY: &str = ".gateway";
/// Raw: in a qcow2 over the artifact, what the guest believes written would be
/// lost when QEMU is killed, because it keeps the tables that lead to new
/// clusters in memory, and Plan 9 turns on the disk's cache for writes.
const COPY: &str = "disk.img";
/// Software emulation of more nodes than this on one core is no use.
const NODES_PER_CORE: usize = 4;
/// Memory that QEMU needs beside the machine's own, in bytes.
const QEMU_ITSELF: u64 = 96 << 20;
/// How long QEMU may take to end.
const END: Duration = Duration::from_secs(30);
/// A node under KVM has said its first word long before.
const SILENT: Duration = Duration::from_secs(20);

/// A lab to be run: all of its nodes, in its order.
#[derive(Clone, Debug)]
pub struct GridSpec {
    pub lab: String,
    /// The p9img to be started as the lab's switch, which outlives this one.
    pub program: PathBuf,
    pub subnet: ipnet::Ipv4Net,
    pub gateway: Option<Ipv4Addr>,
    pub nodes: Vec<NodeSpec>,
}

/// One node of it.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    pub name: String,
    /// The artifact that the node starts from, and its SHA-256 in hexadecimal.
    pub image: PathBuf,
    pub format: DiskFormat,
    pub sha256: String,
    pub board: Board,
    pub controller: Controller,
    /// Whether nothing but UEFI starts it.
    pub uefi: bool,
    pub nic: Nic,
    pub mac: Mac,
    pub ip: Ipv4Addr,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// What its console says when it is up.
    pub ready: String,
    /// Whether a shell of the host owner is on its console.
    pub shell: bool,
    pub ports: Vec<Port>,
}

/// How to start.
#[derive(Clone, Copy, Debug)]
pub struct UpSettings {
    /// Throw away what the nodes have written.
    pub fresh: bool,
    /// Local ports begin after this.
    pub ports: u16,
    /// `None`: the fastest that works.
    pub accel: Option<Accel>,
    /// Wait until the nodes are up.
    pub wait: bool,
    /// Start more nodes than this machine can carry.
    pub force: bool,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    Down,
    /// Runs, but has not come to its prompt.
    Starting,
    Up,
}

/// Hears of what happens while nodes start and stop.
pub trait Watch: Sync {
    /// A node has come to a new state, `elapsed` after the start.
    fn node(&self, name: &str, state: NodeState, elapsed: Duration);
    /// KVM was tried and a node was silent in it, so that it is started again
    /// in software emulation.
    fn fell_back(&self, name: &str);
    /// Whether the user wants no more of it.
    fn cancelled(&self) -> bool;
}

/// A [`Watch`] that says nothing and never stops.
pub struct Silent;

impl Watch for Silent {
    fn node(&self, _: &str, _: NodeState, _: Duration) {}
    fn fell_back(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// The folder of a run.
pub struct Grid {
    dir: PathBuf,
}

/// Held while nodes are started or stopped.
pub struct Lock {
    _file: File,
}

impl Grid {
    pub fn new(out: &Path) -> Self {
        Self { dir: out.join("run") }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn node(&self, name: &str) -> Process {
        Process::new(self.dir.join(name), name)
    }

    fn gateway(&self) -> Process {
        Process::new(self.dir.join(GATEWAY), GATEWAY)
    }

    /// What is known of the run; none when there was none.
    ///
    /// # Errors
    /// When the folder holds something else.
    pub fn state(&self) -> Result<Option<State>, GridError> {
        State::load(&self.dir)
    }

    /// What a node is doing.
    pub fn node_state(&self, node: &NodeSpec) -> NodeState {
        let process = self.node(&node.name);
        match process.is_running() {
            false => NodeState::Down,
            true if is_up(&process, node) => NodeState::Up,
            true => NodeState::Starting,
        }
    }

    fn lock(&self) -> Result<Lock, GridError> {
        let failed = |source| GridError::Folder { path: self.dir.clone(), source };
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join(".lock"));
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(GridError::Busy),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Starts the nodes in `names` that do not run, in that order, and waits
    /// until all of them are up. When one fails, what this call has started is
    /// turned off again.
    ///
    /// # Errors
    /// When the host cannot run them or one does not come up.
    pub fn up(
        &self,
        spec: &GridSpec,
        names: &[String],
        settings: &UpSettings,
        watch: &dyn Watch,
    ) -> Result<State, GridError> {
        probe::version()?;
        let _lock = self.lock()?;
        let named = names.iter().filter_map(|name| spec.nodes.iter().find(|n| n.name == *name));
        let (running, start): (Vec<_>, Vec<_>) = named.partition(|n| self.node(&n.name).is_running());
        let gateway = self.gateway();
        let mut state = match self.state()?.filter(|s| s.lab == spec.lab) {
            Some(state) if gateway.is_running() => state,
            old => {
                let hangs = old.as_ref().is_some_and(|s| s.kvm_hangs);
                let accel = settings.accel.unwrap_or_else(|| if hangs { Accel::Tcg } else { probe::accel() });
                let ports = gateway::ports(spec, settings.ports)?;
                let mut state = State::new(&spec.lab, accel, ports);
                state.kvm_hangs = hangs;
                state.copies = old.map(|s| s.copies).unwrap_or_default();
                state
            }
        };
        if !switch::is_running(&state.network) && spec.nodes.iter().any(|n| self.node(&n.name).is_running()) {
            return Err(GridError::NoNetwork);
        }
        // The nodes that run already have theirs.
        if !settings.force {
            enough(&start, running.len(), state.accel)?;
        }
        for node in &start {
            self.copy(node, settings.fresh, &mut state)?;
        }
        state.save(&self.dir)?;
        match self.start_and_wait(spec, &start, &mut state, settings, watch) {
            Err(GridError::Silent { name, .. }) if settings.accel.is_none() => {
                watch.fell_back(&name);
                (state.accel, state.kvm_hangs) = (Accel::Tcg, true);
                self.start_and_wait(spec, &start, &mut state, settings, watch)?;
            }
            result => result?,
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
        let result = self.start_all(spec, nodes, state, &mut started).and_then(|()| match settings.wait {
            true => self.wait(nodes, state.accel, watch),
            false => Ok(()),
        });
        if result.is_err() {
            for process in started.iter().rev() {
                // The first error says more than one of the cleaning.
                let _ = process.quit(END);
            }
        }
        result
    }

    fn start_all(
        &self,
        spec: &GridSpec,
        nodes: &[&NodeSpec],
        state: &mut State,
        started: &mut Vec<Process>,
    ) -> Result<(), GridError> {
        let gateway = self.gateway();
        if !gateway.is_running() || !switch::is_running(&state.network) {
            gateway.quit(END)?;
            state.network = switch::start(&spec.program)?;
            gateway.start(gateway::arguments(spec, &state.ports, &state.network)?, false)?;
            started.push(gateway);
        }
        state.save(&self.dir)?;
        for node in nodes {
            let process = self.node(&node.name);
            if node.board.is_pi() {
                self.start_pi(node, &process)?;
                started.push(process);
                continue;
            }
            let disk = Disk { path: COPY.into(), format: DiskFormat::Raw, keep_writes: true };
            let mut machine = Machine::new(node.controller, disk);
            (machine.memory, machine.cpus, machine.accel) = (node.memory, node.cpus, state.accel);
            if node.board == Board::Virt {
                // What was found out of KVM is of the processors of PCs.
                machine.accel = Accel::Tcg;
                machine.uboot = Some(uboot::find().ok_or_else(|| GridError::NoUboot { node: node.name.clone() })?);
            }
            if node.uefi {
                machine.uefi = Some(uefi::find().ok_or_else(|| GridError::NoUefi { node: node.name.clone() })?);
            }
            let link = Link::Switch(state.network.clone());
            machine.network = Some(NetworkCard { model: node.nic, mac: node.mac, link });
            process.start_with(machine.program(), machine.hardware(), true)?;
            started.push(process);
        }
        Ok(())
    }

    /// Starts a Pi from its card, as its firmware would.
    fn start_pi(&self, node: &NodeSpec, process: &Process) -> Result<(), GridError> {
        if !node.board.is_emulated() {
            return Err(GridError::NotEmulated { node: node.name.clone(), board: node.board.name() });
        }
        let card = process.dir.join(COPY);
        let failed = |source| GridError::Folder { path: card.clone(), source };
        let opened: Arc<dyn ReadAt> = Arc::new(File::open(&card).and_then(HostFile::new).map_err(failed)?);
        let loaded = Loaded::from_card(&opened, pi::CMDLINE)
            .map_err(|source| GridError::Pi { node: node.name.clone(), source: Box::new(source) })?;
        for (file, bytes) in [(pi::START, &loaded.start), (pi::KERNEL, &loaded.kernel)] {
            fs::write(process.dir.join(file), bytes).map_err(failed)?;
        }
        // QEMU's cards are as large as a power of two.
        let len = opened.len();
        OpenOptions::new().write(true).open(&card).and_then(|f| f.set_len(len.next_power_of_two())).map_err(failed)?;
        let args = pi::arguments(COPY.as_ref(), pi::START.as_ref(), pi::KERNEL.as_ref());
        process.start_with(pi::QEMU, args, true)
    }

    /// Makes the file that a node writes to, a copy of its artifact.
    fn copy(&self, node: &NodeSpec, fresh: bool, state: &mut State) -> Result<(), GridError> {
        let dir = self.dir.join(&node.name);
        let path = dir.join(COPY);
        let failed = |source| GridError::Folder { path: path.clone(), source };
        fs::create_dir_all(&dir).map_err(failed)?;
        if path.exists() && !fresh {
            return match state.copies.get(&node.name) {
                Some(sha256) if *sha256 == node.sha256 => Ok(()),
                _ => Err(GridError::Rebuilt { node: node.name.clone(), copy: path }),
            };
        }
        let image = std::path::absolute(&node.image).map_err(failed)?;
        let partial = path.with_extension("partial");
        let output =
            duct::cmd!(probe::QEMU_IMG, "convert", "-q", "-f", node.format.name(), "-O", "raw", image, &partial)
                .stdin_null()
                .stderr_to_stdout()
                .stdout_capture()
                .unchecked()
                .run()
                .map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let _ = fs::remove_file(partial);
            return Err(GridError::Copy { path, said });
        }
        fs::rename(&partial, &path).map_err(failed)?;
        state.copies.insert(node.name.clone(), node.sha256.clone());
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline for running machines; no artifact sees it")]
    fn wait(&self, nodes: &[&NodeSpec], accel: Accel, watch: &dyn Watch) -> Result<(), GridError> {
        let begin = Instant::now();
        // About 15 s each on an idle core in software; the limit is for a busy one.
        let share = if accel == Accel::Tcg { nodes.len().div_ceil(cores()) as u64 } else { 1 };
        let limit = Duration::from_secs(120 + 120 * share);
        let mut waiting: Vec<_> = nodes.to_vec();
        while !waiting.is_empty() {
            for node in std::mem::take(&mut waiting) {
                let process = self.node(&node.name);
                // Asked first: what it said before it ended is then in the log.
                let running = process.is_running();
                if is_up(&process, node) {
                    watch.node(&node.name, NodeState::Up, begin.elapsed());
                    continue;
                }
                let (name, tail) = (node.name.clone(), process.tail());
                if !running {
                    return Err(GridError::Ended { name, tail });
                }
                if accel == Accel::Kvm && begin.elapsed() > SILENT && process.has_said_nothing() {
                    return Err(GridError::Silent { name, seconds: SILENT.as_secs() });
                }
                if begin.elapsed() > limit {
                    return Err(GridError::NotUp { name, seconds: limit.as_secs(), tail });
                }
                waiting.push(node);
            }
            if watch.cancelled() {
                return Err(GridError::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        Ok(())
    }

    /// Halts the nodes in `names` that run, all at the same time, and turns
    /// them off; the gateway too when no node is left. A node that cannot be
    /// halted goes on, and is among the errors that are returned. `force` does
    /// not halt. Nor can a terminal be halted: no shell is on its console.
    ///
    /// # Errors
    /// When a machine cannot be turned off.
    pub fn down(
        &self,
        spec: &GridSpec,
        names: &[String],
        force: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<GridError>, GridError> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let nodes: Vec<&NodeSpec> = spec.nodes.iter().filter(|n| names.contains(&n.name)).collect();
        let accel = self.state()?.map_or(Accel::Tcg, |s| s.accel);
        let share = if accel == Accel::Tcg { nodes.len().div_ceil(cores()) as u32 } else { 1 };
        let ends: Vec<_> = std::thread::scope(|scope| {
            let work: Vec<_> = nodes.iter().map(|n| scope.spawn(move || self.end(n, force, share, watch))).collect();
            work.into_iter().map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
        });
        let mut complaints = Vec::new();
        for end in ends {
            complaints.extend(end?);
        }
        if spec.nodes.iter().all(|n| !self.node(&n.name).is_running()) {
            self.gateway().quit(END)?;
        }
        Ok(complaints)
    }

    /// Halts and turns off one node; says why if it still runs.
    #[expect(clippy::disallowed_methods, reason = "how long it took, for people; no artifact sees it")]
    fn end(&self, node: &NodeSpec, force: bool, share: u32, watch: &dyn Watch) -> Result<Option<GridError>, GridError> {
        let process = self.node(&node.name);
        if !process.is_running() {
            return Ok(None);
        }
        let begin = Instant::now();
        if !force
            && node.shell
            && let Err(error) = halt::halt(&process, node, share)
        {
            return Ok(Some(error));
        }
        process.quit(END)?;
        watch.node(&node.name, NodeState::Down, begin.elapsed());
        Ok(None)
    }

    /// Writes a picture of a node's screen as PNG.
    ///
    /// # Errors
    /// When the node does not run or the file cannot be written.
    pub fn screenshot(&self, node: &str, file: &Path) -> Result<(), GridError> {
        let path = std::path::absolute(file).map_err(|source| GridError::Folder { path: file.to_owned(), source })?;
        let arguments = serde_json::json!({ "filename": path.to_string_lossy(), "format": "png" });
        let process = self.node(node);
        if !process.is_running() {
            return Err(GridError::NotRunning { name: node.to_owned() });
        }
        process.control("screendump", arguments).map(drop)
    }
}

/// Whether a node's console says that it is up.
fn is_up(process: &Process, node: &NodeSpec) -> bool {
    let log = fs::read(process.log()).unwrap_or_default();
    let text: Vec<u8> = log.into_iter().filter(|b| *b != b'\r').collect();
    super::console::find(&text, node.ready.as_bytes()).is_some()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Whether this machine can carry the nodes.
fn enough(start: &[&NodeSpec], running: usize, accel: Accel) -> Result<(), GridError> {
    let needed = start.iter().map(|n| n.memory + QEMU_ITSELF).sum();
    if let Some(available) = available_memory().filter(|a| *a < needed) {
        return Err(GridError::Memory { nodes: start.len(), needed, available });
    }
    let nodes = start.len() + running;
    if accel == Accel::Tcg && !start.is_empty() && nodes > cores() * NODES_PER_CORE {
        return Err(GridError::Cores { nodes, cores: cores(), each: NODES_PER_CORE });
    }
    Ok(())
}

/// Bytes of memory that programs can still have; not known everywhere.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|k| k << 10)
}

/// A flag that others set as a [`Watch`] that stops.
impl Watch for AtomicBool {
    fn node(&self, _: &str, _: NodeState, _: Duration) {}
    fn fell_back(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lab of `n` nodes without disks.
    pub(super) fn spec(n: u8) -> GridSpec {
        let node = |i: u8| NodeSpec {
            name: format!("n{i}"),
            image: format!("n{i}.qcow2").into(),
            format: DiskFormat::Qcow2,
            sha256: format!("{i:064}"),
            board: Board::Pc,
            controller: Controller::Ide,
            uefi: false,
            nic: Nic::E1000,
            mac: Mac([0x52, 0x54, 0, 9, 0, i]),
            ip: [10, 9, 0, 10 + i].into(),
            cpus: 1,
            memory: 512 << 20,
            ready: format!("\nn{i}# "),
            shell: true,
            ports: vec![Port { name: "cpu".into(), tcp: 17010, only: None }],
        };
        GridSpec {
            lab: "test".into(),
            program: "p9img".into(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            gateway: Some([10, 9, 0, 1].into()),
            nodes: (1..=n).map(node).collect(),
        }
    }

    #[test]
    fn a_machine_that_is_too_small_is_told_what_it_lacks() {
        let mut spec = spec(2);
        for node in &mut spec.nodes {
            node.memory = 1 << 50;
        }
        let nodes: Vec<_> = spec.nodes.iter().collect();
        let said = enough(&nodes, 0, Accel::Kvm).unwrap_err().to_string();
        assert!(said.starts_with("2 nodes need 2147483840 MiB"), "{said}");
        let many = super::tests::spec(200);
        let mut nodes: Vec<NodeSpec> = many.nodes.into_iter().cycle().take(cores() * NODES_PER_CORE + 1).collect();
        for node in &mut nodes {
            node.memory = 1 << 20;
        }
        let nodes: Vec<_> = nodes.iter().collect();
        let said = enough(&nodes, 0, Accel::Tcg).unwrap_err().to_string();
        assert!(said.contains(&format!("need {} processors", cores() + 1)), "{said}");
        assert!(enough(&nodes[1..], 0, Accel::Tcg).is_ok());
        assert!(enough(&nodes[1..], 1, Accel::Tcg).is_err());
        assert!(enough(&nodes, 0, Accel::Kvm).is_ok());
    }

    #[test]
    fn what_a_node_wrote_is_not_thrown_away_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let spec = spec(1);
        let copy = grid.dir().join("n1").join(COPY);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(&copy, "precious").unwrap();
        let mut state = State::new("test", Accel::Tcg, Default::default());
        let error = grid.copy(&spec.nodes[0], false, &mut state).unwrap_err();
        assert!(matches!(error, GridError::Rebuilt { .. }), "{error}");
        state.copies.insert("n1".into(), spec.nodes[0].sha256.clone());
        grid.copy(&spec.nodes[0], false, &mut state).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"precious");
    }

    #[test]
    fn one_p9img_at_a_time_starts_and_stops() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let _held = grid.lock().unwrap();
        assert!(matches!(grid.lock(), Err(GridError::Busy)));
        assert!(matches!(grid.down(&spec(1), &["n1".into()], false, &Silent), Err(GridError::Busy)));
    }
}
