//! Interrupts: the first asks the build to stop and clean up, the second ends
//! the program at once.

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Exit code of a program that an interrupt ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Returns a flag that becomes true when the user interrupts.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered first, so that it sees the flag as it was before this signal.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, flag.clone())
            .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
            .context("Cannot listen for interrupts")?;
    }
    Ok(flag)
}
