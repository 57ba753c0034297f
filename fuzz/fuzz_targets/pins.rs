//! `p9img.lock`, and the records that the store writes for files and downloads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::media::fetch::Note;
use p9img::media::pins::Pins;
use p9img::media::store::Record;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Pins::parse(Path::new("p9img.lock"), text) {
        Ok(pins) => {
            // What is written is read back as it was, and written the same again.
            let written = pins.text();
            let again = Pins::parse(Path::new("p9img.lock"), &written).expect("its own text");
            assert_eq!(again, pins);
            assert_eq!(again.text(), written);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(record) = Record::parse(text) {
        assert_eq!(record.text(), text);
    }
    let note = Note::parse(text);
    assert_eq!(Note::parse(&note.text()), note);
});
