//! State of a running lab besides its processes: `lab.json` in the folder of
//! the run.

use super::GridError;
use crate::guest::Accel;
use crate::guest::folder::{self, FolderError};
use crate::render::HostPorts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "lab.json";
/// Number of this layout; another is not understood.
const SCHEMA: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    schema: u32,
    pub lab: String,
    pub accel: Accel,
    /// Name of the runner of its machines; empty: the first of the table.
    #[serde(default)]
    pub runner: String,
    /// A guest was silent under KVM on this machine: it is not tried again unasked.
    #[serde(default)]
    pub kvm_hangs: bool,
    /// Base of its ports of this machine; 0 before there were any.
    #[serde(default)]
    pub base: u16,
    /// Ports of this machine, by node and service: those of the last start, and
    /// of the next.
    #[serde(default)]
    pub ports: HostPorts,
    /// The lab's file, and the user to log in as, as they were then.
    #[serde(default)]
    pub file: PathBuf,
    #[serde(default)]
    pub user: String,
    /// SHA-256 of the images under the copies, by node, as the layout before
    /// this one had them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copies: BTreeMap<String, String>,
}

impl State {
    pub fn new(lab: &str, accel: Accel) -> Self {
        Self {
            schema: SCHEMA,
            lab: lab.to_owned(),
            accel,
            runner: String::new(),
            kvm_hangs: false,
            base: 0,
            ports: HostPorts::new(),
            file: PathBuf::new(),
            user: String::new(),
            copies: BTreeMap::new(),
        }
    }

    /// Reads the state of the run in `dir`; none when there was no run.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is not p9img's.
    pub fn load(dir: &Path) -> Result<Option<Self>, GridError> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FolderError::Use { path, source }.into()),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(state) if (1..=SCHEMA).contains(&state.schema) => Ok(Some(Self { schema: SCHEMA, ..state })),
            _ => Err(GridError::State { path }),
        }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn save(&self, dir: &Path) -> Result<(), GridError> {
        Ok(folder::replace_json(&dir.join(FILE), self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_refuses_what_is_not_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), None);
        let mut state = State::new("lab", Accel::Tcg);
        state.ports = [("n1".to_owned(), [("cpu".to_owned(), 27010)].into())].into();
        state.save(dir.path()).unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), Some(state));
        for wrong in
            ["", "{}", "{\"schema\": 2, \"lab\": \"lab\"}", "{\"schema\": 3, \"lab\": \"lab\", \"accel\": \"tcg\"}"]
        {
            std::fs::write(dir.path().join(FILE), wrong).unwrap();
            assert!(matches!(State::load(dir.path()), Err(GridError::State { .. })), "{wrong}");
        }
    }
}
