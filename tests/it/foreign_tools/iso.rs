//! Images that xorriso and genisoimage make, read by p9img.

use crate::foreign_tools::tool;
use p9img::ReadAt;
use p9img::media::iso;
use p9img::read_at::HostFile;
use p9img::tree::Tree;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

/// Names that plain ISO 9660 cannot hold, files that share their bytes, many
/// in one directory, links, and directories deeper than the eight levels of
/// ISO 9660, which genisoimage moves elsewhere.
fn folder(dir: &Path) {
    let put = |path: &str, bytes: &[u8], mode| {
        let file = dir.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    };
    put("rc/bin/Größe.rc", b"#!/bin/rc\n", 0o755);
    put("sys/src/A-long-name.with.dots-and_UPPER.c", &[b'x'; 5000], 0o644);
    put("sys/src/copy.c", &[b'x'; 5000], 0o644);
    put("empty", b"", 0o600);
    put("1/2/3/4/5/6/7/8/9/10/deep", b"deep", 0o644);
    for i in 0..300 {
        put(&format!("many/a-name-of-some-length-{i:03}"), format!("{i}").as_bytes(), 0o644);
    }
    symlink("sys/src", dir.join("src")).unwrap();
    symlink("../sys/src/copy.c", dir.join("rc/copy")).unwrap();
}

/// Path, permissions and bytes of everything, links followed.
fn expected(dir: &Path, execute: bool) -> Vec<(String, Option<Vec<u8>>, bool)> {
    let mut out = Vec::new();
    for item in walkdir::WalkDir::new(dir).min_depth(1).follow_links(true) {
        let item = item.unwrap();
        let path = item.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        let file = item.file_type().is_file();
        let executable = !file || execute && item.metadata().unwrap().permissions().mode() & 0o100 != 0;
        out.push((path, file.then(|| fs::read(item.path()).unwrap()), executable));
    }
    out.sort();
    out
}

fn found(tree: &Tree) -> Vec<(String, Option<Vec<u8>>, bool)> {
    let mut out = Vec::new();
    tree.walk(|path, _, e| {
        let bytes = e.content().map(|c| c.read_all().unwrap());
        out.push((String::from_utf8(path.to_vec()).unwrap(), bytes, e.meta.mode.perm() & 0o100 != 0));
    });
    out.remove(0);
    out.sort();
    out
}

fn read(image: &Path) -> Tree {
    let image: Arc<dyn ReadAt> = Arc::new(HostFile::new(fs::File::open(image).unwrap()).unwrap());
    assert!(iso::matches(&*image));
    iso::list(&image).unwrap_or_else(|e| panic!("{e}")).listing.tree(None, 0)
}

#[test]
fn xorriso_and_genisoimage_make_media() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("tree");
    folder(&dir);
    let source = dir.to_str().unwrap();
    type Maker = (&'static str, &'static [&'static str]);
    let makers: [Maker; 2] = [("xorriso", &["-as", "mkisofs", "-quiet"]), ("genisoimage", &["-quiet"])];
    for (name, start) in makers {
        // Rock Ridge, also where Joliet is there too; Joliet alone.
        for (options, complete) in [
            (&["-R"][..], true),
            (&["-R", "-J", "-joliet-long", "-hide-rr-moved"], true),
            (&["-r", "-b", "empty.boot", "-no-emul-boot", "-c", "boot.catalog"], true),
            (&["-J", "-joliet-long", "-f", "-D"], false),
        ] {
            let boot = dir.join("empty.boot");
            if options.contains(&"-b") {
                fs::write(&boot, [0; 2048]).unwrap();
            }
            let image = temp.path().join("x.iso");
            // xorriso writes Rock Ridge unless it is told not to.
            let plain: &[&str] = if name == "xorriso" && !complete { &["--norock"] } else { &[] };
            let args = [start, options, plain, &["-o", "IMAGE", source]].concat();
            if tool(name, &args, &image).is_none() {
                continue;
            }
            let what = format!("{name} {}", options.join(" "));
            let expected = expected(&dir, complete);
            let mut found = found(&read(&image));
            // genisoimage's store of deep directories, which is empty then.
            found.retain(|f| f.0 != "rr_moved");
            let lacks: Vec<_> = expected.iter().filter(|e| !found.contains(e)).map(|e| &e.0).collect();
            let has: Vec<_> = found.iter().filter(|f| !expected.contains(f)).map(|f| &f.0).collect();
            assert!(lacks.is_empty() && has.is_empty(), "{what}: lacks {lacks:?}, has {has:?}");
            let _ = fs::remove_file(boot);
            fs::remove_file(image).unwrap();
        }
    }
}

#[test]
fn plain_names_are_in_lower_case() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("tree");
    fs::create_dir_all(dir.join("SYS")).unwrap();
    fs::write(dir.join("SYS/MKFILE"), "a").unwrap();
    fs::write(dir.join("SYS/MAIN.C"), "b").unwrap();
    for (name, start) in [("xorriso", &["-as", "mkisofs", "-quiet"][..]), ("genisoimage", &["-quiet"])] {
        let image = temp.path().join("x.iso");
        let plain: &[&str] = if name == "xorriso" { &["--norock"] } else { &[] };
        if tool(name, &[start, plain, &["-o", "IMAGE", dir.to_str().unwrap()]].concat(), &image).is_none() {
            continue;
        }
        assert_eq!(read(&image).paths(), ["", "sys", "sys/main.c", "sys/mkfile"], "{name}");
    }
}
