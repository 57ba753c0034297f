//! Leftovers: images from an earlier build in the output folder that this lab makes
//! no more, of nodes that are gone or in formats that are no longer asked for.
//!
//! Only a file that the manifest lists counts, and it is removed only if its digest
//! is still the one in the manifest.

use super::BuildError;
use crate::artifact::manifest::Manifest;
use crate::artifact::output::digest;
use crate::artifact::{Folder, Memory, sums};
use crate::guest::grid::Grid;
use crate::ops::{Note, Reporter};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

/// File names of the leftovers that are there.
fn names(out: &Path, manifest: &Manifest) -> Vec<String> {
    let there = |name: &str| out.join(name).symlink_metadata().is_ok_and(|m| m.is_file());
    // What others are over comes after them.
    let all = manifest.artifacts.iter().chain(&manifest.bases);
    let all = all.filter(|(name, a)| a.stale && is_plain(name) && there(name));
    all.map(|(name, _)| name.clone()).collect()
}

/// Whether a name is that of a file in the folder, and of none that is hidden.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Note on the leftovers, if there are any.
pub fn note(out: &Path, manifest: &Manifest) -> Option<Note> {
    let files = names(out, manifest);
    (!files.is_empty()).then_some(Note::Leftovers { files })
}

/// Removes the leftovers: the files, their sums, and their entries in the manifest.
///
/// # Errors
/// Fails when a file cannot be read or removed.
pub fn prune(
    folder: &Folder,
    manifest: &mut Manifest,
    memory: &mut Memory,
    reporter: &dyn Reporter,
) -> Result<(), BuildError> {
    let out = folder.path();
    let grid = Grid::new(out);
    let mut removed = Vec::new();
    for name in names(out, manifest) {
        let path = out.join(&name);
        let Some(artifact) = manifest.artifacts.get(&name).or_else(|| manifest.bases.get(&name)) else { continue };
        if manifest.artifacts.values().any(|over| over.base.as_ref() == Some(&name)) {
            // An image that stays needs it.
            continue;
        }
        if grid.node(&artifact.node).is_running() {
            reporter.note(&Note::LeftoverRuns { path, node: artifact.node.clone() });
            continue;
        }
        let found = File::open(&path).and_then(digest::of);
        let found = found.map_err(|source| BuildError::Read { path: path.clone(), source })?;
        if found != artifact.sha256 {
            reporter.note(&Note::LeftoverChanged { path });
            continue;
        }
        sums::forget(folder, &BTreeSet::from([name.as_str()]))?;
        std::fs::remove_file(&path).map_err(|source| BuildError::Remove { path: path.clone(), source })?;
        manifest.artifacts.remove(&name);
        manifest.bases.remove(&name);
        memory.artifacts.remove(&name);
        removed.push(path);
    }
    if !removed.is_empty() {
        reporter.note(&Note::LeftoversRemoved { paths: removed });
    }
    Ok(())
}
