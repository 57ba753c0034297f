//! What several commands begin with: the roles, the lab, the medium.

use super::medium::{self, Record};
use super::shared_args::{GlobalArgs, Overrides};
use super::{Usage, say};
use crate::lab::secrets::{FILE, Secrets, SecretsError, Written};
use crate::lab::{self, Format, Lab, Mistakes, Node, SAMPLE};
use crate::media::Medium;
use crate::media::firmware::{self, Firmware};
use crate::render::Catalog;
use std::path::Path;

/// The built-in roles and those beside the lab file.
///
/// # Errors
/// When a role or template there makes no sense.
pub fn catalog(cli: &GlobalArgs) -> anyhow::Result<Catalog> {
    let dir = cli.lab.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let catalog = Catalog::load(dir)?;
    if !cli.quiet {
        catalog.notes().iter().for_each(|note| say::note(note));
    }
    Ok(catalog)
}

/// The lab without what the command line changes.
///
/// # Errors
/// Every mistake in it.
pub fn load(cli: &GlobalArgs, catalog: &Catalog) -> Result<Lab, Mistakes> {
    let lab = Lab::load(&cli.lab, &catalog.facts())?;
    if !cli.quiet {
        lab.notes.iter().for_each(|note| say::note(note));
    }
    Ok(lab)
}

/// As [`load`], with the mistakes rendered for people.
///
/// # Errors
/// Every mistake in the lab.
pub fn plain_lab(cli: &GlobalArgs, catalog: &Catalog) -> anyhow::Result<Lab> {
    Ok(load(cli, catalog).map_err(|m| LabMistakes(m.render(colored())))?)
}

/// The lab with what the command line and `SOURCE_DATE_EPOCH` change.
///
/// # Errors
/// Every mistake in the lab, or the one in the arguments.
pub fn lab(cli: &GlobalArgs, catalog: &Catalog, overrides: &Overrides) -> anyhow::Result<Lab> {
    changed(plain_lab(cli, catalog)?, overrides)
}

/// A lab with what the command line and `SOURCE_DATE_EPOCH` change.
///
/// # Errors
/// The mistake in the arguments.
pub fn changed(mut lab: Lab, overrides: &Overrides) -> anyhow::Result<Lab> {
    if let Some(epoch) = source_date_epoch()? {
        lab = lab.with_epoch(epoch);
    }
    if let Some(medium) = &overrides.media {
        lab = lab.with_medium(medium).map_err(|p| Usage(format!("--media: {p}")))?;
    }
    let formats: Vec<Format> = overrides
        .format
        .iter()
        .map(|word| lab::words::parse(word).map_err(|p| Usage(format!("--format: {p}"))))
        .collect::<Result<_, _>>()?;
    if !formats.is_empty() {
        lab = lab.with_formats(&formats);
    }
    if let Some(out) = &overrides.out {
        lab = lab.with_out(out);
    }
    Ok(lab)
}

/// The lab file's mistakes, already rendered for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LabMistakes(pub String);

/// Whether stderr shows colours.
pub fn colored() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

#[expect(clippy::disallowed_methods, reason = "the one input that reproducible builds take from the environment")]
fn source_date_epoch() -> anyhow::Result<Option<u32>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let epoch = lab::units::source_date_epoch(&text.to_string_lossy());
    epoch.map(Some).map_err(|p| Usage(format!("SOURCE_DATE_EPOCH: {p}")).into())
}

/// The nodes that the arguments name; all without names.
///
/// # Errors
/// When a name is no node's.
pub fn nodes<'a>(lab: &'a Lab, names: &[String]) -> anyhow::Result<Vec<&'a Node>> {
    for name in names {
        if !lab.nodes.iter().any(|n| n.name == *name) {
            let known: Vec<_> = lab.nodes.iter().map(|n| n.name.as_str()).collect();
            return Err(Usage(format!("The lab has no node {name:?}: it has {}", known.join(", "))).into());
        }
    }
    Ok(lab.nodes.iter().filter(|n| names.is_empty() || names.contains(&n.name)).collect())
}

/// Opens every medium that nodes of the lab are built from, once. Those of nodes
/// that are not to be built are needed, too: what a node is given depends on
/// what the others are.
///
/// # Errors
/// When one is not there or holds no Plan 9.
pub fn media(cli: &GlobalArgs, lab: &Lab, record: Record) -> anyhow::Result<Vec<Medium>> {
    let names = lab.media_in_use();
    let several = names.len() > 1;
    names.into_iter().map(|name| open(cli, lab, name, record, several)).collect()
}

/// Opens a medium of the lab, and says what is to be known about it.
///
/// # Errors
/// When it is not there or holds no Plan 9.
pub fn medium(cli: &GlobalArgs, lab: &Lab, name: &str, record: Record) -> anyhow::Result<Medium> {
    open(cli, lab, name, record, false)
}

/// As [`medium`]; `named` says which medium a note is about.
fn open(cli: &GlobalArgs, lab: &Lab, name: &str, record: Record, named: bool) -> anyhow::Result<Medium> {
    if name == SAMPLE {
        return Ok(Medium::sample());
    }
    let Some(medium) = lab.media.get(name) else {
        return Err(Usage(format!("The lab has no medium {name:?}")).into());
    };
    let medium = medium::open(cli, lab, name, medium, record)?;
    if !cli.quiet {
        let whose = if named { format!("{name}: ") } else { String::new() };
        medium.notes.iter().for_each(|note| say::note(&format!("{whose}{note}")));
    }
    Ok(medium)
}

/// The firmware of the lab's Pis, if one of `nodes` is one and the lab has any.
///
/// # Errors
/// When it is not there, is not what it was, or cannot be read.
pub fn firmware(cli: &GlobalArgs, lab: &Lab, nodes: &[&Node], record: Record) -> anyhow::Result<Option<Firmware>> {
    match lab.media.get(firmware::MEDIUM) {
        Some(medium) if nodes.iter().any(|n| n.board.is_pi()) => {
            let (path, source) = medium::plain(cli, lab, firmware::MEDIUM, medium, record)?;
            Ok(Some(Firmware::read(&path, source)?))
        }
        _ => Ok(None),
    }
}

/// The lab's secrets as far as they are there.
pub struct Known {
    /// Stand-ins when something is missing.
    pub value: Secrets,
    pub complete: bool,
}

/// Reads the lab's secrets and writes nothing. When there are none yet, or a
/// user was added since, all of them are stood in for.
///
/// # Errors
/// When the file is there and cannot be used.
pub fn secrets(lab: &Lab) -> Result<Known, SecretsError> {
    let users = users(lab);
    let known = Secrets::load(&lab.dir, &lab.hostowner)?;
    if known.as_ref().is_some_and(Secrets::is_exposed) {
        say::note(&format!(
            "the file system of {} stores no modes: others on this machine may read the lab's passwords; put the lab on another one to prevent that",
            lab.dir.join(FILE).display()
        ));
    }
    if let Some(target) = known.as_ref().and_then(Secrets::linked) {
        say::note(&format!(
            "{} is a symbolic link: the passwords in {} are those of this lab, and their keys go into its images",
            lab.dir.join(FILE).display(),
            target.display()
        ));
    }
    Ok(match known.filter(|s| users.iter().all(|u| s.password(u).is_some())) {
        Some(value) => Known { value, complete: true },
        None => Known { value: Secrets::stand_in(&lab.hostowner, &users), complete: false },
    })
}

/// Names of the lab's users.
pub fn users(lab: &Lab) -> Vec<&str> {
    lab.users.iter().map(|u| u.name.as_str()).collect()
}

/// What was written into the file of secrets, for people.
pub fn made(lab: &Lab, written: &Written) -> Option<String> {
    let path = lab.dir.join(FILE);
    match written {
        Written::Nothing => None,
        Written::Created => {
            let others = lab.users.iter().map(|u| u.name.as_str()).filter(|u| *u != lab.hostowner);
            let names: Vec<_> = std::iter::once(lab.hostowner.as_str()).chain(others).collect();
            let names = names.join(", ");
            Some(format!("made passwords for {names} in {}: do not lose it, do not publish it", path.display()))
        }
        Written::Added(what) => Some(format!("added {} to {}", what.join(", "), path.display())),
    }
}
