//! Files that p9img writes, judged by other people's tools, and files that they
//! write, read by p9img. A test that misses a tool or a medium says `SKIPPED`
//! and passes, or fails if `P9IMG_REQUIRE_TOOLS` is 1.

mod disk;
mod fat;
mod iso;

use p9img::ReadAt;
use std::path::{Path, PathBuf};

/// A file of a real medium, if it is there.
fn medium_file(medium: &str, path: &str) -> Option<PathBuf> {
    p9img_test::media::file("foreign_tools", medium, path)
}

/// Text that a tool prints when it is run with `IMAGE` in its arguments replaced
/// by a path; none when it is not installed.
fn tool(name: &str, args: &[&str], image: &Path) -> Option<String> {
    let image = image.to_str().expect("a plain path");
    let args: Vec<String> = args.iter().map(|a| a.replace("IMAGE", image)).collect();
    p9img_test::tools::tool(name, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn bytes(source: &dyn ReadAt) -> Vec<u8> {
    let mut out = vec![0; source.len() as usize];
    source.read_at(0, &mut out).unwrap();
    out
}
