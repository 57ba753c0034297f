//! Images that an earlier build left in the output folder and this lab makes no
//! more: of nodes that are gone, and in formats that are no longer asked for.
//!
//! Only what the manifest says p9img made counts, and it is removed only when it
//! still is what was made.

use super::shared_args::GlobalArgs;
use super::{grid, say};
use crate::artifact::manifest::Manifest;
use crate::artifact::{Folder, Memory, sums};
use crate::guest::grid::Grid;
use anyhow::Context as _;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

/// File names of the leftovers that are there.
fn names(out: &Path, manifest: &Manifest) -> Vec<String> {
    let there = |name: &str| out.join(name).symlink_metadata().is_ok_and(|m| m.is_file());
    let all = manifest.artifacts.iter().filter(|(name, a)| a.stale && is_plain(name) && there(name));
    all.map(|(name, _)| name.clone()).collect()
}

/// Whether a name is that of a file in the folder, and of none that is hidden.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Says which leftovers there are.
pub fn note(cli: &GlobalArgs, out: &Path, manifest: &Manifest) {
    let names = names(out, manifest);
    if !names.is_empty() && !cli.quiet {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        say::note(&format!(
            "{}: left by an earlier build and not made any more; `p9img build --all --prune` removes such files",
            say::names(&names)
        ));
    }
}

/// Removes the leftovers: their sums, themselves, and what the manifest says of
/// them.
///
/// # Errors
/// When a file cannot be read or removed.
pub fn prune(cli: &GlobalArgs, folder: &Folder, manifest: &mut Manifest, memory: &mut Memory) -> anyhow::Result<()> {
    let out = folder.path();
    let mut removed = Vec::new();
    for name in names(out, manifest) {
        let path = out.join(&name);
        let Some(artifact) = manifest.artifacts.get(&name) else { continue };
        let stays = |why: &str| say::note(&format!("{} stays: {why}", path.display()));
        if Grid::new(out).node(&artifact.node).is_running() {
            stays(&format!("{} is running; stop it with `p9img down` first", artifact.node));
            continue;
        }
        let found =
            File::open(&path).and_then(grid::digest).with_context(|| format!("Cannot read {}", path.display()))?;
        if found != artifact.sha256 {
            stays("it was changed after p9img made it; remove it yourself if you do not need it");
            continue;
        }
        sums::forget(folder, &BTreeSet::from([name.as_str()]))?;
        std::fs::remove_file(&path).with_context(|| format!("Cannot remove {}", path.display()))?;
        manifest.artifacts.remove(&name);
        memory.artifacts.remove(&name);
        removed.push(path.display().to_string());
    }
    if !removed.is_empty() && !cli.quiet {
        say::note(&format!("removed {}", removed.join(", ")));
    }
    Ok(())
}
