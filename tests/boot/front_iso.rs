//! ISO 9660 images that 9front's own `disk/mk9660` makes of the medium: read
//! as they were written, and the lab built from one has the bytes of the lab
//! from the folder. One image has everything; the other is made as 9front
//! makes its releases, by `sys/lib/dist/mkfile`.
//!
//! The medium is that of `front`. `P9IMG_KEEP_ISO` names a file that gets the
//! first image; `benches/grid` takes it.

use crate::built::{Artifact, Lab};
use crate::front::{self, KERNEL, partition};
use crate::iso::{Kept, differences};
use crate::legacy::{LONG, SHORT, plain, shell};
use crate::plan9::good;
use crate::running::only_thorough;
use p9img::fs::{FileSystem, hjfs};
use p9img::guest::{Disk, DiskFormat};
use p9img::media::Medium;
use p9img::tree::{Entry, Tree};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A root of each kind; room for both images in addition to the root of the
/// guest.
const EDITS: [(&str, &str); 5] = [
    ("defaults.arch", "amd64"),
    ("defaults.fs", "gefs"),
    ("defaults.disk", "4 GiB"),
    ("plan9n1.fs", "cwfs64x"),
    ("plan9n3.fs", "hjfs"),
];

/// Writes an hjfs that holds the medium and nothing else.
fn write_hjfs(tree: &Arc<Tree>, epoch: u32, out: &Path) {
    let len = 1 << 30;
    let users = hjfs::users(tree).unwrap();
    let base = Arc::new(hjfs::Base::layout(tree, &users, hjfs::base_start(len)).unwrap());
    let volume = hjfs::Hjfs::layout(&base, tree, &hjfs::Options { len, epoch }).unwrap();
    p9img_test::sparse::write(&volume, out);
}

/// The steps of 9front's `sys/lib/dist/mkfile` from the medium on `/n/src` to
/// `release.iso`: what it binds over the tree, the image, and the system
/// partition for UEFI at its end.
fn release() -> String {
    format!(
        "cd /n/src/sys/lib/dist\n\
         bind cfg /n/src/cfg; bind mail/lib /n/src/mail/lib; bind ndb /n/src/lib/ndb\n\
         bind -a adm/timezone /n/src/adm/timezone; bind usr /n/src/usr\n\
         {{cat /n/src/cfg/plan9.ini | grep -v '^bootfile='; echo 'bootfile=/{KERNEL}'}} >/env/plan9.ini\n\
         bind /env/plan9.ini /n/src/cfg/plan9.ini\n\
         p=/n/src/sys/lib/sysconfig/proto; cat $p/distproto $p/9bootproto >/env/proto\n\
         objtype=amd64; t=/usr/bootes/release.iso\n\
         disk/mk9660 -c9j -B 386/9bootiso -E 386/efiboot.fat -p /env/proto -s /n/src -v 'Plan 9 Front (amd64)' $t \
         >[2]/tmp/said\n\
         dd -if /dev/zero -bs 2048 -count 1024 >>$t >[2]/dev/null\n\
         disk/partfs -m /n/partfs $t; d=/n/partfs/sdXX\n\
         disk/mbr -m /n/src/386/mbr $d/data\n\
         {{echo a p1 '$-1' '$'; echo t p1 ESP; echo A p1; echo w; echo q}} | disk/fdisk -b $d/data >[2]/dev/null\n\
         disk/format -b /n/src/386/pbs -xd -t hard $d/esp >/dev/null\n\
         dossrv -f $d/esp esp9; mount -c /srv/esp9 /n/esp; mkdir -p /n/esp/efi/boot\n\
         cp /n/src/386/9boothyb /n/esp/9bootfat; cp /n/src/386/boot*.efi /n/esp/efi/boot; unmount /n/esp"
    )
}

/// A file of a file system as one of the host.
fn take(fs: &dyn FileSystem, path: &str, out: &Path) {
    let node = fs.find(path.as_bytes()).unwrap_or_else(|e| panic!("{path}: {e}"));
    let (mut file, mut buf, mut at) = (File::create(out).unwrap(), vec![0; 1 << 20], 0);
    while at < node.len {
        let n = fs.read(&node, at, &mut buf).unwrap();
        assert!(n > 0, "{path} ends early");
        file.write_all(&buf[..n]).unwrap();
        at += n as u64;
    }
}

fn sums(lab: &Lab) -> Vec<String> {
    let text = std::fs::read_to_string(lab.path("output/SHA256SUMS")).unwrap();
    let mut all: Vec<String> = text.lines().filter(|l| l.ends_with(".qcow2")).map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn an_iso_that_9front_makes_is_the_medium() {
    if only_thorough("an_iso_that_9front_makes_is_the_medium") {
        return;
    }
    let Some(media) = front::ready("an_iso_that_9front_makes_is_the_medium") else { return };
    let mut begin = Instant::now();
    let mut took = |what: &str| {
        eprintln!("{what}: {:.0} s", begin.elapsed().as_secs_f64());
        begin = Instant::now();
    };
    let lab = Lab::build(Some(&media), &EDITS, "qcow2");
    let tree = Medium::open("9front", &media, lab.epoch, None).unwrap().tree;
    let source = lab.path("source.img");
    write_hjfs(&tree, lab.epoch, &source);
    took("the lab from the folder, and the medium as hjfs");

    let node = lab.node("plan9n2");
    let disk = front::raw(&lab, &node.name);
    let mut machine = plain(disk.clone(), node);
    machine.disks.push(Disk::new(&source, DiskFormat::Raw));
    let mut guest = machine.start().unwrap();
    {
        let mut sh = shell(&mut guest, &node.name);
        // The tree has no users: nobody but none may ask for it.
        good(sh.run("hjfs -n src -m 64 -Sf /dev/sdC1/data && sleep 2; mount -N /srv/src /n/src", SHORT));
        good(sh.run("echo + >/env/all", SHORT));
        good(sh.run("disk/mk9660 -9cj -s /n/src -p /env/all /usr/bootes/whole.iso", LONG));
        took("disk/mk9660 of everything");
        for line in release().lines() {
            good(sh.run(line, LONG));
        }
        eprintln!("{}", good(sh.run("cat /tmp/said", SHORT)));
        took("a release");
        sh.console().send_line("fshalt").unwrap();
        sh.console().wait_for("done halting", LONG).unwrap_or_else(|e| panic!("{e}"));
    }
    guest.quit(SHORT).unwrap();
    let root = partition(&disk.path, "fs");
    let (whole, release) = (lab.path("whole.iso"), lab.path("release.iso"));
    take(&*root, "usr/bootes/whole.iso", &whole);
    take(&*root, "usr/bootes/release.iso", &release);
    for file in [&source, &disk.path] {
        std::fs::remove_file(file).unwrap();
    }
    if let Some(keep) = std::env::var_os("P9IMG_KEEP_ISO") {
        std::fs::copy(&whole, keep).unwrap();
    }
    took("both images");

    let read = Medium::open("iso", &whole, lab.epoch, None).unwrap();
    assert!(read.metadata_source.ends_with("Plan 9's own fields in the ISO 9660 image"), "{}", read.metadata_source);
    let wrong = differences(&tree, &read.tree, Kept::All);
    assert!(wrong.is_empty() && tree.len() > 10_000, "{} entries\n{wrong}", tree.len());
    took("every entry compared");
    released(&tree, &Medium::open("release", &release, lab.epoch, None).unwrap().tree);
    took("every entry of the release compared");

    let secrets = std::fs::read(lab.path("secrets.toml")).unwrap();
    let folder = sums(&lab);
    assert_eq!(folder.len(), 4, "{folder:?}");
    let packed = lab.path("whole.iso.gz");
    for image in [&whole, &packed] {
        if image == &packed {
            let mut gzip = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
            std::io::copy(&mut File::open(&whole).unwrap(), &mut gzip).unwrap();
            gzip.finish().unwrap();
        }
        let again = Lab::build_with(Some(image), &EDITS, "qcow2", Some(&secrets));
        assert_eq!(sums(&again), folder, "{}", image.display());
        took("the lab from an image");
    }
    // A release boots, too.
    let again = Lab::build_with(Some(&release), &EDITS, "qcow2", Some(&secrets));
    let mut guest = plain(again.disk("plan9n2", Artifact::Qcow2), again.node("plan9n2")).start().unwrap();
    good(shell(&mut guest, "plan9n2").run("ls /amd64", SHORT));
    // One that was cut short is refused.
    let cut = lab.path("cut.iso");
    std::io::copy(&mut File::open(&release).unwrap().take(200 << 20), &mut File::create(&cut).unwrap()).unwrap();
    let said = Medium::open("cut", &cut, lab.epoch, None).unwrap_err();
    let said = format!("{said}: {}", std::error::Error::source(&said).unwrap());
    assert!(said.contains("cut.iso") && said.contains("209715200"), "{said}");
}

/// Paths that the release's script binds over the tree.
const BOUND: [&str; 5] = ["adm/timezone/local", "cfg/", "lib/ndb/", "mail/lib/", "usr/glenda/"];
/// Paths that its proto passes over: other machines' programs, objects of a
/// compiler, and folders that the tree's repository does not have.
const PASSED_OVER: [&str; 11] = [
    "386/",
    "LICENSE",
    "README.md",
    "acme/bin/",
    "acme/lib",
    "boot",
    "cfg/pxe",
    "lib/ndb/dhcp",
    "sys/src/cmd/unix/",
    "tmp/",
    "usr/glenda/",
];

/// Checks that p9img gave files the owners and modes that the release's proto
/// gave them: the folder has neither.
fn released(tree: &Tree, release: &Tree) {
    let entries = |tree: &Tree| {
        let mut all: BTreeMap<String, Entry> = BTreeMap::new();
        tree.walk(|path, _, entry| {
            all.insert(String::from_utf8_lossy(path).into_owned(), entry.clone());
        });
        all.remove("");
        all
    };
    let (ours, theirs) = (entries(tree), entries(release));
    let begins = |path: &str, with: &[&str]| with.iter().any(|w| path.starts_with(w));
    let (mut same, mut wrong) = (0, Vec::new());
    for (path, b) in &theirs {
        match ours.get(path) {
            // The script makes this one anew.
            _ if path.ends_with("cfg/plan9.ini") => {}
            None if begins(path, &BOUND) => {}
            None => wrong.push(format!("{path}: in the release only, {:?}", b.meta)),
            Some(_) if path.starts_with("usr/glenda/") => {}
            Some(a) if a.meta != b.meta => wrong.push(format!("{path}: {:?}, in the release {:?}", a.meta, b.meta)),
            Some(a) if !begins(path, &BOUND) && bytes(a) != bytes(b) => wrong.push(format!("{path}: other bytes")),
            Some(_) => same += 1,
        }
    }
    for path in ours.keys().filter(|p| !theirs.contains_key(*p) && !begins(p, &PASSED_OVER)) {
        wrong.push(format!("{path}: not in the release"));
    }
    assert!(wrong.is_empty() && same > 10_000, "{same} are the same\n{}", wrong.join("\n"));
}

fn bytes(entry: &Entry) -> Option<Vec<u8>> {
    entry.content().map(|c| c.read_all().unwrap())
}
