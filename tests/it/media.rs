//! One tree in every form that people have it in: the images are the same, bit
//! for bit, and what must be unpacked is unpacked once.

use p9img_test::skip::skipped;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of 9legacy that the nodes need to be built, and its records.
const PART: [&str; 12] = [
    "386/9load",
    "386/9pccpuf",
    "386/9pcf",
    "386/init",
    "386/mbr",
    "386/pbslba",
    "adm",
    "cfg",
    "dist/replica",
    "lib/ndb",
    "rc",
    "sys/include",
];

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        Self(p9img_test::Lab::default_lab().with_cache())
    }

    /// Builds from `medium`; the sums of the images.
    fn build(&self, medium: &Path, out: &str) -> Vec<String> {
        let args = ["build", "--all", "--quiet", "--out", out, "--media"].map(OsStr::new);
        self.good(&[&args[..], &[medium.as_os_str()]].concat());
        let sums = fs::read_to_string(self.path(out).join("SHA256SUMS")).unwrap();
        let image = |line: &&str| line.ends_with(".qcow2") || line.ends_with(".ova");
        let mut images: Vec<String> = sums.lines().filter(image).map(str::to_owned).collect();
        images.sort();
        fs::remove_dir_all(self.path(out)).unwrap();
        images
    }

    fn git(&self, args: &[&str]) {
        let out = Command::new("git").args(args).current_dir(self.dir()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Files of the cache and when they were made.
    fn cached(&self) -> Vec<(PathBuf, std::time::SystemTime)> {
        let all = walkdir::WalkDir::new(self.path("cache/derived")).sort_by_file_name().into_iter();
        all.map(|e| e.unwrap())
            .filter(|e| e.file_type().is_file())
            .map(|e| (e.path().into(), e.metadata().unwrap().modified().unwrap()))
            .collect()
    }
}

fn compress(how: &str, from: &Path, to: &Path) {
    let mut out = File::create(to).unwrap();
    let mut bytes = File::open(from).unwrap();
    match how {
        "gz" => {
            let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            io::copy(&mut bytes, &mut out).unwrap();
            out.finish().unwrap();
        }
        "bz2" => {
            let mut out = bzip2::write::BzEncoder::new(out, bzip2::Compression::fast());
            io::copy(&mut bytes, &mut out).unwrap();
            out.finish().unwrap();
        }
        "xz" => {
            let mut out = liblzma::write::XzEncoder::new(out, 0);
            io::copy(&mut bytes, &mut out).unwrap();
            out.finish().unwrap();
        }
        _ => out.write_all(&zstd::stream::encode_all(bytes, 1).unwrap()).unwrap(),
    }
}

/// Builds from `tree` in all its forms.
fn every_form(lab: &Lab, tree: &Path) {
    let folder = lab.build(tree, "folder");
    assert_eq!(folder.len(), 8, "{folder:?}");

    let tar = lab.path("medium.tar");
    let mut archive = tar::Builder::new(File::create(&tar).unwrap());
    archive.follow_symlinks(false);
    archive.append_dir_all("plan9-1.0", tree).unwrap();
    archive.into_inner().unwrap();
    assert_eq!(lab.build(&tar, "tar"), folder, "tar");

    // Names say nothing of what is in a file.
    let unnamed = lab.path("medium");
    for how in ["gz", "bz2", "xz", "zst"] {
        compress(how, &tar, &unnamed);
        assert_eq!(lab.build(&unnamed, how), folder, "tar.{how}");
        let cached = lab.cached();
        assert_eq!(lab.build(&unnamed, how), folder, "tar.{how} again");
        assert_eq!(lab.cached(), cached, "unpacked once: {how}");
    }

    if Command::new("git").arg("--version").output().is_err() {
        let required = p9img_test::tools::required();
        assert!(!required, "git is required but not installed");
        return skipped("every_form: no git");
    }
    lab.git(&["init", "--quiet", "--bare", "bare"]);
    let on_tree = ["--git-dir=bare", "--work-tree", tree.to_str().unwrap()];
    lab.git(&[&on_tree[..], &["add", "--all", "--force", "."]].concat());
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    lab.git(&[&on_tree[..], &who, &["commit", "--quiet", "--message", "one"]].concat());
    assert_eq!(lab.build(&lab.path("bare"), "git"), folder, "git");
    let cached = lab.cached();
    assert_eq!(lab.build(&lab.path("bare"), "git"), folder, "git again");
    assert_eq!(lab.cached(), cached, "read once");
}

fn copy(from: &Path, to: &Path) {
    for item in walkdir::WalkDir::new(from) {
        let item = item.unwrap();
        let below = item.path().strip_prefix(from).unwrap();
        let target = if below == Path::new("") { to.to_path_buf() } else { to.join(below) };
        if item.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(item.path(), target).unwrap();
        }
    }
}

#[test]
fn the_sample_is_the_same_in_every_form() {
    let lab = Lab::new();
    let tree = lab.path("tree");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("media/sample"), &tree);
    // Without links in it, and without folders that only some forms can hold.
    fs::hard_link(tree.join("lib/ndb/common"), tree.join("lib/ndb/again")).unwrap();
    std::os::unix::fs::symlink("../rc/bin", tree.join("lib/bin")).unwrap();
    // The archive's own modes and times are others than a folder's, unless the
    // release has records: these name nothing.
    fs::create_dir_all(tree.join("dist/replica")).unwrap();
    fs::write(tree.join("dist/replica/plan9.db"), "nothing - 664 sys sys 1 0\n").unwrap();
    every_form(&lab, &tree);

    // The places of ls and cat, and a medium of the lab.
    compress("zst", &lab.path("medium.tar"), &lab.path("m:1.tar.zst"));
    let out = lab.good(&["cat", "m:1.tar.zst:/lib/bin/hello"].map(OsStr::new));
    assert_eq!(out.as_bytes(), fs::read(tree.join("rc/bin/hello")).unwrap());
    let out = lab.good(&["ls", "m:1.tar.zst:lib/ndb"].map(OsStr::new));
    assert_eq!(out, "again\ncommon\n");
    lab.good(&["extract", "medium.tar:rc", "rc"].map(OsStr::new));
    assert!(lab.path("rc/bin/hello").exists());
    let text = fs::read_to_string(lab.path("lab.toml")).unwrap();
    fs::write(lab.path("lab.toml"), format!("{text}\n[media.mine]\npath = \"m:1.tar.zst\"\n")).unwrap();
    let out = lab.good(&["plan", "--media", "mine"].map(OsStr::new));
    assert!(out.contains("plan9.db (1 record)"), "{out:?}");

    // The error for a file that is no medium lists the formats that were looked for.
    fs::write(lab.path("text"), "hello").unwrap();
    let out = lab.run(&["plan", "--media", "./text"].map(OsStr::new));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && said.contains("git directory") && said.contains("zstd"), "{said}");
    let zst = fs::read(lab.path("m:1.tar.zst")).unwrap();
    fs::write(lab.path("cut"), &zst[..zst.len() / 2]).unwrap();
    let out = lab.run(&["plan", "--media", "./cut"].map(OsStr::new));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && said.contains("zstd stream of ./cut"), "{said}");
}

#[test]
fn a_part_of_9legacy_is_the_same_in_every_form() {
    let test = "a_part_of_9legacy_is_the_same_in_every_form";
    let Some(medium) = p9img_test::media::own_medium(test, "9legacy") else { return };
    let lab = Lab::new();
    let tree = lab.path("tree");
    PART.iter().for_each(|path| copy(&medium.join(path), &tree.join(path)));
    every_form(&lab, &tree);
}
