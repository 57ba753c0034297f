//! The files of `roles/` and `templates/`, in layers.
//!
//! The binary carries its own; a lab's folder may add to them and replace them
//! file by file. Names are relative, such as `roles/cpu/role.toml`.

use super::RenderError;
use crate::inside;
use crate::lab::mistakes::capital;
use crate::size;
use include_dir::{Dir, include_dir};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

static ROLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Largest file that may be a role's: all of them are in memory.
const LARGEST: u64 = 16 << 20;

/// One file with the place to name in messages.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// `roles/cpu/cpurc` for a built-in file, the path on the host for another.
    pub place: String,
    pub bytes: Cow<'static, [u8]>,
}

impl Source {
    /// The file's text.
    pub fn text(&self) -> Result<&str, RenderError> {
        std::str::from_utf8(&self.bytes).map_err(|e| {
            RenderError::at(
                self.place.clone(),
                format!("Byte {} is not UTF-8; a file that is not text needs `template = false`", e.valid_up_to()),
            )
        })
    }

    /// Reads a TOML file; errors name file, line and column.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, RenderError> {
        toml::from_str(self.text()?).map_err(|e| {
            let message = capital(e.message().trim());
            RenderError::at(self.at(e.span().map_or(0, |s| s.start)), message)
        })
    }

    /// File, line and column of byte `at`, for messages.
    pub fn at(&self, at: usize) -> String {
        let (line, column) = line_and_column(self.text().unwrap_or_default(), at);
        format!("{}:{line}:{column}", self.place)
    }
}

/// The line and column (from 1) of byte `at` of `text`.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    (before.iter().filter(|b| **b == b'\n').count() + 1, column)
}

/// Every file by its relative name.
pub(super) type Sources = BTreeMap<String, Source>;

/// Files in the binary.
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
/// whose name begins with a dot or ends in `~` are left out. Symbolic links are
/// followed within `lab`; one that leads out of it is refused, and so is what is
/// neither a file nor a folder.
pub(super) fn add_folder(lab: &Path, out: &mut Sources) -> Result<(), RenderError> {
    for top in ["roles", "templates"] {
        let folder = lab.join(top);
        if !folder.is_dir() {
            continue;
        }
        inside::stays(lab, &folder)
            .map_err(|source| RenderError::Read { path: folder.display().to_string(), source })?;
        let fail = |path: &Path, source: std::io::Error| RenderError::Read { path: path.display().to_string(), source };
        let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
        let walk = walkdir::WalkDir::new(&folder).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(move |e| e.depth() == 0 || !hidden(e.file_name())) {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(&folder).to_owned();
                fail(&path, e.into())
            })?;
            let path = entry.path();
            if entry.path_is_symlink() {
                inside::stays(lab, path).map_err(|e| fail(path, e))?;
            }
            if entry.file_type().is_dir() || entry.file_name().to_string_lossy().ends_with('~') {
                continue;
            }
            let place = path.display().to_string();
            let file = inside::open(lab, path).map_err(|e| fail(path, e))?;
            let mut bytes = Vec::new();
            file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| fail(path, e))?;
            if bytes.len() as u64 > LARGEST {
                return Err(RenderError::at(
                    place,
                    format!("The file is larger than {}, the most that a role's file may have", size::exact(LARGEST)),
                ));
            }
            let below = path.strip_prefix(&folder).unwrap_or(path);
            let Some(below) = below.to_str() else {
                return Err(RenderError::at(place, "The name of a role's file must be UTF-8"));
            };
            out.insert(format!("{top}/{below}"), Source { place, bytes: Cow::Owned(bytes) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Catalog;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Message about a lab with a role that has one file, which `make` makes in the
    /// role's folder.
    fn said(file: &str, make: impl FnOnce(&std::path::Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let role = dir.path().join("lab/roles/x");
        fs::create_dir_all(&role).unwrap();
        fs::write(dir.path().join("secret"), "root:x:0").unwrap();
        fs::write(role.join("role.toml"), format!("description = 'x'\n{file}")).unwrap();
        make(&role);
        let error = Catalog::load(&dir.path().join("lab")).err().map(anyhow::Error::from);
        error.map(|e| format!("{e:#}").replace(&format!("{}/", dir.path().display()), "")).unwrap_or_default()
    }

    const FILE: &str = "[[file]]\npath = 'a'\nsource = 'f'\n";

    #[test]
    fn files_stay_in_the_lab() {
        let refused = said(FILE, |role| symlink("../../../secret", role.join("f")).unwrap());
        assert!(refused.contains("lab/roles/x/f is a symbolic link to") && refused.contains("secret"), "{refused}");
        let refused = said("", |role| symlink("../../..", role.join("sub")).unwrap());
        assert!(refused.contains("lab/roles/x/sub is a symbolic link to"), "{refused}");
        let refused = said("", |role| {
            let roles = role.parent().unwrap();
            fs::rename(roles, roles.parent().unwrap().parent().unwrap().join("elsewhere")).unwrap();
            symlink("../elsewhere", roles).unwrap();
        });
        assert!(refused.contains("lab/roles is a symbolic link to"), "{refused}");
        let good = said(FILE, |role| {
            fs::write(role.join("g"), "x").unwrap();
            symlink("g", role.join("f")).unwrap();
        });
        assert_eq!(good, "");
    }

    #[test]
    fn a_fifo_is_named_and_not_waited_for() {
        let refused = said(FILE, |role| {
            rustix::fs::mkfifoat(rustix::fs::CWD, role.join("f"), rustix::fs::Mode::RUSR).unwrap();
        });
        assert!(refused.contains("Cannot read lab/roles/x/f: It is a FIFO, not a regular file"), "{refused}");
    }

    #[test]
    fn a_source_that_is_a_folder_or_no_template_is_named_with_the_way_out() {
        let folder = said(FILE, |role| {
            fs::create_dir(role.join("f")).unwrap();
            fs::write(role.join("f/one"), "x").unwrap();
        });
        let want = "lab/roles/x/role.toml:4:10: \"f\" is a folder, and `source` names one file: give each file its \
                    own [[file]], such as `source = \"f/one\"`";
        assert_eq!(folder, want);
        let braces = said(FILE, |role| fs::write(role.join("f"), "x\nawk '{{print $1, \"x\"}}'\n").unwrap());
        let want = "lab/roles/x/f:2:6: Not a handlebars template: {{print $1, \"x\"}}; for a file that is not a \
                    template, write `template = false` next to its `source`";
        assert_eq!(braces, want);
        let raw = format!("{FILE}template = false\n");
        assert_eq!(said(&raw, |role| fs::write(role.join("f"), "{{{{{{").unwrap()), "");
        let nested = said(FILE, |role| fs::write(role.join("f"), "{{#if a}}".repeat(20_000)).unwrap());
        assert!(nested.contains("lab/roles/x/f:1:145: Blocks are nested more than 16 deep"), "{nested}");
    }
}
