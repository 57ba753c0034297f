//! Volumes as files of the host.

use p9img::read_at::ReadAt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Writes a volume or a disk to a new file, with holes where it has only zeros.
pub fn write(volume: &dyn ReadAt, out: &Path) {
    let file = File::create(out).unwrap();
    file.set_len(volume.len()).unwrap();
    let mut buf = vec![0; 1 << 20];
    for e in volume.extents() {
        for at in (e.offset..e.end()).step_by(1 << 20) {
            let part = &mut buf[..(e.end() - at).min(1 << 20) as usize];
            volume.read_at(at, part).unwrap();
            file.write_all_at(part, at).unwrap();
        }
    }
}
