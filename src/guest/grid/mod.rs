//! A lab that runs: its nodes as machines of a [runner](super::runner) on one
//! private network, and a gateway through which this host reaches them.
//!
//! ```text
//! OUT/run/lab.json         state of the run
//! OUT/run/network.sock     socket of the switch
//! OUT/run/NODE/disk.img    disk of the node, a sparse copy of its artifact
//! OUT/run/NODE/node.json   record to find and stop it without the lab
//! OUT/run/NODE/serial.log  output of its console since it was started
//! OUT/run/NODE/*.sock pid  sockets and process of its machine
//! OUT/run/.gateway/        the same for the gateway
//! ```
//!
//! Every machine is a process of its own that outlives p9img. Nothing here is
//! remembered that can be asked: whether a node runs, the system and the runner
//! answer; whether it is up, its console log says.

mod down;
mod error;
mod gateway;
mod halt;
mod image;
mod listen;
mod pause;
mod ports;
mod process;
mod ready;
mod record;
pub mod running;
pub mod session;
mod state;
#[cfg(test)]
pub(super) mod stub;
mod switch;

pub use error::{GridError, Wish};
pub use image::regular;
pub use pause::Paused;
pub use process::Process;
pub use record::Record;
pub use state::State;
pub use switch::serve_stdin;

use super::folder::{self, FolderError};
use super::gateway::Gateway;
use super::machine::{Accel, Disk, DiskFormat, Firmware, Machine, NetworkCard};
use super::runner::{Picture, RUNNERS, Runner, RunnerError};
use crate::lab::{Board, Boot, Controller, Mac, Nic, PcFirmware};
use crate::lock::{self, Taken};
use crate::render::Port;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Name of the gateway's folder; no node can have it, as its name is theirs.
const GATEWAY: &str = ".gateway";
/// Raw: in a qcow2 over the artifact, what the guest believes written would be
/// lost when QEMU is killed, because it keeps the tables that lead to new
/// clusters in memory, and Plan 9 turns on the disk's cache for writes.
const COPY: &str = "disk.img";
/// Software emulation of more nodes than this on one core is no use.
const NODES_PER_CORE: usize = 4;
/// Longest time for a machine to end.
const END: Duration = Duration::from_secs(30);
/// Under KVM the first output comes much earlier.
const SILENT: Duration = Duration::from_secs(20);
/// A node under KVM that has said something is up, or says more, long before.
const HANGS: Duration = Duration::from_secs(30);

/// Times that a start is tried when ports that were free are taken meanwhile.
const TRIES: usize = 3;
/// File that is locked while nodes are started or stopped.
const LOCK: &str = ".lock";

/// A lab to be run: all of its nodes, in its order.
#[derive(Clone, Debug)]
pub struct GridSpec {
    pub lab: String,
    /// File that describes it.
    pub file: PathBuf,
    /// User whom people log in as.
    pub user: String,
    /// Base of the lab's ports of this machine.
    pub base: Option<u16>,
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
    /// Firmware that can start it.
    pub firmware: PcFirmware,
    pub nic: Nic,
    pub mac: Mac,
    pub ip: Ipv4Addr,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Text on its console that shows that it is up.
    pub ready: String,
    /// Whether a shell of the host owner is on its console.
    pub shell: bool,
    /// Whether rio is to come on its screen before it is up.
    pub screen: bool,
    pub ports: Vec<Port>,
}

impl NodeSpec {
    /// Firmware that starts the node when `wanted` is asked for. One that can
    /// do both is started by the BIOS unless UEFI is asked for.
    pub fn starts_by(&self, wanted: Option<Firmware>) -> Firmware {
        match self.firmware {
            PcFirmware::Uefi => Firmware::Uefi,
            PcFirmware::Both => wanted.unwrap_or(Firmware::Bios),
            PcFirmware::Bios => Firmware::Bios,
        }
    }

    /// Whether it has a choice of firmware.
    pub fn is_pc(&self) -> bool {
        self.board.boot() == Boot::Pc
    }

    /// The machine that it is, with its own copy of its image as the disk.
    pub fn machine(&self, wanted: Option<Firmware>, accel: Accel) -> Machine {
        let disk = Disk { path: COPY.into(), format: DiskFormat::Raw, keep_writes: true };
        Machine {
            name: self.name.clone(),
            board: self.board,
            firmware: self.starts_by(wanted),
            network: Some(NetworkCard { model: self.nic, mac: self.mac }),
            memory: self.memory,
            cpus: self.cpus,
            accel,
            ..Machine::new(self.controller, disk)
        }
    }
}

/// Settings of a start.
#[derive(Clone, Copy, Debug)]
pub struct UpSettings {
    /// Throw away what the nodes have written.
    pub fresh: bool,
    /// Local ports begin after this; `None`: where the lab wants them, else
    /// where they were, else where some are free.
    pub ports: Option<u16>,
    /// `None`: the fastest that works.
    pub accel: Option<Accel>,
    /// Firmware for PCs that support both.
    pub firmware: Option<Firmware>,
    /// Wait until the nodes are up.
    pub wait: bool,
    /// Start more nodes than this machine can carry.
    pub force: bool,
}

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    Down,
    /// Runs, but has not come to its prompt.
    Starting,
    Up,
    /// Runs, but its processors are stopped.
    Paused,
}

/// Hears of what happens while nodes start and stop.
pub trait Watch: Sync {
    /// Nodes are started.
    fn starts(&self, _nodes: usize, _accel: Accel) {}
    /// A node has come to a new state, `elapsed` after the start.
    fn node(&self, name: &str, state: NodeState, elapsed: Duration);
    /// KVM was tried and a node fails in it, as `what` says, so that it is
    /// started again in software emulation.
    fn fell_back(&self, name: &str, what: &str);
    /// Something that the user should know.
    fn note(&self, _: &str) {}
    /// Ports begin at `base` as long as the lab runs, though it gives `own` now.
    fn ports_stay(&self, _base: u16, _own: u16) {}
    /// A node is up, but one of its services does not answer on its port of
    /// this machine.
    fn deaf(&self, _name: &str, _service: &str, _port: u16) {}
    /// Whether the user wants no more of it.
    fn cancelled(&self) -> bool;
}

/// A [`Watch`] that says nothing and never stops.
pub struct Silent;

impl Watch for Silent {
    fn node(&self, _: &str, _: NodeState, _: Duration) {}
    fn fell_back(&self, _: &str, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// The folder of a run.
pub struct Grid {
    dir: PathBuf,
    runner: &'static dyn Runner,
}

/// Held while nodes are started or stopped.
pub struct Lock {
    _file: File,
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
    pub fn new(out: &Path) -> Self {
        Self::with(RUNNERS[0], out)
    }

    /// The run in the folder `out`, whose machines `runner` runs.
    pub fn with(runner: &'static dyn Runner, out: &Path) -> Self {
        Self { dir: out.join("run"), runner }
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
                return Ok(Lock { _file: file, path });
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
        let machines = start.iter().map(|n| n.machine(settings.firmware, state.accel)).collect::<Vec<_>>();
        self.runner.check(&machines)?;
        for node in &start {
            self.copy(node, settings.fresh, &state, watch)?;
        }
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
        state.accel = accel;
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
            true => ready::wait(self, nodes, state.accel, &state.ports, watch),
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
        for node in nodes {
            let process = self.node(&node.name);
            let ports = state.ports.get(&node.name).cloned().unwrap_or_default();
            Record::new(node, state.accel, ports).save(process.dir())?;
            process.start(&node.machine(settings.firmware, state.accel))?;
            started.push(process);
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

    /// Makes the file that a node writes to, a copy of its artifact.
    fn copy(&self, node: &NodeSpec, fresh: bool, state: &State, watch: &dyn Watch) -> Result<(), GridError> {
        let dir = self.dir.join(&node.name);
        let path = dir.join(COPY);
        folder::make(&dir)?;
        if fs::symlink_metadata(&path).is_ok() && !fresh {
            let recorded = Record::load(&dir).map(|r| r.image);
            return match recorded.as_ref().or_else(|| state.copies.get(&node.name)) {
                Some(sha256) if *sha256 == node.sha256 => Ok(()),
                _ => Err(GridError::Rebuilt { node: node.name.clone(), copy: path }),
            };
        }
        image::copy(node, &path, watch)?;
        Record::new(node, state.accel, BTreeMap::new()).save(&dir)
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

/// Whether a node's console says that it is up.
fn is_up(said: &[u8], ready: &str) -> bool {
    let text: Vec<u8> = said.iter().copied().filter(|b| *b != b'\r').collect();
    super::console::find(&text, ready.as_bytes()).is_some()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Whether this host can carry the nodes, each of which takes `overhead` bytes of
/// memory in addition to its own.
fn enough(start: &[&NodeSpec], running: usize, accel: Accel, overhead: u64) -> Result<(), GridError> {
    let needed = start.iter().map(|n| n.memory + overhead).sum();
    if let Some(available) = available_memory().filter(|a| *a < needed) {
        return Err(GridError::Memory { nodes: start.len(), needed, available });
    }
    let nodes = start.len() + running;
    if accel == Accel::Tcg && !start.is_empty() && nodes > cores() * NODES_PER_CORE {
        return Err(GridError::Cores { nodes, cores: cores(), each: NODES_PER_CORE });
    }
    Ok(())
}

/// Bytes of memory that programs can still have; not every system tells it.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|k| k << 10)
}

/// A flag that others set as a [`Watch`] that stops.
impl Watch for AtomicBool {
    fn node(&self, _: &str, _: NodeState, _: Duration) {}
    fn fell_back(&self, _: &str, _: &str) {}
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
            firmware: PcFirmware::Bios,
            nic: Nic::E1000,
            mac: Mac([0x52, 0x54, 0, 9, 0, i]),
            ip: [10, 9, 0, 10 + i].into(),
            cpus: 1,
            memory: 512 << 20,
            ready: format!("\nn{i}# "),
            shell: true,
            screen: false,
            ports: vec![Port { name: "cpu".into(), tcp: 17010, only: None }],
        };
        GridSpec {
            lab: "test".into(),
            file: "lab.toml".into(),
            user: "glenda".into(),
            base: None,
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
        let said = enough(&nodes, 0, Accel::Kvm, 96 << 20).unwrap_err().to_string();
        assert!(said.starts_with("2 nodes need 2147483840 MiB"), "{said}");
        let many = super::tests::spec(200);
        let mut nodes: Vec<NodeSpec> = many.nodes.into_iter().cycle().take(cores() * NODES_PER_CORE + 1).collect();
        for node in &mut nodes {
            node.memory = 1 << 20;
        }
        let nodes: Vec<_> = nodes.iter().collect();
        let said = enough(&nodes, 0, Accel::Tcg, 0).unwrap_err().to_string();
        assert!(said.contains(&format!("need {} processors", cores() + 1)), "{said}");
        assert!(enough(&nodes[1..], 0, Accel::Tcg, 0).is_ok());
        assert!(enough(&nodes[1..], 1, Accel::Tcg, 0).is_err());
        assert!(enough(&nodes, 0, Accel::Kvm, 0).is_ok());
    }

    #[test]
    fn a_disk_with_both_starts_as_it_is_asked_to() {
        let mut node = spec(1).nodes.remove(0);
        let mut starts = |firmware, wanted| {
            node.firmware = firmware;
            node.starts_by(wanted)
        };
        for wanted in [None, Some(Firmware::Bios), Some(Firmware::Uefi)] {
            assert_eq!(starts(PcFirmware::Bios, wanted), Firmware::Bios);
            assert_eq!(starts(PcFirmware::Uefi, wanted), Firmware::Uefi);
            assert_eq!(starts(PcFirmware::Both, wanted), wanted.unwrap_or(Firmware::Bios));
        }
    }

    #[test]
    fn what_a_node_wrote_is_not_thrown_away_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let spec = spec(1);
        let copy = grid.dir().join("n1").join(COPY);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(&copy, "precious").unwrap();
        let mut state = State::new("test", Accel::Tcg);
        let copied = |state: &State| grid.copy(&spec.nodes[0], false, state, &Silent);
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
}
