//! UEFI firmware for QEMU, found as management tools find it: by the
//! descriptors that each firmware package installs (QEMU's
//! `docs/interop/firmware.json`).

use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Folders of descriptors; a name in an earlier one hides the same name in a
/// later one.
const FOLDERS: [&str; 3] = ["/etc/qemu/firmware", "/usr/local/share/qemu/firmware", "/usr/share/qemu/firmware"];

/// A firmware and its variables, as they are on a new machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uefi {
    pub code: PathBuf,
    pub variables: PathBuf,
}

impl Uefi {
    /// The arguments that put it into a machine. Variables that it writes are
    /// forgotten when the machine is turned off.
    pub fn arguments(&self) -> Vec<OsString> {
        let drive = |path: &Path, rest: &str| super::program::option("file=", path, rest);
        vec![
            "-drive".into(),
            drive(&self.code, ",if=pflash,unit=0,format=raw,readonly=on"),
            "-drive".into(),
            drive(&self.variables, ",if=pflash,unit=1,format=raw,snapshot=on"),
        ]
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    executable: Option<Flash>,
    nvram_template: Option<Flash>,
}

#[derive(Deserialize)]
struct Flash {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

impl Descriptor {
    /// One that starts any loader on p9img's machine.
    fn fits(self) -> Option<Uefi> {
        let here = |t: &Target| t.architecture == "x86_64" && t.machines.iter().any(|m| m.starts_with("pc-i440fx"));
        let strict = |f: &String| matches!(f.as_str(), "requires-smm" | "enrolled-keys");
        let raw = |flash: Option<Flash>| flash.filter(|f| f.format == "raw").map(|f| f.filename);
        let fits = self.interface_types.iter().any(|i| i == "uefi")
            && self.mapping.device == "flash"
            && self.targets.iter().any(here)
            && !self.features.iter().any(strict);
        let files = raw(self.mapping.executable).zip(raw(self.mapping.nvram_template));
        files.filter(|_| fits).map(|(code, variables)| Uefi { code, variables })
    }
}

/// The first firmware of this host that fits; none when none is installed.
pub fn find() -> Option<Uefi> {
    find_in(&FOLDERS.map(PathBuf::from))
}

#[expect(clippy::disallowed_methods, reason = "a map by name puts them in order")]
fn find_in(folders: &[PathBuf]) -> Option<Uefi> {
    let mut files = std::collections::BTreeMap::new();
    for folder in folders {
        let Ok(entries) = folder.read_dir() else { continue };
        for path in entries.filter_map(Result::ok).map(|e| e.path()) {
            if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|e| e == "json")) {
                files.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    // A descriptor that cannot be read is nothing that could be used.
    let read = |path: PathBuf| serde_json::from_slice::<Descriptor>(&std::fs::read(path).ok()?).ok();
    files.into_values().filter_map(read).filter_map(Descriptor::fits).find(|u| u.code.exists() && u.variables.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_fits_is_found_by_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let (own, packages) = (dir.path().join("own"), dir.path().join("packages"));
        let file = |name: &str| {
            std::fs::write(dir.path().join(name), "x").unwrap();
            dir.path().join(name)
        };
        let (code, vars) = (file("code"), file("vars"));
        let good = json!({
            "description": "any", "interface-types": ["uefi"], "tags": [],
            "mapping": {
                "device": "flash", "executable": { "filename": code, "format": "raw" },
                "nvram-template": { "filename": vars, "format": "raw" },
            },
            "targets": [{ "architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"] }],
            "features": ["acpi-s3"],
        });
        for folder in [&own, &packages] {
            std::fs::create_dir(folder).unwrap();
        }
        let put = |folder: &Path, name: &str, value: &serde_json::Value| {
            std::fs::write(folder.join(name), value.to_string()).unwrap();
        };
        let found = || find_in(&[own.clone(), packages.clone(), dir.path().join("none")]);
        let changed = |key: &str, value: serde_json::Value| {
            let mut other = good.clone();
            *other.pointer_mut(key).unwrap() = value;
            other
        };
        assert_eq!(found(), None);
        std::fs::write(packages.join("10-damaged.json"), "{").unwrap();
        put(&packages, "20-bios.json", &changed("/interface-types", json!(["bios"])));
        put(&packages, "30-keys.json", &changed("/features", json!(["secure-boot", "enrolled-keys"])));
        put(&packages, "40-arm.json", &changed("/targets/0/architecture", json!("aarch64")));
        put(&packages, "45-q35.json", &changed("/targets/0/machines", json!(["pc-q35-*"])));
        put(&packages, "50-gone.json", &changed("/mapping/executable/filename", json!("/nowhere/code")));
        put(&packages, "55-qcow2.json", &changed("/mapping/executable/format", json!("qcow2")));
        assert_eq!(found(), None);
        put(&packages, "60-good.json", &good);
        let uefi = Uefi { code, variables: vars };
        assert_eq!(found().as_ref(), Some(&uefi));
        // The host's owner hides it.
        std::fs::write(own.join("60-good.json"), "").unwrap();
        assert_eq!(found(), None);
        let args = uefi.arguments();
        assert_eq!(args.len(), 4);
        assert!(args[1].to_str().unwrap().ends_with("/code,if=pflash,unit=0,format=raw,readonly=on"));
        assert!(args[3].to_str().unwrap().ends_with("/vars,if=pflash,unit=1,format=raw,snapshot=on"));
    }
}
