//! Other people's tools. A test that misses one says SKIPPED and passes, or
//! fails if `P9IMG_REQUIRE_TOOLS` is 1.

use crate::skip::skipped;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether a missing tool is a failure.
pub fn required() -> bool {
    std::env::var_os("P9IMG_REQUIRE_TOOLS").is_some_and(|v| v == "1")
}

/// Whether all of `tools` can be run.
///
/// # Panics
/// Panics when one is missing and a missing tool is a failure.
pub fn have(test: &str, tools: &[&str]) -> bool {
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

/// Text that a tool prints; none when it is not installed.
///
/// # Panics
/// Panics when the tool fails, or is missing and a missing tool is a failure.
pub fn tool(name: &str, args: &[&str]) -> Option<String> {
    run(name, args, None)
}

/// As [`tool`], in a folder.
///
/// # Panics
/// As [`tool`].
pub fn run(name: &str, args: &[&str], dir: Option<&Path>) -> Option<String> {
    output(name, args, dir).map(|out| String::from_utf8_lossy(&out).into_owned())
}

/// As [`run`], with the bytes that the tool prints.
///
/// # Panics
/// As [`tool`].
pub fn output(name: &str, args: &[&str], dir: Option<&Path>) -> Option<Vec<u8>> {
    // Folders of tools for administrators, which not every user has in PATH.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    command.args(args).env("PATH", path).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    succeeded(name, command.output())
}

fn succeeded(name: &str, output: io::Result<Output>) -> Option<Vec<u8>> {
    match output {
        Ok(out) => {
            let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            assert!(out.status.success(), "{name}: {}\n{said}{errors}", out.status);
            Some(out.stdout)
        }
        Err(e) => {
            assert!(!required(), "{name}: {e}");
            skipped(format_args!("{name}: {e}"));
            None
        }
    }
}
