//! Formats: the forms that a node's disk is written in.
//!
//! [`FORMATS`] is the only list of their properties. Writers are in
//! `artifact::container`, one for each row.

use super::hardware::Controller;
use super::words::{Word, from_str};
use serde::{Deserialize, Serialize};

/// Format of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Raw,
    Qcow2,
    /// qcow2 with zlib clusters, for QEMU before 5.1 and what is not QEMU.
    Qcow2Zlib,
    Ova,
    /// Image of a card in a zip archive.
    Sd,
    /// Image of a card under xz.
    SdXz,
    /// Image of a card under zstd.
    SdZst,
}

/// Row of [`FORMATS`].
pub struct FormatSpec {
    pub format: Format,
    /// Word in `lab.toml`, after `--format` and in `manifest.json`.
    pub word: &'static str,
    /// End of the file's name, after the node's name and a dot.
    pub extension: &'static str,
    /// Other ends of the names of files with such a disk, of other programs.
    pub others: &'static [&'static str],
    pub holds: Holds,
    /// QEMU's driver for it; none where QEMU starts no node from it.
    pub run: Option<Run>,
    /// Rank among the formats that a card is flashed from, lowest first: those that
    /// need no unpacking, then by the speed of that. None where nothing is.
    pub flash: Option<u8>,
    /// Whether a file of it can be over another, which has the rest of the disk.
    pub layers: bool,
    /// Remark about a node on virtio whose machine in this format has its disk
    /// on IDE instead.
    pub no_virtio: Option<&'static str>,
}

/// Content of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A disk, of whatever board.
    Disk,
    /// A disk and the machine around it, which another program imports.
    Machine,
    /// The card of a board that starts from one.
    Card,
}

/// Driver of QEMU for the file of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    #[default]
    Raw,
    Qcow2,
    /// Only of disks that are taken out of an artifact.
    Vmdk,
    /// A disk that is served on a Unix socket.
    Nbd,
}

impl Driver {
    /// QEMU's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Nbd => "nbd",
        }
    }
}

/// Driver of QEMU that opens an artifact, and its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Rank among the formats that there are of a node, lowest first.
    pub rank: u8,
    pub driver: Driver,
}

const fn row(format: Format, word: &'static str, extension: &'static str, holds: Holds) -> FormatSpec {
    FormatSpec { format, word, extension, others: &[], holds, run: None, flash: None, layers: false, no_virtio: None }
}

const fn run(rank: u8, driver: Driver) -> Option<Run> {
    Some(Run { rank, driver })
}

/// All formats, as messages list them.
pub const FORMATS: &[FormatSpec] = &[
    FormatSpec {
        others: &["raw"],
        run: run(2, Driver::Raw),
        flash: Some(0),
        ..row(Format::Raw, "raw", "img", Holds::Disk)
    },
    FormatSpec {
        run: run(0, Driver::Qcow2),
        flash: Some(1),
        layers: true,
        ..row(Format::Qcow2, "qcow2", "qcow2", Holds::Disk)
    },
    FormatSpec {
        run: run(1, Driver::Qcow2),
        flash: Some(2),
        layers: true,
        ..row(Format::Qcow2Zlib, "qcow2-zlib", "zlib.qcow2", Holds::Disk)
    },
    FormatSpec {
        // Its disk, taken out of it.
        others: &["vmdk"],
        no_virtio: Some("OVF has no virtio block disk that Plan 9 drives: the machine in this OVA has its disk on IDE"),
        ..row(Format::Ova, "ova", "ova", Holds::Machine)
    },
    FormatSpec { flash: Some(4), ..row(Format::Sd, "sd", "sd.img.zip", Holds::Card) },
    FormatSpec { flash: Some(5), ..row(Format::SdXz, "sd-xz", "sd.img.xz", Holds::Card) },
    FormatSpec { flash: Some(3), ..row(Format::SdZst, "sd-zst", "sd.img.zst", Holds::Card) },
];

impl FormatSpec {
    /// Whether a file has a name as files of this format do.
    pub fn is_name(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let ends = |end: &&str| name.strip_suffix(*end).is_some_and(|before| before.ends_with('.'));
        [self.extension].iter().chain(self.others).any(ends)
    }
}

impl Format {
    /// Formats of a node in a lab that names none.
    pub const DEFAULT: [Self; 2] = [Self::Qcow2, Self::Ova];

    /// Row of the format in [`FORMATS`].
    ///
    /// # Panics
    /// Never: a test reads every row.
    pub fn spec(self) -> &'static FormatSpec {
        &FORMATS[self as usize]
    }

    /// Formats that QEMU starts nodes from, the best first.
    pub fn to_run() -> Vec<Self> {
        ranked(|spec| spec.run.map(|run| run.rank))
    }

    /// Formats that cards are flashed from, the best first.
    pub fn to_flash() -> Vec<Self> {
        ranked(|spec| spec.flash)
    }

    /// Whether a file is a disk image by its name, and no archive of one.
    pub fn is_image_name(name: &str) -> bool {
        FORMATS.iter().filter(|spec| !spec.format.is_card()).any(|spec| spec.is_name(name))
    }

    /// Whether only boards that start from a card have it.
    pub fn is_card(self) -> bool {
        self.spec().holds == Holds::Card
    }

    /// Formats whose files can be over others, in the order of the table.
    pub fn layered() -> Vec<Self> {
        FORMATS.iter().filter(|spec| spec.layers).map(|spec| spec.format).collect()
    }

    /// Formats of machines that other programs import, in the order of the table.
    pub fn machines() -> Vec<Self> {
        FORMATS.iter().filter(|spec| spec.holds == Holds::Machine).map(|spec| spec.format).collect()
    }

    /// Formats of cards, in the order of the table.
    pub fn cards() -> Vec<Self> {
        FORMATS.iter().map(|spec| spec.format).filter(|format| format.is_card()).collect()
    }

    /// Controller of a disk in this format, for a node with `wanted`.
    pub fn controller(self, wanted: Controller) -> Controller {
        match self.spec().no_virtio {
            Some(_) if matches!(wanted, Controller::Virtio | Controller::Sd) => Controller::Ide,
            _ => wanted,
        }
    }

    /// Remark for a node with `wanted`, if the controller in this format is
    /// another one.
    pub fn note(self, wanted: Controller) -> Option<&'static str> {
        self.spec().no_virtio.filter(|_| self.controller(wanted) != wanted)
    }
}

fn ranked(rank: impl Fn(&FormatSpec) -> Option<u8>) -> Vec<Format> {
    let mut all: Vec<_> = FORMATS.iter().filter_map(|spec| Some((rank(spec)?, spec.format))).collect();
    all.sort_unstable();
    all.into_iter().map(|(_, format)| format).collect()
}

from_str!(Format);

impl Word for Format {
    const NOUN: &'static str = "format";
    const WORDS: &'static [(&'static str, Self)] = &{
        let mut words = [("", Self::Raw); FORMATS.len()];
        let mut i = 0;
        while i < FORMATS.len() {
            words[i] = (FORMATS[i].word, FORMATS[i].format);
            i += 1;
        }
        words
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Board;

    #[test]
    fn every_format_has_its_row() {
        for (i, spec) in FORMATS.iter().enumerate() {
            assert_eq!((spec.format as usize, spec.format.spec().word), (i, spec.word));
            assert_eq!(serde_json::to_value(spec.format).unwrap(), spec.word);
        }
        assert_eq!(Format::to_run(), [Format::Qcow2, Format::Qcow2Zlib, Format::Raw]);
        let flashed = [Format::Raw, Format::Qcow2, Format::Qcow2Zlib, Format::SdZst, Format::Sd, Format::SdXz];
        assert_eq!(Format::to_flash(), flashed);
        assert_eq!(Format::machines(), [Format::Ova]);
        assert_eq!(Format::cards(), [Format::Sd, Format::SdXz, Format::SdZst]);
    }

    #[test]
    fn images_have_names_of_their_formats() {
        for spec in FORMATS {
            let name = format!("a/n.{}", spec.extension);
            assert!(spec.is_name(&name) && spec.is_name(&name.to_uppercase()), "{name}");
            assert_eq!(Format::is_image_name(&name), !spec.format.is_card(), "{name}");
        }
        assert!(["n.raw", "n.vmdk"].into_iter().all(Format::is_image_name));
        assert!(!["img", "nimg", "n.txt", "n.img.txt", ""].into_iter().any(Format::is_image_name));
    }

    #[test]
    fn a_machine_is_something_else_where_none_is_imported() {
        assert_eq!(
            [Board::Pc, Board::Virt, Board::Pi3].map(|b| Format::Ova.on(b)),
            [Some(Format::Ova), Some(Format::Qcow2), Some(Format::Sd)]
        );
        assert_eq!([Board::Pc, Board::Virt, Board::Pi3].map(|b| Format::SdXz.on(b)), [None, None, Some(Format::SdXz)]);
        assert_eq!(Format::Raw.on(Board::Virt), Some(Format::Raw));
        assert_eq!(Format::Ova.controller(Controller::Virtio), Controller::Ide);
        assert_eq!(Format::Ova.controller(Controller::Sata), Controller::Sata);
        assert_eq!(Format::Qcow2.controller(Controller::Virtio), Controller::Virtio);
        assert!(Format::Ova.note(Controller::Virtio).is_some() && Format::Ova.note(Controller::Ide).is_none());
    }
}
