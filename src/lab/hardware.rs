//! Hardware that a lab chooses for its nodes.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    #[serde(rename = "386")]
    I386,
    Amd64,
    /// 32-bit ARM, of a Pi.
    Arm,
    /// 64-bit ARM, of QEMU's machine `virt`.
    Arm64,
}

impl Arch {
    /// As Plan 9 names it (`$cputype`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::I386 => "386",
            Self::Amd64 => "amd64",
            Self::Arm => "arm",
            Self::Arm64 => "arm64",
        }
    }
}

/// Files that hold a disk in formats that can be over others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One, which is complete.
    #[default]
    Whole,
    /// One for what nodes have in common, and one over it for each node.
    Overlay,
}

impl Layout {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }
}

/// Firmware of a PC that starts its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PcFirmware {
    /// Boot sectors: MBR, then 9fat.
    Bios,
    /// A loader on an EFI system partition.
    Uefi,
    Both,
}

impl PcFirmware {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    pub(crate) const fn is_bios(&self) -> bool {
        matches!(self, Self::Bios)
    }
    /// Whether the disk has boot sectors and a 9fat.
    pub const fn has_bios(self) -> bool {
        matches!(self, Self::Bios | Self::Both)
    }
    /// Whether the disk has an EFI system partition.
    pub const fn has_uefi(self) -> bool {
        matches!(self, Self::Uefi | Self::Both)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    Ide,
    Sata,
    Virtio,
    /// The slot of a Pi's card.
    Sd,
}

impl Controller {
    /// Name of the first disk in Plan 9: IDE `sdC0`, AHCI `sdE0`, virtio-blk `sdF0`, card `sdM0`.
    pub const fn device(self) -> &'static str {
        match self {
            Self::Ide => "sdC0",
            Self::Sata => "sdE0",
            Self::Virtio => "sdF0",
            Self::Sd => "sdM0",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    E1000,
    Virtio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl std::fmt::Display for Mac {
    /// Lower-case hexadecimal with colons.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
