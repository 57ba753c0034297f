//! A lab in a folder of its own, built by the program as a user builds it.

use p9img::guest::{Disk, DiskFormat};
use p9img_test::lab::set_word;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Suffix of an artifact's file name, after the node's name.
#[derive(Clone, Copy, Debug)]
pub enum Artifact {
    Raw,
    Qcow2,
    Ova,
}

/// One node, as `p9img plan --json` tells it.
pub struct Node {
    pub name: String,
    pub roles: String,
    pub ip: String,
    pub mac: [u8; 6],
    /// The files that roles add to the medium's, or take away.
    pub files: Vec<Value>,
}

/// A copy of the repository's lab, and what was built from it.
pub struct Lab {
    folder: TempDir,
    /// `--media PATH`, or nothing for the lab's own medium.
    media: Vec<PathBuf>,
    /// Time of the files that the medium's records do not name.
    pub epoch: u32,
    pub nodes: Vec<Node>,
}

impl Lab {
    /// Copies the default lab, gives keys of its `lab.toml` values (`edits`, see
    /// [`set_word`]), and builds all nodes in `formats`.
    pub fn build(media: Option<&Path>, edits: &[(&str, &str)], formats: &str) -> Self {
        Self::build_with(media, edits, formats, None)
    }

    /// As [`Lab::build`], with the `secrets.toml` of another lab.
    pub fn build_with(media: Option<&Path>, edits: &[(&str, &str)], formats: &str, secrets: Option<&[u8]>) -> Self {
        let mut lab = Self::described(media, edits, secrets);
        lab.run(&["build", "--all", "--out", "output", "--format", formats]);
        let plan: Value = serde_json::from_slice(&lab.run(&["plan", "--json"])).unwrap();
        lab.epoch = plan["lab"]["epoch"].as_u64().unwrap().try_into().unwrap();
        lab.nodes = plan["nodes"].as_array().unwrap().iter().map(node).collect();
        lab
    }

    /// The lab of [`Lab::build_with`], of which nothing is built.
    pub fn described(media: Option<&Path>, edits: &[(&str, &str)], secrets: Option<&[u8]>) -> Self {
        let folder = tempfile::Builder::new().prefix("p9img-boot-").tempdir().unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut text = std::fs::read_to_string(repository.join("lab.toml")).unwrap();
        for (key, value) in edits {
            text = set_word(&text, key, value);
        }
        std::fs::write(folder.path().join("lab.toml"), text).unwrap();
        if let Some(secrets) = secrets {
            let mut private = std::fs::OpenOptions::new();
            private.create_new(true).write(true).mode(0o600);
            private.open(folder.path().join("secrets.toml")).unwrap().write_all(secrets).unwrap();
        }
        let media = media.map(Path::to_owned).into_iter().collect();
        Self { folder, media, epoch: 0, nodes: Vec::new() }
    }

    /// Runs `p9img` in the lab's folder and returns what it printed.
    fn run(&self, args: &[&str]) -> Vec<u8> {
        let media = self.media.iter().flat_map(|m| [OsStr::new("--media"), m.as_os_str()]);
        let output = Command::new(env!("CARGO_BIN_EXE_p9img"))
            .args(args)
            .args(media)
            .env("P9IMG_CACHE", self.path("cache"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "p9img {}: {}\n{errors}", args.join(" "), output.status);
        output.stdout
    }

    /// Output of `p9img cat` for a path in a node's qcow2.
    pub fn cat(&self, node: &str, place: &str) -> String {
        let image = format!("output/{node}.qcow2:{place}");
        let output = Command::new(env!("CARGO_BIN_EXE_p9img"))
            .args(["cat", &image])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "p9img cat {image}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|n| n.name == name).unwrap()
    }

    /// An artifact as a disk; an OVA's is taken out of it.
    pub fn disk(&self, node: &str, artifact: Artifact) -> Disk {
        let output = self.folder.path().join("output");
        match artifact {
            Artifact::Raw => Disk::new(output.join(format!("{node}.img")), DiskFormat::Raw),
            Artifact::Qcow2 => Disk::new(output.join(format!("{node}.qcow2")), DiskFormat::Qcow2),
            Artifact::Ova => {
                let out = self.path(&format!("{node}.vmdk"));
                if !out.exists() {
                    extract_vmdk(&output.join(format!("{node}.ova")), &out);
                }
                Disk::new(out, DiskFormat::Vmdk)
            }
        }
    }

    /// A place for a scratch file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn node(json: &Value) -> Node {
    let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}")).to_owned();
    let roles: Vec<&str> = json["roles"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    let mac: Vec<u8> = text("mac").split(':').map(|h| u8::from_str_radix(h, 16).unwrap()).collect();
    Node {
        name: text("name"),
        roles: roles.join(" "),
        ip: text("ip"),
        mac: mac.try_into().unwrap(),
        files: json["files"].as_array().unwrap().clone(),
    }
}

fn extract_vmdk(ova: &Path, out: &Path) {
    let mut archive = tar::Archive::new(std::fs::File::open(ova).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().extension() == Some(OsStr::new("vmdk")) {
            let part = out.with_extension("part");
            std::io::copy(&mut entry, &mut std::fs::File::create(&part).unwrap()).unwrap();
            std::fs::rename(part, out).unwrap();
            return;
        }
    }
    panic!("no VMDK in {}", ova.display());
}
