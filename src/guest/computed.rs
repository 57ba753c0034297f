//! A base that is no file: a disk that p9img computes from its lab whenever it is read.

use super::folder::{self, FolderError};
use crate::read_at::ReadAt;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the description, in the folder of the node.
pub const FILE: &str = "base.json";
/// Number of this layout; another is not understood.
const SCHEMA: u32 = 1;
/// Socket of a server that other programs can read the disk through.
const SOCKET: &str = "base.sock";

/// What a disk is computed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputedBase {
    schema: u32,
    pub node: String,
    /// File of the lab, and its output folder.
    pub lab: PathBuf,
    pub out: PathBuf,
    /// The medium that replaces the lab's: one of its media, a path, or a release.
    pub medium: Option<String>,
    /// Bytes of the disk.
    pub len: u64,
    /// Digest of all that decides its bytes, in hexadecimal.
    pub digest: String,
    /// The part of that which takes long: of the bytes of the media, the firmware and the program.
    pub files: String,
    /// Digest of the stamps that those files had then; none where a change might not show in them.
    pub stamps: Option<String>,
}

/// Computes such a disk, or says why that is not possible. Whoever calls a part of this module
/// gives it, as labs and media are not known here.
pub type Compute = fn(&ComputedBase) -> io::Result<Arc<dyn ReadAt>>;

/// Computes nothing: for those who have images alone.
///
/// # Errors
/// Always.
pub fn nothing(base: &ComputedBase) -> io::Result<Arc<dyn ReadAt>> {
    let why = format!("the disk of {} is computed from its lab, which is not possible here", base.node);
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

impl ComputedBase {
    /// The disk of a node of the lab in `lab`.
    pub fn new(node: &str, lab: &Path, out: &Path) -> Self {
        Self {
            schema: SCHEMA,
            node: node.to_owned(),
            lab: lab.to_owned(),
            out: out.to_owned(),
            medium: None,
            len: 0,
            digest: String::new(),
            files: String::new(),
            stamps: None,
        }
    }

    /// The description in the folder of a node; none if its base is a file.
    ///
    /// # Errors
    /// Fails when it cannot be read or understood.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(dir.join(FILE)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{FILE}: {why}"));
        let base: Self = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        match base.schema {
            SCHEMA => Ok(Some(base)),
            other => Err(wrong(format!("it has the schema {other}, but this p9img knows {SCHEMA} alone"))),
        }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn save(&self, dir: &Path) -> Result<(), FolderError> {
        folder::replace_json(&dir.join(FILE), self)
    }

    /// Name of the backing file of an image over it: as `p9img serve` serves the disk.
    pub fn name(&self) -> String {
        format!("nbd+unix:///{}?socket={SOCKET}", self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_damage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ComputedBase::load(dir.path()).unwrap(), None);
        let base = ComputedBase { len: 512, ..ComputedBase::new("n1", Path::new("lab.toml"), Path::new("output")) };
        base.save(dir.path()).unwrap();
        assert_eq!(ComputedBase::load(dir.path()).unwrap(), Some(base.clone()));
        assert_eq!(base.name(), "nbd+unix:///n1?socket=base.sock");
        let text = serde_json::to_string(&base).unwrap();
        for wrong in ["", "{}", "[1]", &text.replace("\"schema\":1", "\"schema\":2")] {
            std::fs::write(dir.path().join(FILE), wrong).unwrap();
            let said = ComputedBase::load(dir.path()).unwrap_err().to_string();
            assert!(said.starts_with("base.json: "), "{wrong}: {said}");
        }
    }
}
