//! Reason why a lab cannot be run.

use crate::count;
use crate::guest::folder::FolderError;
use crate::guest::machine::{Accel, Firmware};
use crate::guest::runner::RunnerError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A wish that only nodes which are down can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Fresh,
    Firmware(Firmware),
    Accel(Accel),
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("A start from the image"),
            Self::Firmware(firmware) => write!(f, "The firmware {}", firmware.name()),
            Self::Accel(accel) => write!(f, "The acceleration {}", accel.name()),
        }
    }
}

/// See each message.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    #[error(transparent)]
    Runner(#[from] RunnerError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{} was written by another version of p9img, or is damaged; remove it (the files of the nodes remain)", path.display())]
    State { path: PathBuf },
    #[error("Another p9img is starting or stopping this lab: wait until it has ended")]
    Busy,
    #[error("Port 127.0.0.1:{port} for {service} of {node} is in use: choose other ports")]
    Port { port: u16, service: String, node: String, source: io::Error },
    #[error("There are not enough ports after {base} for the lab, as 65535 is the last")]
    PortsEnd { base: u16 },
    #[error("The lab's network has ended though nodes run on it")]
    NoNetwork,
    #[error(
        "The network {subnet} needs three addresses that no node has, for the gateway to this machine: make it larger"
    )]
    NoAddress { subnet: ipnet::Ipv4Net },
    #[error(
        "{nodes} {} MiB of memory, but this machine has {} MiB left: name the nodes to start, or give them \
         less memory", needed >> 20, available >> 20, nodes = count::either(nodes, "node needs", "nodes need")
    )]
    Memory { nodes: usize, needed: u64, available: u64 },
    #[error(
        "{nodes} {}, but this machine has {cores}: name up to {} to \
         start, or use a machine with KVM", count::of(nodes.div_ceil(*each), "processor"), count::of(cores * each, "node"), nodes = count::either(nodes, "node in software emulation needs", "nodes in software emulation need")
    )]
    Cores { nodes: usize, cores: usize, each: usize },
    #[error(
        "The image of {node} was built again since the node last ran, and the node's own files are on {}", copy.display()
    )]
    Rebuilt { node: String, copy: PathBuf },
    #[error(
        "The disk of {node} is computed from its lab, roles, passwords, media and p9img, and one of these has changed \
         since the node last ran: what the node wrote, {}, belongs to the disk as it was", copy.display()
    )]
    Recomputed { node: String, copy: PathBuf },
    /// A disk that is `computed` is to go on over an image, or one over an image without.
    #[error(
        "{node} was started {} an image, and the node's own files are on {}",
        if *computed { "without" } else { "from" }, copy.display()
    )]
    OtherStart { node: String, copy: PathBuf, computed: bool },
    #[error("Cannot use the image of {node}, {}", path.display())]
    Image { node: String, path: PathBuf, source: io::Error },
    #[error("{wish} is for nodes that are down, but {} {}", names.join(" and "),
        if names.len() == 1 { "runs" } else { "run" })]
    Runs { names: Vec<String>, wish: Wish },
    #[error("{node} has the address {ip}, which {other} has, and {other} still runs")]
    Address { node: String, ip: std::net::Ipv4Addr, other: String },
    #[error("Ports begin at {base} while the lab runs, so they cannot begin at {asked}")]
    PortsRun { base: u16, asked: u16 },
    #[error(transparent)]
    Paused(#[from] super::paused::Paused),
    #[error("{name} is down")]
    NotRunning { name: String },
    #[error("{name} still runs (process {pid}), although it was told to end")]
    WillNotEnd { name: String, pid: i32 },
    #[error("{name} ended before it was up; its serial console ends with:\n{tail}")]
    Ended { name: String, tail: String },
    #[error("{name} is not up after {seconds}; its serial console ends with:\n{tail}", seconds = count::of(seconds, "second"))]
    NotUp { name: String, seconds: u64, tail: String },
    #[error(
        "The screen of {name} {why}, so its user cannot work there{}; its serial console ends with:\n{tail}",
        picture.as_ref().map(|p| format!(" (a picture of it is in {})", p.display())).unwrap_or_default()
    )]
    NoRio { name: String, why: &'static str, tail: String, picture: Option<PathBuf> },
    #[error(
        "{name} did not halt within {seconds} and still runs; its serial console ends with:\n{tail}", seconds = count::of(seconds, "second")
    )]
    NotHalted { name: String, seconds: u64, tail: String },
    #[error("The console of {name} is in use by another p9img: leave that one first")]
    ConsoleBusy { name: String },
    #[error("The console of {name} shows no prompt, because a command runs there")]
    NoPrompt { name: String },
    #[error("{name} {what} under KVM, as happens inside other virtual machines")]
    Kvm { name: String, what: &'static str },
    #[error("Interrupted")]
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::GridError;

    #[test]
    fn one_node_is_not_many() {
        let said = |nodes| GridError::Memory { nodes, needed: 512 << 20, available: 1 << 20 }.to_string();
        assert!(said(1).starts_with("1 node needs 512 MiB of memory, but this machine has 1 MiB left"), "{}", said(1));
        assert!(said(2).starts_with("2 nodes need 512 MiB"), "{}", said(2));
        let said = GridError::Cores { nodes: 3, cores: 1, each: 2 }.to_string();
        let want =
            "3 nodes in software emulation need 2 processors, but this machine has 1: name up to 2 nodes to start";
        assert!(said.starts_with(want), "{said}");
    }
}
