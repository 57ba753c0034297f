//! Names that would steer a terminal or forge its lines, in whole images of
//! every file system that can hold them: no command prints such a byte, and
//! every name can be asked for as it is shown.

use p9img::fs::fat::{self, Fat, FatFile};
use p9img::read_at::{HostFile, ReadAt};
use p9img::tree::Content;
use p9img_test::lab::said as text;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Output;

/// The name that is built, which no other begins like, and the one of as many
/// bytes that takes its place: colours, a line of its own, a title, controls of
/// eight bits, text from right to left, and a byte that is no UTF-8.
const PLAIN: &[u8] = b"zzplaceholder-of-36-bytes-in-a-name-";
const HOSTILE: &[u8] = b"zz\x1b[31mx\nforged  1\r\x1b]0;t\x07\x7f\xc2\x9b\xe2\x80\xae\xffx\x08zz";
/// As p9img shows it.
const SHOWN: &str = "zz%1B[31mx%0Aforged  1%0D%1B]0;t%07%7F%C2%9B%E2%80%AE%FFx%08zz";
/// A user, and the one in its place.
const USER: &[u8] = b"zzowner.18.bytes.x";
const FORGED_USER: &[u8] = b"zz\x1b[31m\nforged\xc2\x9b\x07x";
const BYTES: &[u8] = b"the bytes of the file\n";

/// Files of the media in addition to those with the name: the marks of a
/// medium, and the files that nodes need.
const FRONT: [&str; 5] = ["386/9bootfat", "amd64/9pc64", "lib/words", "rc/bin/cpurc", "adm/timezone/GMT"];
const LEGACY: [&str; 5] = ["386/9load", "amd64/9k10cpuf", "lib/words", "rc/bin/cpurc", "adm/timezone/GMT"];
/// Nodes, their media and file systems, and the partitions that hold the roots.
const NODES: [(&str, &str, &str, &str); 4] = [
    ("n1", "front", "cwfs64x", "fscache"),
    ("n2", "front", "gefs", "fs"),
    ("n3", "front", "hjfs", "fs"),
    ("n4", "legacy", "fossil", "fossil"),
];

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        let lab = Self(p9img_test::Lab::empty().with_cache());
        let mut text = "[lab]\nname = \"names\"\nmedium = \"front\"\nformats = [\"raw\"]\n\n[media.front]\npath = \
                        \"front\"\n\n[media.legacy]\npath = \"legacy\"\n\n[defaults]\narch = \"amd64\"\n\
                        disk = \"256 MiB\"\n"
            .to_owned();
        text += &format!("\n[[user]]\nname = \"{}\"\n", str::from_utf8(USER).unwrap());
        for ((name, medium, fs, _), role) in
            NODES.iter().zip(["\"cpu\", \"auth\"", "\"cpu\"", "\"cpu\"", "\"cpu\", \"store\""])
        {
            text += &format!("\n[[node]]\nname = \"{name}\"\nroles = [{role}]\nmedium = \"{medium}\"\nfs = \"{fs}\"\n");
        }
        fs::write(lab.path("lab.toml"), text).unwrap();
        // A CPU server with arenas whose name is long enough.
        lab.put(
            "roles/store/role.toml",
            b"description = 'Arenas'\nneeds = ['cpu']\n\n[[partition]]\nname = 'arenas-of-11'\nsize = '2 MiB'\n\
              holds = 'arenas'\n\n[[partition]]\nname = 'is0'\nsize = '2 MiB'\nholds = 'isect'\n",
        );
        for (medium, files) in [("front", FRONT), ("legacy", LEGACY)] {
            let name = str::from_utf8(PLAIN).unwrap();
            lab.put(format!("{medium}/lib/{name}/{name}"), BYTES);
            files.iter().for_each(|f| lab.put(format!("{medium}/{f}"), f.as_bytes().repeat(50)));
            lab.put(format!("{medium}/386/mbr"), [0x90; 400]);
        }
        lab.put("front/sys/lib/sysconfig/proto/distproto", b"lib\td775\n\t+\nrc\td775\n\t+\n$objtype\td775\n\t+\n");
        let pbs = [&[0xEB, 0x3C, 0x90][..], &[0x90; 470]].concat();
        lab.put("front/386/pbs", &pbs);
        lab.put("legacy/386/pbslba", &pbs);
        lab
    }

    /// Runs a command, whose output must do nothing to a terminal and hold no
    /// line that a name forged.
    fn run(&self, args: &[&str]) -> Output {
        let out = self.0.run(args);
        for bytes in [&out.stdout, &out.stderr] {
            let said = String::from_utf8(bytes.clone()).unwrap_or_else(|e| panic!("{args:?}: {e}"));
            assert!(!said.chars().any(acts), "{args:?} acts on the terminal: {said:?}");
            assert!(!said.lines().any(|l| l.starts_with("forged")), "{args:?} prints a forged line: {said:?}");
            assert!(!said.contains("panicked"), "{args:?}: {said}");
        }
        out
    }

    /// A command that succeeds; what it prints.
    fn good(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "{args:?}: {}", text(&out));
        String::from_utf8(out.stdout).unwrap()
    }
}

/// Whether a terminal does something else with a character than show it.
fn acts(c: char) -> bool {
    c != '\n' && c != '\t' && c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)
}

/// Makes an image in which some names are replaced by others of the same length,
/// and returns the number of replacements.
fn forge(from: &Path, to: &Path, names: &[(&[u8], &[u8])]) -> usize {
    const STEP: usize = 64 << 10;
    // Bytes by which pieces overlap, so that no name is cut.
    const MORE: usize = 64;
    let source = File::open(from).unwrap();
    let len = source.metadata().unwrap().len() as usize;
    let file = File::create(to).unwrap();
    file.set_len(len as u64).unwrap();
    let (mut buf, zeros) = (vec![0; STEP + MORE], vec![0; STEP + MORE]);
    let mut places = Vec::new();
    for at in (0..len).step_by(STEP) {
        let piece = &mut buf[..(len - at).min(STEP + MORE)];
        source.read_exact_at(piece, at as u64).unwrap();
        if *piece == zeros[..piece.len()] {
            continue;
        }
        file.write_all_at(piece, at as u64).unwrap();
        for (plain, hostile) in names {
            assert!(plain.len() == hostile.len() && plain.len() <= MORE);
            let found = piece.windows(plain.len()).enumerate().filter(|(i, w)| *i < STEP && w == plain);
            places.extend(found.map(|(i, _)| (at + i, *hostile)));
        }
    }
    for (at, hostile) in &places {
        file.write_all_at(hostile, *at as u64).unwrap();
    }
    places.len()
}

/// Everything that a user may do with a volume in which a folder of `lib` and a
/// file in it have a hostile name, `shown` so by p9img; the good volume has
/// another name in its place.
fn everything(lab: &Lab, good: &str, bad: &str, shown: &str) {
    let within = "lib";
    let place = |path: &str| format!("{bad}:{path}");
    let listed = lab.good(&["ls", &place(within)]);
    assert!(listed.lines().any(|l| l == format!("{shown}/")), "{bad}: {listed}");
    for args in [&["ls", "-lR"][..], &["ls", "-R", "--json"]] {
        let listed = lab.good(&[args, &[&place("/")]].concat());
        assert!(listed.contains(&format!("{shown}/{shown}")), "{args:?} {bad}: {listed}");
    }
    let folder = format!("{within}/{shown}");
    let file = format!("{folder}/{shown}");
    lab.good(&["ls", "-l", &place(&file)]);
    assert_eq!(lab.good(&["cat", &place(&file)]).as_bytes(), BYTES, "{bad}");
    let missing = lab.run(&["cat", &place(&format!("{folder}/%1Bnone"))]);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));

    let out = lab.path("out");
    lab.good(&["extract", &place(within), "out"]);
    assert_eq!(fs::read(out.join(shown).join(shown)).unwrap(), BYTES, "{bad}");
    for entry in walkdir::WalkDir::new(&out) {
        let entry = entry.unwrap();
        assert!(!entry.file_name().to_str().unwrap().chars().any(|c| c.is_control()), "{entry:?}");
    }
    fs::remove_dir_all(&out).unwrap();
    lab.good(&["extract", &place(&file), "out"]);
    fs::remove_file(&out).unwrap();

    let dir = place(within);
    for (a, b) in [(format!("{good}:{within}"), dir.clone()), (dir, format!("{good}:{within}"))] {
        for args in [&["diff"][..], &["diff", "--json"]] {
            let out = lab.run(&[args, &[&a, &b]].concat());
            assert!(out.status.code() == Some(3) && text(&out).contains(shown), "{a} {b}: {}", text(&out));
        }
    }
    for args in [&["fsck"][..], &["fsck", "--json"], &["fsck", "--data"], &["fsck", "--dump"]] {
        let out = lab.run(&[args, &[bad]].concat());
        assert!(out.status.code() == Some(3), "{args:?} {bad}: {}", text(&out));
    }
}

#[test]
fn in_every_file_system_names_do_nothing_to_a_terminal() {
    let lab = Lab::new();
    lab.good(&["build", "--all"]);
    for (name, _, fs, part) in NODES {
        let (good, bad) = (lab.path(format!("output/{name}.img")), lab.path("bad.img"));
        let places = forge(&good, &bad, &[(PLAIN, HOSTILE), (USER, FORGED_USER)]);
        assert!(places >= 2, "{fs}: {places}");
        if fs == "gefs" {
            mend(&bad, part);
        }
        everything(&lab, &format!("output/{name}.img:{part}"), &format!("bad.img:{part}"), SHOWN);
        // The whole disk, and as a medium.
        for args in [&["ls", "bad.img"][..], &["fsck", "bad.img"], &["diff", &format!("output/{name}.img"), "bad.img"]]
        {
            lab.run(args);
        }
        for args in [&["media", "show", "bad.img"][..], &["plan", "-v", "--media", "./bad.img"]] {
            lab.run(args);
        }
    }
}

/// Puts the hashes of a gefs right, which a wound below them would be found by.
fn mend(image: &Path, part: &str) {
    let source: std::sync::Arc<dyn ReadAt> = std::sync::Arc::new(HostFile::new(File::open(image).unwrap()).unwrap());
    let disk = p9img::disk::open_disk(source).unwrap();
    let start = disk.find(part).unwrap().start;
    let right = p9img::fs::gefs::mend(&disk.partition(part).unwrap()).unwrap();
    let file = File::options().write(true).open(image).unwrap();
    for (block, bytes) in right {
        file.write_all_at(&bytes, start + block * bytes.len() as u64).unwrap();
    }
}

#[test]
fn long_and_short_names_of_fat_do_nothing_to_a_terminal() {
    let lab = Lab(p9img_test::Lab::empty().with_cache());
    // Three empty files before each name make room for the three parts of a long one.
    let names =
        ["lib/a1", "lib/a2", "lib/a3", "lib/good/b1", "lib/good/b2", "lib/good/b3", "lib/good/file", "short.txt"];
    let file = |name: &&str| FatFile::new(name, Content::bytes(if name.ends_with("file") { BYTES } else { b"" }), 0);
    let volume =
        Fat::layout(&names.iter().map(file).collect::<Vec<_>>(), &fat::Options::hard_disk(8000, 0, 0)).unwrap();
    let mut image = vec![0; volume.len() as usize];
    volume.read_at(0, &mut image).unwrap();
    lab.put("good.img", &image);
    let text = "zz\u{1b}[31mx\nforged  1\r\u{7f}\u{9b}\u{202e}x\u{8}zz";
    for name in [b"GOOD       ", b"FILE       "] {
        let entry = image.windows(11).position(|w| w == name).unwrap();
        let sum = name.iter().fold(0u8, |sum, b| sum.rotate_right(1).wrapping_add(*b));
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let parts: Vec<&[u16]> = units.chunks(13).collect();
        for (i, part) in parts.iter().enumerate() {
            let raw = &mut image[entry - 32 * (i + 1)..][..32];
            raw.fill(0xFF);
            raw[0] = i as u8 + if i + 1 == parts.len() { 0x41 } else { 1 };
            (raw[11], raw[12], raw[13]) = (0x0F, 0, sum);
            raw[26..28].fill(0);
            let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
            for (at, unit) in places.zip(*part) {
                raw[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            }
        }
    }
    let short = image.windows(11).position(|w| w == b"SHORT   TXT").unwrap();
    image[short..short + 5].copy_from_slice(b"\x1b\x9b\xffR\x7f");
    lab.put("bad.img", &image);
    everything(&lab, "good.img", "bad.img", "zz_[31mx_forged  1__%C2%9B%E2%80%AEx_zz");
    let root = lab.good(&["ls", "bad.img:/"]);
    assert!(root.lines().any(|l| l == "_%9B%FFr_.txt"), "{root}");
}

#[test]
fn names_of_arenas_and_partitions_do_nothing_to_a_terminal() {
    let lab = Lab::new();
    lab.good(&["build", "n4"]);
    let (good, bad) = (lab.path("output/n4.img"), lab.path("bad.img"));
    let (arena, hostile) = (&b"arenas-of-110"[..], &b"zz\x1b[31m\xc2\x9b\x07xxx"[..]);
    assert_eq!(lab.good(&["ls", "output/n4.img:arenas-of-11"]), "arenas-of-110\n");
    assert!(forge(&good, &bad, &[(arena, hostile)]) >= 3);
    assert_eq!(lab.good(&["ls", "bad.img:arenas-of-11"]), "zz%1B[31m%C2%9B%07xxx\n");
    for part in ["arenas-of-11", "is0"] {
        let place = format!("bad.img:{part}");
        for args in [
            &["ls", "-lR", &place][..],
            &["fsck", "--dump", &place],
            &["diff", &place, &format!("output/n4.img:{part}")],
        ] {
            lab.run(args);
        }
    }
    for args in [&["fsck", "--data", "bad.img"][..], &["fsck", "--json", "bad.img"]] {
        lab.run(args);
    }
    assert_eq!(lab.run(&["diff", "output/n4.img", "bad.img"]).status.code(), Some(3));
    // The table of partitions: a name of a control of eight bits, and one of seven.
    for hostile in [b"part \xc2\x9b0 ", b"part i\x1b0 "] {
        assert_eq!(forge(&good, &bad, &[(b"part is0 ", hostile)]), 1);
        let found = lab.run(&["fsck", "bad.img"]);
        assert!(found.status.code() == Some(3) && text(&found).contains("[prep-"), "{}", text(&found));
        for args in [&["ls", "bad.img"][..], &["ls", "--json", "bad.img"], &["diff", "output/n4.img", "bad.img"]] {
            lab.run(args);
        }
        lab.run(&["ls", "bad.img:none"]);
    }
}
