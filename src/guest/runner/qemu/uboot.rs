//! U-Boot for QEMU's ARM machine, found where distributions of Linux install
//! it.

use std::path::PathBuf;

/// Names a U-Boot that is elsewhere.
pub const VARIABLE: &str = "P9IMG_UBOOT";
/// Debian's and Ubuntu's (u-boot-qemu), Fedora's (uboot-images-armv8), and
/// where somebody who builds it would put it.
const PLACES: [&str; 4] = [
    "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
    "/usr/share/uboot/qemu_arm64/u-boot.bin",
    "/usr/local/share/u-boot/qemu_arm64/u-boot.bin",
    "/opt/homebrew/share/u-boot/qemu_arm64/u-boot.bin",
];

/// The U-Boot that the environment names, or the first that is installed.
#[expect(clippy::disallowed_methods, reason = "where a firmware is; no artifact sees it")]
pub fn find() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    named
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|p| p.exists()))
        .map(|p| std::path::absolute(&p).unwrap_or(p))
}
