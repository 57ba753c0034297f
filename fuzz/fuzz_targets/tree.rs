#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { if data.len()>4 && &data[..4]==b"abcd" { panic!("found"); } });
