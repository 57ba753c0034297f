//! Halting a node from its console, so that fossil is whole.

use super::session::Session;
use super::{GridError, Process};
use std::time::Duration;

/// For one node on a core of its own.
const HALT: Duration = Duration::from_secs(60);

/// Types fshalt(8) on the node's console and waits for its end; `share` nodes
/// halt on one core at the same time.
///
/// # Errors
/// Fails when the console is in use, shows no prompt, or the node does not come
/// to its end: it then still runs.
pub fn halt(process: &Process, share: u32) -> Result<(), GridError> {
    let limit = HALT * share;
    let not_halted =
        || GridError::NotHalted { name: process.name().to_owned(), seconds: limit.as_secs(), tail: process.tail() };
    let mut session = Session::open(process, true, limit)?;
    let console = session.console();
    console.send_line("fshalt").map_err(|_| not_halted())?;
    console.wait_for("done halting", limit).map_err(|_| not_halted())?;
    Ok(())
}
