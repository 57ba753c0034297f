//! lab.toml: mistakes with places, or a lab.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::lab::{Lab, Need, RoleFacts};
use std::path::Path;
use std::sync::LazyLock;

static FACTS: LazyLock<Vec<RoleFacts>> = LazyLock::new(|| {
    let role = |name: &str, needs: &[&str], conflicts: &[&str], partitions: &[&str]| RoleFacts {
        name: name.into(),
        needs: needs.iter().map(|s| Need::from(*s)).collect(),
        conflicts: conflicts.iter().map(|s| s.to_string()).collect(),
        partitions: partitions.iter().map(|s| s.to_string()).collect(),
        ..RoleFacts::default()
    };
    vec![
        role("cpu", &[], &["terminal"], &[]),
        role("fs", &["cpu|terminal"], &[], &["other"]),
        RoleFacts { at_most_one: true, ..role("auth", &["cpu"], &[], &[]) },
        role("replica", &[], &["fs"], &[]),
        role("terminal", &[], &["cpu"], &[]),
        role("venti", &["cpu"], &[], &["arenas", "isect", "bloom"]),
    ]
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Lab::parse(text, "lab.toml", Path::new("lab"), &FACTS) {
        Ok(lab) => assert!(!lab.nodes.is_empty(), "a lab has a node"),
        Err(mistakes) => {
            assert!(mistakes.count() > 0);
            assert!(!mistakes.render(false).is_empty() && !mistakes.render(true).is_empty());
        }
    }
});
