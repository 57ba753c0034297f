//! A venti as users meet it: a role that asks for one, a build, and what
//! `p9img ls`, `cat` and `fsck` say about the image.

use p9img::disk::open_disk;
use p9img_test::lab::{good, p9img};
use std::fs;
use std::os::unix::fs::FileExt as _;

const LAB: &str = r#"
[lab]
name = "store"
medium = "sample"
authdom = "store.lab"

[[node]]
name = "s1"
roles = ["cpu", "auth", "store"]
disk = "256 MiB"
"#;

/// Two partitions of arenas and two index sections, between others.
const ROLE: &str = "description = 'Two disks of everything'\n";

fn role() -> String {
    let parts = [("bloom", 1, "bloom"), ("b", 20, "arenas"), ("is0", 2, "isect"), ("spare", 1, ""), ("a", 8, "arenas")];
    let parts = parts.iter().chain([&("is1", 3, "isect")]);
    let part = |(name, mib, holds): &(&str, u32, &str)| {
        let holds = if holds.is_empty() { String::new() } else { format!("holds = '{holds}'\n") };
        format!("\n[[partition]]\nname = '{name}'\nsize = '{mib} MiB'\n{holds}")
    };
    ROLE.to_owned() + &parts.map(part).collect::<String>()
}

fn lab(role: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lab.toml"), LAB).unwrap();
    fs::create_dir_all(dir.path().join("roles/store")).unwrap();
    fs::write(dir.path().join("roles/store/role.toml"), role).unwrap();
    dir
}

#[test]
fn a_role_with_a_venti_gets_one_that_is_sound() {
    let dir = lab(&role());
    let dir = dir.path();
    good(dir, &["build", "s1", "--format", "raw", "--out", "out"]);
    let kinds: Vec<String> = good(dir, &["ls", "out/s1.img"])
        .lines()
        .filter_map(|l| {
            Some(
                l.split_whitespace().next()?.to_owned()
                    + " "
                    + l.split_whitespace().nth(3)?
                    + " "
                    + &l.split_whitespace().skip(4).collect::<Vec<_>>().join(" "),
            )
        })
        .collect();
    for expected in
        ["bloom venti bloom filter", "b venti arenas", "is0 venti index section", "spare - ", "a venti arenas"]
    {
        assert!(kinds.iter().any(|k| k == expected), "no {expected:?} in {kinds:?}");
    }
    assert_eq!(good(dir, &["ls", "out/s1.img:b"]), "b0\n");
    let table = good(dir, &["cat", "out/s1.img:is1:/index"]);
    assert!(table.contains("\n2\nis0\t0\t"), "{table}");
    assert!(table.contains("\n2\nb0\t1048576\t"), "{table}");
    assert_eq!(table, good(dir, &["cat", "out/s1.img:is0:/index"]));
    let said = good(dir, &["fsck", "out/s1.img"]);
    for sound in ["bloom: venti bloom filter is sound", "a: venti arenas is sound", "is1: venti index section is sound"]
    {
        assert!(said.contains(sound), "{said}");
    }
    assert!(good(dir, &["fsck", "--dump", "out/s1.img:a"]).contains("arena a0: stored 0 clumps"));

    // The plan says it, and another build makes the same bytes.
    let plan: serde_json::Value = serde_json::from_str(&good(dir, &["plan", "--json"])).unwrap();
    let holds = |name: &str| {
        let parts = plan["nodes"][0]["layout"]["parts"].as_array().unwrap();
        parts.iter().find(|p| p["name"] == name).unwrap()["holds"].clone()
    };
    assert_eq!((holds("b"), holds("is0")), ("arenas".into(), "isect".into()));
    assert!(holds("spare").is_null() && holds("fossil").is_null());
    good(dir, &["build", "s1", "--format", "raw", "--out", "again"]);
    assert!(fs::read(dir.join("out/s1.img")).unwrap() == fs::read(dir.join("again/s1.img")).unwrap());

    // A name in the index that no arena has; a header without magic.
    let image = dir.join("out/s1.img");
    let disk = open_disk(p9img::artifact::open(&image).unwrap()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let at = |name: &str, offset: u64| disk.find(name).unwrap().start + offset;
    for section in ["is0", "is1"] {
        let place = table.find("a0\t").unwrap() as u64;
        file.write_all_at(b"x", at(section, 270_336 + place)).unwrap();
    }
    let bad = p9img(dir, &["fsck", "out/s1.img"]);
    let said = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(3), "{said}");
    assert!(
        said.contains("venti: The index main lists arena \"x0\", which is not on this disk [index-arenas]"),
        "{said}"
    );
    assert!(said.contains("venti: Arena \"a0\" is not in the index main [index-arenas]"), "{said}");
    file.write_all_at(&[0; 4], at("b", 262_144)).unwrap();
    let bad = p9img(dir, &["fsck", "out/s1.img"]);
    let said = String::from_utf8(bad.stdout).unwrap();
    assert!(said.contains("b: This was a partition of a venti, but it is damaged"), "{said}");
}

#[test]
fn what_is_no_venti_stops_the_build() {
    let said = |role: &str| {
        let out = p9img(lab(role).path(), &["plan"]);
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8(out.stderr).unwrap()
    };
    let part =
        |name: &str, holds: &str| format!("\n[[partition]]\nname = '{name}'\nsize = '1 MiB'\nholds = '{holds}'\n");
    let small = said(&(ROLE.to_owned() + &part("arenas", "arenas")));
    assert!(small.contains("Cannot format the venti of s1"), "{small}");
    assert!(small.contains("Partition arenas has 1048576 bytes, but arenas need 1843200 at the least"), "{small}");
    let lone = said(&(ROLE.to_owned() + &part("isect", "isect")));
    assert!(lone.contains("there is no partition of arenas"), "{lone}");
}
