//! A gefs partition: opening, walking, reading, checking, dumping. Every block
//! has its hash in a pointer, so half of the inputs are wounds whose hashes were
//! put right: only they reach the code after the check of hashes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::fs::gefs::{Base, Data, Gefs, Options, arenas, mend, open, users};
use p9img::read_at::ReadAt;
use p9img::tree::{Addition, Content, Meta, Mode, Tree, What};
use p9img_fuzz::{EPOCH, Image, Wounded, look, tree};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock};

const LEN: u64 = (128 << 20) + (16 << 10);

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let meta = Meta::new(Mode::file(0o664), "sys", "sys", EPOCH);
    let text = Content::bytes(*b"-1:adm:adm:\n0:none::\n10000:sys::\n");
    let users_file = Addition { path: b"adm/users".to_vec(), what: What::File(meta.clone(), text) };
    let base = tree();
    let tree = Arc::new(Tree::overlay(&base, &[users_file], &meta));
    let data = Arc::new(Data::new(&base));
    let who = users(&tree).expect("good users");
    let base = Base::layout(&data, &who, arenas(LEN).expect("a length that will do")).expect("a tree that fits");
    Image::new(&Gefs::layout(&Arc::new(base), &tree, &Options { len: LEN }).expect("a tree that fits"))
});

/// An image whose hashes were put right.
struct Mended {
    image: Wounded,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl ReadAt for Mended {
    fn len(&self) -> u64 {
        self.image.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.image.read_at(offset, buf)?;
        for (block, bytes) in &self.blocks {
            let at = block * bytes.len() as u64;
            let (from, to) = (at.max(offset), (at + bytes.len() as u64).min(offset + buf.len() as u64));
            if from < to {
                let part = &bytes[(from - at) as usize..(to - at) as usize];
                buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
            }
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let image = Wounded::new(&IMAGE, data);
    if data.len() % 2 == 0 {
        if let Ok(fs) = open(Arc::new(image)) {
            look(&fs);
        }
        return;
    }
    let blocks = mend(&image).expect("an image that can be read");
    if let Ok(fs) = open(Arc::new(Mended { image, blocks })) {
        look(&fs);
        for label in fs.labels().unwrap_or_default() {
            if let Ok(other) = fs.snapshot(&label) {
                look(&other);
            }
        }
    }
});
