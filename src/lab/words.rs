//! The words that a lab file chooses from: architectures, controllers, cards. Boards
//! and formats have theirs in their tables.

use super::hardware::{Arch, Controller, Layout, Nic, PcFirmware};
use super::mistakes::{Kind, Problem, choice, quote};
use crate::root::{Fs, ROOTS};
use crate::suggest::nearest;

/// A type that is written as one of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// Noun that messages use for it.
    const NOUN: &'static str;
    const WORDS: &'static [(&'static str, Self)];

    /// The word that users type for it.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

impl Word for Arch {
    const NOUN: &'static str = "architecture";
    const WORDS: &'static [(&'static str, Self)] = &[("386", Self::I386), ("amd64", Self::Amd64)];
}

impl Word for Controller {
    const NOUN: &'static str = "disk controller";
    const WORDS: &'static [(&'static str, Self)] =
        &[("ide", Self::Ide), ("sata", Self::Sata), ("virtio", Self::Virtio)];
}

impl Word for Fs {
    const NOUN: &'static str = "file system";
    const WORDS: &'static [(&'static str, Self)] = &{
        let mut words = [("", Self::DEFAULT); ROOTS.len()];
        let mut i = 0;
        while i < ROOTS.len() {
            words[i] = (ROOTS[i].word, ROOTS[i].fs);
            i += 1;
        }
        words
    };
}

impl Word for PcFirmware {
    const NOUN: &'static str = "firmware";
    const WORDS: &'static [(&'static str, Self)] = &[("bios", Self::Bios), ("uefi", Self::Uefi), ("both", Self::Both)];
}

impl Word for Layout {
    const NOUN: &'static str = "layout";
    const WORDS: &'static [(&'static str, Self)] = &[("whole", Self::Whole), ("overlay", Self::Overlay)];
}

impl Word for Nic {
    const NOUN: &'static str = "network card";
    const WORDS: &'static [(&'static str, Self)] = &[("e1000", Self::E1000), ("virtio", Self::Virtio)];
}

/// Names that other tools use for what has another word here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("i386", "386"),
    ("x86", "386"),
    ("pc", "386"),
    ("pi", "pi2"),
    ("pi0", "pi1"),
    ("zero", "pi1"),
    ("rpi1", "pi1"),
    ("rpi2", "pi2"),
    ("rpi3", "pi3"),
    ("rpi4", "pi4"),
    ("x86_64", "amd64"),
    ("x86-64", "amd64"),
    ("x64", "amd64"),
    ("pc64", "amd64"),
    ("arm64", "virt"),
    ("aarch64", "virt"),
    ("efi", "uefi"),
    ("legacy", "bios"),
    ("pata", "ide"),
    ("ahci", "sata"),
    ("cwfs", "cwfs64x"),
    ("cwfs64", "cwfs64x"),
    ("virtio-blk", "virtio"),
    ("virtio-net", "virtio"),
    ("82540em", "e1000"),
    ("ether82563", "e1000"),
    ("img", "raw"),
    ("qcow", "qcow2"),
    ("qcow2-zstd", "qcow2"),
    ("ovf", "ova"),
    ("vmdk", "ova"),
    ("zip", "sd"),
    ("sd.img.zip", "sd"),
    ("xz", "sd-xz"),
    ("zst", "sd-zst"),
];

/// An architecture that only a board has.
const ARM64: [&str; 2] = ["arm64", "aarch64"];

/// The words of a kind, as messages and help list them.
pub fn list<W: Word>() -> String {
    W::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

/// # Errors
/// The text is none of the words; a near one is suggested.
pub fn parse<W: Word>(text: &str) -> Result<W, Problem> {
    if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
    let other = OTHER_NAMES.iter().find(|(name, word)| name.eq_ignore_ascii_case(text) && words.contains(word));
    let near = || nearest(text, words.iter().copied()).filter(|_| !ARM64.contains(&text));
    let near = other.map(|(_, word)| *word).or_else(near);
    let problem = Problem::new(Kind::UnknownName, format!("Unknown {} {}", W::NOUN, quote(text)));
    let problem = problem.expected(choice(&words));
    Err(match near {
        None if W::NOUN == Arch::NOUN && ARM64.contains(&text) => {
            problem.help("write `board = \"virt\"`, which is QEMU's machine for 64-bit ARM")
        }
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    })
}

/// Types whose `FromStr` is [`parse`].
macro_rules! from_str {
    ($($word:ty),*) => {$(
        impl std::str::FromStr for $word {
            type Err = $crate::lab::mistakes::Problem;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::lab::words::parse(text)
            }
        }
    )*};
}

pub(in crate::lab) use from_str;

from_str!(Arch, Controller, Fs, Layout, Nic, PcFirmware);
