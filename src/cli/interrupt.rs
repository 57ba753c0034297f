//! Interrupts: the first asks the build to stop and clean up, the second ends
//! the program at once.

use crate::stop;
use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Exit code of a program that an interrupt ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Returns a flag that becomes true when the user interrupts.
///
/// # Errors
/// Fails when the signal handlers cannot be installed.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    listen().context("Cannot listen for interrupts")
}

/// As [`flag`], with the error of the operating system alone.
///
/// # Errors
/// As [`flag`].
pub fn listen() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered first: it acts on the flag as it was before this signal.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, flag.clone())
            .and_then(|_| signal_hook::flag::register(signal, flag.clone()))?;
    }
    stop::listen(&flag);
    Ok(flag)
}

/// Lets a write past `ulimit -f` fail with an error of its own, instead of ending
/// the program without a message. The signal is caught rather than ignored:
/// programs that are started from here get its usual action.
pub fn outlive_file_limit() {
    // If it cannot be caught, the program behaves as usual.
    let _ = signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), Arc::default());
}
