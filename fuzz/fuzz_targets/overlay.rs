//! A node's disk whose tables are damaged, read and written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::artifact::qcow2::{Overlay, Qcow2};
use p9img::read_at::{HostFile, ReadAt};
use p9img_fuzz::Scratch;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, LazyLock};

const LEN: u64 = 5 << 20;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("overlay"));

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let base = Arc::new(vec![1; 3 << 20]);
    let mut new = File::options();
    new.read(true).write(true).create(true).truncate(true);
    let file = new.open(SCRATCH.path().join("overlay")).expect("room for a small file");
    let again = || file.try_clone().expect("one more number");
    Overlay::create(&file, LEN, "base.img", "raw").expect("a small overlay");
    let (mut steps, wounds) = (rest.chunks_exact(5), kind & 1 == 1);
    let mut expected = vec![1; 3 << 20];
    expected.resize(LEN as usize, 0);
    let mut overlay = Overlay::open(again(), base.clone()).expect("a new overlay");
    for step in steps.by_ref().take(40) {
        let at = u64::from(u32::from_be_bytes([0, step[1], step[2], step[3]])) % LEN;
        match step[0] % 4 {
            0 if wounds => {
                let len = file.metadata().expect("a file of our own").len();
                file.write_all_at(&step[4..], at % len).expect("room");
            }
            1 => match Overlay::open(again(), base.clone()) {
                Ok(new) => overlay = new,
                Err(e) => {
                    assert!(wounds, "{e}");
                    return;
                }
            },
            _ => {
                let len = (usize::from(step[4]) * 97).min((LEN - at) as usize);
                match overlay.write_at(at, &vec![step[4]; len]) {
                    Ok(()) => expected[at as usize..at as usize + len].fill(step[4]),
                    Err(e) => assert!(wounds, "{e}"),
                }
            }
        }
    }
    let mut found = vec![0; LEN as usize];
    let read = overlay.read_at(0, &mut found);
    let _ = overlay.extents();
    if !wounds {
        assert!(read.is_ok() && found == expected);
    }
    let bytes = Arc::new(HostFile::new(again()).expect("a file of our own"));
    if let Ok(image) = Qcow2::open_over(bytes, &|_| Ok(base.clone())) {
        let read = image.read_at(0, &mut found);
        assert!(wounds || read.is_ok() && found == expected);
    }
});
