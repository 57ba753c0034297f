//! What happens while nodes start and stop, and who hears of it.

use crate::guest::machine::Accel;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    /// All nodes that are started have their disks; none runs yet.
    fn disks_are_ready(&self) {}
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

/// A flag that others set as a [`Watch`] that stops.
impl Watch for AtomicBool {
    fn node(&self, _: &str, _: NodeState, _: Duration) {}
    fn fell_back(&self, _: &str, _: &str) {}
    fn cancelled(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}
