//! A whole disk: partitions, and whatever file system is in each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::disk::{Disk, Mbr, Partition, open_disk};
use p9img::fs::fat::{Fat, FatFile, Options};
use p9img::read_at::ReadAt;
use p9img::tree::Content;
use p9img_fuzz::{EPOCH, Image, Wounded, look};
use std::sync::{Arc, LazyLock};

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let files = [FatFile::new("9load", Content::bytes(vec![0; 3000]), EPOCH)];
    let fat = Fat::layout(&files, &Options::hard_disk(200, 63, EPOCH)).expect("files that fit");
    let part = |name: &str, start_lba, sectors, volume| Partition { name: name.into(), start_lba, sectors, volume };
    let partitions = vec![
        part("9fat", 63, 200, Some(Arc::new(fat) as Arc<dyn ReadAt>)),
        part("nvram", 263, 1, Some(Arc::new(vec![1u8; 109]) as Arc<dyn ReadAt>)),
        part("fossil", 264, 100, None),
    ];
    Image::new(&Disk::new(400 * 512, &Mbr::plan9(vec![0xfa], 63, 337), partitions).expect("partitions that fit"))
});

fuzz_target!(|data: &[u8]| {
    let Ok(disk) = open_disk(Arc::new(Wounded::new(&IMAGE, data))) else { return };
    let _ = disk.check(&mut |finding| drop(finding.to_string()));
    for part in disk.partitions() {
        let Ok(window) = disk.partition(&part.name) else { continue };
        let mut byte = [0; 1];
        if window.len() > 0 {
            let _ = window.read_at(window.len() - 1, &mut byte);
        }
        if let Ok(fs) = p9img::fs::open(Arc::new(window), Some(part.lba()), &|name| disk.beside(name)) {
            look(fs.as_ref());
        }
    }
});
