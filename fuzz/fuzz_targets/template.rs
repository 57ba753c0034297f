//! A template of a lab's own: a message, or text, and an end in any case.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::template::Templates;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut templates = Templates::new(str::to_owned);
    match templates.add("x", text) {
        Ok(()) => drop(templates.render_value("x", &["a", "b", "c"])),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});
