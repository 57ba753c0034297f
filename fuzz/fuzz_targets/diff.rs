//! Comparing a disk with a damaged copy of it, and reading zip archives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::artifact::{self, zip};
use p9img::diff::{Image as Compared, images};
use p9img::disk::{Disk, Mbr, Partition};
use p9img::fs::fat::{Fat, FatFile, Options};
use p9img::fs::fossil::{self, Base, Fossil, needed_len};
use p9img::read_at::ReadAt;
use p9img::tree::Content;
use p9img_fuzz::{EPOCH, Image, Wounded, tree};
use std::sync::{Arc, LazyLock};

/// 9fat, nvram and fossil.
static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let files = [FatFile::new("9load", Content::bytes(vec![0; 3000]), EPOCH)];
    let fat = Fat::layout(&files, &Options::hard_disk(200, 63, EPOCH)).expect("files that fit");
    let tree = tree();
    let base = Arc::new(Base::layout(&tree).expect("a tree that fits"));
    let options = fossil::Options {
        len: needed_len(&base, &tree).expect("a tree that fits") + 8 * 8192,
        config: "fossil config\nfsys main config *\nfsys main open -V -c 3000\n".into(),
        name: "main".into(),
        epoch: EPOCH,
    };
    let fossil = Fossil::layout(&base, &tree, &options).expect("a tree that fits");
    let sectors = options.len.div_ceil(512);
    let part = |name: &str, start_lba, sectors, volume| Partition { name: name.into(), start_lba, sectors, volume };
    let partitions = vec![
        part("9fat", 63, 200, Some(Arc::new(fat) as Arc<dyn ReadAt>)),
        part("nvram", 263, 1, Some(Arc::new(vec![1u8; 109]) as Arc<dyn ReadAt>)),
        part("fossil", 264, sectors, Some(Arc::new(fossil) as Arc<dyn ReadAt>)),
    ];
    let mbr = Mbr::plan9(vec![0xfa], 63, 201 + sectors as u32);
    Image::new(&Disk::new((264 + sectors) * 512, &mbr, partitions).expect("partitions that fit"))
});

fuzz_target!(|data: &[u8]| {
    let whole: Arc<dyn ReadAt> = Arc::new(Wounded::new(&IMAGE, &[1]));
    let wounded: Arc<dyn ReadAt> = Arc::new(Wounded::new(&IMAGE, data));
    if let (Ok(a), Ok(b)) = (Compared::open(whole), Compared::open(wounded)) {
        for (a, b) in [(&a, &b), (&b, &a)] {
            let mut found = 0;
            let how = images(a, b, &mut |d| {
                found += usize::from(!d.to_string().is_empty());
                Ok(())
            });
            let how = how.expect("damage is a difference, and the sink does not fail");
            assert!(how.container || found > 0, "bytes differ, and nothing was named");
        }
    }
    let bytes: Arc<dyn ReadAt> = Arc::new(data.to_vec());
    let _ = zip::members(&*bytes);
    if zip::matches(data) {
        let _ = artifact::from(bytes);
    }
});
