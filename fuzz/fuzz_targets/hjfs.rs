//! An hjfs partition: opening, walking, reading, checking, dumping.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::fs::hjfs::{Base, Hjfs, Options, base_start, open, users};
use p9img_fuzz::{EPOCH, Image, Wounded, look, tree};
use std::sync::{Arc, LazyLock};

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let tree = tree();
    let len = 3 << 20;
    let base =
        Arc::new(Base::layout(&tree, &users(&tree).expect("a file"), base_start(len)).expect("a tree that fits"));
    Image::new(&Hjfs::layout(&base, &tree, &Options { len, epoch: EPOCH }).expect("a tree that fits"))
});

fuzz_target!(|data: &[u8]| {
    if let Ok(fs) = open(Arc::new(Wounded::new(&IMAGE, data))) {
        look(&fs);
        look(&fs.dumps());
    }
});
