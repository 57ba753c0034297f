//! A lab's own role: `role.toml`, and after a zero byte a file of the role.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::render::Catalog;
use p9img_fuzz::Scratch;
use std::sync::LazyLock;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("role"));

fuzz_target!(|data: &[u8]| {
    let (toml, file) = data.split_at(data.iter().position(|b| *b == 0).unwrap_or(data.len()));
    SCRATCH.write("roles/mine/role.toml", toml);
    SCRATCH.write("roles/mine/file", file.get(1..).unwrap_or_default());
    match Catalog::load(SCRATCH.path()) {
        Ok(catalog) => assert!(catalog.facts().iter().any(|f| f.name == "mine")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
