//! Parts of a git repository that p9img reads by itself: refs, commits and
//! trees. And names in images, which are shown so that each can be found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::media::git::refs::{self, Named};
use p9img::media::git::tree;
use p9img::shown;

fuzz_target!(|data: &[u8]| {
    if let Some(Named::Other(name)) = refs::parse(data) {
        assert!(name.starts_with("refs/") && !name.split('/').any(|part| part == ".."));
        let _ = refs::packed(data, &name);
    }
    let _ = refs::packed(data, "refs/heads/main");
    let _ = tree::commit(data);
    for width in [20, 32] {
        for entry in tree::entries(data, width).into_iter().flatten() {
            assert!(!entry.name.is_empty() && !entry.name.contains(&b'/') && entry.id.len() == 2 * width);
        }
    }
    let shown = shown::name(data);
    assert!(!shown.contains(char::is_control));
    assert_eq!(shown::bytes(&shown), data);
});
