//! The firmware that a Raspberry Pi's ROM loads: not Plan 9's, and not
//! p9img's. A lab names it as the medium `pi-firmware`; `doc/pi.md` says which
//! files of it go onto a card.

use super::{MediumError, Source};
use crate::count;
use crate::lab::Board;
use crate::lab::words::Word as _;
use crate::tree::{Content, EntryId, GoOn, Tree};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Name of the medium in `[media]`.
pub const MEDIUM: &str = "pi-firmware";

/// Names of the licence's file, the best first: those who publish the
/// firmware, and Debian's package.
const LICENCES: [&str; 4] = ["LICENCE.broadcom", "LICENSE.broadcom", "LICENCE.TXT", "copyright"];
/// Bytes of a file of firmware that are taken: the largest there is has 5 MB.
const MOST: u64 = 16 << 20;

/// Reason why there is no firmware for a board.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    #[error(
        "{node} is a Raspberry Pi, whose firmware comes neither with Plan 9 nor with p9img: give its path, with a section \
         [{section}] and `path = \"…\"` in the lab. It is in Debian's package raspi-firmware (component \
         non-free-firmware: `apt-get download raspi-firmware` gets the .deb, which is enough), or the folder `boot` of \
         github.com/raspberrypi/firmware",
        section = "media.pi-firmware"
    )]
    None { node: String },
    #[error("The firmware at {path} has no {file}, which a {board} loads: expected a folder with {files}")]
    Missing { path: PathBuf, file: &'static str, board: &'static str, files: String },
    #[error(
        "The firmware at {path} has no licence, which must be distributed with it: looked for a file called \
         {looked_for}",
        looked_for = LICENCES.join(" or ")
    )]
    NoLicence { path: PathBuf },
    #[error("{file} at {path} has {len}, so it is not firmware", len = count::of(len, "byte"))]
    Size { path: PathBuf, file: String, len: u64 },
    #[error(transparent)]
    Medium(#[from] MediumError),
}

/// Opened firmware.
#[derive(Clone, Debug)]
pub struct Firmware {
    path: PathBuf,
    tree: std::sync::Arc<Tree>,
}

impl Firmware {
    /// Lists what is in `source`, which is at `path`.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn read(path: &Path, source: Source) -> Result<Self, FirmwareError> {
        let listed = source.list(path)?;
        Ok(Self { path: path.into(), tree: listed.listing.tree(None, 0).into() })
    }

    /// Digest of its files, as [`Tree::digest`] computes it.
    ///
    /// # Errors
    /// As [`Tree::digest`].
    pub fn digest(&self, jobs: NonZeroUsize, go_on: &GoOn) -> io::Result<String> {
        self.tree.digest(jobs, go_on)
    }

    /// Whether it has what any board loads.
    pub fn is_any(&self) -> bool {
        let boards = Board::WORDS.iter().map(|(_, board)| *board);
        boards.filter(|board| !board.spec().firmware.is_empty()).any(|board| self.files(board).is_ok())
    }

    /// The files that a card for `board` needs, with their names there: the
    /// licence first.
    ///
    /// # Errors
    /// Fails when one of them is not there.
    pub fn files(&self, board: Board) -> Result<Vec<(&'static str, Content)>, FirmwareError> {
        let wanted = board.spec().firmware;
        let mut best: Option<(usize, EntryId)> = None;
        let mut licence: Option<(usize, Content)> = None;
        self.tree.walk(|path, id, entry| {
            if entry.is_dir() {
                let there = wanted.iter().filter(|f| self.file(id, f).is_some()).count();
                if best.is_none_or(|(most, _)| there > most) {
                    best = Some((there, id));
                }
                return;
            }
            let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
            let rank = LICENCES.iter().position(|l| l.as_bytes() == name);
            if let (Some(rank), Some(content)) = (rank, entry.content())
                && licence.as_ref().is_none_or(|(best, _)| rank < *best)
            {
                licence = Some((rank, content.clone()));
            }
        });
        let folder = best.map_or(EntryId::ROOT, |(_, id)| id);
        let mut out = Vec::new();
        for file in wanted {
            let content = self.file(folder, file).ok_or_else(|| FirmwareError::Missing {
                path: self.path.clone(),
                file,
                board: board.name(),
                files: wanted.join(", "),
            })?;
            out.push((*file, content.clone()));
        }
        let (_, licence) = licence.ok_or_else(|| FirmwareError::NoLicence { path: self.path.clone() })?;
        out.insert(0, ("licence.txt", licence));
        for (file, content) in &out {
            if !(1..=MOST).contains(&content.len()) {
                return Err(FirmwareError::Size { path: self.path.clone(), file: (*file).into(), len: content.len() });
            }
        }
        Ok(out)
    }

    fn file(&self, folder: EntryId, name: &str) -> Option<&Content> {
        self.tree.entry(self.tree.child(folder, name.as_bytes())?).content()
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::{Attributes, Listing};
    use super::*;

    fn firmware(files: &[&str]) -> Firmware {
        let mut listing = Listing::default();
        for path in files {
            let unix = Attributes::Unix { executable: false };
            listing.file(path.as_bytes(), unix, Content::bytes(path.as_bytes())).unwrap();
        }
        Firmware { path: "fw".into(), tree: listing.tree(None, 0).into() }
    }

    #[test]
    fn the_folder_that_has_all_is_found() {
        let fw = firmware(&[
            "a/start.elf",
            "usr/lib/raspi-firmware/bootcode.bin",
            "usr/lib/raspi-firmware/start.elf",
            "usr/lib/raspi-firmware/fixup.dat",
            "usr/share/doc/raspi-firmware/copyright",
        ]);
        let names: Vec<_> =
            fw.files(Board::Pi2).unwrap().into_iter().map(|(n, c)| (n, c.read_all().unwrap())).collect();
        assert_eq!(names[0], ("licence.txt", b"usr/share/doc/raspi-firmware/copyright".to_vec()));
        assert_eq!(names[2], ("start.elf", b"usr/lib/raspi-firmware/start.elf".to_vec()));
        assert_eq!(names.len(), 4);
        assert_eq!(
            fw.files(Board::Pi4).unwrap_err().to_string(),
            "The firmware at fw has no start4.elf, which a pi4 loads: expected a folder with start4.elf, fixup4.dat"
        );
    }

    #[test]
    fn firmware_goes_nowhere_without_its_licence() {
        let fw = firmware(&["start4.elf", "fixup4.dat"]);
        assert!(matches!(fw.files(Board::Pi4), Err(FirmwareError::NoLicence { .. })));
        let fw = firmware(&["start4.elf", "fixup4.dat", "LICENCE.broadcom", "doc/copyright"]);
        assert_eq!(fw.files(Board::Pi4).unwrap()[0].1.read_all().unwrap(), b"LICENCE.broadcom");
    }
}
