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
mod served;
mod users;
mod venti;
mod whole;

use p9img_test::guest::Guest;
use std::time::Duration;

/// Long enough for the sample's boot program on a machine that is busy.
const SAMPLE_LIMIT: Duration = Duration::from_secs(120);

/// Waits for the sample's line: exactly `line`, and then the end of power.
fn expect_sample_line(guest: &mut Guest, line: &str) {
    let found = guest.console.wait_for("p9img sample (not Plan 9): ", SAMPLE_LIMIT);
    let rest = found.and_then(|_| guest.console.wait_for("\n", SAMPLE_LIMIT)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rest.trim_end(), line);
    guest.wait_for_power_off(SAMPLE_LIMIT).unwrap_or_else(|e| panic!("{e}"));
}
