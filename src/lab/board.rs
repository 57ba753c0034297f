//! Boards: the machines that a node can be.
//!
//! [`BOARDS`] is the only list: a board is a row of it. What a boot needs on the
//! disk is in `assemble/boot`, and the code that runs a board is in `guest`; both
//! go by [`Boot`].

use super::format::{Format, Holds};
use super::hardware::{Arch, Controller, Nic};
use super::words::{Word, from_str};
use crate::root::{Fs, ROOTS};
use serde::Serialize;
use std::collections::BTreeSet;

/// Machine that a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Board {
    #[default]
    Pc,
    /// QEMU's machine of that name, with 64-bit ARM.
    Virt,
    /// A Raspberry Pi 1 or Zero.
    Pi1,
    Pi2,
    Pi3,
    Pi4,
}

/// Row of [`BOARDS`].
pub struct BoardSpec {
    pub board: Board,
    /// Word in `lab.toml` and `role.toml`.
    pub word: &'static str,
    /// Name in a sentence.
    pub of: &'static str,
    pub boot: Boot,
    /// Keys of its hardware that a lab can choose; none: all of a PC's.
    pub choices: Option<&'static [&'static str]>,
    /// End of the message about a key that is not among `choices`.
    pub not_chosen: &'static str,
    /// Key that has the size of its disk, and the message about the other one.
    pub size: SizeKey,
    /// Hardware of the board, whatever the lab says.
    pub fixed: Fixed,
    /// Roots that its kernels start from; none: all.
    pub roots: Option<&'static [Fs]>,
    /// Processors that the kernel for it can use, where that is fewer than a lab can
    /// ask for.
    pub most_cpus: Option<u32>,
    /// Files of the board's own firmware that its card needs.
    pub firmware: &'static [&'static str],
    /// Whether QEMU has a board on which its kernel runs.
    pub is_emulated: bool,
    /// Format in place of one that another program imports as a machine.
    pub import: Format,
}

/// Program that finds the loader or the kernel on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A PC's firmware: [`PcFirmware`](super::PcFirmware) says which.
    Pc,
    /// U-Boot, from a FAT partition.
    UBoot,
    /// A Raspberry Pi's firmware, from a FAT partition.
    Pi,
}

/// Key that has the size of a board's disk.
#[derive(Clone, Copy, Debug)]
pub enum SizeKey {
    /// `disk`; with the message about `card`, and the way out.
    Disk(&'static str, &'static str),
    Card,
}

/// Hardware that a board has in any lab; none: the lab chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed {
    pub arch: Option<Arch>,
    pub cpus: Option<u32>,
    /// Bytes: of the smallest one that is sold by this name.
    pub memory: Option<u64>,
    pub controller: Option<Controller>,
    pub nic: Option<Nic>,
}

const FREE: Fixed = Fixed { arch: None, cpus: None, memory: None, controller: None, nic: None };

/// Row of a Raspberry Pi, with the values that all of them have and the firmware of
/// the first ones.
const fn pi(board: Board, word: &'static str, of: &'static str, cpus: u32, memory: u64) -> BoardSpec {
    BoardSpec {
        board,
        word,
        of,
        boot: Boot::Pi,
        choices: Some(&["card"]),
        not_chosen: "is fixed by the board",
        size: SizeKey::Card,
        fixed: Fixed {
            arch: Some(Arch::Arm),
            cpus: Some(cpus),
            memory: Some(memory),
            controller: Some(Controller::Sd),
            nic: None,
        },
        roots: Some(&[Fs::Fossil]),
        most_cpus: None,
        firmware: &["bootcode.bin", "start.elf", "fixup.dat"],
        is_emulated: false,
        import: Format::Sd,
    }
}

/// All boards, as messages list them.
pub const BOARDS: &[BoardSpec] = &[
    BoardSpec {
        board: Board::Pc,
        word: "pc",
        of: "a PC",
        boot: Boot::Pc,
        choices: None,
        not_chosen: "",
        size: SizeKey::Disk("A PC has no card", "set the size of its `disk`, or give it a `board`"),
        fixed: FREE,
        roots: None,
        most_cpus: None,
        firmware: &[],
        is_emulated: true,
        import: Format::Ova,
    },
    BoardSpec {
        board: Board::Virt,
        word: "virt",
        of: "QEMU's ARM machine",
        boot: Boot::UBoot,
        choices: Some(&["cpus", "memory", "disk", "fs"]),
        not_chosen: "cannot be chosen",
        size: SizeKey::Disk("QEMU's ARM machine has no card", "set the size of its `disk`"),
        fixed: Fixed { arch: Some(Arch::Arm64), controller: Some(Controller::Virtio), nic: Some(Nic::Virtio), ..FREE },
        roots: Some(&[Fs::Hjfs, Fs::Cwfs64x, Fs::Gefs]),
        // MAXMACH of 9front's kernel for it (`/sys/src/9/arm64/mem.h`). Those of PCs
        // have no less than a lab can ask for (9legacy 64, 9front 32, with 64 bits 128).
        most_cpus: Some(16),
        firmware: &[],
        is_emulated: true,
        import: Format::Qcow2,
    },
    pi(Board::Pi1, "pi1", "a pi1", 1, 512 << 20),
    BoardSpec { is_emulated: true, ..pi(Board::Pi2, "pi2", "a pi2", 4, 1 << 30) },
    // It has the kernel of a Pi 2, and runs there.
    BoardSpec { is_emulated: true, ..pi(Board::Pi3, "pi3", "a pi3", 4, 1 << 30) },
    // Its first stage is in an EEPROM on the board.
    BoardSpec { firmware: &["start4.elf", "fixup4.dat"], ..pi(Board::Pi4, "pi4", "a pi4", 4, 1 << 30) },
];

impl Board {
    /// Row of the board in [`BOARDS`].
    ///
    /// # Panics
    /// Never: a test reads every row.
    pub const fn spec(self) -> &'static BoardSpec {
        &BOARDS[self as usize]
    }

    /// As `lab.toml` has it.
    pub const fn name(self) -> &'static str {
        self.spec().word
    }

    pub const fn boot(self) -> Boot {
        self.spec().boot
    }

    pub const fn is_pi(self) -> bool {
        matches!(self.boot(), Boot::Pi)
    }

    /// Whether its firmware runs a script of the distribution.
    pub const fn runs_boot_script(self) -> bool {
        matches!(self.boot(), Boot::UBoot)
    }

    /// Whether the disk begins with a FAT partition that firmware reads, and
    /// no boot sectors.
    pub const fn has_dos(self) -> bool {
        !matches!(self.boot(), Boot::Pc)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    pub(super) const fn is_pc(&self) -> bool {
        matches!(self, Self::Pc)
    }

    /// Partitions of a size that the lab may choose, in addition to those of
    /// roles and that of UEFI. There is `nvram` too, one sector always.
    pub fn partitions(self) -> Vec<&'static str> {
        let spec = self.spec();
        let roots = ROOTS.iter().filter(|root| spec.roots.is_none_or(|own| own.contains(&root.fs)));
        let names: BTreeSet<_> = roots.flat_map(|root| root.partitions.names()).collect();
        let first = if self.has_dos() { "dos" } else { "9fat" };
        [first].into_iter().chain(names).chain(["swap"]).collect()
    }

    /// Architectures that its nodes can have.
    pub fn architectures(self) -> Vec<Arch> {
        match self.spec().fixed.arch {
            Some(arch) => vec![arch],
            None => Arch::WORDS.iter().map(|(_, arch)| *arch).collect(),
        }
    }

    /// Name that a distribution has its kernels of an architecture under: that of
    /// the board, if the architecture follows from it, and otherwise that of the
    /// architecture.
    pub const fn kernel_name(self, arch: Arch) -> &'static str {
        match self.spec().fixed.arch {
            Some(_) => self.name(),
            None => arch.name(),
        }
    }

    /// Root of a node that names none, of a distribution whose own is `usual`.
    pub fn root(self, usual: Fs) -> Fs {
        match self.spec().roots {
            Some(own @ [first, ..]) if !own.contains(&usual) => *first,
            _ => usual,
        }
    }

    /// Whether QEMU has a board on which its kernel runs.
    pub const fn is_emulated(self) -> bool {
        self.spec().is_emulated
    }
}

impl Format {
    /// Format in its place on a board: a Pi is not imported as a machine,
    /// QEMU's ARM machine by QEMU alone. None where there is no such thing.
    pub fn on(self, board: Board) -> Option<Self> {
        match self.spec().holds {
            Holds::Disk => Some(self),
            Holds::Card => matches!(board.spec().size, SizeKey::Card).then_some(self),
            Holds::Machine if board.spec().import.spec().holds == Holds::Machine => Some(self),
            Holds::Machine => Some(board.spec().import),
        }
    }
}

from_str!(Board);

impl Word for Board {
    const NOUN: &'static str = "board";
    const WORDS: &'static [(&'static str, Self)] = &{
        let mut words = [("", Self::Pc); BOARDS.len()];
        let mut i = 0;
        while i < BOARDS.len() {
            words[i] = (BOARDS[i].word, BOARDS[i].board);
            i += 1;
        }
        words
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_its_row() {
        for (i, spec) in BOARDS.iter().enumerate() {
            assert_eq!((spec.board as usize, spec.board.name()), (i, spec.word));
            assert_eq!(serde_json::to_value(spec.board).unwrap(), spec.word);
            assert_eq!(spec.boot == Boot::Pi, !spec.firmware.is_empty(), "{}", spec.word);
            assert_eq!(spec.import.on(spec.board), Some(spec.import), "{}", spec.word);
        }
    }

    #[test]
    fn kernels_are_named_after_the_board_or_what_a_lab_chooses() {
        let names = |board: Board| board.architectures().into_iter().map(|a| board.kernel_name(a)).collect::<Vec<_>>();
        assert_eq!(names(Board::Pc), ["386", "amd64"]);
        assert_eq!(names(Board::Virt), ["virt"]);
        let mut all: Vec<_> = BOARDS.iter().flat_map(|spec| names(spec.board)).collect();
        all.sort_unstable();
        let len = all.len();
        all.dedup();
        assert_eq!(all.len(), len, "each name is of one machine");
    }

    #[test]
    fn a_board_without_the_usual_root_has_its_own() {
        assert_eq!((Board::Pc.root(Fs::Hjfs), Board::Virt.root(Fs::Gefs)), (Fs::Hjfs, Fs::Gefs));
        assert_eq!((Board::Pi3.root(Fs::Hjfs), Board::Virt.root(Fs::Fossil)), (Fs::Fossil, Fs::Hjfs));
    }

    #[test]
    fn a_board_has_the_partitions_of_its_roots() {
        assert_eq!(Board::Pc.partitions(), ["9fat", "fossil", "fs", "fscache", "fsworm", "other", "swap"]);
        assert_eq!(Board::Virt.partitions(), ["dos", "fs", "fscache", "fsworm", "other", "swap"]);
        assert_eq!(Board::Pi3.partitions(), ["dos", "fossil", "swap"]);
    }
}
