//! Media as the lab describes them, opened: fetched if they have addresses, and
//! compared with the digests of the lab and of `p9img.lock`.

use super::host::{self, HostError, network};
use super::note::Note;
use super::reporter::{Reporter, Watched};
pub use super::said_by::SaidBy;
use crate::digest::Digest;
use crate::lab::{self, Lab, Node, Origin, SAMPLE, Said};
use crate::media::compressed::known;
use crate::media::fetch::{self, FetchError, Wanted};
use crate::media::firmware::{self, Firmware, FirmwareError};
use crate::media::pins::{Pin, Pins, PinsError};
use crate::media::store::{Store, StoreError, Stored};
use crate::media::{Medium, MediumError, Source};
use crate::read_at::HostFile;
use crate::stop;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A medium whose digest is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub name: String,
    /// Path of the file or folder.
    pub place: String,
    pub found: Digest,
    pub expected: Digest,
    pub said_by: SaidBy,
    /// Whether it is a file, with a digest of its bytes, and not a tree.
    pub is_file: bool,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, found, expected, said_by, is_file } = self;
        let what = if *is_file { "SHA-256" } else { "a tree with the digest" };
        write!(f, "The medium {name} ({place}) has {what} {found}, but {said_by} says {expected}")
    }
}

/// Reason why a medium of a lab cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("The lab has no medium {name:?}")]
    Unknown { name: String },
    #[error("The medium {name} is the folder {}, but `sha256` is of a file: remove it from the lab", path.display())]
    Folder { name: String, path: PathBuf },
    #[error("Cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Changed(Box<Changed>),
    /// The file that `p9img.lock` names is no medium.
    #[error("The entry of p9img.lock for the medium {name} cannot be used")]
    Pinned { name: String, source: MediumError },
    #[error(transparent)]
    Digest(io::Error),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Pins(#[from] PinsError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Medium(#[from] MediumError),
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
}

/// Path of a medium on this machine, and the file's digest if it is one file.
pub struct Located {
    pub path: PathBuf,
    /// File of the store, if the medium was fetched.
    stored: Option<Arc<Stored>>,
    /// Digest, length and source of the file.
    pub file: Option<Pin>,
    /// Addresses that the medium was fetched from, if no digest was expected of it.
    unproved: Vec<String>,
    /// Whether the expected digest is that of `p9img.lock`.
    pinned: bool,
}

impl Located {
    /// Medium that is on this machine.
    fn plain(path: &Path, file: Option<Pin>, pinned: bool) -> Self {
        Self { path: path.into(), stored: None, file, unproved: Vec::new(), pinned }
    }

    /// Opens it for a reader of media.
    ///
    /// # Errors
    /// Fails when the file or folder does not exist or cannot be read.
    pub fn source(&self) -> Result<Source, MediumError> {
        let store = Store::platform().ok();
        match &self.stored {
            Some(stored) => Source::of(stored.clone(), &self.path, store.as_ref()),
            None => Source::open(&self.path, store.as_ref()),
        }
    }

    /// The error when it cannot be the medium `name`. If it was fetched and no
    /// digest was expected of it, the cache removes it.
    pub fn unusable(&self, name: &str, why: MediumError) -> MediaError {
        // These are errors of this machine, not of the medium.
        if matches!(why, MediumError::Store(_) | MediumError::NoCache { .. } | MediumError::Read { .. }) {
            return why.into();
        }
        if let (Some(Pin::File { sha256, .. }), false) = (&self.file, self.unproved.is_empty())
            && let Ok(store) = Store::platform()
        {
            // A file that stays in the cache does no harm: the next use refuses it as well.
            let _ = self.forget(&store, *sha256);
        }
        match self.pinned {
            true => MediaError::Pinned { name: name.to_owned(), source: why },
            false => why.into(),
        }
    }

    fn forget(&self, store: &Store, sha256: Digest) -> Result<(), StoreError> {
        host::forget(store, sha256)?;
        self.unproved.iter().try_for_each(|url| store.forget(url))
    }
}

/// Digests that a medium is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Lock,
    /// All but that of `p9img.lock`: the medium as it is now replaces the entry there.
    Now,
}

/// Whether a first use writes `p9img.lock`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Record {
    Yes,
    No,
}

/// Opens every medium that nodes of the lab are built from, once. Media of nodes
/// that are not to be built are needed, too: the files of a node depend on the
/// distributions of the others.
///
/// # Errors
/// Fails when a medium cannot be opened or contains no Plan 9.
pub fn all(lab: &Lab, record: Record, reporter: &dyn Reporter) -> Result<Vec<Medium>, MediaError> {
    let names = lab.media_in_use();
    let several = names.len() > 1;
    names.into_iter().map(|name| named(lab, name, record, several, reporter)).collect()
}

/// Opens a medium of the lab by its name, and tells its notes.
///
/// # Errors
/// Fails when the medium cannot be opened or contains no Plan 9.
pub fn one(lab: &Lab, name: &str, record: Record, reporter: &dyn Reporter) -> Result<Medium, MediaError> {
    named(lab, name, record, false, reporter)
}

/// As [`one`]; the notes begin with the name if `said` is true.
fn named(lab: &Lab, name: &str, record: Record, said: bool, reporter: &dyn Reporter) -> Result<Medium, MediaError> {
    if name == SAMPLE {
        return Ok(Medium::sample());
    }
    let Some(medium) = lab.media.get(name) else { return Err(MediaError::Unknown { name: name.to_owned() }) };
    let medium = open(lab, name, medium, record, reporter)?;
    let whose = if said { format!("{name}: ") } else { String::new() };
    medium.notes.iter().for_each(|note| reporter.note(&Note::Noticed(format!("{whose}{note}"))));
    Ok(medium)
}

/// The firmware of the lab's Pis, if one of `nodes` is one and the lab has any.
///
/// # Errors
/// Fails when it cannot be found or read, or has another digest than the expected one.
pub fn firmware(
    lab: &Lab,
    nodes: &[&Node],
    record: Record,
    reporter: &dyn Reporter,
) -> Result<Option<Firmware>, MediaError> {
    match lab.media.get(firmware::MEDIUM) {
        Some(medium) if nodes.iter().any(|n| n.board.is_pi()) => {
            let (path, source) = plain(lab, firmware::MEDIUM, medium, record, reporter)?;
            Ok(Some(Firmware::read(&path, source)?))
        }
        _ => Ok(None),
    }
}

/// Opens a medium of a lab and records it when it is used for the first time.
///
/// # Errors
/// Fails when it cannot be found or fetched, has another digest than the expected
/// one, or contains no Plan 9.
pub fn open(
    lab: &Lab,
    name: &str,
    medium: &lab::Medium,
    keep: Record,
    reporter: &dyn Reporter,
) -> Result<Medium, MediaError> {
    let pins = if medium.said == Said::Here { Pins::default() } else { Pins::load(&lab.dir)? };
    let pin = pins.media.get(name);
    let located = locate(&lab.dir, name, medium, pin, Trust::Lock, reporter)?;
    let opened = located.source().and_then(|source| Medium::read(name, &located.path, source, lab.epoch));
    let opened = opened.map_err(|e| located.unusable(name, e))?;
    if let (None, Some(Pin::Folder { tree, .. })) = (&located.file, pin) {
        let found = tree_digest(&opened)?;
        if found != *tree {
            return Err(changed_tree(name, &located.path, found, *tree));
        }
    }
    if let (Some(file), true) = (located.file, medium.said != Said::Here && keep == Record::Yes) {
        record(&lab.dir, name, file, pin)?;
    }
    Ok(opened)
}

/// Opens a medium that need not contain Plan 9, such as firmware, and records it as
/// [`open`] does. A folder is neither recorded nor compared.
///
/// # Errors
/// Fails when it cannot be found or fetched, or has another digest than the expected one.
fn plain(
    lab: &Lab,
    name: &str,
    medium: &lab::Medium,
    keep: Record,
    reporter: &dyn Reporter,
) -> Result<(PathBuf, Source), MediaError> {
    let pins = Pins::load(&lab.dir)?;
    let pin = pins.media.get(name);
    let located = locate(&lab.dir, name, medium, pin, Trust::Lock, reporter)?;
    let source = located.source().map_err(|e| located.unusable(name, e))?;
    if let (Some(file), Record::Yes) = (located.file, keep) {
        record(&lab.dir, name, file, pin)?;
    }
    Ok((located.path, source))
}

/// Fingerprint of a medium, made without reading its bytes: from the stamps of the
/// files at a path; of a medium that is fetched, from the digest that it must have.
/// None if the stamps cannot show a change, or no digest is expected.
pub fn fingerprint(dir: &Path, name: &str, medium: &lab::Medium) -> Option<[u8; 32]> {
    if let Origin::Path(path) = &medium.origin {
        return crate::media::seen(path);
    }
    let pins = if medium.said == Said::Here { Pins::default() } else { Pins::load(dir).ok()? };
    let (sha256, _) = expected(medium, pins.media.get(name), Trust::Lock);
    Some(Sha256::digest(format!("file {}", sha256?)).into())
}

/// Records a medium, unless the digest that is recorded already is the same.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn record(dir: &Path, name: &str, file: Pin, pin: Option<&Pin>) -> Result<(), PinsError> {
    let same = match (&file, pin) {
        (Pin::File { sha256: a, .. }, Some(Pin::File { sha256: b, .. })) => a == b,
        (Pin::Folder { tree: a, .. }, Some(Pin::Folder { tree: b, .. })) => a == b,
        _ => false,
    };
    if !same {
        Pins::update(dir, |pins| drop(pins.media.insert(name.to_owned(), file)))?;
    }
    Ok(())
}

/// Digest of all files of a medium.
///
/// # Errors
/// Fails when a file cannot be read.
pub fn tree_digest(medium: &Medium) -> Result<Digest, MediaError> {
    let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let digest = medium.tree.digest(jobs, &stop::go_on).map_err(MediaError::Digest)?;
    digest.parse().map_err(|e| MediaError::Digest(io::Error::other(e)))
}

/// Digest that a medium must have, and its source.
fn expected(medium: &lab::Medium, pin: Option<&Pin>, trust: Trust) -> (Option<Digest>, SaidBy) {
    match (medium.sha256, medium.said, pin) {
        (Some(sha256), Said::Lab, _) => (Some(sha256), SaidBy::Lab),
        (_, _, Some(Pin::File { sha256, .. })) if trust == Trust::Lock => (Some(*sha256), SaidBy::Lock),
        (Some(sha256), Said::Releases, _) => (Some(sha256), SaidBy::Releases),
        (sha256, ..) => (sha256, SaidBy::Caller),
    }
}

/// Finds the file or folder, fetches it if it has addresses, and compares its
/// digest with the expected one.
///
/// # Errors
/// Fails when it cannot be read or fetched, or has another digest. A path at which
/// there is no file is no error here.
pub fn locate(
    dir: &Path,
    name: &str,
    medium: &lab::Medium,
    pin: Option<&Pin>,
    trust: Trust,
    reporter: &dyn Reporter,
) -> Result<Located, MediaError> {
    let (sha256, said_by) = expected(medium, pin, trust);
    match &medium.origin {
        Origin::Path(path) => {
            // A folder, and a path at which nothing is, are left to the readers of media.
            if !path.is_file() {
                if medium.sha256.is_some() && path.is_dir() {
                    return Err(MediaError::Folder { name: name.to_owned(), path: path.clone() });
                }
                return Ok(Located::plain(path, None, false));
            }
            if medium.said == Said::Here && sha256.is_none() {
                return Ok(Located::plain(path, None, false));
            }
            let read = |source| MediaError::Read { path: path.clone(), source };
            let (found, length) = digest(path).map_err(read)?;
            if let Some(expected) = sha256.filter(|expected| *expected != found) {
                let (name, place) = (name.to_owned(), path.display().to_string());
                let changed = Changed { name, place, found, expected, said_by, is_file: true };
                return Err(MediaError::Changed(Box::new(changed)));
            }
            let source = path.strip_prefix(dir).unwrap_or(path).display().to_string();
            Ok(Located::plain(path, Some(Pin::File { sha256: found, length, source }), said_by == SaidBy::Lock))
        }
        Origin::Urls(urls) => {
            let store = Store::platform()?;
            let len = if sha256.is_some() && sha256 == medium.sha256 { medium.len } else { None };
            let said_by_words = reporter.said_by(said_by, name);
            let wanted = Wanted { name, urls, sha256, len, said_by: &said_by_words };
            let settings = network()?;
            let fetched = fetch::fetch(&store, &settings, &wanted, &Watched::new(reporter, Arc::default()))?;
            for failed in &fetched.failed {
                reporter.note(&Note::Noticed(format!("{failed}: using the next address")));
            }
            let recorded = pin.filter(|_| fetched.from.is_none()).map(|pin| pin.source().to_owned());
            let source = fetched.from.or(recorded).or_else(|| urls.first().cloned()).unwrap_or_default();
            let file = Some(Pin::File { sha256: fetched.sha256, length: fetched.len, source });
            let unproved = if sha256.is_none() { urls.clone() } else { Vec::new() };
            let path = fetched.file.path().to_owned();
            Ok(Located { path, stored: Some(fetched.file), file, unproved, pinned: said_by == SaidBy::Lock })
        }
    }
}

/// SHA-256 and length of a file, which is read only if it has changed since the last time.
fn digest(path: &Path) -> io::Result<(Digest, u64)> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let store = Store::platform().map_err(io::Error::other)?;
    Ok((known::digest(&store, path, &meta, &HostFile::new(file)?)?, meta.len()))
}

/// Error for a folder whose tree is not the one that `p9img.lock` records.
pub fn changed_tree(name: &str, path: &Path, found: Digest, expected: Digest) -> MediaError {
    let (name, place) = (name.to_owned(), path.display().to_string());
    let changed = Changed { name, place, found, expected, said_by: SaidBy::Lock, is_file: false };
    MediaError::Changed(Box::new(changed))
}
