//! `p9img.lock`: the digest of each medium of a lab when it was first used.
//!
//! The file lies in the lab's folder and is meant for version control: sorted,
//! the same text for the same content, nothing of this machine in it but what
//! the lab itself says. A medium that is not what the file records is refused.

use crate::digest::Digest;
use crate::lab::check::table_key;
use crate::lab::names;
use crate::lock;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::Builder;

/// The file's name, in the folder of the lab.
pub const FILE: &str = "p9img.lock";
/// Bytes of a file that are read.
const LARGEST: u64 = 1 << 20;
const VERSION: u32 = 1;

/// Recorded digest of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// One file, fetched or of this machine.
    File {
        sha256: Digest,
        /// Bytes.
        length: u64,
        /// An address, or the path as the lab has it.
        source: String,
    },
    /// A folder: [`crate::tree::Tree::digest`] of all that is in it.
    Folder { tree: Digest, source: String },
}

impl Pin {
    pub fn source(&self) -> &str {
        match self {
            Self::File { source, .. } | Self::Folder { source, .. } => source,
        }
    }
}

/// Reason why `p9img.lock` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    #[error("Cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("Cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {what}: take the file from version control, or delete it to record every medium anew")]
    Malformed { path: PathBuf, line: usize, what: String },
    #[error(
        "{path} has version {found}, but this p9img reads version {VERSION}: use a newer p9img, or delete the file"
    )]
    Version { path: PathBuf, found: u32 },
}

/// All pins of a lab, by the names of the media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    pub media: BTreeMap<String, Pin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: u32,
    #[serde(default)]
    media: BTreeMap<String, toml::Spanned<RawPin>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPin {
    sha256: Option<Digest>,
    length: Option<u64>,
    tree: Option<Digest>,
    source: String,
}

/// Only to tell a file of another version from a damaged one.
#[derive(Deserialize)]
struct RawVersion {
    version: u32,
}

impl Pins {
    /// The pins of the lab in `dir`; none when there is no file.
    ///
    /// # Errors
    /// Fails when the file is there and is not one that p9img wrote.
    pub fn load(dir: &Path) -> Result<Self, PinsError> {
        let path = dir.join(FILE);
        let mut bytes = Vec::new();
        match crate::inside::open(dir, &path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(PinsError::Read { path, source }),
        }
        let malformed = |what: &str| PinsError::Malformed { path: path.clone(), line: 1, what: what.into() };
        if bytes.len() as u64 > LARGEST {
            return Err(malformed("It is larger than 1 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| malformed("It is not UTF-8 text"))?;
        Self::parse(&path, &text)
    }

    /// Reads the text of the file `path`.
    ///
    /// # Errors
    /// Fails when it is not as [`Self::text`] writes it, but for order and
    /// comments.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PinsError> {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        let malformed = |at: usize, what: String| PinsError::Malformed { path: path.into(), line: line(at), what };
        if let Ok(RawVersion { version: found }) = toml::from_str(text)
            && found != VERSION
        {
            return Err(PinsError::Version { path: path.into(), found });
        }
        let raw: RawFile = toml::from_str(text).map_err(|e| {
            let what: String = e.message().chars().filter(|c| !c.is_control()).take(200).collect();
            malformed(e.span().map_or(0, |span| span.start), format!("p9img did not write it like this ({what})"))
        })?;
        debug_assert_eq!(raw.version, VERSION);
        let mut media = BTreeMap::new();
        for (name, pin) in raw.media {
            let at = pin.span().start;
            if names::label("", &name).is_err() {
                return Err(malformed(at, format!("{name:?} is not the name of a medium")));
            }
            let pin = match pin.into_inner() {
                RawPin { sha256: Some(sha256), length: Some(length), tree: None, source } => {
                    Pin::File { sha256, length, source }
                }
                RawPin { sha256: None, length: None, tree: Some(tree), source } => Pin::Folder { tree, source },
                _ => return Err(malformed(at, "A medium has `sha256` and `length`, or `tree`".into())),
            };
            media.insert(name, pin);
        }
        Ok(Self { media })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let mut text =
            format!("# Written by p9img: what each medium was. Keep it under version control.\nversion = {VERSION}\n");
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        for (name, pin) in &self.media {
            let key = table_key(name);
            // Writing to a String cannot fail.
            let _ = match pin {
                Pin::File { sha256, length, source } => writeln!(
                    text,
                    "\n[media.{key}]\nsha256 = \"{sha256}\"\nlength = {length}\nsource = {}",
                    quoted(source)
                ),
                Pin::Folder { tree, source } => {
                    writeln!(text, "\n[media.{key}]\ntree = \"{tree}\"\nsource = {}", quoted(source))
                }
            };
        }
        text
    }

    /// Changes the file of the lab in `dir` while nobody else does. Nothing is
    /// written when nothing changes.
    ///
    /// # Errors
    /// As [`Self::load`], or when it cannot be written.
    pub fn update(dir: &Path, change: impl FnOnce(&mut Self)) -> Result<(), PinsError> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let path = dir.join(FILE);
        let fail = |source| PinsError::Write { path: path.clone(), source };
        let _lock = lock::folder(dir).map_err(fail)?;
        let old = Self::load(dir)?;
        let mut new = old.clone();
        change(&mut new);
        if new == old {
            return Ok(());
        }
        // Unlike a temporary file, it is for others to read.
        let mode = Permissions::from_mode(0o644);
        let mut file = Builder::new().prefix(".p9img.lock.").permissions(mode).tempfile_in(dir).map_err(fail)?;
        file.write_all(new.text().as_bytes()).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        file.persist(&path).map_err(|e| fail(e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Pins {
        let digest = Digest::of(b"x");
        let file = |source: &str| Pin::File { sha256: digest, length: 7, source: source.into() };
        let media = [
            ("9legacy", file("http://example.org/9legacy.iso.bz2")),
            ("9front.iso", file("../with \"quotes\" and\n line.iso")),
            ("tree", Pin::Folder { tree: digest, source: "../tree".into() }),
        ];
        Pins { media: media.map(|(name, pin)| (name.to_owned(), pin)).into() }
    }

    #[test]
    fn the_text_is_stable_and_reads_back() {
        let pins = some();
        let text = pins.text();
        assert_eq!(Pins::parse(Path::new("l"), &text).unwrap(), pins);
        assert!(text.find("9front.iso").unwrap() < text.find("9legacy").unwrap(), "sorted:\n{text}");
        assert!(text.contains("[media.\"9front.iso\"]") && text.contains("\nversion = 1\n"));
        assert_eq!(Pins::parse(Path::new("l"), &text).unwrap().text(), text);
    }

    #[test]
    fn an_update_writes_only_changes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Pins::load(dir.path()).unwrap(), Pins::default());
        Pins::update(dir.path(), |_| {}).unwrap();
        assert!(!dir.path().join(FILE).exists());
        Pins::update(dir.path(), |pins| *pins = some()).unwrap();
        let written = std::fs::metadata(dir.path().join(FILE)).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&written.permissions()) & 0o777, 0o644);
        assert_eq!(Pins::load(dir.path()).unwrap(), some());
        // Comments and order are the user's until something changes.
        std::fs::write(dir.path().join(FILE), format!("# mine\n{}", some().text())).unwrap();
        Pins::update(dir.path(), |pins| *pins = some()).unwrap();
        assert!(std::fs::read_to_string(dir.path().join(FILE)).unwrap().starts_with("# mine"));
        Pins::update(dir.path(), |pins| drop(pins.media.remove("tree"))).unwrap();
        assert_eq!(Pins::load(dir.path()).unwrap().media.len(), 2);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_not_p9imgs_is_refused_with_its_line() {
        let digest = Digest::of(b"x");
        let cases = [
            ("version = 1\n[media.a]\nsource = 3\n".to_owned(), ":3:"),
            ("version = 1\n[media.a]\nsource = \"x\"\n".into(), ":2:"),
            (format!("version = 1\n[media.a]\nsource = \"x\"\nsha256 = \"{digest}\"\n"), "length"),
            ("version = 1\n[media.a]\nsha256 = \"00\"\nlength = 1\nsource = \"x\"\n".into(), "64 hexadecimal digits"),
            ("version = 1\n[media.a]\nlength = -1\n".into(), ":3:"),
            ("version = 1\nmore = 2\n".into(), ":2:"),
            (format!("version = 1\n[media.\"a\\nb\"]\nsource = \"x\"\ntree = \"{digest}\"\n"), "not the name"),
            ("[media.a]\n".into(), "version"),
            ("<<<<<<< HEAD\n".into(), ":1:"),
            ("version = 2\nanything = \"goes\"\n".into(), "has version 2"),
        ];
        for (text, says) in cases {
            let error = Pins::parse(Path::new("p9img.lock"), &text).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("delete"), "{text}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"\xff").unwrap();
        assert!(Pins::load(dir.path()).unwrap_err().to_string().contains("UTF-8"));
        std::fs::write(dir.path().join(FILE), vec![b'\n'; LARGEST as usize + 1]).unwrap();
        assert!(Pins::load(dir.path()).unwrap_err().to_string().contains("1 MiB"));
    }
}
