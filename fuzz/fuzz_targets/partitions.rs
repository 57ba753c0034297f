//! Sector 0 and the Plan 9 partition's text table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::disk::{Chs, Mbr, prep};

fuzz_target!(|data: &[u8]| {
    let mut sector = [0u8; 512];
    let len = data.len().min(512);
    sector[..len].copy_from_slice(&data[..len]);
    let (entries, wrong) = prep::decode(&sector);
    let _ = wrong.map(|w| w.to_string());
    if prep::verify(&entries, 1 << 40).is_ok() && !entries.is_empty() {
        // What passes as a table is written back as it was read.
        let again = prep::encode(&entries, 1 << 40).expect("a table that verify accepts");
        assert_eq!(prep::decode(&again), (entries, None));
    }
    // Most inputs would fail at the signature.
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    if let Ok(mbr) = Mbr::decode(&sector) {
        let again = mbr.encode(Chs::guess(1 << 22)).expect("code of 446 bytes");
        assert_eq!(Mbr::decode(&again).as_ref(), Ok(&mbr));
        for entry in mbr.entries.iter().flatten() {
            assert!(entry.end() >= u64::from(entry.start));
        }
    }
});
