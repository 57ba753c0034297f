//! Memory of the build before: it shows whether a build has anything to do, and
//! which digests need not be computed again.
//!
//! A build has nothing to do if all inputs are those of the last build and its
//! files are as it left them. The inputs are complete, not a selection: the checked
//! lab, all roles and templates, all secrets, the stamps of all files of the media
//! and of the firmware, `p9img.lock`, and the version of this program with the
//! stamp of its own file. To make a build compute everything, delete
//! `.p9img.memory` from the folder.

use crate::artifact::memory::{self, Last, Memory};
use crate::artifact::{ArtifactReport, Folder, imager, manifest, sums};
use crate::assemble::Assembler;
use crate::digest::{Digest, FieldHasher};
use crate::lab::{Lab, SAMPLE, Secrets};
use crate::media::{firmware, pins};
use crate::ops::BuildError;
use crate::ops::media::fingerprint;
use crate::page;
use crate::render::Catalog;
use crate::stamp::{Moment, Stamp};
use std::collections::BTreeMap;

/// Files that a build writes in addition to the artifacts.
const LISTS: [&str; 4] = [manifest::FILE, sums::FILE, page::FILE, imager::FILE];

/// Key of the memory of a lab's output folder.
pub fn memory_key(secrets: &Secrets) -> [u8; 32] {
    secrets.derive("memory of an output folder")
}

/// Fingerprints of the inputs whose bytes are not read.
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
    /// Takes the fingerprints of the media, before they are read, and of this
    /// program. None if a later change of one of them might not show: then a build
    /// does everything, and leaves nothing for the next one.
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
        // The firmware's fingerprint, if the lab has firmware.
        let firmware = match lab.media.get(firmware::MEDIUM) {
            Some(medium) => Some(fingerprint(&lab.dir, firmware::MEDIUM, medium)?),
            None => None,
        };
        let pins = std::fs::read(lab.dir.join(pins::FILE)).unwrap_or_default();
        Some(Self { media, firmware, pins, program })
    }

    /// One digest of the media, the firmware and the program.
    pub fn digest(&self) -> Digest {
        let mut hash = FieldHasher::new();
        for (name, seen) in &self.media {
            hash.field(name);
            hash.bare(seen);
        }
        hash.field(self.firmware.as_ref().map_or(&[][..], |seen| seen));
        hash.field(&self.program);
        hash.finish()
    }
}

/// All inputs of a build.
pub struct AllInputs<'a> {
    stamps: &'a InputStamps,
    /// Digest of all inputs, in hexadecimal.
    inputs: String,
    key: [u8; 32],
}

impl<'a> AllInputs<'a> {
    /// All inputs; `nodes` are the names that the user gave.
    pub fn new(stamps: &'a InputStamps, lab: &Lab, nodes: &[String], catalog: &Catalog, secrets: &Secrets) -> Self {
        let key = memory_key(secrets);
        let mut hash = FieldHasher::keyed(key);
        let text = format!("{lab:?} {nodes:?}");
        let firmware = stamps.firmware.as_ref().map_or(&[][..], |f| f);
        let (catalog, secrets) = (catalog.digest(), secrets.fingerprint());
        // The names of the media are in the lab.
        let media: Vec<u8> = stamps.media.values().flatten().copied().collect();
        for part in [text.as_bytes(), &catalog, &secrets, &media, firmware, &stamps.pins, &stamps.program] {
            hash.field(part);
        }
        Self { stamps, inputs: hash.finish().to_string(), key }
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
        // A file that does not exist, such as the list for the imager in a lab
        // without a Pi, has no record either.
        let lists = LISTS.iter().all(|f| memory::list(&lab.out, f).as_ref() == last.lists.get(*f));
        (whole && lists).then_some(reports)
    }

    /// Records a build that is complete in the memory.
    ///
    /// # Errors
    /// Fails when the folder's memory cannot be written.
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
