//! The partitions of a venti: opening, listing, reading, checking, dumping.
//! The first byte says which kind is wounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::fs::venti::{Kind, Wanted, layout, open};
use p9img_fuzz::{Image, Wounded, look};
use std::sync::{Arc, LazyLock};

static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    let wanted = [(Kind::Arenas, 2 << 20), (Kind::Section, 1 << 20), (Kind::Bloom, 1 << 20)];
    let wanted = wanted.map(|(kind, len)| Wanted { name: "part".into(), len, kind });
    layout(&wanted, "fuzz").expect("sizes that can be").iter().map(|v| Image::new(v)).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((which, rest)) = data.split_first() else { return };
    let image = &IMAGES[usize::from(*which) % IMAGES.len()];
    if let Ok(fs) = open(Arc::new(Wounded::new(image, rest))) {
        look(&fs);
        let _ = fs.config();
    }
});
