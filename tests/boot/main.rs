//! Disks judged by machines that start from them.
//!
//! `loader` tries the sample medium's boot program on disks put together
//! here; `sample` and `legacy` build whole labs with the program itself, as a
//! user does, and boot every artifact: from the embedded medium, and from
//! 9legacy where it is there.

mod archive;
mod built;
mod front;
mod front_cuts;
mod front_cwfs;
mod front_files;
mod front_gefs;
mod front_iso;
mod front_machines;
mod front_own;
mod grid;
mod installed;
mod iso;
mod legacy;
mod loader;
mod mixed;
mod pi;
mod plan9;
mod running;
mod sample;
#[path = "../skip/mod.rs"]
mod skip;
#[path = "../sparse/mod.rs"]
mod sparse;
mod users;
mod venti;

use crate::skip::skipped;
use p9img::guest::Guest;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for the sample's boot program on a machine that is busy.
const SAMPLE_LIMIT: Duration = Duration::from_secs(120);

fn required() -> bool {
    std::env::var_os("P9IMG_REQUIRE_TOOLS").is_some_and(|v| v == "1")
}

/// Whether `tools` can be run; says so loudly when not, and fails when they
/// are required.
fn have(test: &str, tools: &[&str]) -> bool {
    let runs = |tool: &str| {
        let quiet = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok()
    };
    let missing: Vec<&str> = tools.iter().copied().filter(|t| !runs(t)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(!required(), "{} required but not installed", missing.join(", "));
    skipped(format_args!("{test}: no {}", missing.join(", ")));
    false
}

/// Waits for the sample's line: exactly `line`, and then the end of power.
fn expect_sample_line(guest: &mut Guest, line: &str) {
    let found = guest.console.wait_for("p9img sample (not Plan 9): ", SAMPLE_LIMIT);
    let rest = found.and_then(|_| guest.console.wait_for("\n", SAMPLE_LIMIT)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rest.trim_end(), line);
    guest.wait_for_power_off(SAMPLE_LIMIT).unwrap_or_else(|e| panic!("{e}"));
}
