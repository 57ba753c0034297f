//! Halting a node from its console, so that fossil is whole.

use super::{GridError, NodeSpec, Process};
use crate::guest::session::Session;
use std::time::Duration;

/// For one node on a core of its own.
const HALT: Duration = Duration::from_secs(60);

/// Types fshalt(8) on the node's console and waits for its end; `share` nodes
/// halt on one core at the same time.
///
/// # Errors
/// When the node has no shell on its console or does not come to its end.
pub fn halt(process: &Process, node: &NodeSpec, share: u32) -> Result<(), GridError> {
    let not_halted = || GridError::NotHalted { name: node.name.clone(), tail: process.tail() };
    let mut session = Session::open(process, node, HALT * share)?;
    let console = session.console();
    console.send_line("fshalt").map_err(|_| not_halted())?;
    console.wait_for("done halting", HALT * share).map_err(|_| not_halted())?;
    Ok(())
}
