//! Disk images of 9front as media: a root of each kind, a card of a Raspberry
//! Pi, damaged ones; and trees that cannot become a node of 9front. The medium
//! is a few files with a proto of their own, so that no release is needed.

use p9img::disk::{Disk, DiskImage, Mbr, MbrEntry, Partition, mbr, open_disk};
use p9img::fs::FileSystem;
use p9img::fs::fat::{self, Fat, FatFile};
use p9img::media::store::Store;
use p9img::media::{Distribution, Medium};
use p9img::read_at::{HostFile, ReadAt};
use p9img::tree::{Content, Entry, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MEDIUM: [&str; 16] = [
    "386/9bootfat",
    "386/bootx64.efi",
    "386/include/u.h",
    "amd64/9pc64",
    "amd64/bin/ls",
    "amd64/init",
    "adm/timezone/GMT",
    "cfg/pxe/example",
    "lib/ndb/common",
    "lib/ndb/local",
    "lib/words",
    "mail/lib/names.local",
    "rc/bin/cpurc",
    "sys/include/libc.h",
    "sys/lib/dist/mkfile",
    "usr/glenda/lib/profile",
];
const PROTO: &str = "\
mode=ug+rw
mode=o-w
uid=sys
gid=sys
adm\td775 adm adm
\tuid=adm
\tgid=adm
\ttimezone\td775
\t\t*
mail\td775 upas upas
\tuid=upas
\tgid=upas
\tlib\td775
\t\t*
\ttmp\td777
lib\td775
\t+
rc\td775
\t+
$objtype\td775
\t+
sys\td775
\tinclude\td775
\t\t+
\tlog\td775
\t\tauth\ta662 sys sys /sys/lib/dist/empty
usr\td775
\tglenda\td775 glenda glenda
\t\tuid=glenda
\t\tgid=glenda
\t\tlib\td775
\t\t\t*
";
/// Nodes, their file systems, and the partitions that hold the roots.
const NODES: [(&str, &str, &str); 3] = [("n1", "cwfs64x", "fscache"), ("n2", "gefs", "fs"), ("n3", "hjfs", "fs")];

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        let lab = Self(p9img_test::Lab::empty().with_cache());
        let mut text = "[lab]\nname = \"front\"\nmedium = \"tiny\"\nformats = [\"raw\"]\n\n[media.tiny]\npath = \
                        \"tiny\"\n\n[defaults]\narch = \"amd64\"\ndisk = \"512 MiB\"\n"
            .to_owned();
        for ((name, fs, _), role) in NODES.iter().zip(["\"cpu\", \"auth\"", "\"cpu\"", "\"cpu\""]) {
            text += &format!("\n[[node]]\nname = \"{name}\"\nroles = [{role}]\nfs = \"{fs}\"\n");
        }
        fs::write(lab.path("lab.toml"), text).unwrap();
        for path in MEDIUM {
            lab.put(path, path.repeat(if path.ends_with("words") { 9000 } else { 100 }).as_bytes());
        }
        lab.put("sys/lib/sysconfig/proto/distproto", PROTO.as_bytes());
        lab.put("sys/lib/dist/empty", b"");
        lab.put("386/mbr", &[0x90; 400]);
        let mut pbs = vec![0x90; 473];
        pbs[..3].copy_from_slice(&[0xEB, 0x3C, 0x90]);
        lab.put("386/pbs", &pbs);
        lab
    }

    /// A file of the medium.
    fn put(&self, path: &str, bytes: &[u8]) {
        self.0.put(Path::new("tiny").join(path), bytes);
    }

    fn medium(&self, path: &Path) -> Medium {
        Medium::open("m", path, 1_767_225_600, Some(&Store::at(self.path("cache")))).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Paths of the files that the roles of a node render.
    fn rendered(&self, node: &str) -> BTreeSet<String> {
        let plan: serde_json::Value = self.json(&["plan", "--json"]);
        let node = plan["nodes"].as_array().unwrap().iter().find(|n| n["name"] == node).unwrap();
        let files = node["files"].as_array().unwrap().iter();
        files.map(|f| f["path"].as_str().unwrap().trim_matches('/').to_owned()).collect()
    }
}

fn gzip(from: &Path) -> PathBuf {
    let to = PathBuf::from(format!("{}.gz", from.display()));
    let mut gzip = flate2::write::GzEncoder::new(File::create(&to).unwrap(), flate2::Compression::fast());
    std::io::copy(&mut File::open(from).unwrap(), &mut gzip).unwrap();
    gzip.finish().unwrap().flush().unwrap();
    to
}

/// Everything below the root, with the bytes of files.
fn entries(tree: &Tree) -> BTreeMap<String, (String, Option<Vec<u8>>)> {
    let mut all = BTreeMap::new();
    tree.walk(|path, _, entry: &Entry| {
        let bytes = entry.content().map(|c| c.read_all().unwrap());
        all.insert(String::from_utf8_lossy(path).into_owned(), (format!("{:?}", entry.meta), bytes));
    });
    all.remove("");
    all
}

/// Differences between two trees, but for paths for which `but` is true.
fn differences(a: &Tree, b: &Tree, but: impl Fn(&str) -> bool) -> Vec<String> {
    let (a, b) = (entries(a), entries(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).filter(|n| !but(n)).collect();
    let mut out = Vec::new();
    for name in names {
        match (a.get(name), b.get(name)) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => out.push(format!("{name}: {}, but {}", x.0, y.0)),
            (Some(_), None) => out.push(format!("{name} is missing")),
            _ => out.push(format!("{name} is too many")),
        }
    }
    out
}

/// Whether a path is a node's own, or in a folder that is.
fn own(medium: &Medium, path: &str) -> bool {
    medium
        .left_out
        .iter()
        .any(|left| path.strip_prefix(&**left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[test]
fn a_lab_comes_of_an_image_of_each_file_system() {
    let lab = Lab::new();
    lab.good(&["build", "--all", "--format", "raw,qcow2"]);
    let folder = lab.medium(&lab.path("tiny"));
    for (name, fs, part) in NODES {
        for container in ["img", "qcow2"] {
            let image = gzip(&lab.path(format!("output/{name}.{container}")));
            let medium = lab.medium(&image);
            assert_eq!(medium.distribution, Distribution::Front);
            assert_eq!(medium.metadata_source, "the disk image itself");
            let rendered = lab.rendered(name);
            let wrong = differences(&folder.tree, &medium.tree, |path| {
                let led_to = || rendered.iter().any(|r| r.starts_with(&format!("{path}/")));
                own(&medium, path)
                    || rendered.contains(path)
                    || (folder.tree.find(path.as_bytes()).is_none() && led_to())
            });
            assert!(wrong.is_empty(), "{fs}, {container}: {wrong:#?}");
            for secret in ["lib/ndb/local", "usr/glenda"] {
                assert!(own(&medium, secret), "{secret}: {:?}", medium.left_out);
            }
            if container == "img" {
                continue;
            }
            // A lab of it is one of the folder, but for what was the old node's own.
            let out = format!("from-{fs}");
            lab.good(&["build", "--all", "--media", image.to_str().unwrap(), "--out", &out]);
            let (a, b) = (lab.path("output/n1.img"), lab.path(&out).join("n1.img"));
            let [a, b] = [a, b].map(|image| {
                let disk = disk(&image);
                let fs = p9img::fs::open(disk.beside("fscache").unwrap(), None, &|n| disk.beside(n)).unwrap();
                all(&*fs)
            });
            let lost: Vec<_> = a.iter().filter(|(path, e)| b.get(*path) != Some(e)).map(|(p, _)| p.clone()).collect();
            let new: Vec<_> = b.keys().filter(|p| !a.contains_key(*p)).collect();
            assert!(new.is_empty(), "{new:?}");
            assert_eq!(lost, LOST, "from {fs}");
        }
        lab.good(&["fsck", &format!("output/{name}.img:{part}")]);
    }
}

/// Paths that a lab of an image lacks, compared with one of the folder: the
/// release has no records that would tell them from what a node's users wrote.
const LOST: [&str; 6] =
    ["cfg/pxe", "cfg/pxe/example", "sys/log/auth", "usr/glenda", "usr/glenda/lib", "usr/glenda/lib/profile"];

/// Everything in a file system, with the bytes of files.
fn all(fs: &dyn FileSystem) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let root = fs.root().unwrap();
    p9img::fs::walk::<std::io::Error>(fs, &root, &mut |path, node| {
        let mut bytes = vec![0; if node.meta.mode.is_dir() { 0 } else { node.len as usize }];
        let mut at = 0;
        while at < bytes.len() {
            at += fs.read(node, at as u64, &mut bytes[at..])?;
        }
        out.insert(String::from_utf8_lossy(path).into_owned(), (format!("{:?}", node.meta), bytes));
        Ok(())
    })
    .unwrap();
    out
}

/// A partition of a node's raw image, and where it begins.
fn partition(image: &Path, name: &str) -> (Arc<dyn ReadAt>, u64) {
    let disk = disk(image);
    (disk.beside(name).unwrap(), disk.find(name).unwrap().start)
}

fn disk(image: &Path) -> DiskImage {
    open_disk(Arc::new(HostFile::new(File::open(image).unwrap()).unwrap())).unwrap()
}

/// The layout of 9front's images for cards (`sys/lib/dist/mkfile`): a FAT
/// partition for the board's firmware, and a Plan 9 partition with nvram and
/// the root.
fn card(root: Arc<dyn ReadAt>, out: &Path) {
    const FAT: u32 = 100 << 11;
    let sectors = u32::try_from(root.len() / 512).unwrap();
    let entry = |active, kind, start, sectors| Some(MbrEntry { active, kind, start, sectors });
    let plan9 = 63 + FAT;
    let mbr = Mbr {
        code: Vec::new(),
        entries: [
            entry(true, mbr::TYPE_FAT_LBA, 63, FAT),
            entry(false, mbr::TYPE_PLAN9, plan9, 3 + sectors),
            None,
            None,
        ],
    };
    let files =
        ["config.txt", "cmdline.txt", "bootcode.bin", "9pi3"].map(|name| FatFile::new(name, Content::bytes(*b"x"), 0));
    let fat = Fat::layout(&files, &fat::Options { reserved: 1, ..fat::Options::hard_disk(FAT, 63, 0) }).unwrap();
    let part = |name: &str, start: u32, sectors: u32, volume: Option<Arc<dyn ReadAt>>| Partition {
        name: name.into(),
        start_lba: start.into(),
        sectors: sectors.into(),
        volume,
    };
    let parts = vec![
        part("dos", 63, FAT, Some(Arc::new(fat))),
        part("nvram", plan9 + 2, 1, None),
        part("fs", plan9 + 3, sectors, Some(root)),
    ];
    let disk = Disk::new(u64::from(plan9 + 3 + sectors) * 512, &mbr, parts).unwrap();
    p9img_test::sparse::write(&disk, out);
}

#[test]
fn a_card_of_9front_is_a_medium() {
    let lab = Lab::new();
    lab.good(&["build", "--all"]);
    for (name, ..) in &NODES[1..] {
        let image = lab.path(format!("output/{name}.img"));
        let pi = lab.path("9front-1.arm64.pi3.img");
        card(partition(&image, "fs").0, &pi);
        let listed = lab.good(&["ls", "9front-1.arm64.pi3.img"]);
        for part in ["dos", "nvram", "fs"] {
            assert!(listed.lines().any(|l| l.starts_with(part)), "{listed}");
        }
        let (card, node) = (lab.medium(&gzip(&pi)), lab.medium(&image));
        assert_eq!(card.distribution, Distribution::Front);
        assert_eq!(entries(&card.tree), entries(&node.tree), "{name}");
        let shown = lab.good(&["media", "show", "9front-1.arm64.pi3.img.gz"]);
        assert!(shown.contains("9front") && shown.contains("amd64"), "{shown}");
    }
}

#[test]
fn a_tree_without_a_kernel_says_what_would_do() {
    let lab = Lab::new();
    fs::remove_file(lab.path("tiny/amd64/9pc64")).unwrap();
    let build = ["build", "--all"];
    lab.refuses(&build, 1, &["has no file amd64/9pc64, which n1 needs to start", "a release's ISO or disk image"]);
    lab.put("sys/src/9/pc64/mkfile", b"x");
    lab.refuses(&build, 1, &["build it from its sys/src/9"]);
    lab.put("386/9pc", b"x");
    lab.refuses(&build, 1, &["arch = \"386\"", "386/9pc"]);
    assert!(!lab.path("output/n1.img").exists());
}

#[test]
fn a_tree_without_what_nodes_start_with_is_refused_by_check_and_build() {
    // Of 9front and of 9legacy: the medium's marks, and what its nodes need.
    let marks: [(&str, &[&str]); 2] = [
        ("9front", &["386/9bootfat", "amd64/9pc64"]),
        ("9legacy", &["386/9load", "386/pbslba", "386/mbr", "amd64/9k10cpuf"]),
    ];
    const NEEDED: [&str; 6] =
        ["lib/namespace", "rc/lib/rcmain", "amd64/init", "amd64/bin/rc", "amd64/bin/ndb/cs", "amd64/bin/ip/ipconfig"];
    for (distribution, own) in marks {
        let lab = Lab::new();
        for path in own.iter().chain(&NEEDED) {
            lab.put(path, path.repeat(100).as_bytes());
        }
        let file = lab.path("lab.toml");
        let mut text = fs::read_to_string(&file).unwrap();
        if distribution == "9legacy" {
            fs::remove_file(lab.path("tiny/sys/lib/sysconfig/proto/distproto")).unwrap();
            lab.put("386/pbslba", &[[0xEB, 0x3C, 0x90].as_slice(), &[0x90; 470]].concat());
            lab.put("386/mbr", &[0x90; 400]);
            lab.put("386/9load", &[0x90; 4000]);
            text = NODES.iter().fold(text, |t, (_, fs, _)| t.replace(&format!("fs = \"{fs}\"\n"), ""));
        }
        let with = |tree: &str| fs::write(&file, format!("{text}\n[tree]\n{tree}\n")).unwrap();
        // All that nodes need is there, so that what follows is about `[tree]`.
        with("exclude = [\"lib/words\"]");
        lab.good(&["check"]);
        lab.good(&["build", "n2", "--out", "good"]);
        for tree in ["exclude = [\"lib/namespace\"]", "exclude = [\"lib/name*\", \"usr\"]"] {
            with(tree);
            lab.refuses(&["check"], 1, &["[tree] leaves out", "lib/namespace (9front, 9legacy)", "`exclude`"]);
            let whose = format!("n1 needs: lib/namespace ({distribution})");
            for args in [&["plan"][..], &["build", "--all"], &["build", "n2"]] {
                let words = [&*whose.replace("n1", if args[1..] == ["n2"] { "n2" } else { "n1" }), "`include`"];
                lab.refuses(args, 1, &words);
            }
        }
        // Each of the others, and a list of what is to be taken that lacks it.
        for path in &NEEDED[1..] {
            with(&format!("exclude = [\"{path}\"]"));
            lab.refuses(&["check"], 1, &["[tree] leaves out", path]);
            lab.refuses(&["build", "n2"], 1, &["[tree] leaves out files that n2 needs", path]);
        }
        with("include = [\"rc\", \"amd64\", \"386\", \"sys\", \"adm\"]");
        lab.refuses(&["check"], 1, &["lib/namespace"]);
        lab.refuses(&["build", "n2"], 1, &["lib/namespace"]);
        assert!(!lab.path("output/n2.img").exists());
        // A file that a role of every node writes is not missing.
        let role = lab.path("roles/own");
        fs::create_dir_all(&role).unwrap();
        fs::write(role.join("namespace"), "mount -a #s/boot /\n").unwrap();
        let own = "description = 'A name space'\n[[file]]\npath = 'lib/namespace'\nsource = 'namespace'\n";
        fs::write(role.join("role.toml"), own).unwrap();
        text = text.replace("[\"cpu\"", "[\"cpu\", \"own\"");
        fs::write(&file, format!("{text}\n[tree]\nexclude = [\"lib/namespace\"]\n")).unwrap();
        lab.good(&["check"]);
        lab.good(&["build", "n2"]);
    }
}

#[test]
fn what_a_file_system_cannot_hold_is_named() {
    let only = |fs: &str| {
        let lab = Lab::new();
        let text = fs::read_to_string(lab.path("lab.toml")).unwrap();
        let text =
            NODES.iter().fold(text, |t, (_, was, _)| t.replace(&format!("fs = \"{was}\""), &format!("fs = \"{fs}\"")));
        fs::write(lab.path("lab.toml"), text).unwrap();
        lab
    };
    for (fs, max) in [("cwfs64x", 143), ("hjfs", 255), ("gefs", 244)] {
        let lab = only(fs);
        lab.put(&format!("lib/{}", "n".repeat(max)), b"x");
        lab.good(&["plan"]);
        if max < 255 {
            lab.put(&format!("lib/{}", "n".repeat(max + 1)), b"x");
            lab.refuses(
                &["build", "--all"],
                1,
                &[&format!("/lib/{}", "n".repeat(max + 1)), fs, &format!("at most {max}")],
            );
        }
        let lab = only(fs);
        let large = File::create(lab.path("tiny/lib/large")).unwrap();
        large.set_len(600 << 20).unwrap();
        lab.refuses(&["build", "--all"], 1, &["n1", fs, "enlarge disk by"]);
        assert!(!lab.path("output/n1.img").exists());
    }
}

/// Damage to a partition of a node, and the messages about it.
struct Wound {
    node: usize,
    part: &'static str,
    /// The byte that is changed, from the partition's start.
    at: fn(&dyn ReadAt) -> u64,
    /// Message of `fsck`.
    fsck: &'static str,
    /// Message about it as a medium, when it can no longer be one.
    medium: Option<&'static str>,
}

/// A number of eight bytes.
fn number(bytes: &dyn ReadAt, at: u64, from: fn([u8; 8]) -> u64) -> u64 {
    let mut number = [0; 8];
    bytes.read_at(at, &mut number).unwrap();
    from(number)
}

/// Byte maps: doc/cwfs.md, doc/gefs.md and doc/hjfs.md.
const WOUNDS: [Wound; 13] = [
    Wound {
        node: 0,
        part: "fscache",
        at: |_| 16_374,
        fsck: "Bad configuration of a cwfs64x (block 0): its kind is 245",
        medium: Some("Bad configuration of a cwfs64x (block 0): its kind is 245"),
    },
    Wound {
        node: 0,
        part: "fscache",
        at: |_| 2 * 16_384 + 12,
        fsck: "Bad cache of a cwfs64x: 1095216660503 buckets from block 3 on cannot fit into a cache of",
        medium: Some("Bad cache of a cwfs64x: 1095216660503 buckets from block 3 on cannot fit into a cache of"),
    },
    Wound {
        node: 0,
        part: "fsworm",
        at: |_| 2 * 16_384 + 16_374,
        fsck: "Bad super block of a cwfs64x (block 2): it has the kind 254",
        medium: Some("Bad super block of a cwfs64x (block 2): it has the kind 254"),
    },
    Wound {
        node: 0,
        part: "fsworm",
        at: |_| 3 * 16_384 + 16_374,
        fsck: "Block 3, the root: its tag says 244 (unknown)",
        medium: Some("Block 3: its tag says 244 (unknown)"),
    },
    Wound {
        node: 0,
        part: "fsworm",
        at: |_| 3 * 16_384 + 149,
        fsck: "Slot 0 of block 3, the root, should be a directory in use",
        medium: Some("Slot 0 of block 3, the root, is not a directory"),
    },
    Wound {
        node: 1,
        part: "fs",
        at: |_| 0,
        fsck: "(Not a gefs partition: it does not begin with \"gefs\")",
        medium: Some("(Not a gefs partition: it does not begin with \"gefs\")"),
    },
    Wound {
        node: 1,
        part: "fs",
        at: |_| 25,
        fsck: "The super block: its hash is 3f29e971c6dd71b2, but it says",
        medium: None,
    },
    Wound {
        node: 1,
        part: "fs",
        at: |fs| number(fs, 24, u64::from_be_bytes) + 16_000,
        fsck: "The snapshot tree: Block df84000 has the hash",
        medium: Some("Block df84000 has the hash"),
    },
    Wound {
        node: 1,
        part: "fs",
        at: |_| 3 * 16_384 + 40,
        fsck: "Arena 0: Block c000: the hash of its records is",
        medium: None,
    },
    Wound {
        node: 2,
        part: "fs",
        at: |_| 1,
        fsck: "(Not an hjfs partition: no 01 1c e5 0d 6e at its start)",
        medium: Some("(Not an hjfs partition: no 01 1c e5 0d 6e at its start)"),
    },
    Wound {
        node: 2,
        part: "fs",
        at: |_| 8,
        fsck: "Bad hjfs super block (block 0): it says 4278304478 blocks, but there may be 1 to 2147483647",
        medium: Some("Bad hjfs super block (block 0): it says 4278304478 blocks, but there may be 1 to 2147483647"),
    },
    Wound {
        node: 2,
        part: "fs",
        at: |fs| number(fs, 29, u64::from_le_bytes) * 4096,
        fsck: "Block 608 should have the roots, but has type 253",
        medium: Some("Block 608 has type 253"),
    },
    Wound {
        node: 2,
        part: "fs",
        at: |fs| number(fs, 29, u64::from_le_bytes) * 4096 + 264,
        fsck: "Slot 0 of block 608, the root, should be a directory in use",
        medium: Some("Slot 0 of block 608, the root, is not a directory"),
    },
];

#[test]
fn damaged_images_say_where() {
    let lab = Lab::new();
    lab.good(&["build", "--all"]);
    for (i, wound) in WOUNDS.iter().enumerate() {
        let name = NODES[wound.node].0;
        let image = lab.path(format!("output/{name}.img"));
        let bad = lab.path("bad.img");
        fs::copy(&image, &bad).unwrap();
        let (bytes, start) = partition(&image, wound.part);
        let file = fs::OpenOptions::new().read(true).write(true).open(&bad).unwrap();
        let (at, mut byte) = ((wound.at)(&*bytes), [0]);
        file.read_exact_at(&mut byte, start + at).unwrap();
        file.write_all_at(&[byte[0] ^ 0xFF], start + at).unwrap();
        let say = |args: &[&str]| {
            let out = lab.run(args);
            let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            assert!(!said.contains("panicked"), "wound {i}, {args:?}: {said}");
            (out.status.code(), said)
        };
        let (code, said) = say(&["fsck", "bad.img"]);
        assert!(code == Some(3) && said.contains(wound.fsck), "wound {i}: {said}");
        let (code, said) = say(&["plan", "--media", "./bad.img"]);
        assert_eq!(code, Some(i32::from(wound.medium.is_some())), "wound {i}: {said}");
        assert!(said.contains(wound.medium.unwrap_or_default()), "wound {i}: {said}");
        say(&["ls", "-lR", &format!("bad.img:{}", wound.part)]);
    }
}
