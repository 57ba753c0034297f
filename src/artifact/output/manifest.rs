//! `manifest.json`: the inputs of a build and its artifacts, for programs and
//! for a reader in a year. It holds no secret, no path of this machine and no
//! time but the lab's own.

use crate::artifact::cluster::CLUSTER;
use crate::artifact::codec;
use crate::artifact::error::Error;
use crate::artifact::job::{ArtifactReport, Image};
use crate::artifact::output::folder::Folder;
use crate::lab::{Format, Word as _};
use crate::render::Systems;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the file.
pub const FILE: &str = "manifest.json";
/// The one medium among the inputs, or several.
pub const MEDIUM: &str = "medium";
pub const MEDIA: &str = "media";
/// Number of this layout; a reader refuses what it does not know.
pub const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u32,
    pub lab: String,
    /// Seconds since 1970.
    pub epoch: u32,
    /// Environment variable that the epoch comes from, where it is not the lab's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_from: Option<String>,
    pub tools: Tools,
    /// The lab; the medium, or the media by name where nodes are built from
    /// several.
    pub inputs: BTreeMap<String, serde_json::Value>,
    /// The plan of each node by its name, partitions included.
    pub nodes: BTreeMap<String, serde_json::Value>,
    /// Artifacts by file name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Files that artifacts are over, by file name; `node` is the name without the extension.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bases: BTreeMap<String, Artifact>,
}

/// Versions of tools that bytes depend on besides the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    pub p9img: String,
    /// Libraries that compress, with version and level.
    #[serde(default)]
    pub codecs: BTreeMap<String, String>,
    /// Digest of what they make of the probe.
    #[serde(default)]
    pub probe: String,
    /// Bytes of a cluster.
    pub cluster: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub node: String,
    /// The word that users type for it.
    pub format: String,
    /// Bytes.
    pub len: u64,
    pub sha256: String,
    /// Mark that the next build compares to decide whether the file is
    /// unchanged: [`ArtifactReport::mark`]. Reveals nothing of the disk's
    /// secrets.
    #[serde(default)]
    pub mark: String,
    /// The disk image in a compressed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Name of the file that has the rest of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Left by an earlier build: the last one of this node made others, or the node
    /// is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            p9img: env!("CARGO_PKG_VERSION").to_owned(),
            codecs: codec::libraries(),
            probe: codec::probe::DIGEST.to_owned(),
            cluster: CLUSTER,
        }
    }
}

impl Manifest {
    pub fn new(lab: &str, epoch: u32) -> Self {
        Self {
            schema: SCHEMA,
            lab: lab.to_owned(),
            epoch,
            epoch_from: None,
            tools: Tools::default(),
            inputs: BTreeMap::new(),
            nodes: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            bases: BTreeMap::new(),
        }
    }

    /// Distribution of each node of the lab, as far as the manifest says it.
    pub fn systems(&self) -> Systems {
        let distribution = |medium: &Value| medium["distribution"].as_str().unwrap_or_default().to_owned();
        let Some(media) = self.inputs.get(MEDIA).and_then(Value::as_object) else {
            return Systems::new(self.inputs.get(MEDIUM).map(distribution).unwrap_or_default(), BTreeMap::new());
        };
        let common = self.inputs.get("lab").and_then(|lab| lab["medium"].as_str()).unwrap_or_default();
        let own = media.iter().map(|(name, medium)| (name.clone(), distribution(medium)));
        Systems::new(media.get(common).map(distribution).unwrap_or_default(), own.collect())
    }

    /// Artifact of a node in the first of `formats` that there is: what the last
    /// build made comes before what an earlier one left.
    pub fn artifact_of(&self, node: &str, formats: &[Format]) -> Option<(Format, &str, &Artifact)> {
        let of = |format: Format, stale: bool| {
            let mut all = self.artifacts.iter();
            let (name, artifact) =
                all.find(|(_, a)| a.node == node && a.format == format.word() && a.stale == stale)?;
            Some((format, name.as_str(), artifact))
        };
        [false, true].iter().find_map(|stale| formats.iter().find_map(|format| of(*format, *stale)))
    }

    /// Adds what a build reported.
    pub fn add(&mut self, reports: &[ArtifactReport]) {
        for report in reports {
            let name = report.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let artifact = Artifact {
                node: report.node.clone(),
                format: report.format.word().to_owned(),
                len: report.len,
                sha256: report.sha256.clone(),
                mark: report.mark.clone(),
                image: report.image.clone(),
                base: report.base.clone(),
                stale: false,
            };
            if report.is_base { &mut self.bases } else { &mut self.artifacts }.insert(name, artifact);
        }
    }

    /// Writes `manifest.json`.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn save(&self, folder: &Folder) -> Result<(), Error> {
        let text = self.text().map_err(|source| Error::Write { path: folder.path().join(FILE), source })?;
        folder.replace(FILE, &text)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// Fails when a value in it cannot be written as JSON.
    pub fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads `manifest.json`; nothing when there is none.
    ///
    /// # Errors
    /// Fails when it cannot be read or understood.
    pub fn load(folder: &std::path::Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let error = |source| Error::Read { path: path.clone(), source };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error(e)),
        };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|e| error(e.into()))?;
        if manifest.schema != SCHEMA {
            let message = format!("Schema {} of the manifest, expected {SCHEMA}", manifest.schema);
            return Err(error(std::io::Error::new(std::io::ErrorKind::InvalidData, message)));
        }
        // Each is looked for in the folder, and nowhere else.
        if let Some(name) = manifest.artifacts.keys().chain(manifest.bases.keys()).find(|name| !is_file_name(name)) {
            let message = format!(
                "The artifact {name:?} is not the name of a file in the folder: build again with no such entry"
            );
            return Err(error(std::io::Error::new(std::io::ErrorKind::InvalidData, message)));
        }
        Ok(Some(manifest))
    }
}

/// Whether a name is a file's own, and leads nowhere else.
fn is_file_name(name: &str) -> bool {
    std::path::Path::new(name).file_name().is_some_and(|last| last == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::output::folder::Wait;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let good = ["n1.qcow2", "n1.sd.img.zip", "..a"];
        let bad = ["", ".", "..", "../n1.qcow2", "/etc/shadow", "a/n1.qcow2", "n1.qcow2/", "a/../n1.qcow2"];
        assert_eq!(good.map(is_file_name), [true; 3]);
        assert_eq!(bad.map(is_file_name), [false; 8]);
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::new("lab", 7);
        let artifact = serde_json::json!({ "node": "n", "format": "raw", "len": 1, "sha256": "00" });
        manifest.artifacts.insert("../n1.qcow2".into(), serde_json::from_value(artifact).unwrap());
        std::fs::write(dir.path().join(FILE), manifest.text().unwrap()).unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        let said = format!("{:#}", anyhow::Error::from(error));
        assert!(said.contains("\"../n1.qcow2\" is not the name of a file"), "{said}");
    }

    #[test]
    fn survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        assert_eq!(Manifest::load(dir.path()).unwrap(), None);
        let mut manifest = Manifest::new("lab", 7);
        manifest.nodes.insert("n".into(), serde_json::json!({"b": 1, "a": [2]}));
        manifest.add(&[ArtifactReport {
            node: "n".into(),
            format: Format::Qcow2Zlib,
            path: "/somewhere/n.qcow2".into(),
            len: 3,
            sha256: "00".into(),
            mark: "01".into(),
            kept: false,
            clusters: 0,
            shared_clusters: 0,
            stored_bytes: 0,
            note: None,
            image: Some(Image { len: 9, sha256: "02".into() }),
            base: None,
            is_base: false,
        }]);
        manifest.save(&folder).unwrap();
        assert_eq!(Manifest::load(dir.path()).unwrap(), Some(manifest));
        assert!(!std::fs::read_to_string(dir.path().join(FILE)).unwrap().contains("somewhere"));
    }
}
