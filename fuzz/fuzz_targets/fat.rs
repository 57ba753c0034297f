//! A FAT volume, 9fat's kind: opening, walking, reading, checking, dumping.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::fs::fat::{Fat, FatFile, FatFs, Options};
use p9img::tree::Content;
use p9img_fuzz::{EPOCH, Image, Wounded, look};
use std::sync::{Arc, LazyLock};

/// FAT12 with two reserved sectors, files of several clusters and a directory.
static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let file = |name: &str, len: usize| FatFile::new(name, Content::bytes(vec![0; len]), EPOCH);
    let files =
        [file("9load", 9000), file("9pccpuf", 30_000), file("plan9.ini", 300), file("dir/a.txt", 0), file("dir/b", 1)];
    Image::new(&Fat::layout(&files, &Options::hard_disk(400, 2048, EPOCH)).expect("files that fit"))
});

fuzz_target!(|data: &[u8]| {
    let wounded = Arc::new(Wounded::new(&IMAGE, data));
    if let Ok(fs) = FatFs::open(wounded, Some(2048)) {
        look(&fs);
    }
});
