//! Files that p9img writes, judged by other people's tools, and files that they
//! write, read by p9img. A test that misses a tool or a medium says `SKIPPED`
//! and passes, or fails if `P9IMG_REQUIRE_TOOLS` is 1.

mod disk;
mod fat;
mod iso;
#[path = "../skip/mod.rs"]
mod skip;

use crate::skip::skipped;
use p9img::ReadAt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn required() -> bool {
    std::env::var_os("P9IMG_REQUIRE_TOOLS").is_some_and(|v| v == "1")
}

/// A file of a real medium, or `None` with a loud word.
fn medium_file(medium: &str, path: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let media =
        std::env::var_os("P9IMG_TEST_MEDIA").map_or_else(|| home.join(".cache/p9img-test-media"), PathBuf::from);
    let file = media.join(medium).join(path);
    if file.exists() {
        return Some(file);
    }
    // A medium is no tool, but a folder that is named has to be there.
    assert!(
        std::env::var_os("P9IMG_TEST_MEDIA").is_none() || media.is_dir(),
        "P9IMG_TEST_MEDIA is {}, which is no folder",
        media.display()
    );
    skipped(format_args!("{} is missing", file.display()));
    None
}

/// Runs a tool with `IMAGE` in its arguments replaced by a path; `None` with a
/// loud word when it is not installed. What it prints is the answer.
fn tool(name: &str, args: &[&str], image: &Path) -> Option<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let image = image.to_str().expect("a plain path");
    let args = args.iter().map(|a| a.replace("IMAGE", image));
    match Command::new(name).args(args).env("PATH", path).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output() {
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let errors = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{name}: {}\n{text}{errors}", out.status);
            Some(text)
        }
        Err(e) => {
            assert!(!required(), "{name}: {e}");
            skipped(format_args!("{name}: {e}"));
            None
        }
    }
}

fn bytes(source: &dyn ReadAt) -> Vec<u8> {
    let mut out = vec![0; source.len() as usize];
    source.read_at(0, &mut out).unwrap();
    out
}
