//! Inputs that several use cases begin with: the roles, the lab, its secrets.

use super::note::Note;
use super::reporter::Reporter;
use crate::lab::secrets::{FILE, Secrets, SecretsError, Written};
use crate::lab::{self, Format, Lab, Mistakes, Node, Problem};
use crate::render::{Catalog, RenderError};
use std::path::{Path, PathBuf};

/// A lab, and what replaces its own choices for one run.
#[derive(Clone, Debug)]
pub struct LabRequest {
    /// File of the lab.
    pub file: PathBuf,
    /// A medium of the lab, the path of one, or the name of a release.
    pub medium: Option<String>,
    /// Words of formats; those of the lab if it is empty.
    pub formats: Vec<String>,
    /// Word of a layout.
    pub layout: Option<String>,
    /// Folder of the artifacts.
    pub out: Option<PathBuf>,
}

impl LabRequest {
    /// The lab in `file` as it is.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), medium: None, formats: Vec::new(), layout: None, out: None }
    }

    /// Reads the lab with all that replaces its own choices.
    ///
    /// # Errors
    /// Every mistake in the lab, or the one in the request.
    pub fn lab(&self, catalog: &Catalog, reporter: &dyn Reporter) -> Result<Lab, LabError> {
        self.change(load(&self.file, catalog, reporter)?)
    }

    /// The lab with what the request and `SOURCE_DATE_EPOCH` replace.
    ///
    /// # Errors
    /// The mistake in the request.
    pub fn change(&self, mut lab: Lab) -> Result<Lab, LabError> {
        if let Some(epoch) = source_date_epoch()? {
            lab = lab.with_epoch(epoch);
        }
        if let Some(medium) = &self.medium {
            lab = lab.with_medium(medium).map_err(LabError::Medium)?;
        }
        let formats = self.formats.iter().map(|word| lab::words::parse(word).map_err(LabError::Format));
        let formats: Vec<Format> = formats.collect::<Result<_, _>>()?;
        if !formats.is_empty() {
            lab = lab.with_formats(&formats);
        }
        if let Some(layout) = &self.layout {
            lab = lab.with_layout(lab::words::parse(layout).map_err(LabError::Layout)?);
        }
        if let Some(out) = &self.out {
            lab = lab.with_out(out);
        }
        Ok(lab)
    }
}

/// Reason why a lab cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error(transparent)]
    Catalog(#[from] RenderError),
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// The medium of the request.
    #[error("{0}")]
    Medium(Problem),
    /// A format of the request.
    #[error("{0}")]
    Format(Problem),
    /// The layout of the request.
    #[error("{0}")]
    Layout(Problem),
    #[error("SOURCE_DATE_EPOCH: {0}")]
    Epoch(Problem),
    #[error("The lab has no node {name:?}: it has {}", known.join(", "))]
    NoNode { name: String, known: Vec<String> },
}

/// The built-in roles and those in the folder of the lab file.
///
/// # Errors
/// Fails when a role or template there cannot be read or has a mistake.
pub fn catalog(file: &Path, reporter: &dyn Reporter) -> Result<Catalog, RenderError> {
    let dir = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let catalog = Catalog::load(dir)?;
    catalog.notes().into_iter().for_each(|note| reporter.note(&Note::Noticed(note)));
    Ok(catalog)
}

/// The lab as its file has it.
///
/// # Errors
/// Every mistake in it.
pub fn load(file: &Path, catalog: &Catalog, reporter: &dyn Reporter) -> Result<Lab, Mistakes> {
    let lab = Lab::load(file, &catalog.facts())?;
    lab.notes.iter().for_each(|note| reporter.note(&Note::Noticed(note.clone())));
    Ok(lab)
}

/// The roles, and the lab as its file has it.
///
/// # Errors
/// As [`catalog`] and [`load`].
pub fn read(file: &Path, reporter: &dyn Reporter) -> Result<(Catalog, Lab), LabError> {
    let catalog = catalog(file, reporter)?;
    let lab = load(file, &catalog, reporter)?;
    Ok((catalog, lab))
}

#[expect(clippy::disallowed_methods, reason = "the one input that reproducible builds take from the environment")]
fn source_date_epoch() -> Result<Option<u32>, LabError> {
    let Some(text) = std::env::var_os(lab::EPOCH_VARIABLE) else { return Ok(None) };
    lab::units::source_date_epoch(&text.to_string_lossy()).map(Some).map_err(LabError::Epoch)
}

/// The nodes of these names; all if there are none.
///
/// # Errors
/// Fails when no node has one of the names.
pub fn nodes<'a>(lab: &'a Lab, names: &[String]) -> Result<Vec<&'a Node>, LabError> {
    for name in names {
        if !lab.nodes.iter().any(|n| n.name == *name) {
            let known = lab.nodes.iter().map(|n| n.name.clone()).collect();
            return Err(LabError::NoNode { name: name.clone(), known });
        }
    }
    Ok(lab.nodes.iter().filter(|n| names.is_empty() || names.contains(&n.name)).collect())
}

/// Secrets of a lab as far as they exist.
pub struct MaybeStandIn {
    /// Stand-ins when something is missing.
    pub value: Secrets,
    pub complete: bool,
}

/// Reads the lab's secrets and writes nothing. If there are none yet, or a user was
/// added since, all of them are stand-ins.
///
/// # Errors
/// Fails when the file exists and cannot be used.
pub fn secrets(lab: &Lab, reporter: &dyn Reporter) -> Result<MaybeStandIn, SecretsError> {
    let users = users(lab);
    let path = || lab.dir.join(FILE);
    let known = Secrets::load(&lab.dir, &lab.hostowner)?;
    if known.as_ref().is_some_and(Secrets::is_exposed) {
        reporter.note(&Note::ExposedSecrets { path: path() });
    }
    if let Some(target) = known.as_ref().and_then(Secrets::linked) {
        reporter.note(&Note::LinkedSecrets { path: path(), target: target.to_owned() });
    }
    Ok(match known.filter(|s| users.iter().all(|u| s.password(u).is_some())) {
        Some(value) => MaybeStandIn { value, complete: true },
        None => MaybeStandIn { value: Secrets::stand_in(&lab.hostowner, &users), complete: false },
    })
}

/// Makes the secrets, or adds the missing ones; with a note that says so.
///
/// # Errors
/// Fails when the file cannot be read or written, or has a mistake.
pub fn make_secrets(lab: &Lab) -> Result<(Secrets, Option<Note>), SecretsError> {
    let (secrets, written) = Secrets::load_or_create(&lab.dir, &lab.hostowner, &users(lab))?;
    let path = lab.dir.join(FILE);
    let note = match written {
        Written::Nothing => None,
        Written::Created => {
            let others = lab.users.iter().map(|u| &u.name).filter(|u| **u != lab.hostowner);
            let names = std::iter::once(&lab.hostowner).chain(others).cloned().collect();
            Some(Note::SecretsCreated { path, names })
        }
        Written::Added(names) => Some(Note::SecretsAdded { path, names }),
    };
    Ok((secrets, note))
}

/// Names of the lab's users.
pub fn users(lab: &Lab) -> Vec<&str> {
    lab.users.iter().map(|u| u.name.as_str()).collect()
}
