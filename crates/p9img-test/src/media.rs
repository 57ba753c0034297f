//! Real media of this machine: folders `9legacy` and `9front` below
//! `P9IMG_TEST_MEDIA`, or else below `~/.cache/p9img-test-media`.
//!
//! A machine may have no media, or one of them: a test that needs another says
//! SKIPPED. If `P9IMG_TEST_MEDIA` is set, it has to name a folder with at least one
//! of them.

use crate::skip::skipped;
use std::path::PathBuf;

/// Names of the media that tests know.
const NAMES: [&str; 2] = ["9legacy", "9front"];

/// Folder of the media.
///
/// # Panics
/// Panics when `P9IMG_TEST_MEDIA` names a folder that contains no medium.
fn folder() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let Some(named) = std::env::var_os("P9IMG_TEST_MEDIA").map(PathBuf::from) else {
        return home.join(".cache/p9img-test-media");
    };
    assert!(
        NAMES.iter().any(|name| named.join(name).is_dir()),
        "P9IMG_TEST_MEDIA is {}, in which there is neither {}",
        named.display(),
        NAMES.join(" nor ")
    );
    named
}

/// Folder of a medium, if it is there.
///
/// # Panics
/// Panics when `P9IMG_TEST_MEDIA` names a folder that contains no medium.
pub fn medium(test: &str, name: &str) -> Option<PathBuf> {
    let medium = folder().join(name);
    if medium.is_dir() {
        return Some(medium);
    }
    skipped(format_args!("{test}: no medium {name} (set P9IMG_TEST_MEDIA)"));
    None
}

/// As [`medium`], but if `P9IMG_TEST_MEDIA` is set, the folder has to contain the
/// medium: for tests that are about this medium.
///
/// # Panics
/// Panics when `P9IMG_TEST_MEDIA` names a folder without the medium.
pub fn own_medium(test: &str, name: &str) -> Option<PathBuf> {
    let medium = medium(test, name);
    let named = std::env::var_os("P9IMG_TEST_MEDIA");
    assert!(medium.is_some() || named.is_none(), "P9IMG_TEST_MEDIA is {named:?}, in which there is no {name}");
    medium
}

/// A file of a medium, if it is there.
///
/// # Panics
/// As [`medium`].
pub fn file(test: &str, name: &str, path: &str) -> Option<PathBuf> {
    let file = medium(test, name)?.join(path);
    if file.exists() {
        return Some(file);
    }
    skipped(format_args!("{test}: {} is missing", file.display()));
    None
}

/// Debian's package of the Raspberry Pi's firmware, if it is there.
///
/// # Panics
/// Panics when `P9IMG_TEST_FIRMWARE` names a file that does not exist.
pub fn firmware() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("P9IMG_TEST_FIRMWARE").map(PathBuf::from) {
        assert!(named.exists(), "P9IMG_TEST_FIRMWARE is set, but {} is missing", named.display());
        return Some(named);
    }
    let packages = std::fs::read_dir(folder().join("pi-firmware")).ok()?;
    packages.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "deb"))
}
