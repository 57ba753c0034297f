//! A lab in a folder of its own, and p9img run in it.

use crate::program;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with a `lab.toml`, in which p9img is run as a user runs it.
pub struct Lab {
    dir: TempDir,
    /// Variables of p9img's environment.
    variables: Vec<(&'static str, OsString)>,
}

impl Lab {
    /// A folder without a `lab.toml`.
    pub fn empty() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// The lab in a folder that is there.
    pub fn at(dir: TempDir) -> Self {
        Self { dir, variables: Vec::new() }
    }

    /// A lab with this `lab.toml`.
    pub fn of(text: &str) -> Self {
        let lab = Self::empty();
        lab.put("lab.toml", text);
        lab
    }

    /// The repository's own lab.
    pub fn default_lab() -> Self {
        Self::at(crate::folder::default_lab())
    }

    /// The same with a cache of its own, in the folder.
    pub fn with_cache(mut self) -> Self {
        let cache = self.path("cache");
        self.variables.push(("P9IMG_CACHE", cache.into()));
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the folder.
    pub fn put(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Puts `to` in the place of the first `from` in the text of `lab.toml`.
    pub fn edit(&self, from: &str, to: &str) {
        crate::folder::edit(&self.path("lab.toml"), from, to);
    }

    /// Gives a key of `lab.toml` a value, as [`set`] does; comments are lost.
    ///
    /// # Panics
    /// As [`set`].
    pub fn set(&self, key: &str, value: impl Into<toml::Value>) {
        let path = self.path("lab.toml");
        fs::write(&path, set(&fs::read_to_string(&path).unwrap(), key, value)).unwrap();
    }

    /// Removes a key of `lab.toml`.
    ///
    /// # Panics
    /// Panics when there is no such key.
    pub fn unset(&self, key: &str) {
        let path = self.path("lab.toml");
        fs::write(&path, unset(&fs::read_to_string(&path).unwrap(), key)).unwrap();
    }

    pub fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = command(self.dir.path(), args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, args: &[impl AsRef<OsStr>]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs p9img, which must succeed; returns what it printed.
    pub fn good(&self, args: &[impl AsRef<OsStr>]) -> String {
        succeeded(args, self.run(args))
    }

    /// As [`Lab::good`], of a command that prints JSON.
    pub fn json(&self, args: &[impl AsRef<OsStr>]) -> serde_json::Value {
        serde_json::from_str(&self.good(args)).unwrap()
    }

    /// Runs p9img, which must end with `code`, say each of `words` on stderr, and
    /// not panic; returns what it said there.
    pub fn refuses(&self, args: &[impl AsRef<OsStr>], code: i32, words: &[&str]) -> String {
        let out = self.run(args);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{}: {error}", words_of(args));
        for word in words {
            assert!(error.contains(word), "{} should say {word:?}:\n{error}", words_of(args));
        }
        assert!(!error.contains("panicked"), "{}: {error}", words_of(args));
        error
    }
}

/// Declares a lab of one file of tests, which adds steps of its own to those of
/// [`Lab`].
#[macro_export]
macro_rules! lab_with_steps {
    ($name:ident) => {
        struct $name($crate::Lab);

        impl std::ops::Deref for $name {
            type Target = $crate::Lab;

            fn deref(&self) -> &$crate::Lab {
                &self.0
            }
        }
    };
}

/// p9img, to be run in a folder.
pub fn command(dir: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(dir);
    command
}

/// Runs p9img in a folder.
pub fn p9img(dir: &Path, args: &[impl AsRef<OsStr>]) -> Output {
    command(dir, args).output().unwrap()
}

/// Runs p9img in a folder, and it must succeed; returns what it printed.
pub fn good(dir: &Path, args: &[impl AsRef<OsStr>]) -> String {
    succeeded(args, p9img(dir, args))
}

fn succeeded(args: &[impl AsRef<OsStr>], out: Output) -> String {
    assert!(out.status.success(), "{}: {}\n{}", words_of(args), out.status, said(&out));
    String::from_utf8(out.stdout).unwrap()
}

fn words_of(args: &[impl AsRef<OsStr>]) -> String {
    args.iter().map(|a| a.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// All that a program said.
pub fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// The text of a lab with another value of a key: of a table (`defaults.arch`,
/// `media.own.path`), or of a node (`plan9n1.fs`). `node.NAME` adds a node with
/// roles.
///
/// # Panics
/// Panics when there is no such table or node.
pub fn set(text: &str, key: &str, value: impl Into<toml::Value>) -> String {
    let mut lab: toml::Table = toml::from_str(text).unwrap();
    change(&mut lab, key, |table, name| drop(table.insert(name.into(), value.into())));
    toml::to_string(&lab).unwrap()
}

/// The text of a lab without a key.
///
/// # Panics
/// Panics when there is no such key.
pub fn unset(text: &str, key: &str) -> String {
    let mut lab: toml::Table = toml::from_str(text).unwrap();
    change(&mut lab, key, |table, name| drop(table.remove(name).unwrap_or_else(|| panic!("lab.toml has no {key}"))));
    toml::to_string(&lab).unwrap()
}

/// As [`set`]; a value that begins with a bracket is an array, any other a string.
///
/// # Panics
/// As [`set`].
pub fn set_word(text: &str, key: &str, value: &str) -> String {
    if value.starts_with('[') {
        let array: toml::Table = toml::from_str(&format!("v = {value}")).unwrap();
        set(text, key, array["v"].clone())
    } else {
        set(text, key, value)
    }
}

fn change(lab: &mut toml::Table, key: &str, with: impl FnOnce(&mut toml::Table, &str)) {
    let (path, name) = key.rsplit_once('.').unwrap_or_else(|| panic!("{key} has no dot"));
    let nodes = lab.get_mut("node").and_then(|nodes| nodes.as_array_mut());
    if path == "node" {
        let mut node = toml::Table::from_iter([("name".into(), name.into())]);
        with(&mut node, "roles");
        nodes.expect("the lab has nodes").push(node.into());
        return;
    }
    let mut nodes = nodes.into_iter().flatten().filter_map(|node| node.as_table_mut());
    if let Some(node) = nodes.find(|node| node.get("name").and_then(|n| n.as_str()) == Some(path)) {
        return with(node, name);
    }
    const TABLES: [&str; 5] = ["lab", "defaults", "network", "run", "media"];
    let mut table = lab;
    for (depth, part) in path.split('.').enumerate() {
        assert!(depth > 0 || TABLES.contains(&part), "lab.toml has no table and no node {part}");
        let below = table.entry(part).or_insert_with(|| toml::Table::new().into());
        table = below.as_table_mut().unwrap_or_else(|| panic!("{part} of {key} is no table"));
    }
    with(table, name);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[defaults]\narch = \"386\"\n\n[[node]]\nname = \"a\"\n\n[[node]]\nname = \"b\"\nroles = [\"cpu\"]\n";

    #[test]
    fn a_key_of_a_table_or_a_node_is_set() {
        let text = set(TEXT, "defaults.arch", "amd64");
        let text = set(&text, "b.medium", "9front");
        let text = set_word(&text, "node.c", "[\"terminal\"]");
        let text = set(&text, "media.own.path", "medium");
        let lab: toml::Table = toml::from_str(&unset(&text, "b.roles")).unwrap();
        assert_eq!(lab["defaults"]["arch"].as_str(), Some("amd64"));
        assert_eq!(lab["media"]["own"]["path"].as_str(), Some("medium"));
        let nodes = lab["node"].as_array().unwrap();
        assert!(nodes[0].get("medium").is_none() && nodes[1].get("roles").is_none());
        assert_eq!((nodes[1]["medium"].as_str(), nodes[1]["name"].as_str()), (Some("9front"), Some("b")));
        assert_eq!((nodes[2]["name"].as_str(), nodes[2]["roles"][0].as_str()), (Some("c"), Some("terminal")));
    }

    #[test]
    #[should_panic(expected = "no node c")]
    fn a_node_that_is_missing_is_a_mistake() {
        set(TEXT, "c.medium", "9front");
    }

    #[test]
    #[should_panic(expected = "no lab.medium")]
    fn a_key_that_is_missing_cannot_be_removed() {
        unset(TEXT, "lab.medium");
    }
}
