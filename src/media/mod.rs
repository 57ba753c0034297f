//! Media: anything that a tree can be read from.
//!
//! A [`Medium`] is a whole tree with Plan 9's names, owners, modes and times,
//! and what kind of system it holds. [`Source`] tells what is at a path; a
//! reader for each kind of container ([`directory`] for a folder of the host)
//! fills a [`Listing`], from which the tree is made; `select` picks what goes
//! into an image. [`fetch`] gets media from the network,
//! [`store`] keeps them, [`pins`] records which ones a lab has.

pub mod compressed;
pub mod deb;
pub mod directory;
mod distribution;
mod facts;
pub mod fetch;
pub mod firmware;
pub mod git;
pub mod image;
pub mod iso;
mod known_faults;
mod listed;
mod listing;
mod members;
mod metadata;
mod names;
mod open;
pub mod pins;
mod proto;
pub mod sample;
mod seen;
mod select;
pub mod store;
pub mod tar;
mod web_page;
mod within;
pub mod zip;

pub use crate::digest::Digest;
pub use distribution::Distribution;
pub use facts::{Architecture, Facts};
pub use listed::Listed;
pub use listing::{Attributes, Listing, PathError};
pub use metadata::{Database, MetadataError};
pub use open::Source;
pub use seen::seen;
pub use select::{PatternError, Selection};

use crate::count;
use crate::foreign::Foreign;
use crate::tree::Tree;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Store, StoreError};

/// Bytes of a release's records that are read: 9legacy's have 1.4 MB.
const MAX_RECORDS: u64 = 64 << 20;

/// An opened medium.
#[derive(Clone, Debug)]
pub struct Medium {
    /// As the lab calls it.
    pub name: String,
    pub distribution: Distribution,
    /// Everything on it.
    pub tree: Arc<Tree>,
    /// Source of owners, modes and times, in words.
    pub metadata_source: String,
    /// Notes for the user, each a sentence with no full stop.
    pub notes: Vec<String>,
    /// Paths that are on it and were not taken, because they are an old node's own.
    pub left_out: Vec<String>,
}

impl Medium {
    /// The embedded sample.
    pub fn sample() -> Self {
        Self {
            name: crate::lab::SAMPLE.into(),
            distribution: Distribution::Sample,
            tree: Arc::new(sample::tree()),
            metadata_source: "p9img itself".into(),
            notes: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Reads the medium at `path`. Files of which neither it nor the release
    /// says more get the time `epoch` (seconds since 1970). Files that have to
    /// be made before they can be read go into `store`.
    ///
    /// # Errors
    /// Fails when nothing is there, something in it cannot be read or cannot be
    /// a Plan 9 file, or it holds no Plan 9 system.
    pub fn open(name: &str, path: &Path, epoch: u32, store: Option<&Store>) -> Result<Self, MediumError> {
        Self::read(name, path, Source::open(path, store)?, epoch)
    }

    /// As [`Medium::open`], for what is opened already.
    ///
    /// # Errors
    /// As [`Medium::open`].
    pub fn read(name: &str, path: &Path, source: Source, epoch: u32) -> Result<Self, MediumError> {
        let Listed { mut listing, metadata: own, complete, names, mut notes, left_out } = source.list(path)?;
        listing.strip_top();
        notes.extend(listing.leftovers());
        let records = listing.content(metadata::PATH).map(|content| {
            if content.len() > MAX_RECORDS {
                return Err(MediumError::Records { len: content.len() });
            }
            let text =
                content.read_all().map_err(|source| MediumError::Read { path: path.join(metadata::PATH), source })?;
            Ok::<_, MediumError>(Database::parse(&text)?)
        });
        let mut database = records.transpose()?;
        let front = Distribution::recognise_by(|p| listing.has(p)) == Some(Distribution::Front);
        let mut proto = None;
        if front && database.is_none() && !complete {
            let restored = listing.restore_executables();
            if restored > 0 {
                notes.push(format!(
                    "the medium has lost the execute bits of programs, as copies often do: {} in amd64/bin and the \
                     like, and init, got them back",
                    crate::count::of(restored, "file")
                ));
            }
            if let Some(content) = listing.content(proto::PATH).filter(|c| c.len() <= proto::MAX).cloned() {
                let at = path.join(proto::PATH);
                let text = content.read_all().map_err(|source| MediumError::Read { path: at.clone(), source })?;
                let text = String::from_utf8_lossy(&text);
                let made = proto::database(&text, &mut listing, epoch);
                database = Some(made.map_err(|why| MediumError::Path { path: at, why })?);
                proto = Some(proto::files(&text));
            }
        }
        let tree = listing.tree(database.as_ref(), epoch);
        let distribution = Distribution::recognise(&tree).ok_or_else(|| match within::find(&tree) {
            Some((inner, what)) => MediumError::Within { path: path.into(), inner, what },
            None => MediumError::NotPlan9 { path: path.into(), marks: Distribution::marks() },
        })?;
        // A disk lacks what was removed on it, and a release's own disc nothing.
        if !complete {
            notes.extend(match (&database, &proto) {
                (_, Some(files)) => known_faults::missing_of(&tree, files.iter().map(String::as_bytes), proto::PATH),
                (Some(db), None) => known_faults::missing(&tree, db, metadata::PATH),
                (None, None) => None,
            });
        }
        notes.extend(known_faults::line_ends(&tree));
        let mut metadata_source = match (&database, own) {
            (_, Some(own)) if complete => own.into(),
            (Some(_), _) if proto.is_some() => {
                format!("{}; modes by the execute bit, times the lab's epoch", proto::PATH)
            }
            (Some(db), _) => format!("{} ({})", metadata::PATH, crate::count::of(db.len(), "record")),
            (None, Some(own)) => own.into(),
            (None, None) => "none: owner and group sys, modes by the execute bit, times the lab's epoch".into(),
        };
        if let Some(names) = names {
            metadata_source = format!("{metadata_source}; names from {names}");
        }
        Ok(Self { name: name.into(), distribution, tree: Arc::new(tree), metadata_source, notes, left_out })
    }
}

/// Reason why something cannot be a medium.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    #[error("There is no medium at {path}: give a folder with {marks}")]
    Missing { path: PathBuf, marks: String },
    #[error("{path} is not a Plan 9 medium; none of these was found: {looked_for}")]
    Unknown { path: PathBuf, looked_for: String },
    #[error("{path} is {name}, which p9img does not read: {advice}", name = .found.name, advice = .found.advice)]
    Foreign { path: PathBuf, found: Foreign },
    #[error(
        "{path} is a web page (HTML), not a medium: download the file itself; the address may have answered with a \
         page about it"
    )]
    WebPage { path: PathBuf },
    #[error("{path} contains no Plan 9 system: looked for {marks}")]
    NotPlan9 { path: PathBuf, marks: String },
    #[error("{path} contains no Plan 9 system, but {inner}, {what}: unpack it, and give that file")]
    Within { path: PathBuf, inner: String, what: String },
    #[error("{path} contains no Plan 9 system: its partition {partition} is {name}. {advice}", name = .found.name, advice = .found.advice)]
    Partition { path: PathBuf, partition: String, found: Foreign },
    #[error("Cannot read the tar archive {path}")]
    Tar { path: PathBuf, source: tar::TarError },
    #[error("Cannot read the zip archive {path}")]
    Zip { path: PathBuf, source: zip::ZipError },
    #[error("Cannot read the Debian package {path}")]
    Deb { path: PathBuf, source: deb::DebError },
    #[error("The {how} stream of {path} is damaged or cut off: get the file again")]
    Compressed { path: PathBuf, how: &'static str, source: io::Error },
    #[error(
        "{len} the end of the {how} data of {path}, at byte {end}, and no {how} data: download the file again, or cut \
         them off with `truncate -s {end}`", len = count::either(len, "byte follows", "bytes follow")
    )]
    Trailing { path: PathBuf, how: &'static str, end: u64, len: u64 },
    #[error("The {how} stream of {path} becomes longer than {most}, which is more than any medium; refusing to unpack \
             it", most = count::of(most, "byte"))]
    Bomb { path: PathBuf, how: &'static str, most: u64 },
    #[error(
        "{path} has more than {most} compressions inside each other, which is more than any medium; refusing to \
         unpack it"
    )]
    Layers { path: PathBuf, most: usize },
    #[error(
        "{path} must be unpacked into a cache, but there is no home folder: set P9IMG_CACHE to a folder for the cache"
    )]
    NoCache { path: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("Cannot read the git repository {path}")]
    Git { path: PathBuf, source: git::GitError },
    #[error("The file {PATH} of the medium has {len}, but p9img reads at most {MAX_RECORDS}", PATH = metadata::PATH, len = count::of(len, "byte"))]
    Records { len: u64 },
    #[error("Cannot read {path} of the medium")]
    Read { path: PathBuf, source: io::Error },
    #[error("The symbolic link {path} of the medium leads back to {ancestor}: remove the loop")]
    LinkLoop { path: PathBuf, ancestor: PathBuf },
    #[error("The symbolic link {path} of the medium leads to {target}, outside of it: replace it with a copy")]
    LinkLeaves { path: PathBuf, target: PathBuf },
    #[error("{path} of the medium is a {kind}: Plan 9 trees contain files and directories only")]
    Special { path: PathBuf, kind: &'static str },
    #[error("Plan 9 cannot store the path {path:?} of the medium: {why}")]
    Path { path: PathBuf, why: PathError },
    #[error("Cannot read {path} as an ISO 9660 image")]
    Iso { path: PathBuf, source: Box<iso::IsoError> },
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}
