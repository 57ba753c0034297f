//! `p9img flash` on files that stand for cards, and on loop devices where the
//! tests may make some.

use p9img::lab::format::FORMATS;
use p9img_test::cards;
use p9img_test::skip::skipped;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const LEN: u64 = 80_000_000;

// A lab with one card built.
p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        let nodes = [("\"cpu\"", Some("pi2")), ("\"cpu\"", None)];
        let lab = Self(cards::lab(&cards::text("\"sd\"", "80 MB", &nodes)).with_cache());
        let built = lab.run(&["build", "n1"], "");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        lab
    }

    /// Runs p9img with `answer` on its standard input.
    fn run(&self, args: &[&str], answer: &str) -> Output {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that does not read it may have ended.
        let _ = child.stdin.take().unwrap().write_all(answer.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn flash(&self, device: &Path, more: &[&str], answer: &str) -> Output {
        self.run(&[&["flash", "n1", "--device", device.to_str().unwrap()], more].concat(), answer)
    }

    /// A flash that fails with `words`.
    fn refuses(&self, device: &Path, words: &[&str]) {
        let out = self.flash(device, &["--yes"], "");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        words.iter().for_each(|w| assert!(said.contains(w), "should say {w:?}:\n{said}"));
    }

    /// A file of `len` bytes that are all 55.
    fn card(&self, name: &str, len: u64) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, vec![0x55; len as usize]).unwrap();
        path
    }

    fn image(&self) -> Vec<u8> {
        let place = self.path("output/n1.sd.img.zip");
        p9img::artifact::open(&place)
            .map(|disk| {
                let mut bytes = vec![0; disk.len() as usize];
                disk.read_at(0, &mut bytes).unwrap();
                bytes
            })
            .unwrap()
    }
}

#[test]
fn a_card_is_shown_asked_about_written_and_read_back() {
    let lab = Lab::new();
    let card = lab.card("card", LEN + 1_000_000);
    for answer in ["", "no\n", "y\n", "yes please\n"] {
        let out = lab.flash(&card, &[], answer);
        assert_eq!(out.status.code(), Some(1), "{answer:?}");
        let (shown, said) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(shown.contains("81000000 bytes") && shown.contains("no partitions"), "{shown}");
        assert!(said.contains("Type yes to write") && said.contains("Nothing was written"), "{said}");
    }
    assert!(fs::read(&card).unwrap().iter().all(|b| *b == 0x55));
    let out = lab.flash(&card, &[], "yes\n");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("written to"));
    let bytes = fs::read(&card).unwrap();
    let (written, rest) = bytes.split_at(LEN as usize);
    assert!(written == lab.image() && rest.iter().all(|b| *b == 0x55));
}

#[test]
fn every_form_of_a_card_is_written_the_same() {
    let lab = Lab::new();
    let image = lab.image();
    fs::remove_file(lab.path("output/n1.sd.img.zip")).unwrap();
    for spec in FORMATS.iter().filter(|spec| spec.format.is_card()) {
        let (format, file) = (spec.word, format!("n1.{}", spec.extension));
        assert!(lab.run(&["build", "n1", "--format", format], "").status.success());
        let card = lab.card("card", LEN);
        let out = lab.flash(&card, &["--yes"], "");
        assert!(out.status.success(), "{format}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(fs::read(&card).unwrap() == image, "{format}");
        let listed = lab.run(&["ls", &format!("output/{file}")], "");
        assert!(String::from_utf8_lossy(&listed.stdout).contains("fossil"), "{format}: {listed:?}");
        fs::remove_file(lab.path("output").join(file)).unwrap();
    }
}

#[test]
fn what_is_no_card_is_refused_untouched() {
    let lab = Lab::new();
    lab.refuses(&lab.path("none"), &["There is no", "none"]);
    lab.refuses(&lab.path("tiny"), &["is neither a block device nor a file"]);
    lab.refuses(Path::new("/dev/null"), &["is neither a block device nor a file"]);
    let small = lab.card("small", LEN - 512);
    lab.refuses(&small, &["The image has 80000000 bytes, but the card has 79999488"]);
    assert!(fs::read(&small).unwrap().iter().all(|b| *b == 0x55));
    let locked = lab.card("locked", LEN);
    let mut mode = fs::metadata(&locked).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&locked, mode).unwrap();
    lab.refuses(&locked, &["is read-only"]);
    // A PC's image, one that is not built, one that was changed.
    let card = lab.card("card", LEN);
    let out = lab.run(&["flash", "n2", "--device", card.to_str().unwrap(), "--yes"], "");
    assert!(String::from_utf8_lossy(&out.stderr).contains("n2 is a PC and cannot boot from a card"));
    let zip = OpenOptions::new().write(true).open(lab.path("output/n1.sd.img.zip")).unwrap();
    zip.write_all_at(b"odd", 1000).unwrap();
    lab.refuses(&card, &["but manifest.json says", "build n1 again"]);
    fs::remove_file(lab.path("output/n1.sd.img.zip")).unwrap();
    lab.refuses(&card, &["No image of n1 is built", "run `p9img build n1`"]);
    assert!(fs::read(&card).unwrap().iter().all(|b| *b == 0x55));
}

/// A loop device over a file, as long as this lives.
struct Loop(String);

impl Loop {
    fn new(file: &Path, more: &[&str]) -> Option<Self> {
        let args = [&["-f", "--show"], more, &[file.to_str().unwrap()]].concat();
        let out = Command::new("losetup").args(args).output().ok().filter(|out| out.status.success());
        let name = out.map(|out| String::from_utf8(out.stdout).unwrap().trim().to_owned());
        if name.is_none() {
            skipped("no loop device can be had here (root can, where the kernel has them)");
        }
        name.map(Self)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn devices_that_are_in_use_or_locked_are_refused() {
    let lab = Lab::new();
    let file = lab.path("card");
    File::create(&file).unwrap().set_len(80_000_512).unwrap();
    let Some(device) = Loop::new(&file, &[]) else { return };
    let out = lab.flash(Path::new(&device.0), &["--yes"], "");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("80000512 bytes"));
    assert!(fs::read(&file).unwrap()[..LEN as usize] == lab.image());
    // Its partitions, where the kernel can be told of them.
    let partx = |how: &str| Command::new("partx").args([how, &device.0]).output();
    if partx("-a").is_ok_and(|out| out.status.success()) {
        let whole = format!("is a partition: give the whole device that it is on, {}", device.0);
        lab.refuses(Path::new(&format!("{}p2", device.0)), &[&whole]);
        let _ = partx("-d");
    } else {
        skipped("partx cannot tell the kernel of partitions here");
    }
    drop(device);
    // No board starts from sectors of another length.
    let large = lab.path("large-sectors");
    File::create(&large).unwrap().set_len(19_532 * 4096).unwrap();
    if let Some(device) = Loop::new(&large, &["--sector-size", "4096"]) {
        lab.refuses(Path::new(&device.0), &["has sectors of 4096 bytes, expected 512"]);
        assert!(fs::read(&large).unwrap().iter().all(|b| *b == 0), "not a byte is written");
    }
    let Some(device) = Loop::new(&file, &["-r"]) else { return };
    lab.refuses(Path::new(&device.0), &["is read-only"]);
    drop(device);
    // A file system that is mounted: the FAT partition, by its place in the card.
    let Some(device) = Loop::new(&file, &["-o", "1048576", "--sizelimit", "33554432"]) else { return };
    let at = lab.path("at");
    fs::create_dir(&at).unwrap();
    let mounted = Command::new("mount").args(["-o", "ro", &device.0]).arg(&at).output();
    if !mounted.is_ok_and(|out| out.status.success()) {
        skipped("FAT cannot be mounted here");
        return;
    }
    let out = lab.flash(Path::new(&device.0), &["--yes"], "");
    let _ = Command::new("umount").arg(&at).status();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("is mounted on") && said.contains("unmount it first"), "{said}");
}
