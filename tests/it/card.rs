//! Cards of Raspberry Pis, built by the program from a medium of a few files
//! and from firmware that is none, and judged by other people's tools.

use p9img_test::cards;
use p9img_test::skip::skipped;
use p9img_test::tools::output;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A lab with a card for each board.
fn every_board() -> String {
    let nodes = [
        ("\"cpu\", \"auth\"", Some("pi1")),
        ("\"cpu\"", Some("pi2")),
        ("\"terminal\"", Some("pi3")),
        ("\"cpu\"", Some("pi4")),
    ];
    cards::text("\"raw\", \"sd\", \"sd-xz\", \"sd-zst\"", "96 MB", &nodes)
}

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new(text: &str) -> Self {
        Self(cards::lab(text).with_cache())
    }

    /// A build that fails with one message, which says all of `words`.
    fn refuses_to_build(&self, words: &[&str]) {
        self.refuses(&["build", "--all"], 1, words);
        assert!(!self.path("output/n1.img").exists() && !self.path("output/manifest.json").exists());
    }

    fn build(&self, out: &str) -> String {
        let output = self.run(&["build", "--all", "--out", out]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn every_board_gets_a_card_that_tools_read() {
    let lab = Lab::new(&every_board());
    lab.build("output");
    for (node, kernel, start, roles) in [
        ("n1", "9picpu", "start.elf", "cpu auth"),
        ("n2", "9pi2cpu", "start.elf", "cpu"),
        ("n3", "9pi2", "start.elf", "terminal"),
        ("n4", "9pi4cpu", "start4.elf", "cpu"),
    ] {
        let image = fs::read(lab.path("output").join(format!("{node}.img"))).unwrap();
        assert_eq!(image.len(), 96_000_000);
        // FAT from 1 MiB on, Plan 9 after it; no code, one active entry.
        assert_eq!(image[446..462][..1], [0x80]);
        assert_eq!((image[450], word(&image, 454), word(&image, 458)), (0x0C, 2048, 65_536));
        assert_eq!((image[466], word(&image, 470), word(&image, 474)), (0x39, 67_584, 187_500 - 67_584));
        assert!(image[67_585 * 512..].starts_with(b"part nvram 2 3\npart fossil "));
        let fat = lab.path("fat.img");
        fs::write(&fat, &image[2048 * 512..67_584 * 512]).unwrap();
        output("fsck.fat", &["-n", text(&fat)], None);
        if let Some(list) = output("mdir", &["-b", "-i", text(&fat), "::"], None) {
            let list = String::from_utf8(list).unwrap().to_lowercase();
            for file in [kernel, start, "config.txt", "cmdline.txt", "licence.txt"] {
                assert!(list.contains(&format!("::/{file}\n")), "{file}: {list}");
            }
            assert_eq!(list.contains("bootcode.bin"), node != "n4", "{list}");
        }
        let cat = |file: &str| {
            let place = format!("output/{node}.img:dos:/{file}");
            String::from_utf8(lab.run(&["cat", &place]).stdout).unwrap()
        };
        let config = cat("config.txt");
        assert!(config.contains(&format!("\nkernel={kernel}\narm_64bit=0\ndevice_tree=\n")), "{config}");
        assert_eq!(config.contains("core_freq=250"), node == "n3" || node == "n4", "{config}");
        let roles = if roles.contains(' ') { format!("'{roles}'") } else { roles.to_owned() };
        let user = if node == "n3" { " user=bootes" } else { "" };
        assert_eq!(
            cat("cmdline.txt"),
            format!(
                "sysname={node} roles={roles} readparts=1 bootdisk=local!#S/sdM0/fossil \
                 nobootprompt=local!#S/sdM0/fossil nvram=#S/sdM0/nvram console='0 b115200'{user}\n"
            )
        );
        assert_eq!(cat("licence.txt"), "LICENCE.broadcom".repeat(1000));
        let fsck = lab.run(&["fsck", &format!("output/{node}.img")]);
        assert!(
            fsck.status.success(),
            "{}{}",
            String::from_utf8_lossy(&fsck.stdout),
            String::from_utf8_lossy(&fsck.stderr)
        );
    }
}

#[test]
fn compressed_cards_open_everywhere_and_are_listed_for_the_imager() {
    let lab = Lab::new(&every_board());
    lab.build("output");
    let out = |name: &str| lab.path("output").join(name);
    let image = fs::read(out("n2.img")).unwrap();
    let zip = out("n2.sd.img.zip");
    output("unzip", &["-tq", text(&zip)], None);
    if let Some(bytes) = output("unzip", &["-p", text(&zip), "n2.img"], None) {
        assert!(bytes == image);
    }
    output("7z", &["t", text(&zip)], None);
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\ni, = z.infolist()\n\
                  print(i.filename, i.file_size, *i.date_time, z.testzip())";
    if let Some(said) = output("python3", &["-c", script, text(&zip)], None) {
        assert_eq!(String::from_utf8(said).unwrap(), "n2.img 96000000 2026 1 1 0 0 0 None\n");
    }
    for (program, name) in [("xz", "n2.sd.img.xz"), ("zstd", "n2.sd.img.zst")] {
        if let Some(bytes) = output(program, &["-dc", text(&out(name))], None) {
            assert!(bytes == image, "{name}");
        }
    }
    let list: Value = serde_json::from_slice(&fs::read(out("os_list.json")).unwrap()).unwrap();
    let entries = list["os_list"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    let entry = &entries[1];
    let sum = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let zip = fs::read(zip).unwrap();
    assert_eq!(entry["url"], "http://127.0.0.1:8000/n2.sd.img.zip");
    assert_eq!((&entry["extract_size"], &entry["extract_sha256"]), (&image.len().into(), &sum(&image).into()));
    assert_eq!(
        (&entry["image_download_size"], &entry["image_download_sha256"]),
        (&zip.len().into(), &sum(&zip).into())
    );
    // Keys that the schema requires, each of its type.
    for key in ["name", "description", "icon", "url", "extract_sha256", "release_date", "init_format"] {
        assert!(entry[key].is_string(), "{key}: {entry}");
    }
    assert_eq!(list.as_object().unwrap().keys().collect::<Vec<_>>(), ["os_list"]);
}

#[test]
fn a_second_build_elsewhere_gives_the_same_bytes() {
    let text = every_board().replace(", \"sd-xz\", \"sd-zst\"", "");
    let (a, b) = (Lab::new(&text), Lab::new(&text));
    a.build("output");
    fs::copy(a.path("secrets.toml"), b.path("secrets.toml")).unwrap();
    b.build("other");
    for entry in fs::read_dir(a.path("output")).unwrap() {
        let name = entry.unwrap().file_name();
        let name = name.to_str().unwrap();
        if name.starts_with('n') || name.ends_with(".json") || name == "SHA256SUMS" {
            assert!(
                fs::read(a.path("output").join(name)).unwrap() == fs::read(b.path("other").join(name)).unwrap(),
                "{name}"
            );
        }
    }
    // Nothing is to be done again; a changed firmware is noticed.
    assert!(a.build("output").contains("unchanged and complete"));
    fs::write(a.path("firmware/start.elf"), b"another").unwrap();
    a.build("output");
    let place = "output/n2.img:dos:/start.elf";
    assert_eq!(a.run(&["cat", place]).stdout, b"another");
    assert!(a.run(&["build", "--rebuild"]).status.success());
}

#[test]
fn bad_firmware_and_small_cards_are_refused() {
    let lab = Lab::new(&every_board().replace("[media.pi-firmware]\npath = \"firmware\"\n", ""));
    lab.refuses_to_build(&[
        "n1 is a Raspberry Pi",
        "[media.pi-firmware]",
        "raspi-firmware",
        "github.com/raspberrypi/firmware",
    ]);
    let lab = Lab::new(&every_board());
    fs::remove_file(lab.path("firmware/fixup4.dat")).unwrap();
    lab.refuses_to_build(&["has no fixup4.dat, which a pi4 loads", "start4.elf, fixup4.dat"]);
    fs::write(lab.path("firmware/fixup4.dat"), b"").unwrap();
    lab.refuses_to_build(&["fixup4.dat", "has 0 bytes, so it is not firmware"]);
    fs::write(lab.path("firmware/fixup4.dat"), b"x").unwrap();
    fs::remove_file(lab.path("firmware/LICENCE.broadcom")).unwrap();
    lab.refuses_to_build(&["has no licence, which must be distributed with it", "LICENCE.broadcom"]);
    let lab = Lab::new(&every_board());
    fs::remove_dir_all(lab.path("firmware")).unwrap();
    lab.refuses_to_build(&["There is no medium at", "firmware"]);
    let lab = Lab::new(&every_board());
    fs::write(lab.path("tiny/sys-large"), vec![7; 90_000_000]).unwrap();
    fs::create_dir(lab.path("tiny/sys")).unwrap();
    fs::rename(lab.path("tiny/sys-large"), lab.path("tiny/sys/large")).unwrap();
    lab.refuses_to_build(&["The disk of n1 is too small for its tree", "enlarge disk by"]);
    let lab = Lab::new(&every_board());
    fs::remove_file(lab.path("tiny/arm/9pi4cpu")).unwrap();
    lab.refuses_to_build(&["has no file arm/9pi4cpu, which n4 needs to start"]);
    let lab = Lab::new(&every_board().replace("medium = \"tiny\"", "medium = \"sample\""));
    lab.refuses_to_build(&["The medium sample has no file arm/9picpu, which n1 needs to start"]);
}

#[test]
fn mistakes_about_boards_have_their_place() {
    for (from, to, words) in [
        ("board = \"pi1\"", "board = \"pi9\"", &["Unknown board `pi9`", "lab.toml:"][..]),
        ("card = \"96 MB\"", "card = \"2 MB\"", &["A card of 2 MB is too small"]),
        ("board = \"pi1\"", "board = \"pi1\"\ndisk = \"2 GiB\"", &["A pi1 has a card, not a disk", "write `card"]),
        ("board = \"pi1\"", "board = \"pi1\"\nmemory = \"1 GiB\"", &["The `memory` of a pi1 is fixed by the board"]),
        ("board = \"pi1\"", "card = \"2 GB\"", &["A PC has no card"]),
        (
            "board = \"pi1\"",
            "board = \"pi1\"\n[node.partitions]\n9fat = \"16 MiB\"",
            &["has no partition `9fat`", "`dos`"],
        ),
    ] {
        let lab = Lab::new(&every_board().replacen(from, to, 1));
        let output = lab.run(&["check"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{to}: {said}");
        words.iter().for_each(|w| assert!(said.contains(w), "{to} should say {w:?}:\n{said}"));
    }
    // A role of the lab's own that only PCs can have.
    let lab = Lab::new(&every_board().replacen("[\"cpu\"]", "[\"cpu\", \"floppy\"]", 1));
    fs::create_dir_all(lab.path("roles/floppy")).unwrap();
    fs::write(lab.path("roles/floppy/role.toml"), "description = \"Reads floppy disks\"\nboards = [\"pc\"]\n").unwrap();
    let output = lab.run(&["check"]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Role `floppy` cannot be on a pi2"), "{said}");
}

#[test]
fn a_zip_that_does_not_fit_names_the_folder_the_need_and_the_way_out() {
    let lab = Lab::new(&cards::text("\"sd\"", "96 MB", &[("\"cpu\", \"auth\"", Some("pi2"))]));
    lab.build("output");
    let (small, file) = (lab.path("small"), lab.path("lab.toml"));
    fs::create_dir(&small).unwrap();
    let below_a_file = file.join("cache");
    // Folders that the zip is unpacked into: the cache's, or TMPDIR if there can be
    // no cache.
    let places = [("P9IMG_CACHE", &small), ("TMPDIR", &below_a_file)];
    let refused = |shell: &[&str], script: &str, words: &dyn Fn(&str) -> String| {
        for (variable, cache) in places {
            let out = Command::new(shell[0])
                .args(&shell[1..])
                .args(["sh", "-c", &format!("{script} && exec \"$0\" ls output/n1.sd.img.zip")])
                .arg(env!("CARGO_BIN_EXE_p9img"))
                .envs([("P9IMG_CACHE", cache), ("TMPDIR", &small)])
                .current_dir(lab.dir())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(1), "{variable}: {said}");
            let words = words(variable);
            assert!(said.contains(&words), "{variable} should say {words:?}: {said}");
            assert_eq!(said.lines().count(), 2, "one error with its cause: {said}");
        }
    };
    let shown = text(&small).to_owned();
    refused(&["env"], "ulimit -f 100", &|variable| {
        let or = format!("`ulimit -f` if there is one, or set {variable} to a folder of another file system");
        format!("No file in {shown} can hold the 96000000 bytes that are unpacked: raise the limit {or}")
    });
    // A file system of 64 KiB, which exists in this namespace alone.
    let own = ["unshare", "--map-root-user", "--mount"];
    if !Command::new(own[0]).args(&own[1..]).arg("true").output().is_ok_and(|out| out.status.success()) {
        return skipped("a full file system: no namespace of one's own can be made here");
    }
    refused(&own, "mount -t tmpfs -o size=64k small small", &|variable| {
        let or = format!("make room, or set {variable} to another folder");
        format!("{shown} has no room for the 96000000 bytes that are unpacked: {or}")
    });
    assert_eq!(fs::read_dir(&small).unwrap().count(), 0, "nothing is left");
}
