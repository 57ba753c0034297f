//! secrets.toml.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::lab::secrets::Secrets;
use p9img_fuzz::Scratch;
use std::sync::LazyLock;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("secrets"));

fuzz_target!(|data: &[u8]| {
    SCRATCH.write("secrets.toml", data);
    match Secrets::load(SCRATCH.path(), "bootes") {
        Ok(Some(secrets)) => {
            assert!(secrets.password("bootes").is_some());
            let _ = secrets.derive("label");
        }
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
