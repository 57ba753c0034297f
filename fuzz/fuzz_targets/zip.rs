//! zip archives of trees: the directory, names, links, and the tree that comes
//! of them; and the names of what is no medium.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::foreign;
use p9img::media::Source;
use p9img::media::zip::{Zip, holds_tree};
use p9img::read_at::ReadAt;
use p9img_fuzz::{Image, Wounded};
use std::path::Path;
use std::sync::{Arc, LazyLock};

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 != 0 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// A file and its entry. The format is written out here: p9img only reads it.
fn member(out: &mut Vec<u8>, central: &mut Vec<u8>, name: &str, mode: u32, deflated: bool, data: &[u8]) {
    let place = out.len() as u32;
    let packed = match deflated {
        // One block that is not compressed.
        true => {
            let len = data.len() as u16;
            [&[1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), data].concat()
        }
        false => data.to_vec(),
    };
    let mut common = vec![20, 0, 0, 8, if deflated { 8 } else { 0 }, 0, 0, 0, 0x21, 0x2a];
    for n in [crc(data), packed.len() as u32, data.len() as u32] {
        common.extend(n.to_le_bytes());
    }
    let extra = [0x55, 0x54, 5, 0, 1, 1, 2, 3, 4];
    common.extend((name.len() as u16).to_le_bytes());
    common.extend((extra.len() as u16).to_le_bytes());
    out.extend(b"PK\x03\x04");
    out.extend(&common);
    out.extend(name.as_bytes());
    out.extend(extra);
    out.extend(packed);
    central.extend(b"PK\x01\x02\x14\x03");
    central.extend(&common);
    central.extend([0; 6]);
    central.extend((mode << 16).to_le_bytes());
    central.extend(place.to_le_bytes());
    central.extend(name.as_bytes());
    central.extend(extra);
}

static ARCHIVE: LazyLock<Image> = LazyLock::new(|| {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, mode, deflated, data) in [
        ("top/", 0o40755, false, &b""[..]),
        ("top/386/9load", 0o100644, false, &[0; 700]),
        ("top/386/mbr", 0o100644, true, &[7; 300]),
        ("top/386/link", 0o120777, false, b"mbr"),
        ("top/rc/bin/cpurc", 0o100755, true, b"#!/bin/rc\r\n"),
        ("__MACOSX/._top", 0o100644, true, b"\0\x05\x16\x07"),
    ] {
        member(&mut out, &mut central, name, mode, deflated, data);
    }
    let start = out.len() as u32;
    out.extend(&central);
    out.extend(b"PK\x05\x06\0\0\0\0\x06\0\x06\0");
    out.extend((central.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    Image::new(&out)
});

fuzz_target!(|data: &[u8]| {
    let bytes: Arc<dyn ReadAt> = Arc::new(Wounded::new(&ARCHIVE, data).bytes());
    let _ = foreign::name(&*bytes);
    let _ = holds_tree(&*bytes);
    let zip = Zip { bytes: bytes.clone(), file: bytes, store: None };
    match Source::Zip(zip).list(Path::new("fuzz.zip")) {
        Ok(found) => {
            for entry in found.listing.tree(None, 1).entries() {
                // Every file is inside the archive, or inside what was unpacked.
                if let Some(content) = entry.content().filter(|c| c.len() < 1 << 20) {
                    content.read_all().expect("bytes of the archive");
                }
            }
        }
        Err(e) => drop(e.to_string()),
    }
});
