//! VirtualBox as judge: it imports each OVA and shows the machine of the plan,
//! and the disk that it clones to raw is ours.
//!
//! Uses `VBoxManage`, or the command in `P9IMG_VBOXMANAGE` (one that sees the
//! temporary folder under the same path); no driver is needed, because nothing
//! is started. Debian's stable releases have no VirtualBox, so its absence is
//! a loud skip even with `P9IMG_REQUIRE_TOOLS=1`.

use p9img_test::skip::skipped;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct VirtualBox {
    command: OsString,
    dir: PathBuf,
}

impl VirtualBox {
    /// VirtualBox with its settings and machines in `dir`; None where there is
    /// none.
    fn find(dir: &Path) -> Option<Self> {
        let given = std::env::var_os("P9IMG_VBOXMANAGE");
        let command = given.clone().unwrap_or_else(|| "VBoxManage".into());
        let found = Self { command, dir: dir.to_owned() };
        let version = found.command(&["--version"]).output();
        match version {
            Ok(output) if output.status.success() => {
                // Without its driver, VirtualBox complains before it answers.
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                eprintln!("VirtualBox {}", said.lines().last().unwrap_or_default());
                found.run(&["setproperty", "machinefolder", &dir.join("machines").to_string_lossy()]);
                Some(found)
            }
            other => {
                assert!(given.is_none(), "P9IMG_VBOXMANAGE does not work: {other:?}");
                None
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.command);
        command.args(arguments).env("VBOX_USER_HOME", self.dir.join("home"));
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        good(&output, &format!("VBoxManage {}", arguments.join(" ")));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `showvminfo` by key.
    fn machine(&self, name: &str) -> BTreeMap<String, String> {
        let text = self.run(&["showvminfo", name, "--machinereadable"]);
        let clean = |s: &str| s.trim_matches('"').to_owned();
        text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (clean(k), clean(v))).collect()
    }
}

fn good(output: &Output, what: &str) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether two files of any size have the same bytes.
fn same(a: &Path, b: &Path) -> bool {
    let (mut a, mut b) = (File::open(a).unwrap(), File::open(b).unwrap());
    if a.metadata().unwrap().len() != b.metadata().unwrap().len() {
        return false;
    }
    let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = a.read(&mut x).unwrap();
        if n == 0 {
            return true;
        }
        b.read_exact(&mut y[..n]).unwrap();
        if x[..n] != y[..n] {
            return false;
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("the manifest has no {key}"))
}

/// One server of VirtualBox answers all commands of a user, so one test has
/// both media.
#[test]
fn imports_each_node() {
    let test = "imports_each_node";
    let scratch = tempfile::tempdir().unwrap();
    let Some(vbox) = VirtualBox::find(scratch.path()) else {
        skipped(format_args!("{test}: no VBoxManage (or set P9IMG_VBOXMANAGE)"));
        return;
    };
    imports(&vbox, "sample", None);
    if let Some(medium) = p9img_test::media::own_medium(&format!("{test}, in part"), "9legacy") {
        imports(&vbox, "9legacy", Some(&medium));
    }
}

/// Imports the grid's nodes, built from `medium` or from the sample.
fn imports(vbox: &VirtualBox, folder: &str, medium: Option<&Path>) {
    let dir = &vbox.dir.join(folder);
    fs::create_dir(dir).unwrap();

    // The grid, but with another kind of hardware in the second node.
    let lab = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab.toml")).unwrap();
    let (first, second) = lab.split_once("name  = \"plan9n2\"\n").unwrap();
    let lab =
        format!("{first}name = \"plan9n2\"\ncontroller = \"sata\"\nnic = \"virtio\"\nmemory = \"768 MiB\"\n{second}");
    fs::write(dir.join("lab.toml"), lab).unwrap();
    let mut build = Command::new(env!("CARGO_BIN_EXE_p9img"));
    build.current_dir(dir).args(["build", "--all", "--quiet", "--format", "raw,ova"]);
    if let Some(medium) = medium {
        build.arg("--media").arg(medium);
    }
    good(&build.output().unwrap(), "p9img build");
    let manifest: Value = serde_json::from_slice(&fs::read(dir.join("output/manifest.json")).unwrap()).unwrap();
    let lab = &manifest["inputs"]["lab"];
    let nodes = lab["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);

    for node in nodes {
        let name = text(node, "name");
        let ova = dir.join(format!("output/{name}.ova"));
        let ova = ova.to_str().unwrap();
        vbox.run(&["import", ova, "--dry-run"]);
        vbox.run(&["import", ova, "--options", "keepallmacs"]);

        let machine = vbox.machine(name);
        let is = |key: &str, expected: &str| {
            assert_eq!(machine.get(key).map(String::as_str), Some(expected), "{key} of {name}");
        };
        is("cpus", &node["cpus"].to_string());
        is("memory", &(node["memory"].as_u64().unwrap() >> 20).to_string());
        is("firmware", "BIOS");
        is("boot1", "disk");
        let (kind, disk) = match text(node, "controller") {
            "sata" => ("IntelAhci", "SATA-0-0"),
            _ => ("PIIX4", "IDE-0-0"),
        };
        is("storagecontrollertype0", kind);
        assert!(!machine.contains_key("storagecontrollername1"), "a second controller in {name}");
        is("nictype1", if text(node, "nic") == "virtio" { "virtio" } else { "82540EM" });
        is("macaddress1", &text(node, "mac").replace(':', "").to_uppercase());
        is("nic1", "intnet");
        is("intnet1", text(&lab["network"], "name"));
        is("nic2", "none");
        is("audio", "none");
        for usb in ["usb", "ehci", "xhci"] {
            assert_ne!(machine.get(usb).map(String::as_str), Some("on"), "{usb} of {name}");
        }

        let clone = dir.join("clone.raw");
        vbox.run(&["clonemedium", "disk", &machine[disk], clone.to_str().unwrap(), "--format", "RAW"]);
        assert!(same(&clone, &dir.join(format!("output/{name}.img"))), "the cloned disk of {name} differs from ours");
        vbox.run(&["closemedium", "disk", clone.to_str().unwrap(), "--delete"]);
        vbox.run(&["unregistervm", name, "--delete"]);
        eprintln!("{name} ({folder}): imported as planned, disk equal");
    }
}
