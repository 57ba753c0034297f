//! Record of a node, in the folder of its disk: the data that p9img needs to
//! find and stop it while it runs, whatever became of the lab meanwhile, and
//! the image that its disk was made from.

use super::{GridError, NodeSpec};
use crate::guest::Accel;
use crate::guest::{folder, node_disk};
use crate::stamp::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

const FILE: &str = "node.json";
/// Number of this layout; another is not understood.
const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// SHA-256 of the image that the disk was made from.
    pub image: String,
    pub ip: Ipv4Addr,
    /// Whether a shell of the host owner is on its console, in which fshalt is typed.
    pub shell: bool,
    /// Text that its console shows when it is up.
    pub ready: String,
    /// Accelerator of its processors.
    pub accel: Accel,
    /// Ports of this machine that lead to it, by service.
    pub ports: BTreeMap<String, u16>,
    /// Stamp of the image under the disk, when that was last known to be whole.
    #[serde(default)]
    pub(super) base: Option<Stamp>,
    /// The same of the file that the image is over, if there is one.
    #[serde(default)]
    pub(super) below: Option<Stamp>,
}

impl Record {
    pub fn new(node: &NodeSpec, accel: Accel, ports: BTreeMap<String, u16>) -> Self {
        Self {
            schema: SCHEMA,
            image: node.sha256.clone(),
            ip: node.ip,
            shell: node.shell,
            ready: node.ready.clone(),
            accel,
            ports,
            base: None,
            below: None,
        }
    }

    /// The record with the image under the disk of the node in `dir`, which is whole.
    pub(super) fn with_base_of(self, dir: &Path) -> Self {
        let base = node_disk::base(dir);
        let stamp = |path: Option<PathBuf>| node_disk::settled_stamp(&path?);
        Self { below: stamp(base.as_deref().and_then(node_disk::below)), base: stamp(base), ..self }
    }

    /// Whether the image under the disk of the node in `dir`, and what that is over, are as they
    /// were when they were last known to be whole.
    pub(super) fn knows_base_of(&self, dir: &Path) -> bool {
        let now = self.clone().with_base_of(dir);
        self.base.is_some() && (&self.base, &self.below) == (&now.base, &now.below)
    }

    /// The record, if nothing is known of the image under the disk.
    pub(super) fn without_base(self) -> Self {
        Self { base: None, below: None, ..self }
    }

    pub(super) fn lacks_base(&self) -> bool {
        self.base.is_none()
    }

    /// Reads the record of the node in `dir`; none when there is none that can
    /// be understood.
    pub fn load(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|record: &Self| record.schema == SCHEMA)
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
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn survives_a_round_trip_and_damage_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::load(dir.path()), None);
        let record = Record::new(&spec(1).nodes[0], Accel::Tcg, [("cpu".to_owned(), 27010)].into());
        record.save(dir.path()).unwrap();
        assert_eq!(Record::load(dir.path()), Some(record));
        for wrong in ["", "{}", "[1]", "{\"schema\": 2}"] {
            std::fs::write(dir.path().join(FILE), wrong).unwrap();
            assert_eq!(Record::load(dir.path()), None, "{wrong}");
        }
    }
}
