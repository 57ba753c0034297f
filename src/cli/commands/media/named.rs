//! Media by the names that a user gives.

use crate::cli::outcome::Usage;
use crate::lab::{Lab, Medium, releases};
use crate::media::pins::Pins;

/// A medium of the lab or a known release.
pub fn find(lab: &Lab, name: &str) -> Option<Medium> {
    lab.media.get(name).cloned().or_else(|| releases::find(name).map(|r| r.medium()))
}

/// Names of the lab's media and of those in its `p9img.lock`.
pub fn names(lab: &Lab, pins: &Pins) -> Vec<String> {
    let mut names: Vec<String> = lab.media.keys().chain(pins.media.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Error about a name that no medium has.
pub fn unknown(name: &str, known: &[String]) -> anyhow::Error {
    let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
    Usage(format!("The lab has no medium {name:?}: {known}")).into()
}
