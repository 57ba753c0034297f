//! Memory of a build for the next one: a hidden file in the output folder.
//!
//! It says nothing that could not be found out again by reading and computing,
//! so it may be deleted at any time. It is believed only as a whole, when its
//! authentication code is right; the key comes from the lab's secrets, so
//! a reader without these can neither forge it nor try passwords on it: the
//! digests of clusters in it are keyed as well. What it says of a file counts
//! only while the file has the same stamp ([`Stamp`]), and every compressed
//! cluster is checked again when it is used.

use crate::artifact::codec::{CONTAINERS, Method, probe};
use crate::artifact::error::Error;
use crate::artifact::output::folder::Folder;
use crate::digest::FieldHasher;
use crate::hex::hex;
use crate::stamp::{Moment, Stamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file.
pub const FILE: &str = ".p9img.memory";
/// First bytes; another layout gets another number.
const MAGIC: &[u8; 16] = b"p9img memory 1\n\0";
/// Bytes of a keyed digest.
const TAG: usize = 16;
/// Bytes of a stream's record.
const STREAM: usize = TAG + 4 + 8 + 4 + 4 + TAG;
/// Longest file that is read: sixteen times what a lab of 16 GiB needs.
const MOST: u64 = 512 << 20;
/// Digests of a base's clusters, in the order of the base, as `reuse` has them.
pub type Clusters = Vec<[u8; 32]>;

/// A keyed digest.
pub type Tag = [u8; TAG];

/// Key of the digests.
#[derive(Clone, Copy, Default)]
pub struct Key([u8; 32]);

impl Key {
    /// A digest that only who has the lab's secrets can compute.
    pub fn tag(&self, parts: &[&[u8]]) -> Tag {
        let digest = self.code(parts);
        std::array::from_fn(|i| digest[i])
    }

    /// Tag that identifies the stream of the cluster with `digest`.
    pub(super) fn stream(&self, method: Method, digest: &[u8; 32]) -> Tag {
        let (library, version) = method.library();
        self.tag(&[library.as_bytes(), version.as_bytes(), probe::DIGEST.as_bytes(), &CONTAINERS.to_le_bytes(), digest])
    }

    fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = FieldHasher::keyed(self.0);
        parts.iter().for_each(|part| hash.field(part));
        hash.finish().0
    }
}

/// An artifact that was whole when it had this stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    pub stamp: Stamp,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Location of the compressed form of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// File name of the artifact that holds it; empty for a cluster that does
    /// not become smaller, which has no stream.
    pub artifact: String,
    pub offset: u64,
    pub len: u32,
    pub adler32: u32,
    /// Keyed digest of the stream's bytes.
    pub sum: Tag,
}

/// The last build that was complete: with these inputs nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Digest of all inputs, in hexadecimal.
    pub inputs: String,
    /// Reports of the build, as it would give them for unchanged files.
    pub reports: serde_json::Value,
    /// SHA-256 of the folder's other files by name, in hexadecimal.
    pub lists: BTreeMap<String, String>,
}

/// Memory of a folder; empty when there is none that can be used.
#[derive(Clone, Default)]
pub struct Memory {
    pub(super) key: Key,
    /// Whether to remember anything.
    on: bool,
    pub artifacts: BTreeMap<String, Whole>,
    pub streams: BTreeMap<Tag, Stream>,
    /// Clusters by the key of a base: [`crate::assemble::Assembler::bases`].
    pub bases: BTreeMap<[u8; 32], Clusters>,
    /// Digests of media, with a blank between, by what was seen of them.
    medium: Option<(String, String)>,
    pub last: Option<Last>,
    /// Artifacts written and not looked at since: name, SHA-256, and the stamp
    /// that they had under their hidden name.
    pub(super) written: Vec<(String, String, Stamp)>,
}

/// The part of the file that is JSON.
#[derive(Serialize, Deserialize)]
struct Head {
    artifacts: BTreeMap<String, Whole>,
    /// Names of artifacts that streams are in, by number.
    names: Vec<String>,
    streams: usize,
    /// Keys of bases in hexadecimal, and how many clusters each has.
    bases: Vec<([u8; 32], usize)>,
    medium: Option<(String, String)>,
    last: Option<Last>,
}

impl Memory {
    /// A memory that remembers nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the memory of the folder with `key`; empty when there is none, or
    /// it is damaged, or made with another key.
    pub fn load(folder: &Path, key: [u8; 32]) -> Self {
        let empty = Self { key: Key(key), on: true, ..Self::default() };
        let path = folder.join(FILE);
        let short = path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() <= MOST);
        let Some(bytes) = short.then(|| std::fs::read(&path).ok()).flatten() else { return empty };
        empty.parse(&bytes).unwrap_or(empty)
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The digests of media of which `bases` are the parts that images have.
    pub fn media(&self, bases: &BTreeMap<u64, [u8; 32]>) -> Option<Vec<String>> {
        let (of, digests) = self.medium.as_ref()?;
        let known = !bases.is_empty() && *of == self.bases_tag(bases);
        known.then(|| digests.split(' ').map(str::to_owned).collect())
    }

    /// Remembers what [`Memory::media`] returns.
    pub fn remember_media(&mut self, bases: &BTreeMap<u64, [u8; 32]>, digests: &[String]) {
        self.medium = Some((self.bases_tag(bases), digests.join(" ")));
    }

    fn bases_tag(&self, bases: &BTreeMap<u64, [u8; 32]>) -> String {
        hex(&self.key.tag(&bases.values().map(|k| &k[..]).collect::<Vec<_>>()))
    }

    /// Writes the file, readable for its owner only.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn save(&mut self, folder: &Folder) -> Result<(), Error> {
        if !self.on {
            return Ok(());
        }
        self.settle(folder.path());
        let artifacts = &self.artifacts;
        self.streams.retain(|_, s| s.artifact.is_empty() || artifacts.contains_key(&s.artifact));
        folder.replace_private(FILE, &self.bytes())
    }

    /// Takes the stamps of what was written, once they can be believed.
    fn settle(&mut self, folder: &Path) {
        let written = std::mem::take(&mut self.written);
        let now = Moment::now();
        let wait = written.iter().filter_map(|(name, ..)| stamp(&folder.join(name))?.wait(now)).max();
        wait.into_iter().for_each(std::thread::sleep);
        let taken = Moment::now();
        for (name, sha256, before) in written {
            match stamp(&folder.join(&name)) {
                Some(stamp) if before.renamed(&stamp) => self.whole(&name, &sha256, stamp, taken),
                _ => drop(self.artifacts.remove(&name)),
            }
        }
    }

    /// Whether `sha256` is the recorded digest of the file `name` of `folder`,
    /// which has not been written to since; the file is not read.
    pub fn is_whole(&self, folder: &Path, name: &str, sha256: &str) -> bool {
        self.artifacts
            .get(name)
            .is_some_and(|w| w.sha256 == sha256 && stamp(&folder.join(name)).as_ref() == Some(&w.stamp))
    }

    /// Remembers that `name` was whole when it had `stamp`, taken at `taken`.
    pub(super) fn whole(&mut self, name: &str, sha256: &str, stamp: Stamp, taken: Moment) {
        if self.on && stamp.settled(taken) {
            self.artifacts.insert(name.to_owned(), Whole { stamp, sha256: sha256.to_owned() });
        } else {
            self.artifacts.remove(name);
        }
    }

    /// Takes note that files of `folder` got a second name, which sets their change time: those that
    /// were whole still are. Returns whether there was such a file.
    pub fn linked(&mut self, folder: &Path, names: &[String]) -> bool {
        let mut any = false;
        for name in names {
            let Some((whole, now)) = self.artifacts.get(name).cloned().zip(stamp(&folder.join(name))) else { continue };
            if whole.stamp != now && whole.stamp.renamed(&now) {
                any = true;
                self.written.push((name.clone(), whole.sha256, whole.stamp));
            }
        }
        any
    }

    fn bytes(&self) -> Vec<u8> {
        let mut names: Vec<String> = self.streams.values().map(|s| s.artifact.clone()).collect();
        names.sort();
        names.dedup();
        let head = Head {
            artifacts: self.artifacts.clone(),
            streams: self.streams.len(),
            bases: self.bases.iter().map(|(key, clusters)| (*key, clusters.len())).collect(),
            medium: self.medium.clone(),
            last: self.last.clone(),
            names,
        };
        let json = serde_json::to_vec(&head).unwrap_or_default();
        let mut out = MAGIC.to_vec();
        out.extend((json.len() as u64).to_le_bytes());
        out.extend(json);
        for (tag, s) in &self.streams {
            let name = head.names.binary_search(&s.artifact).unwrap_or_default();
            out.extend(tag);
            out.extend((name as u32).to_le_bytes());
            out.extend(s.offset.to_le_bytes());
            out.extend(s.len.to_le_bytes());
            out.extend(s.adler32.to_le_bytes());
            out.extend(s.sum);
        }
        out.extend(self.bases.values().flatten().flatten());
        let code = self.key.code(&[&out]);
        out.extend(code);
        out
    }

    fn parse(&self, bytes: &[u8]) -> Option<Self> {
        let (body, code) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if self.key.code(&[body]) != code {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?;
        let (len, rest) = rest.split_first_chunk()?;
        let (json, mut rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let head: Head = serde_json::from_slice(json).ok()?;
        let mut memory = Self { artifacts: head.artifacts, medium: head.medium, last: head.last, ..self.clone() };
        for _ in 0..head.streams {
            let (record, after) = rest.split_first_chunk::<STREAM>()?;
            rest = after;
            let (tag, record) = record.split_first_chunk()?;
            let (name, record) = record.split_first_chunk()?;
            let (offset, record) = record.split_first_chunk()?;
            let (len, record) = record.split_first_chunk()?;
            let (adler32, sum) = record.split_first_chunk()?;
            let stream = Stream {
                artifact: head.names.get(u32::from_le_bytes(*name) as usize)?.clone(),
                offset: u64::from_le_bytes(*offset),
                len: u32::from_le_bytes(*len),
                adler32: u32::from_le_bytes(*adler32),
                sum: sum.try_into().ok()?,
            };
            memory.streams.insert(*tag, stream);
        }
        for (key, len) in head.bases {
            let (clusters, after) = rest.split_at_checked(len.checked_mul(32)?)?;
            rest = after;
            memory.bases.insert(key, clusters.as_chunks().0.to_vec());
        }
        rest.is_empty().then_some(memory)
    }
}

/// The stamp of a plain file; none for a link or when it is not there.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    path.symlink_metadata().ok().filter(std::fs::Metadata::is_file).map(|m| Stamp::of(&m))
}

/// SHA-256 of a small file in hexadecimal; none when it cannot be read.
pub fn list(folder: &Path, name: &str) -> Option<String> {
    std::fs::read(folder.join(name)).ok().map(|bytes| hex(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::output::folder::Wait;

    fn filled(dir: &Path) -> Memory {
        let mut memory = Memory::load(dir, [1; 32]);
        std::fs::write(dir.join("a.qcow2"), "x").unwrap();
        let stamp = stamp(&dir.join("a.qcow2")).unwrap();
        memory.written.push(("a.qcow2".into(), "00".into(), stamp));
        let stream =
            |artifact: &str| Stream { artifact: artifact.into(), offset: 7, len: 8, adler32: 9, sum: [3; TAG] };
        memory.streams =
            BTreeMap::from([([1; TAG], stream("a.qcow2")), ([2; TAG], stream("")), ([3; TAG], stream("gone"))]);
        memory.bases = BTreeMap::from([([4; 32], vec![[5; 32], [6; 32]]), ([7; 32], vec![])]);
        memory.remember_media(&BTreeMap::from([(1, [4; 32])]), &["one".into(), "two".into()]);
        memory
    }

    #[test]
    fn what_is_saved_is_found_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        let mut memory = filled(dir.path());
        memory.save(&folder).unwrap();
        let found = Memory::load(dir.path(), [1; 32]);
        assert!(found.is_whole(dir.path(), "a.qcow2", "00"));
        assert!(!found.is_whole(dir.path(), "a.qcow2", "01") && !found.is_whole(dir.path(), "b", "00"));
        assert_eq!((found.streams.len(), &found.streams), (2, &memory.streams));
        assert_eq!(found.bases, memory.bases);
        assert_eq!(found.media(&BTreeMap::from([(8, [4; 32])])), Some(vec!["one".into(), "two".into()]));
        assert_eq!(found.media(&BTreeMap::from([(8, [5; 32])])), None);
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Memory::load(dir.path(), [2; 32]).artifacts.is_empty());
    }

    #[test]
    fn a_damaged_file_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        filled(dir.path()).save(&folder).unwrap();
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        let empty = |what: &str| {
            let found = Memory::load(dir.path(), [1; 32]);
            let nothing = found.artifacts.is_empty() && found.streams.is_empty() && found.bases.is_empty();
            assert!(nothing && found.medium.is_none() && found.last.is_none() && found.is_on(), "{what}");
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            empty(&format!("bit {} of byte {at}", at % 8));
        }
        for len in (0..good.len()).step_by(7) {
            std::fs::write(&path, &good[..len]).unwrap();
            empty(&format!("{len} bytes"));
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        empty("a link");
    }
}
