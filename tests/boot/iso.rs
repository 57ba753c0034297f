//! Images that Plan 9's own `disk/mk9660` and `disk/dump9660` make, read as
//! media: every name, byte, owner, group, mode and time is the tree's that
//! they were made of, as far as an image has it.

use crate::built::Artifact;
use crate::legacy::{LONG, SHORT, grid, plain, ready, serve, shell};
use crate::plan9::{good, write_fossil};
use crate::running::only_thorough;
use p9img::guest::{Disk, DiskFormat};
use p9img::media::{Medium, Selection};
use p9img::tree::{Entry, Tree};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

/// Patterns of files that make the medium one of 9legacy; with names of all
/// lengths and cases; and most of all small, or the guest takes long.
const SUBSET: [&str; 8] = [
    "386/9load",
    "386/mbr",
    "386/pbslba",
    "adm/**",
    "mnt/**",
    "rc/bin/**",
    "sys/include/**",
    "sys/src/cmd/disk/9660/**",
];

/// Attributes of an entry that an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    All,
    Execute,
    Nothing,
}

/// Every difference between two trees, the roots' own attributes left out.
pub fn differences(ours: &Tree, theirs: &Tree, kept: Kept) -> String {
    fn entries(tree: &Tree) -> BTreeMap<Vec<u8>, &Entry> {
        let mut all = BTreeMap::new();
        tree.walk(|path, _, entry| {
            all.insert(path.to_vec(), entry);
        });
        all.remove(&b""[..]);
        all
    }
    let (ours, mut theirs) = (entries(ours), entries(theirs));
    let mut out = String::new();
    for (path, a) in &ours {
        let name = String::from_utf8_lossy(path);
        let Some(b) = theirs.remove(path) else {
            writeln!(out, "/{name} is missing").unwrap();
            continue;
        };
        let same = match kept {
            Kept::All => a.meta == b.meta,
            Kept::Execute => a.meta.mode.perm() & 0o100 == b.meta.mode.perm() & 0o100 && a.is_dir() == b.is_dir(),
            Kept::Nothing => a.is_dir() == b.is_dir(),
        };
        if !same {
            writeln!(out, "/{name}: {:?}, but {:?}", a.meta, b.meta).unwrap();
        }
        let bytes = |e: &Entry| e.content().map(|c| c.read_all().unwrap());
        if bytes(a) != bytes(b) {
            writeln!(out, "/{name}: other bytes").unwrap();
        }
    }
    for path in theirs.keys() {
        writeln!(out, "/{} is too many", String::from_utf8_lossy(path)).unwrap();
    }
    out
}

#[test]
#[ignore = "a few minutes: cargo test --test boot -- --ignored"]
fn images_that_plan9_makes_are_the_tree_they_were_made_of() {
    if only_thorough("images_that_plan9_makes_are_the_tree_they_were_made_of") {
        return;
    }
    let test = "images_that_plan9_makes_are_the_tree_they_were_made_of";
    let (Some(lab), Some(media)) = (grid(test), ready(test)) else { return };
    let include: Vec<String> = SUBSET.iter().map(|s| (*s).to_owned()).collect();
    let medium = Medium::open("9legacy", &media, lab.epoch, None).unwrap();
    let tree = Arc::new(Selection::new(&include, &[]).unwrap().apply(&medium.tree));
    let (source, target) = (lab.path("iso-source.img"), lab.path("iso-target.img"));
    write_fossil(&tree, lab.epoch, &source);
    File::create(&target).unwrap().set_len(64 << 20).unwrap();

    let node = lab.node("plan9n1");
    let mut machine = plain(lab.disk("plan9n1", Artifact::Qcow2), node);
    machine.disks.push(Disk::new(&source, DiskFormat::Raw));
    machine.disks.push(Disk { keep_writes: true, ..Disk::new(&target, DiskFormat::Raw) });
    let mut guest = machine.start().unwrap();
    let mut sh = shell(&mut guest, "plan9n1");
    serve(&mut sh, "/dev/sdC1/data");
    good(sh.run("echo + >/env/all", SHORT));
    let mut wrong = String::new();
    let now = lab.epoch;
    for (command, kept, source) in [
        ("mk9660 -9cj -s /n/idle", Kept::All, "Plan 9's own fields in the ISO 9660 image"),
        ("mk9660 -9 -s /n/idle", Kept::All, "Plan 9's own fields in the ISO 9660 image"),
        ("mk9660 -cjr -s /n/idle", Kept::Execute, "names from Rock Ridge"),
        ("mk9660 -s /n/idle", Kept::Nothing, "names from ISO 9660 (UTF-8)"),
        ("mk9660 -cj -s /n/idle", Kept::Nothing, "names from Joliet"),
        ("mk9660 -c -s /n/idle", Kept::Nothing, "names from ISO 9660 (lower case)"),
        // Two dumps; the first is another tree.
        ("dump9660 -9cj -s /n/idle/rc", Kept::All, ""),
        ("dump9660 -9cj -s /n/idle", Kept::All, "Plan 9's own fields in the ISO 9660 image"),
    ] {
        // A dump adds to the image that is there.
        if command.starts_with("mk9660") || source.is_empty() {
            good(sh.run("rm -f /usr/bootes/new.iso", SHORT));
        }
        good(sh.run(&format!("disk/{command} -p /env/all -n {now} /usr/bootes/new.iso"), LONG));
        if source.is_empty() {
            continue;
        }
        let len: u64 = good(sh.run("wc -c </usr/bootes/new.iso", SHORT)).trim().parse().unwrap();
        good(sh.run("dd -if /usr/bootes/new.iso -of /dev/sdD0/data -bs 65536 >[2]/dev/null", LONG));
        let image = lab.path("new.iso");
        std::io::copy(&mut File::open(&target).unwrap().take(len), &mut File::create(&image).unwrap()).unwrap();
        let read = Medium::open("iso", &image, lab.epoch, None).unwrap_or_else(|e| panic!("{command}: {e:?}"));
        if !read.metadata_source.ends_with(source) {
            writeln!(wrong, "{command}: read by {}", read.metadata_source).unwrap();
        }
        for line in differences(&tree, &read.tree, kept).lines() {
            writeln!(wrong, "{command}: {line}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(tree.len() > 300, "only {} entries were compared", tree.len());
}
