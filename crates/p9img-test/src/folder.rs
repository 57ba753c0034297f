//! Common beginning of the folders that tests work in.

use std::fs;
use std::path::Path;

/// A copy of a folder and all that is in it.
pub fn copy_tree(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A folder with the repository's own lab.
pub fn default_lab() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(crate::repository("lab.toml"), dir.path().join("lab.toml")).unwrap();
    dir
}

/// Puts `to` in the place of the first `from` in a file of text.
pub fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has {from:?}", file.display());
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}
