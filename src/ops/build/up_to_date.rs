//! Memory of the build before: whether anything is to be done at all, and what
//! need not be done again.
//!
//! Nothing is to be done when all inputs are those of the last build and its
//! files are as it left them. The inputs are taken whole, not picked: the lab
//! as checked, all roles and templates, all secrets, the stamps of all of the
//! medium's files, and the stamp of this program's own file in place of its
//! version. Whoever is in doubt deletes `.p9img.memory` from the folder.

use crate::artifact::memory::{self, Last, Memory};
use crate::artifact::{ArtifactReport, Folder, imager, manifest, sums};
use crate::assemble::Assembler;
use crate::hex::hex;
use crate::lab::{Lab, SAMPLE, Secrets};
use crate::media::{firmware, pins};
use crate::ops::BuildError;
use crate::ops::media::fingerprint;
use crate::page;
use crate::render::Catalog;
use crate::stamp::{Moment, Stamp};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Files that a build writes beside the artifacts.
const LISTS: [&str; 4] = [manifest::FILE, sums::FILE, page::FILE, imager::FILE];

/// Fingerprints of the inputs that are not read.
pub struct InputStamps {
    /// Of the bytes of the files of each medium, by its name.
    media: BTreeMap<String, [u8; 32]>,
    /// Of the firmware of Pis.
    firmware: Option<[u8; 32]>,
    /// `p9img.lock`, which may refuse the medium.
    pins: Vec<u8>,
    /// Of this program.
    program: Vec<u8>,
}

impl InputStamps {
    /// Looks at the media, before they are read, and at this program. Nothing
    /// when one of them cannot be told from a changed one: then a build does
    /// everything, and leaves nothing for the next one.
    pub fn of(lab: &Lab) -> Option<Self> {
        let taken = Moment::now();
        let stamp = Stamp::of(&std::env::current_exe().ok()?.metadata().ok()?);
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let program = stamp.settled(taken).then(|| [version, &stamp.bytes()].concat())?;
        let look = |name: &str| match lab.media.get(name) {
            _ if name == SAMPLE => Some([0; 32]),
            medium => fingerprint(&lab.dir, name, medium?),
        };
        let media = lab.media_in_use().into_iter().map(|name| Some((name.to_owned(), look(name)?)));
        let media = media.collect::<Option<_>>()?;
        // Of firmware, too, if there is any.
        let firmware = match lab.media.get(firmware::MEDIUM) {
            Some(medium) => Some(fingerprint(&lab.dir, firmware::MEDIUM, medium)?),
            None => None,
        };
        let pins = std::fs::read(lab.dir.join(pins::FILE)).unwrap_or_default();
        Some(Self { media, firmware, pins, program })
    }
}

/// All inputs of a build.
pub struct AllInputs<'a> {
    stamps: &'a InputStamps,
    /// Of all inputs, in hexadecimal.
    inputs: String,
    key: [u8; 32],
}

impl<'a> AllInputs<'a> {
    /// `nodes` are the names that the user gave.
    pub fn new(stamps: &'a InputStamps, lab: &Lab, nodes: &[String], catalog: &Catalog, secrets: &Secrets) -> Self {
        let key = secrets.derive("memory of an output folder");
        let mut hash = Sha256::new_with_prefix(key);
        let text = format!("{lab:?} {nodes:?}");
        let firmware = stamps.firmware.as_ref().map_or(&[][..], |f| f);
        let (catalog, secrets) = (catalog.digest(), secrets.fingerprint());
        // Their names are in the lab.
        let media: Vec<u8> = stamps.media.values().flatten().copied().collect();
        for part in [text.as_bytes(), &catalog, &secrets, &media, firmware, &stamps.pins, &stamps.program] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(key);
        Self { stamps, inputs: hex(&hash.finalize()), key }
    }

    /// Digests that identify the nodes' common parts, by their numbers.
    pub fn bases(&self, assembler: &Assembler<'_>) -> BTreeMap<u64, [u8; 32]> {
        assembler.bases(&self.stamps.media, &self.stamps.program)
    }

    /// Memory that the build before left in the folder.
    pub fn memory(&self, lab: &Lab) -> Memory {
        Memory::load(&lab.out, self.key)
    }

    /// The reports of the last build, if there is nothing to be done.
    pub fn nothing_to_do(&self, lab: &Lab, memory: &Memory) -> Option<Vec<ArtifactReport>> {
        let last = memory.last.as_ref().filter(|last| last.inputs == self.inputs)?;
        let reports: Vec<ArtifactReport> = serde_json::from_value(last.reports.clone()).ok()?;
        let name = |r: &ArtifactReport| r.path.file_name().map(|n| n.to_string_lossy().into_owned());
        let whole = reports.iter().all(|r| name(r).is_some_and(|n| memory.is_whole(&lab.out, &n, &r.sha256)));
        // One that there is not, as without a Pi, was not remembered either.
        let lists = LISTS.iter().all(|f| memory::list(&lab.out, f).as_ref() == last.lists.get(*f));
        (whole && lists).then_some(reports)
    }

    /// Remembers a build that is complete.
    ///
    /// # Errors
    /// When the folder's memory cannot be written.
    pub fn remember(&self, folder: &Folder, memory: &mut Memory, reports: &[ArtifactReport]) -> Result<(), BuildError> {
        let kept =
            reports.iter().map(|r| ArtifactReport { kept: true, shared_clusters: 0, stored_bytes: 0, ..r.clone() });
        let lists = LISTS.iter().filter_map(|f| Some(((*f).to_owned(), memory::list(folder.path(), f)?)));
        memory.last = Some(Last {
            inputs: self.inputs.clone(),
            reports: serde_json::to_value(kept.collect::<Vec<_>>()).map_err(std::io::Error::from)?,
            lists: lists.collect(),
        });
        Ok(memory.save(folder)?)
    }
}
