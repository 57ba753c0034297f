//! ISO 9660 images with each way of describing files: listing them.
#![no_main]

#[path = "../../src/media/iso/sample.rs"]
#[allow(dead_code, reason = "its other half is for the unit tests")]
mod sample;

use libfuzzer_sys::fuzz_target;
use p9img::ReadAt;
use p9img::fs::TreeFs;
use p9img::media::iso;
use p9img_fuzz::{EPOCH, Image, Wounded, look};
use std::error::Error as _;
use std::sync::{Arc, LazyLock};

static IMAGES: LazyLock<Vec<Image>> =
    LazyLock::new(|| sample::ALL.iter().map(|how| Image::new(&sample::image(*how))).collect());

// The first byte chooses the image, the rest is what `Wounded` understands.
fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let image: Arc<dyn ReadAt> = Arc::new(Wounded::new(&IMAGES[usize::from(*which) % IMAGES.len()], data));
    match iso::list(&image) {
        Ok(listed) => look(&TreeFs::new(Arc::new(listed.listing.tree(None, EPOCH)))),
        Err(e) => {
            let cause = e.source().map(ToString::to_string).unwrap_or_default();
            assert!(e.to_string().len() + cause.len() < 2000, "a message is for people: {e}");
        }
    }
});
