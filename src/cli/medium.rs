//! From what the lab says of a medium to the medium: fetched if it has an
//! address, and compared with the digests of the lab and of `p9img.lock`.

use super::cache::network;
use super::progress::Progress;
use super::say;
use super::shared_args::GlobalArgs;
use crate::digest::Digest;
use crate::lab::{self, Lab, Origin, Said};
use crate::media::compressed::known;
use crate::media::fetch::{self, Wanted};
use crate::media::pins::{self, Pin, Pins};
use crate::media::store::{Store, Stored};
use crate::media::{Medium, MediumError, Source};
use crate::read_at::HostFile;
use crate::stop;
use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a medium lies on this machine, and what it is if it is one file.
pub struct Located {
    pub path: PathBuf,
    /// What was fetched.
    stored: Option<Arc<Stored>>,
    /// Digest, length, and where it comes from.
    pub file: Option<Pin>,
    /// The addresses of what was fetched with nothing to say what it must be.
    unproved: Vec<String>,
    /// Whether `p9img.lock` says what it must be.
    pinned: bool,
}

impl Located {
    /// What lies on this machine.
    fn plain(path: &Path, file: Option<Pin>, pinned: bool) -> Self {
        Self { path: path.into(), stored: None, file, unproved: Vec::new(), pinned }
    }

    /// Opens it for a reader of media.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn source(&self) -> Result<Source, MediumError> {
        let store = Store::platform().ok();
        match &self.stored {
            Some(stored) => Source::of(stored.clone(), &self.path, store.as_ref()),
            None => Source::open(&self.path, store.as_ref()),
        }
    }

    /// What to say when it cannot be the medium `name`. If nothing but an
    /// address says that it is, the cache does not keep it.
    pub fn unusable(&self, name: &str, why: MediumError) -> anyhow::Error {
        // This machine's fault, not the medium's.
        if matches!(why, MediumError::Store(_) | MediumError::NoCache { .. } | MediumError::Read { .. }) {
            return why.into();
        }
        let why = anyhow::Error::from(why);
        let forget = || -> anyhow::Result<()> {
            let (Some(Pin::File { sha256, .. }), false) = (&self.file, self.unproved.is_empty()) else { return Ok(()) };
            let store = Store::platform()?;
            super::cache::forget(&store, *sha256)?;
            Ok(self.unproved.iter().try_for_each(|url| store.forget(url))?)
        };
        // What stays in the cache is of no harm: the next use refuses it as well.
        let _ = forget();
        match self.pinned {
            true => why.context(format!(
                "The entry of {} for the medium {name} cannot be used: `p9img media add {name} --update` records the present file",
                pins::FILE
            )),
            false => why,
        }
    }
}

/// Whether what `p9img.lock` says is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Lock,
    /// What is there now is right; the lab's own `sha256` still counts.
    Now,
}

/// Whether a first use writes `p9img.lock`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Record {
    Yes,
    No,
}

/// Opens a medium of a lab and records it when it is used for the first time.
///
/// # Errors
/// When it cannot be had, is not what it was, or holds no Plan 9.
pub fn open(cli: &GlobalArgs, lab: &Lab, name: &str, medium: &lab::Medium, keep: Record) -> anyhow::Result<Medium> {
    let pins = if medium.said == Said::Here { Pins::default() } else { Pins::load(&lab.dir)? };
    let pin = pins.media.get(name);
    let located = locate(cli, &lab.dir, name, medium, pin, Trust::Lock)?;
    let opened = located.source().and_then(|source| Medium::read(name, &located.path, source, lab.epoch));
    let opened = opened.map_err(|e| located.unusable(name, e))?;
    if let (None, Some(Pin::Folder { tree, .. })) = (&located.file, pin) {
        let found = tree_digest(&opened)?;
        if found != *tree {
            bail!("{}", changed(name, &located.path.display().to_string(), found, *tree, "p9img.lock", false));
        }
    }
    if let (Some(file), true) = (located.file, medium.said != Said::Here && keep == Record::Yes) {
        record(&lab.dir, name, file, pin)?;
    }
    Ok(opened)
}

/// Opens what need not hold Plan 9, such as firmware, and records it as
/// [`open`] does. A folder is as it is.
///
/// # Errors
/// When it cannot be had or is not what it was.
pub fn plain(
    cli: &GlobalArgs,
    lab: &Lab,
    name: &str,
    medium: &lab::Medium,
    keep: Record,
) -> anyhow::Result<(PathBuf, Source)> {
    let pins = Pins::load(&lab.dir)?;
    let pin = pins.media.get(name);
    let located = locate(cli, &lab.dir, name, medium, pin, Trust::Lock)?;
    let source = located.source().map_err(|e| located.unusable(name, e))?;
    if let (Some(file), Record::Yes) = (located.file, keep) {
        record(&lab.dir, name, file, pin)?;
    }
    Ok((located.path, source))
}

/// What stands for the bytes of a medium without their being read: the stamps
/// of what lies at a path; for what was fetched, the digest that it must have.
/// None when they cannot be told from others.
pub fn seen(dir: &Path, name: &str, medium: &lab::Medium) -> Option<[u8; 32]> {
    if let Origin::Path(path) = &medium.origin {
        return crate::media::seen(path);
    }
    let pins = if medium.said == Said::Here { Pins::default() } else { Pins::load(dir).ok()? };
    let (sha256, _) = expected(medium, pins.media.get(name), Trust::Lock);
    Some(Sha256::digest(format!("file {}", sha256?)).into())
}

/// Records a medium, unless that would only say in other words what is recorded.
///
/// # Errors
/// When the file cannot be written.
pub fn record(dir: &Path, name: &str, file: Pin, pin: Option<&Pin>) -> anyhow::Result<()> {
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

/// A digest of all that is on a medium.
///
/// # Errors
/// When a file cannot be read.
pub fn tree_digest(medium: &Medium) -> anyhow::Result<Digest> {
    let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(medium.tree.digest(jobs, &stop::go_on)?.parse()?)
}

/// What a medium must be, and who says so.
fn expected(medium: &lab::Medium, pin: Option<&Pin>, trust: Trust) -> (Option<Digest>, &'static str) {
    match (medium.sha256, medium.said, pin) {
        (Some(sha256), Said::Lab, _) => (Some(sha256), "lab.toml"),
        (_, _, Some(Pin::File { sha256, .. })) if trust == Trust::Lock => (Some(*sha256), "p9img.lock"),
        (Some(sha256), Said::Releases, _) => (Some(sha256), "p9img's list of releases"),
        (sha256, ..) => (sha256, "--sha256"),
    }
}

/// Finds the file or folder, fetches it if need be, and compares its digest
/// with what is expected of it.
///
/// # Errors
/// When it is not there or is another.
pub fn locate(
    cli: &GlobalArgs,
    dir: &Path,
    name: &str,
    medium: &lab::Medium,
    pin: Option<&Pin>,
    trust: Trust,
) -> anyhow::Result<Located> {
    let (sha256, said_by) = expected(medium, pin, trust);
    match &medium.origin {
        Origin::Path(path) => {
            // What is no file, or not there, is for the readers to say.
            if !path.is_file() {
                if medium.sha256.is_some() && path.is_dir() {
                    bail!(
                        "The medium {name} is the folder {}, but `sha256` is of a file: remove it from the lab",
                        path.display()
                    );
                }
                return Ok(Located::plain(path, None, false));
            }
            if medium.said == Said::Here && sha256.is_none() {
                return Ok(Located::plain(path, None, false));
            }
            let (found, length) = digest(path).with_context(|| format!("Cannot read {}", path.display()))?;
            if let Some(expected) = sha256.filter(|expected| *expected != found) {
                bail!("{}", changed(name, &path.display().to_string(), found, expected, said_by, true));
            }
            let source = path.strip_prefix(dir).unwrap_or(path).display().to_string();
            Ok(Located::plain(path, Some(Pin::File { sha256: found, length, source }), said_by == pins::FILE))
        }
        Origin::Urls(urls) => {
            let store = Store::platform()?;
            let progress = Progress::new(cli.quiet, Arc::default());
            let len = if sha256.is_some() && sha256 == medium.sha256 { medium.len } else { None };
            let advice = match said_by {
                pins::FILE => format!("{said_by} (if the change is intended, run `p9img media add {name} --update`)"),
                other => other.to_owned(),
            };
            let wanted = Wanted { name, urls, sha256, len, said_by: &advice };
            let fetched = fetch::fetch(&store, &network()?, &wanted, &progress);
            progress.finish();
            let fetched = fetched?;
            if !cli.quiet {
                for failed in &fetched.failed {
                    say::note(&format!("{failed}: using the next address"));
                }
            }
            let recorded = pin.filter(|_| fetched.from.is_none()).map(|pin| pin.source().to_owned());
            let source = fetched.from.or(recorded).or_else(|| urls.first().cloned()).unwrap_or_default();
            let file = Some(Pin::File { sha256: fetched.sha256, length: fetched.len, source });
            let unproved = if sha256.is_none() { urls.clone() } else { Vec::new() };
            let path = fetched.file.path().to_owned();
            Ok(Located { path, stored: Some(fetched.file), file, unproved, pinned: said_by == pins::FILE })
        }
    }
}

/// SHA-256 and length of a file, which is read when it has changed since the
/// last time.
fn digest(path: &Path) -> io::Result<(Digest, u64)> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let store = Store::platform().map_err(io::Error::other)?;
    Ok((known::digest(&store, path, &meta, &HostFile::new(file)?)?, meta.len()))
}

/// The one sentence about a medium that is not what it was.
pub fn changed(name: &str, place: &str, found: Digest, expected: Digest, said_by: &str, file: bool) -> String {
    let what = if file { "SHA-256" } else { "a tree with the digest" };
    let pin = if file { "" } else { " --pin" };
    let advice = match said_by {
        pins::FILE => format!("if the change is intended, run `p9img media add {name} --update{pin}`"),
        _ => "replace it by the right file".to_owned(),
    };
    format!("The medium {name} ({place}) has {what} {found}, but {said_by} says {expected}: {advice}")
}
