//! tar archives: headers of every kind, links, and the tree that comes of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::media::{Source, tar};
use p9img::read_at::ReadAt;
use p9img_fuzz::{Image, Wounded};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// A header and what belongs to it. The format is written out here: p9img only reads it.
fn member(out: &mut Vec<u8>, name: &str, kind: u8, link: &str, data: &[u8]) {
    let mut b = [0; 512];
    b[..name.len()].copy_from_slice(name.as_bytes());
    b[100..107].copy_from_slice(b"0000644");
    b[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    b[136..147].copy_from_slice(b"07346545000");
    b[156] = kind;
    b[157..157 + link.len()].copy_from_slice(link.as_bytes());
    b[257..263].copy_from_slice(b"ustar\0");
    b[265..271].copy_from_slice(b"glenda");
    seal(&mut b);
    out.extend_from_slice(&b);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

static ARCHIVE: LazyLock<Image> = LazyLock::new(|| {
    let mut out = Vec::new();
    let long = "long/".repeat(40);
    member(&mut out, "./", b'5', "", b"");
    member(&mut out, "x", b'x', "", b"16 path=top/pax\n18 mtime=12345.678\n");
    member(&mut out, "short", b'0', "", b"pax");
    member(&mut out, "L", b'L', "", long.as_bytes());
    member(&mut out, "short", b'5', "", b"");
    member(&mut out, "386/9load", b'0', "", &[0; 700]);
    member(&mut out, "386/hard", b'1', "386/9load", b"");
    member(&mut out, "386/soft", b'2', "../386/hard", b"");
    member(&mut out, "bin", b'2', "386", b"");
    out.resize(out.len() + 1024, 0);
    Image::new(&out)
});

fuzz_target!(|data: &[u8]| {
    let mut bytes = Wounded::new(&ARCHIVE, data).bytes();
    // Wounds would all end at the sums: they are made right where a header can be.
    if data.first().is_some_and(|how| how & 2 != 0) {
        for block in bytes.chunks_exact_mut(512).filter(|b| b[257..262] == *b"ustar") {
            seal(block);
        }
    }
    let path = Path::new("fuzz.tar");
    let _ = tar::matches(&bytes);
    let source: Arc<dyn ReadAt> = Arc::new(bytes);
    match Source::Tar(source).list(path) {
        Ok(found) => {
            let tree = found.listing.tree(None, 1);
            for entry in tree.entries() {
                // Every file is inside the archive.
                if let Some(content) = entry.content().filter(|c| c.len() < 1 << 20) {
                    content.read_all().expect("bytes of the archive");
                }
            }
        }
        Err(e) => drop(e.to_string()),
    }
});
