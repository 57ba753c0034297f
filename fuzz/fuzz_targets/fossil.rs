//! A fossil partition: opening, walking, reading, checking, dumping.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::fs::fossil::{Base, Fossil, Options, needed_len, open};
use p9img_fuzz::{EPOCH, Image, Wounded, look, tree};
use std::sync::{Arc, LazyLock};

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let tree = tree();
    let base = Arc::new(Base::layout(&tree).expect("a tree that fits"));
    let options = Options {
        len: needed_len(&base, &tree).expect("a tree that fits") + 8 * 8192,
        config: "fossil config\nfsys main config *\nfsys main open -V -c 3000\n".into(),
        name: "main".into(),
        epoch: EPOCH,
    };
    Image::new(&Fossil::layout(&base, &tree, &options).expect("a tree that fits"))
});

fuzz_target!(|data: &[u8]| {
    if let Ok(fs) = open(Arc::new(Wounded::new(&IMAGE, data))) {
        look(&fs);
        let _ = fs.config();
        look(&fs.with_snapshots());
    }
});
