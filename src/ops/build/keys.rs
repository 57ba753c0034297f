//! Images that hold keys of the lab: they are for their owner alone.

use crate::artifact::{ArtifactReport, Folder, Job};
use crate::ops::Note;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Images with keys that are not there yet, or that others can read.
pub struct OpenImages(BTreeSet<String>);

impl OpenImages {
    /// Looks at the folder before a build.
    pub fn before(folder: &Folder, jobs: &[Job]) -> Self {
        let outputs = jobs.iter().filter(|job| job.key.is_some()).flat_map(|job| &job.outputs);
        let open = |name: &&String| is_open(&folder.path().join(name)).unwrap_or(true);
        Self(outputs.map(|(_, name)| name).filter(open).cloned().collect())
    }

    /// Notes on them after the build.
    pub fn after(&self, folder: &Folder, reports: &[ArtifactReport]) -> Vec<Note> {
        let name = |r: &ArtifactReport| r.path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mine = |kept: bool| -> Vec<String> {
            let of = reports.iter().filter(|r| r.kept == kept).filter_map(name);
            of.filter(|name| self.0.contains(name)).collect()
        };
        let (new, kept) = (mine(false), mine(true));
        let mut notes = Vec::new();
        if folder.is_modeless() {
            notes.push(Note::NoModes { folder: folder.path().to_owned() });
        } else if !new.is_empty() {
            notes.push(Note::NewKeys { files: new });
        }
        if !kept.is_empty() {
            notes.push(Note::OpenKeys { files: kept, folder: folder.path().to_owned() });
        }
        notes
    }
}

/// Whether others have rights on a file; none when it is not there.
fn is_open(path: &Path) -> Option<bool> {
    Some(path.symlink_metadata().ok()?.permissions().mode() & 0o077 != 0)
}
