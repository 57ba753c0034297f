//! The files of `roles/` and `templates/`, in layers.
//!
//! The binary carries its own; a lab's folder may add to them and replace them
//! file by file. Names are relative, such as `roles/cpu/role.toml`.

use super::RenderError;
use include_dir::{Dir, include_dir};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

static ROLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Largest file that may be a role's: they are held in memory.
const LARGEST: u64 = 16 << 20;

/// One file with the place to name in messages.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// `roles/cpu/cpurc` for a built-in file, the path on the host for another.
    pub place: String,
    pub bytes: Cow<'static, [u8]>,
}

/// Every file by its relative name.
pub(super) type Sources = BTreeMap<String, Source>;

/// What the binary carries.
pub(super) fn embedded() -> Sources {
    let mut out = Sources::new();
    add_embedded("roles", &ROLES, &mut out);
    add_embedded("templates", &TEMPLATES, &mut out);
    out
}

fn add_embedded(top: &str, dir: &'static Dir<'_>, out: &mut Sources) {
    for file in dir.files() {
        let name = format!("{top}/{}", file.path().display());
        out.insert(name.clone(), Source { place: name, bytes: Cow::Borrowed(file.contents()) });
    }
    for sub in dir.dirs() {
        add_embedded(top, sub, out);
    }
}

/// Lays `lab/roles` and `lab/templates`, where they exist, over `out`. Files
/// whose name begins with a dot or ends in `~` are left out.
pub(super) fn add_folder(lab: &Path, out: &mut Sources) -> Result<(), RenderError> {
    for top in ["roles", "templates"] {
        let folder = lab.join(top);
        if !folder.is_dir() {
            continue;
        }
        let fail = |path: &Path, source: std::io::Error| RenderError::Read { path: path.display().to_string(), source };
        let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
        let walk = walkdir::WalkDir::new(&folder).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(move |e| e.depth() == 0 || !hidden(e.file_name())) {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(&folder).to_owned();
                fail(&path, e.into())
            })?;
            let path = entry.path();
            if !entry.file_type().is_file() || entry.file_name().to_string_lossy().ends_with('~') {
                continue;
            }
            let place = path.display().to_string();
            let len = entry.metadata().map_err(|e| fail(path, e.into()))?.len();
            if len > LARGEST {
                return Err(RenderError::at(
                    place,
                    format!("The file has {len} bytes, but a role's files may have {LARGEST}"),
                ));
            }
            let below = path.strip_prefix(&folder).unwrap_or(path);
            let Some(below) = below.to_str() else {
                return Err(RenderError::at(place, "The name of a role's file must be UTF-8"));
            };
            let bytes = std::fs::read(path).map_err(|e| fail(path, e))?;
            out.insert(format!("{top}/{below}"), Source { place, bytes: Cow::Owned(bytes) });
        }
    }
    Ok(())
}
