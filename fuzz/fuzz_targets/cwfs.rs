//! The partitions of a cwfs64x: opening, walking, reading, checking, dumping.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::disk::{Disk, Mbr, Partition, open_disk};
use p9img::fs::cwfs::{Base, Cwfs, Options, open, users};
use p9img::read_at::ReadAt;
use p9img_fuzz::{EPOCH, Image, Wounded, look, tree};
use std::sync::{Arc, LazyLock};

const CONFIG: &str = "service cwfs\nfilsys main c(/dev/sdC0/fscache)(/dev/sdC0/fsworm)\nfilsys dump o\n\
    filsys other (/dev/sdC0/other)\nnewcache\nblocksize 16384\ndaddrbits 64\nindirblks 4\ndirblks 6\nnamelen 144\n";

/// A disk with the three partitions.
static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let tree = tree();
    let base = Base::layout(&tree, &users(&tree).expect("a file")).expect("a tree that fits");
    let (cache, worm, other) = (815 * 16_384, 3 << 20, 1 << 20);
    let options = Options { cache, worm, other, config: CONFIG.into(), epoch: EPOCH };
    let v = Cwfs::layout(&Arc::new(base), &tree, &options).expect("a tree that fits");
    let mut at = 66;
    let mut part = |name: &str, volume: Arc<dyn ReadAt>| {
        let (start_lba, sectors) = (at, volume.len() / 512);
        at += sectors;
        Partition { name: name.into(), start_lba, sectors, volume: Some(volume) }
    };
    let parts =
        vec![part("fscache", Arc::new(v.cache)), part("fsworm", Arc::new(v.worm)), part("other", Arc::new(v.other))];
    let mbr = Mbr::plan9(vec![0xfa], 63, at as u32 - 63);
    Image::new(&Disk::new(at * 512, &mbr, parts).expect("partitions that fit"))
});

fuzz_target!(|data: &[u8]| {
    let Ok(disk) = open_disk(Arc::new(Wounded::new(&IMAGE, data))) else { return };
    for name in ["fscache", "fsworm", "other"] {
        let Some(part) = disk.beside(name) else { continue };
        if let Ok(fs) = open(part, &|name| disk.beside(name)) {
            look(&fs);
            if let Some(dumps) = fs.dumps() {
                look(&dumps);
            }
        }
    }
});
