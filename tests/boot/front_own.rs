//! A second disk, on which 9front makes a file system itself and fills it; and
//! what p9img must find there. The tests of the file systems use it.

use crate::built::{Artifact, Lab, Node};
use crate::front::{Run, read};
use crate::legacy::plain;
use p9img::fs::{self, FileSystem};
use p9img::guest::{Disk, DiskFormat};
use p9img::media::{Distribution, Medium};
use p9img::tree::Entry;
use p9img_test::guest::Machine;
use std::path::{Path, PathBuf};

/// A node of the lab, and a disk of so many MiB of zeros in addition to its
/// own.
pub fn machine(lab: &Lab, node: &Node, mib: u64) -> (PathBuf, Machine) {
    let own = lab.path("own.img");
    std::fs::File::create(&own).unwrap().set_len(mib << 20).unwrap();
    let mut machine = plain(lab.disk(&node.name, Artifact::Qcow2), node);
    machine.disks.push(Disk { keep_writes: true, ..Disk::new(&own, DiskFormat::Raw) });
    (own, machine)
}

/// Fills the file system, which is at `/n/own`.
pub fn fill(run: &mut Run<'_>) {
    run("mkdir /n/own/rc /n/own/lib; dircp /rc /n/own/rc; dircp /lib /n/own/lib");
    run("echo was >/n/own/changed; mkdir /n/own/many; for(i in `{seq 300}) echo $i >/n/own/many/$i");
    run("chgrp -u bob /n/own/changed; chmod +t /n/own/many/7; chmod +al /n/own/many/8");
}

/// Adds, as 9front's installer does, what makes the file system a medium.
pub fn system(run: &mut Run<'_>) {
    for line in PROTO.lines() {
        run(&format!("echo '{line}' >>/tmp/proto"));
    }
    run("disk/mkfs -U -s / -d /n/own /tmp/proto >[2=1]");
}

/// Owners and modes are those of the release's own proto; see proto(2).
const PROTO: &str = "\
adm\td775 adm adm
\ttimezone\td775 adm adm
\t\tuid=adm
\t\tgid=adm
\t\t*
386
\t9bootfat
\tmbr
\tpbs
amd64
\t9pc64
\tinclude
\t\t+
sys
\tinclude
\t\t+
\tlib
\t\tsysconfig
\t\t\t+";

/// The disk is a medium: what [`system`] brought there is as the folder has it,
/// and a lab comes of it.
pub fn is_a_medium(own: &Path, media: &Path, epoch: u32) {
    let [image, folder] = [own, media].map(|path| Medium::open("medium", path, epoch, None).unwrap());
    assert_eq!((image.distribution, &*image.metadata_source), (Distribution::Front, "the disk image itself"));
    let (mut same, mut wrong) = (0, Vec::new());
    image.tree.walk(|path, _, entry| {
        let name = String::from_utf8_lossy(path).into_owned();
        if !["386", "adm/timezone", "amd64", "sys"].iter().any(|top| name.starts_with(top)) {
            return;
        }
        // The node's own zone is another's copy.
        let known = folder.tree.find(path).map(|id| folder.tree.entry(id)).filter(|_| !name.ends_with("/local"));
        let Some(known) = known else {
            return wrong.extend((!name.ends_with("/local")).then(|| format!("{name} is on the disk only")));
        };
        let attributes = |e: &Entry| {
            // A directory has the time at which it was filled.
            let time = if e.is_dir() { 0 } else { e.meta.mtime };
            (e.meta.uid.to_string(), e.meta.gid.to_string(), e.meta.mode.0, time)
        };
        let bytes = |e: &Entry| e.content().map(|c| c.read_all().unwrap());
        if attributes(entry) != attributes(known) || bytes(entry) != bytes(known) {
            wrong.push(format!("{name}: {:?}, on the medium {:?}", entry.meta, known.meta));
        }
        same += 1;
    });
    assert!(wrong.is_empty() && same > 150, "{same} compared\n{}", wrong.join("\n"));
    Lab::build(Some(own), &[("defaults.arch", "amd64")], "qcow2");
}

/// Checks that the files of [`fill`] are there, with `is` in the file
/// `changed`.
pub fn filled(fs: &dyn FileSystem) {
    assert_eq!(read(fs, "changed"), b"is\n");
    assert_eq!(&*fs.find(b"changed").unwrap().meta.uid, "bob");
    let mode = |path: &str| fs.find(path.as_bytes()).unwrap().meta.mode;
    assert!(mode("many/7").is_temporary() && mode("many/8").is_append() && mode("many/8").is_exclusive());
    assert_eq!(read(fs, "many/300"), b"300\n");
}

/// Both folders that were copied have what the medium has, but for what roles
/// replaced. Returns how many files that are.
pub fn copied(fs: &dyn FileSystem, node: &Node, media: &Path) -> usize {
    let mut count = 0;
    for top in ["rc", "lib"] {
        let dir = fs.find(top.as_bytes()).unwrap();
        fs::walk::<std::io::Error>(fs, &dir, &mut |path, n| {
            let path = format!("{top}/{}", String::from_utf8_lossy(path));
            let rendered = node.files.iter().any(|f| f["path"] == path.as_str());
            if !n.meta.mode.is_dir() && !rendered {
                let there = std::fs::read(media.join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
                assert!(read(fs, &path) == there, "{path} differs from the medium's");
                count += 1;
            }
            Ok(())
        })
        .unwrap();
    }
    count
}
