//! What a user is to know of images that hold keys of the lab: they are for
//! their owner alone.

use super::say;
use super::shared_args::GlobalArgs;
use crate::artifact::{ArtifactReport, Folder, Job};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Images with keys that are not there yet, or that others can read.
pub struct Open(BTreeSet<String>);

impl Open {
    /// Looks at the folder before a build.
    pub fn before(folder: &Folder, jobs: &[Job]) -> Self {
        let outputs = jobs.iter().filter(|job| job.key.is_some()).flat_map(|job| &job.outputs);
        let open = |name: &&String| is_open(&folder.path().join(name)).unwrap_or(true);
        Self(outputs.map(|(_, name)| name).filter(open).cloned().collect())
    }

    /// Says what has become of them.
    pub fn after(&self, cli: &GlobalArgs, folder: &Folder, reports: &[ArtifactReport]) {
        let name = |r: &ArtifactReport| r.path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mine = |kept: bool| -> Vec<String> {
            let of = reports.iter().filter(|r| r.kept == kept).filter_map(name);
            of.filter(|name| self.0.contains(name)).collect()
        };
        let (new, kept) = (mine(false), mine(true));
        let list = |names: &[String]| say::names(&names.iter().map(String::as_str).collect::<Vec<_>>());
        if folder.is_modeless() {
            say::note(&format!(
                "the file system of {} stores no modes: others on this machine may read the lab's keys in the images",
                folder.path().display()
            ));
        } else if !new.is_empty() && !cli.quiet {
            say::note(&format!(
                "keys of the lab are in {}: only you can read these files (mode 0600), and anybody with a copy of one has the keys",
                list(&new)
            ));
        }
        if !kept.is_empty() && !cli.quiet {
            say::note(&format!(
                "keys of the lab are in {}, which others on this machine can read: `chmod 600` it in {}",
                list(&kept),
                folder.path().display()
            ));
        }
    }
}

/// Whether others have rights on a file; none when it is not there.
fn is_open(path: &Path) -> Option<bool> {
    Some(path.symlink_metadata().ok()?.permissions().mode() & 0o077 != 0)
}
