//! Files that a build reads back from its output folder: SHA256SUMS,
//! manifest.json.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::artifact::manifest::Manifest;
use p9img::artifact::{Folder, Wait, sums};
use p9img_fuzz::Scratch;
use std::sync::LazyLock;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("records"));

fuzz_target!(|data: &[u8]| {
    SCRATCH.write("SHA256SUMS", data);
    SCRATCH.write("manifest.json", data);
    let folder = Folder::lock(SCRATCH.path(), Wait::Yes).expect("a folder of our own");
    if let Err(error) = sums::load(&folder) {
        assert!(!error.to_string().is_empty());
    }
    let _ = Manifest::load(SCRATCH.path());
});
