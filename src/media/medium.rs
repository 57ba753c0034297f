//! A medium that is read: from the listing of its files to a tree.

use super::distribution::Distribution;
use super::error::MediumError;
use super::listed::Listed;
use super::metadata::{self, Database, MAX_RECORDS};
use super::open::Source;
use super::store::Store;
use super::{known_faults, proto, sample, within};
use crate::tree::Tree;
use std::path::Path;
use std::sync::Arc;

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
