//! Why a lab cannot be run.

use crate::guest::pi::PiError;
use crate::guest::probe::ProbeError;
use crate::guest::qmp::QmpError;
use std::io;
use std::path::PathBuf;

/// See each message.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("Cannot use {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{} is not this p9img's: remove the folder it is in", path.display())]
    State { path: PathBuf },
    #[error("Another p9img is starting or stopping this lab: wait until it has ended")]
    Busy,
    #[error("Port 127.0.0.1:{port}, meant for {service} of {node}, is taken: choose others with --ports BASE")]
    Port { port: u16, service: String, node: String, source: io::Error },
    #[error("There are not enough ports after {base} for the lab: choose a smaller --ports BASE")]
    PortsEnd { base: u16 },
    #[error("The lab's network has ended though nodes run on it: `p9img down`, then start again")]
    NoNetwork,
    #[error(
        "The network {subnet} needs three addresses that no node has, for the way in from this machine: make it larger"
    )]
    NoAddress { subnet: ipnet::Ipv4Net },
    #[error(
        "{nodes} nodes need {} MiB of memory, but this machine has {} MiB left: name the nodes to start, or give them \
         less memory", needed >> 20, available >> 20
    )]
    Memory { nodes: usize, needed: u64, available: u64 },
    #[error(
        "{nodes} nodes in software emulation need {} processors, but this machine has {cores}: name up to {} nodes to \
         start, or use a machine with KVM", nodes.div_ceil(*each), cores * each
    )]
    Cores { nodes: usize, cores: usize, each: usize },
    #[error(
        "The image of {node} was built again since it last ran: what the node wrote since then is on {}; start over \
         with --fresh, which throws that away", copy.display()
    )]
    Rebuilt { node: String, copy: PathBuf },
    #[error("qemu-img cannot make {}: {said}", path.display())]
    Copy { path: PathBuf, said: String },
    #[error("Cannot start {node} from its card")]
    Pi { node: String, source: Box<PiError> },
    #[error(
        "{node} is started by U-Boot, and there is none for QEMU's ARM machine: install it (Debian: u-boot-qemu), or \
         name its u-boot.bin in {}",
        crate::guest::uboot::VARIABLE
    )]
    NoUboot { node: String },
    #[error("QEMU has no board that starts the kernel of {node}, a {board}: see doc/pi.md")]
    NotEmulated { node: String, board: &'static str },
    #[error(
        "{node} starts from UEFI, but there is no UEFI firmware for QEMU here: install it (Debian: ovmf), or build the \
         node with `firmware = \"both\"`"
    )]
    NoUefi { node: String },
    #[error("QEMU does not start {name}: {said}")]
    Start { name: String, said: String },
    #[error("{name} does not obey")]
    Control { name: String, source: QmpError },
    #[error("{name} is down: start it with `p9img up {name}`")]
    NotRunning { name: String },
    #[error("{name} still runs (process {pid}) though it was told to end")]
    WillNotEnd { name: String, pid: i32 },
    #[error("{name} ended before it was up; its serial console ends with:\n{tail}")]
    Ended { name: String, tail: String },
    #[error("{name} is not up after {seconds} seconds; its serial console ends with:\n{tail}")]
    NotUp { name: String, seconds: u64, tail: String },
    #[error(
        "{name} was told to halt and has not after {seconds} seconds, so it still runs: look at it with `p9img \
         console {name}`, or pull its plug with --force; its serial console ends with:\n{tail}"
    )]
    NotHalted { name: String, seconds: u64, tail: String },
    #[error("The console of {name} is in use by another p9img: leave that first")]
    ConsoleBusy { name: String },
    #[error("The console of {name} shows no prompt: something runs there; look at it with `p9img console {name}`")]
    NoPrompt { name: String },
    /// Only between two attempts to start; see [`Watch::fell_back`](super::Watch::fell_back).
    #[error("{name} says nothing after {seconds} seconds under KVM: start it with --accel tcg")]
    Silent { name: String, seconds: u64 },
    #[error("Interrupted")]
    Interrupted,
}
