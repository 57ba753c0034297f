//! QEMU's programs, and the way in which their options are written.

use crate::guest::machine::{Disk, DiskFormat};
use std::ffi::OsString;
use std::path::Path;

/// The emulator of PCs.
const QEMU: &str = "qemu-system-x86_64";
/// Path of the emulator of the host's own architecture on Red Hat's systems.
const KVM: &str = "/usr/libexec/qemu-kvm";
/// The emulator of 64-bit ARM, and its machine as 9front's kernel wants it: an
/// interrupt controller of version 3, and PCI's registers below 4 GiB
/// (`/sys/src/9/arm64/{gic,pciqemu}.c`).
const QEMU_ARM64: &str = "qemu-system-aarch64";
pub const ARM64: &str = "virt,gic-version=3,highmem-ecam=off";

/// The emulator of PCs that is installed.
pub fn pc() -> &'static str {
    if cfg!(target_arch = "x86_64") { installed(QEMU, KVM) } else { QEMU }
}

/// The emulator of 64-bit ARM that is installed.
pub fn arm64() -> &'static str {
    if cfg!(target_arch = "aarch64") { installed(QEMU_ARM64, KVM) } else { QEMU_ARM64 }
}

/// `name` when a folder of programs has it or `other` is not there.
#[expect(clippy::disallowed_methods, reason = "where programs are; no artifact sees it")]
fn installed(name: &'static str, other: &'static str) -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    if !found && Path::new(other).is_file() { other } else { name }
}

/// `before`, the path with QEMU's commas doubled, `after`.
pub fn option(before: &str, path: &Path, after: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut out = before.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        out.push(*byte);
        if *byte == b',' {
            out.push(b',');
        }
    }
    out.extend_from_slice(after.as_bytes());
    OsString::from_vec(out)
}

/// The value of `-drive` for a disk, with `more` options.
pub fn drive(disk: &Disk, more: &str) -> OsString {
    match disk.format {
        DiskFormat::Nbd => {
            option("driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=", &disk.path, more)
        }
        format => option("file=", &disk.path, &format!(",format={}{more}", format.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_hats_emulator_is_found_where_there_is_no_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // The other name must live as long as a constant does.
        let other: &'static str = Box::leak(file.path().to_str().unwrap().into());
        assert_eq!(installed("a-program-that-nobody-has", other), other);
        assert_eq!(installed("sh", other), "sh");
        drop(file);
        assert_eq!(installed("a-program-that-nobody-has", other), "a-program-that-nobody-has");
    }
}
