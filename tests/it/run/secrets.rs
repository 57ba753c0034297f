//! No password and no key is where it has no business: looked for as bytes.

use super::Lab;
use p9img::auth::{DesKey, KeyFile, Nvram};
use p9img::lab::Secrets;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const NODES: [&str; 4] = ["plan9n1", "plan9n2", "plan9n3", "plan9n4"];

/// Secrets that must not be found, by their names.
fn needles(secrets: &Secrets, seed: &str) -> BTreeMap<String, Vec<u8>> {
    let mut needles = BTreeMap::new();
    for name in ["bootes", "glenda"] {
        let password = secrets.password(name).unwrap();
        assert!(password.len() >= 8, "a needle that is found by chance proves nothing");
        let wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
        needles.insert(format!("password of {name}"), password.as_bytes().to_vec());
        needles.insert(format!("password of {name} in UTF-16"), wide);
        needles.insert(format!("key of {name}"), DesKey::from_password(password).0.to_vec());
    }
    needles.insert("seed as text".into(), seed.as_bytes().to_vec());
    let bytes = (0..seed.len()).step_by(2).map(|i| u8::from_str_radix(&seed[i..i + 2], 16).unwrap()).collect();
    needles.insert("seed".into(), bytes);
    needles
}

/// Offsets of `needle` in `bytes`.
fn places(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, needle).collect()
}

/// Names of the needles that are in the file.
fn found(path: &Path, needles: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    needles.iter().filter(|(_, needle)| !places(&bytes, needle).is_empty()).map(|(name, _)| name.clone()).collect()
}

#[test]
fn secrets_are_only_where_they_are_needed() {
    let lab = Lab::new();
    // Small disks: they are searched byte by byte.
    lab.set("defaults.disk", "800 MiB");
    lab.qemu("10.0.2");
    let mut said = lab.build();
    said += &lab.must(&["plan"]);
    said += &lab.must(&["plan", "--json"]);
    said += &lab.must(&["secrets", "list"]);
    said += &lab.must(&["check"]);
    let text = fs::read_to_string(lab.path("secrets.toml")).unwrap();
    let seed = text.lines().find_map(|l| l.strip_prefix("seed")).unwrap().split('"').nth(1).unwrap().to_owned();
    let secrets = Secrets::load(&lab.path(""), "bootes").unwrap().unwrap();
    let mut needles = needles(&secrets, &seed);
    let owner = DesKey::from_password(secrets.password("bootes").unwrap());

    // Keys that must be in the images: otherwise the search below would prove nothing.
    let cat = |node: &str, place: &str| {
        let image = format!("output/{node}.img:{place}");
        lab.run(&["cat", &image])
    };
    let keys = cat("plan9n1", "fossil:/adm/keys").stdout;
    let parsed = KeyFile::parse(&keys, owner).unwrap();
    let mut names: Vec<_> = parsed.records.iter().map(|r| r.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bootes", "glenda"]);
    assert!(parsed.records.iter().any(|r| r.key == DesKey::from_password(secrets.password("glenda").unwrap())));
    for node in &NODES[1..] {
        let out = cat(node, "fossil:/adm/keys");
        assert!(!out.status.success() || out.stdout.is_empty(), "{node} has a key file");
    }
    // The key file, enciphered as it is, is on the authentication server alone.
    let enciphered = keys[..64].to_vec();

    for node in NODES {
        let disk = fs::read(lab.path(format!("output/{node}.img"))).unwrap();
        let partition = lab.must(&["ls", "--json", &format!("output/{node}.img")]);
        let nvram = partition.lines().find(|l| l.contains("\"nvram\"")).unwrap();
        let nvram: serde_json::Value = serde_json::from_str(nvram).unwrap();
        let start = nvram["start"].as_u64().unwrap() as usize;
        let sector = &disk[start..start + 512];
        assert_eq!(Nvram::parse(sector).unwrap().machine_key, owner, "{node} knows its own key");
        // Every node's nvram has the host owner's key, and nothing else on it has.
        let key = places(&disk, &owner.0);
        assert!(key.len() == 1 && (start..start + 512).contains(&key[0]), "{node}: {key:?}, nvram at {start}");
        for (name, needle) in needles.iter().filter(|(name, _)| *name != "key of bootes") {
            assert_eq!(places(&disk, needle), Vec::<usize>::new(), "{name} is on the disk of {node}");
        }
        assert_eq!(places(&disk, &enciphered).len(), usize::from(node == "plan9n1"), "{node}: key file");
    }

    // Nothing of it is in what is said, recorded or passed on.
    needles.insert("key file".into(), enciphered);
    lab.run(&["up", "--accel", "tcg", "--ports", "28400"]);
    let told = lab.told();
    assert!(told.contains("qemu-system-x86_64") && told.contains("PATH"), "QEMU was asked: {told}");
    said += &told;
    fs::write(lab.path("said"), said).unwrap();
    let mut searched = 0;
    for entry in walkdir::WalkDir::new(lab.dir()) {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(lab.dir()).unwrap().to_string_lossy().into_owned();
        // The disks were searched above; the inputs may know.
        if !entry.file_type().is_file() || name.ends_with(".img") || name == "secrets.toml" {
            continue;
        }
        // zstd leaves some of a disk as it is.
        let image = name.ends_with(".qcow2") || name.ends_with(".ova");
        let of_disks = |needle: &String| image && ["key of bootes", "key file"].contains(&needle.as_str());
        let found: Vec<_> = found(entry.path(), &needles).into_iter().filter(|n| !of_disks(n)).collect();
        assert_eq!(found, Vec::<String>::new(), "in {name}");
        searched += usize::from(name.starts_with("output/"));
    }
    assert!(searched >= 7, "images, manifest, sums and page: {searched}");
}

#[test]
fn key_files_have_plan9s_modes() {
    let lab = Lab::new();
    lab.build();
    let ls = |place: &str| lab.must(&["ls", "-ld", &format!("output/plan9n1.qcow2:fossil:{place}")]);
    // As keyfs(4) makes it (/sys/src/cmd/auth/keyfs.c): 0660, adm's.
    let keys: Vec<_> = ls("/adm/keys").split_whitespace().take(3).map(str::to_owned).collect();
    assert_eq!(keys, ["--rw-rw----", "adm", "adm"]);
    let mode = fs::metadata(lab.path("secrets.toml")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[test]
fn nodes_of_other_secrets_are_named() {
    let lab = Lab::new();
    lab.set("defaults.disk", "800 MiB");
    lab.qemu("10.0.2");
    let word = "had another password than secrets.toml has now";
    let said = |args: &[&str]| {
        let out = lab.run(args);
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    lab.build();
    assert!(!said(&["up", "--ports", "28500"]).contains(word));
    lab.must(&["secrets", "rotate", "bootes"]);
    let built = lab.must(&["build", "plan9n2", "--media", "medium", "--format", "qcow2,raw"]);
    let others = format!("built when bootes {word}: plan9n1, plan9n3, plan9n4.");
    for said in [built, said(&["up", "--ports", "28500"]), said(&["test", "--ports", "28500"])] {
        assert!(said.contains(&others) && said.contains("`p9img build plan9n1 plan9n3 plan9n4`"), "{said}");
        let secrets = Secrets::load(&lab.path(""), "bootes").unwrap().unwrap();
        assert!(!said.contains(secrets.password("bootes").unwrap()));
    }
    assert!(!lab.build().contains(word));
    assert!(!said(&["up", "--ports", "28500"]).contains(word));
    // A user's password is on the node with everybody's keys, and on no other.
    let rotated = lab.must(&["secrets", "rotate", "glenda"]);
    assert!(rotated.contains("to be built again: plan9n1 ("), "{rotated}");
    let built = lab.must(&["build", "plan9n2", "--media", "medium", "--format", "qcow2,raw"]);
    let others = format!("built when glenda {word}: plan9n1, which accepts only the old one");
    for said in [built, said(&["up", "--ports", "28500"]), said(&["test", "--ports", "28500"])] {
        assert!(said.contains(&others) && said.contains("`p9img build plan9n1`"), "{said}");
        assert!(!said.contains("bootes had another"), "{said}");
    }
    lab.must(&["build", "plan9n1", "--media", "medium", "--format", "qcow2,raw"]);
    assert!(!said(&["up", "--ports", "28500"]).contains(word));
    // All at once: the host owner's key, and those of everybody that it opens.
    lab.must(&["secrets", "rotate", "--all"]);
    let up = said(&["up", "--ports", "28500"]);
    assert!(up.contains(&format!("built when bootes {word}: plan9n1, plan9n2, plan9n3, plan9n4.")), "{up}");
    assert!(up.contains(&others), "{up}");
}
