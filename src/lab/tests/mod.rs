//! Labs right and wrong, and what is said of them.

mod any;
mod good;
#[cfg(unix)]
mod secrets;
#[cfg(unix)]
mod secrets_link;
mod wrong;

use super::{Lab, Mistakes, Need, RoleFacts};
use std::path::Path;

/// Roles with every sort of fact, so that the tests do not depend on `roles/`.
fn facts() -> Vec<RoleFacts> {
    let role = |name: &str| RoleFacts { name: name.into(), ..RoleFacts::default() };
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let needs = |needs: &[&str]| needs.iter().map(|need| Need::from(*need)).collect::<Vec<_>>();
    vec![
        RoleFacts { needs: needs(&["fs|replica"]), at_most_one: true, ..role("auth") },
        RoleFacts { conflicts: words(&["terminal"]), ..role("cpu") },
        // More than fit into fifty tens.
        RoleFacts { ports: (1..=520).collect(), ..role("fs") },
        RoleFacts {
            conflicts: words(&["fs"]),
            needs_in_lab: needs(&["fs"]),
            needs_on_medium: needs(&["fs"]),
            ..role("replica")
        },
        role("terminal"),
        RoleFacts { partitions: words(&["arenas", "isect", "bloom"]), ..role("venti") },
    ]
}

fn parse(text: &str) -> Result<Lab, Mistakes> {
    Lab::parse(text, "lab.toml", Path::new("dir"), &facts())
}
