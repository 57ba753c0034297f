//! What is known of a running lab beside its processes: `lab.json` in the
//! folder of the run.

use super::GridError;
use crate::guest::probe::Accel;
use crate::render::HostPorts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "lab.json";
/// Number of this layout; another is not understood.
const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    schema: u32,
    pub lab: String,
    pub accel: Accel,
    /// A guest was silent under KVM on this machine: it is not tried again unasked.
    #[serde(default)]
    pub kvm_hangs: bool,
    pub ports: HostPorts,
    /// The socket of the lab's network; empty before there was one.
    #[serde(default)]
    pub network: PathBuf,
    /// SHA-256 of the artifact under each node's copy, by the node's name.
    pub copies: BTreeMap<String, String>,
}

impl State {
    pub fn new(lab: &str, accel: Accel, ports: HostPorts) -> Self {
        Self {
            schema: SCHEMA,
            lab: lab.to_owned(),
            accel,
            kvm_hangs: false,
            ports,
            network: PathBuf::new(),
            copies: BTreeMap::new(),
        }
    }

    /// Reads the state of the run in `dir`; none when there was no run.
    ///
    /// # Errors
    /// When the file cannot be read or is not p9img's.
    pub fn load(dir: &Path) -> Result<Option<Self>, GridError> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(GridError::Folder { path, source }),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(state) if state.schema == SCHEMA => Ok(Some(state)),
            _ => Err(GridError::State { path }),
        }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self, dir: &Path) -> Result<(), GridError> {
        let path = dir.join(FILE);
        let failed = |source| GridError::Folder { path: path.clone(), source };
        let text = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        std::io::Write::write_all(&mut file, &text).map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_refuses_what_is_not_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), None);
        let ports = [("n1".to_owned(), [("cpu".to_owned(), 27010)].into())].into();
        let state = State::new("lab", Accel::Tcg, ports);
        state.save(dir.path()).unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), Some(state));
        for wrong in ["", "{}", "{\"schema\": 2, \"lab\": \"lab\"}"] {
            std::fs::write(dir.path().join(FILE), wrong).unwrap();
            assert!(matches!(State::load(dir.path()), Err(GridError::State { .. })), "{wrong}");
        }
    }
}
