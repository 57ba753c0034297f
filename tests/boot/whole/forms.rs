//! The grid from every form of the medium: bit for bit the same.

use super::{LONG, SHORT, selected, serve, shell, start};
use crate::built::Lab;
use crate::plan9::{good, write_fossil};
use crate::running::only_thorough;
use p9img::guest::{Disk, DiskFormat};
use p9img_test::media::medium;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// An image of the selected part that `disk/mk9660` writes in a guest.
fn iso(lab: &Lab, media: &Path, out: &Path) {
    let (source, target) = (lab.path("source.img"), lab.path("target.img"));
    write_fossil(&Arc::new(selected(media, lab.epoch)), lab.epoch, &source);
    File::create(&target).unwrap().set_len(1 << 30).unwrap();
    let writable = Disk { keep_writes: true, ..Disk::new(&target, DiskFormat::Raw) };
    let mut guest = start(lab, vec![Disk::new(&source, DiskFormat::Raw), writable]);
    let mut sh = shell(&mut guest);
    serve(&mut sh, "/dev/sdC1/data");
    good(sh.run("echo + >/env/all", SHORT));
    let command = format!("disk/mk9660 -9cj -s /n/idle -p /env/all -n {} /usr/bootes/new.iso", lab.epoch);
    good(sh.run(&command, LONG));
    let len: u64 = good(sh.run("wc -c </usr/bootes/new.iso", SHORT)).trim().parse().unwrap();
    good(sh.run("dd -if /usr/bootes/new.iso -of /dev/sdD0/data -bs 65536 >[2]/dev/null", LONG));
    std::io::copy(&mut File::open(&target).unwrap().take(len), &mut File::create(out).unwrap()).unwrap();
    for file in [source, target] {
        std::fs::remove_file(file).unwrap();
    }
}

fn tar_zst(media: &Path, out: &Path) {
    let mut zst = zstd::Encoder::new(File::create(out).unwrap(), 1).unwrap();
    let mut archive = tar::Builder::new(&mut zst);
    archive.follow_symlinks(false);
    archive.append_dir_all("9legacy", media).unwrap();
    archive.into_inner().unwrap();
    zst.finish().unwrap().flush().unwrap();
}

fn bare_git(media: &Path, out: &Path) {
    run(Command::new("git").args(["init", "--quiet", "--bare"]).arg(out));
    let git = || {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(out).arg("--work-tree").arg(media).current_dir(media);
        git
    };
    run(git().args(["-c", "core.compression=1", "add", "--all", "--force", "."]));
    run(git().args(["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "one"]));
}

/// The sums of images in a folder's `SHA256SUMS`.
fn sums(lab: &Lab) -> Vec<String> {
    let text = std::fs::read_to_string(lab.path("output/SHA256SUMS")).unwrap();
    let image = |l: &&str| l.ends_with(".qcow2") || l.ends_with(".ova");
    let mut all: Vec<String> = text.lines().filter(image).map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
#[ignore = "half an hour: cargo test --test boot -- --ignored"]
fn the_grid_is_the_same_from_every_form() {
    if only_thorough("the_grid_is_the_same_from_every_form") {
        return;
    }
    let Some(media) = medium("the_grid_is_the_same_from_every_form", "9legacy") else { return };
    let lab = Lab::build(Some(&media), &[], "qcow2,ova");
    let secrets = std::fs::read(lab.path("secrets.toml")).unwrap();
    let folder = sums(&lab);
    assert_eq!(folder.len(), 8, "{folder:?}");
    let forms = tempfile::Builder::new().prefix("p9img-whole-").tempdir().unwrap();
    let form = |name: &str| forms.path().join(name);
    tar_zst(&media, &form("tar.zst"));
    bare_git(&media, &form("git"));
    let compare = |name: &str| {
        let again = Lab::build_with(Some(&form(name)), &[], "qcow2,ova", Some(&secrets));
        assert_eq!(sums(&again), folder, "{name}");
        println!("{name}: 8 of 8 images are the folder's");
    };
    compare("tar.zst");
    compare("git");
    match std::env::var_os("P9IMG_WHOLE_ISO") {
        Some(made) => std::os::unix::fs::symlink(made, form("iso")).unwrap(),
        None => iso(&lab, &media, &form("iso")),
    }
    compare("iso");
}
