//! `p9img diff` names each of twenty planted differences, and nothing else.
//!
//! The images are the sample lab's own. Each plant changes one thing; what diff
//! prints must name it, and everything that it prints must be about it.

use p9img::artifact;
use std::fs;
use std::path::Path;

p9img_test::lab_with_steps!(Lab);

const SECTOR: usize = 512;

impl Lab {
    /// One node in every format.
    fn built() -> Self {
        // A small disk: it is compared many times.
        let toml =
            fs::read_to_string(p9img_test::repository("lab.toml")).unwrap().replacen("\"2 GiB\"", "\"64 MiB\"", 1);
        let lab = Self(p9img_test::Lab::of(&toml));
        lab.good(&["build", "plan9n2", "--format", "raw,qcow2,qcow2-zlib,ova"]);
        lab
    }
    /// Output of diff, with its exit code.
    fn diff(&self, a: &str, b: &str) -> (Option<i32>, Vec<String>) {
        let out = self.run(&["diff", a, b]);
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.code() != Some(1), "{}", String::from_utf8_lossy(&out.stderr));
        (out.status.code(), text.lines().map(str::to_owned).collect())
    }
    fn partition(&self, name: &str) -> (usize, usize) {
        let text = self.good(&["ls", "output/plan9n2.img", "--json"]);
        let all = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        let p = all.into_iter().find(|p| p["partition"] == name).unwrap();
        (p["start"].as_u64().unwrap() as usize, p["len"].as_u64().unwrap() as usize)
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> usize {
    from + haystack[from..].windows(needle.len()).position(|w| w == needle).expect("the bytes are there")
}

/// Changes a copy of the raw image; only what is changed is written.
fn plant(lab: &Lab, original: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = original.to_vec();
    change(&mut bytes);
    fs::write(lab.path("planted.img"), bytes).unwrap();
    "planted.img".into()
}

/// The bytes of the directory entry of fossil that names `name`.
fn fossil_name(image: &[u8], start: usize, name: &str) -> usize {
    let mut needle = vec![0x1c, 0x4d, 0x90, 0x72, 0, 9];
    needle.extend((name.len() as u16).to_be_bytes());
    needle.extend(name.as_bytes());
    find(image, &needle, start)
}

/// Offset of the fields after the names of owner, group and changer.
fn behind_names(image: &[u8], entry: usize) -> usize {
    let mut at = entry + 6;
    let text = |at: usize| 2 + usize::from(u16::from_be_bytes([image[at], image[at + 1]]));
    at += text(at) + 16 + 8;
    for _ in 0..3 {
        at += text(at);
    }
    at
}

#[test]
fn twenty_of_twenty_are_named() {
    let lab = Lab::built();
    let raw = fs::read(lab.path("output/plan9n2.img")).unwrap();
    let (ninefat, ninefat_len) = lab.partition("9fat");
    let (nvram, _) = lab.partition("nvram");
    let (fossil, fossil_len) = lab.partition("fossil");
    let (mut named, mut wrong) = (0, Vec::new());
    let mut expect = |what: &str, b: &str, words: &[&str]| {
        let (code, lines) = lab.diff("output/plan9n2.img", b);
        let right = |line: &String| words.iter().all(|w| line.contains(w));
        if code == Some(3) && (1..=2).contains(&lines.len()) && lines.iter().all(right) {
            named += 1;
        } else {
            wrong.push(format!("{what}: each line should say {words:?}, exit code {code:?}: {lines:#?}"));
        }
    };
    let flip = |at: usize| plant(&lab, &raw, |b| b[at] ^= 0x5a);

    expect("boot code", &flip(5), &["disk: boot code of the MBR, byte 5"]);
    expect("entry of the MBR", &plant(&lab, &raw, |b| b[446 + 12] ^= 1), &["disk: entry 0 of the MBR"]);
    expect("space before the partition", &flip(3 * SECTOR), &["disk: space between the MBR and 9fat"]);
    let text = find(&raw, b"part nvram", ninefat);
    let table = plant(&lab, &raw, |b| b[text + 9] = b'n');
    let (code, lines) = lab.diff("output/plan9n2.img", &table);
    assert_eq!(code, Some(3));
    assert!(lines.iter().any(|l| l.starts_with("disk: Plan 9 partition table, nvram")), "{lines:?}");
    assert!(lines.iter().all(|l| l.contains("nvra")), "{lines:?}");
    expect("boot code of 9fat", &flip(ninefat + 200), &["9fat: boot code of the partition, byte 200"]);
    expect("volume id", &flip(ninefat + 39), &["9fat: boot sector, volume id"]);
    let ini = find(&raw[..ninefat + ninefat_len], b"bootfile=", ninefat);
    expect("plan9.ini", &flip(ini), &["9fat: /plan9.ini: content, first at byte"]);
    expect("unused space of 9fat", &flip(ninefat + ninefat_len - 8192), &["9fat: ", "free"]);
    let entry = find(&raw, b"PLAN9   INI", ninefat);
    expect("attribute in FAT", &plant(&lab, &raw, |b| b[entry + 11] ^= 2), &["9fat: directory entry", "PLAN9.INI"]);
    expect("one byte of nvram", &flip(nvram + 40), &["nvram: owner of the host (authid), byte 40"]);

    let fossil_end = fossil + fossil_len;
    let at = fossil_name(&raw[..fossil_end], fossil, "ndb");
    let fields = behind_names(&raw, at);
    let field = |n: usize, xor: u8| plant(&lab, &raw, |b| b[fields + n] ^= xor);
    expect("mode of a file", &field(19, 0o2), &["ndb: mode: ", "[mode]"]);
    expect("time of a file", &field(3, 1), &["ndb: mtime: ", "[mtime]"]);
    expect("owner of a file", &plant(&lab, &raw, |b| b[owner_at(&raw, at)] ^= 1), &["ndb: owner: ", "[owner]"]);
    expect("time of reading, which no file shows", &field(15, 1), &["fossil: block ", "(names of /lib)"]);
    let text = find(&raw[..fossil_end], b"ipnet=", fossil);
    expect("content of a file", &flip(text), &["fossil: /lib/ndb/local: content, first at byte"]);
    let header = fossil + 128 * 1024;
    let label = fossil + 19 * 8192;
    expect("a fossil label", &plant(&lab, &raw, |b| b[label + 5] ^= 2), &["fossil: label of block 0", "epoch"]);
    expect("super block", &plant(&lab, &raw, |b| b[header + 16384 + 21] ^= 1), &["fossil: super block, next qid"]);
    expect("a free block", &flip(fossil_end - 3 * 8192), &["fossil: block ", "free"]);

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Containers.
    let copy = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(lab.path("output").join(name)).unwrap();
        change(&mut bytes);
        fs::write(lab.path(format!("planted-{name}")), bytes).unwrap();
        format!("planted-{name}")
    };
    let container = |name: &str, b: &str| {
        let (code, lines) = lab.diff(&format!("output/{name}"), b);
        assert_eq!(code, Some(3), "{lines:?}");
        lines
    };
    let ova = copy("plan9n2.ova", &|b| {
        let at = find(b, b"<rasd:VirtualQuantity>512<", 0);
        b[at + 22..at + 25].copy_from_slice(b"640");
    });
    let lines = container("plan9n2.ova", &ova);
    assert!(lines[0].starts_with("OVA: plan9n2.ovf: ") && lines[0].contains("memory"), "{lines:?}");
    assert!(lines[0].contains("VirtualQuantity>512") && lines[0].contains("VirtualQuantity>640"), "{lines:?}");
    let qcow2 = copy("plan9n2.qcow2", &|b| b[91] ^= 1);
    let lines = container("plan9n2.qcow2", &qcow2);
    assert_eq!(lines, ["qcow2: header field autoclear_features: 0x0 → 0x100000000 [header]"]);

    // A digest in the manifest.
    let manifest = copy("manifest.json", &|b| {
        let at = find(b, b"\"sha256\": \"", 0) + 11;
        b[at] = if b[at] == b'0' { b'1' } else { b'0' };
    });
    let lines = container("manifest.json", &manifest);
    assert!(lines.len() == 1 && lines[0].contains("sha256: differs: "), "{lines:?}");
    // With the partition table, the OVA, the qcow2 and the manifest.
    assert_eq!(named + 4, 21);
}

/// The first byte of the owner's name in a directory entry.
fn owner_at(image: &[u8], entry: usize) -> usize {
    let name = usize::from(u16::from_be_bytes([image[entry + 6], image[entry + 7]]));
    entry + 6 + 2 + name + 16 + 8 + 2
}

#[test]
fn equal_disks_in_other_containers_are_equal_disks() {
    let lab = Lab::built();
    let out = lab.run(&["diff", "output/plan9n2.img", "output/plan9n2.zlib.qcow2"]);
    assert_eq!(out.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "container: format: raw → qcow2 [format]\n");
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(err.contains("the containers differ, the disks in them are equal"), "{err}");
    // Places in two images, and a file as a whole.
    for place in ["", ":fossil", ":fossil:/lib", ":9fat:plan9.ini"] {
        let sides = ["output/plan9n2.img", if place.is_empty() { "output/plan9n2.img" } else { "output/plan9n2.ova" }];
        let (code, lines) = lab.diff(&format!("{}{place}", sides[0]), &format!("{}{place}", sides[1]));
        assert_eq!((code, lines.len()), (Some(0), 0), "{place}: {lines:?}");
    }
    let (code, lines) = lab.diff("sample", "sample");
    assert_eq!((code, lines.len()), (Some(0), 0));
    let out = lab.run(&["diff", "sample", "output/manifest.json"]);
    assert_eq!(out.status.code(), Some(2), "things of two kinds are a mistake of the caller");
    // As JSON, a line is an object with both values.
    let out = lab.run(&["diff", "--json", "output/plan9n2.img", "output/plan9n2.ova"]);
    let line: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&line["place"], &line["a"], &line["b"]), (&"container".into(), &"raw".into(), &"OVA".into()));
}

/// Damage wherever it is: an answer, and never a panic or an endless walk.
#[test]
fn damaged_images_are_compared_to_the_end() {
    let lab = Lab::built();
    let raw = fs::read(lab.path("output/plan9n2.img")).unwrap();
    let (fossil, _) = lab.partition("fossil");
    let (ninefat, _) = lab.partition("9fat");
    let spread = |from: usize, step: usize| (0..12).map(move |i| from + i * step);
    for at in spread(fossil + 128 * 1024, 997).chain(spread(fossil + 19 * 8192, 14)).chain(spread(ninefat, 61)) {
        let b = plant(&lab, &raw, |b| b[at..at + 4].fill(0xff));
        let out = lab.run(&["diff", "output/plan9n2.img", &b]);
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        let same = raw[at..at + 4] == [0xff; 4];
        assert_eq!(out.status.code(), Some(if same { 0 } else { 3 }), "byte {at}: {err}");
        assert!(!err.contains("panicked"), "byte {at}: {err}");
    }
    assert!(artifact::open(Path::new(&lab.path("planted.img"))).is_ok());
}
