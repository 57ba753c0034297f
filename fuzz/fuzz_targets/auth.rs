//! The nvram block and the key file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::auth::{DesKey, KeyFile, Nvram, NvramError};

fuzz_target!(|data: &[u8]| {
    let mut block = data.to_vec();
    // Right the checksums, as many as there are, so that the fields count.
    for _ in 0..4 {
        match Nvram::parse(&block) {
            Err(NvramError::Sum { at, expected, .. }) => block[at] = expected,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                break;
            }
            Ok(nvram) => {
                if let Ok(again) = nvram.to_bytes() {
                    assert_eq!(Nvram::parse(&again).as_ref(), Ok(&nvram));
                }
                break;
            }
        }
    }

    let key = DesKey([1, 2, 3, 4, 5, 6, 7]);
    let _ = KeyFile::parse(data, key);
    // Encrypted first, so that the input is what the parser sees.
    let mut file = data.to_vec();
    if file.len() >= 8 {
        key.cbc_encrypt(&mut file);
    }
    if let Ok(keys) = KeyFile::parse(&file, key)
        && let Ok(again) = keys.to_bytes(key)
    {
        assert_eq!(KeyFile::parse(&again, key).expect("what was just written").records.len(), keys.records.len());
    }
});
