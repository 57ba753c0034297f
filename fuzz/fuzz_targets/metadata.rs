//! The replica database that a 9legacy medium carries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::media::Database;

fuzz_target!(|data: &[u8]| match Database::parse(data) {
    Ok(database) => drop(database.get(b"386/bin/cat")),
    Err(error) => assert!(error.to_string().len() < 400, "a message is for people: {error}"),
});
