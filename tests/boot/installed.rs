//! A disk that Plan 9 installed itself, by the steps of its own installer
//! (`/sys/lib/dist/pc/inst`): fdisk, prep, flfmt, and a copy by mkfs and mkext.
//! p9img takes it as a medium, and it is the folder's files.

use crate::built::{Artifact, Lab};
use crate::legacy::{LONG, SHORT, grid, plain, ready, shell};
use crate::plan9::{good, prepare};
use crate::running::only_thorough;
use p9img::guest::{Disk, DiskFormat};
use p9img::media::{Facts, Medium};
use p9img::tree::Meta;

/// Proto of the files that are copied: enough for every kernel and loader, and
/// some of each kind.
const PROTO: &str = "\
386
	9load
	9pccpuf
	9pcf
	mbr
	pbslba
	bin
		aux
			+
	include
		+
adm
	timezone
		+
lib
	ndb
		common
	namespace
rc
	+
sys
	include
		+
	lib
		acid
			+
";

/// Owner, group, mode, time.
type Attributes = (String, String, u32, u32);

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn what_plan9_installed_is_a_medium_and_the_folders_files() {
    if only_thorough("what_plan9_installed_is_a_medium_and_the_folders_files") {
        return;
    }
    let test = "what_plan9_installed_is_a_medium_and_the_folders_files";
    let (Some(lab), Some(media)) = (grid(test), ready(test)) else { return };
    let node = lab.node("plan9n2");
    let installed = lab.path("installed.img");
    std::fs::File::create(&installed).unwrap().set_len(512 << 20).unwrap();
    let mut machine = plain(lab.disk("plan9n2", Artifact::Qcow2), node);
    machine.disks.push(Disk { keep_writes: true, ..Disk::new(&installed, DiskFormat::Raw) });
    {
        let mut guest = machine.start().unwrap();
        let mut sh = shell(&mut guest, "plan9n2");
        for line in PROTO.lines() {
            good(sh.run(&format!("echo '{line}' >>/tmp/proto"), SHORT));
        }
        let mut steps = prepare("sdC1");
        steps.extend(
            [
                "disk/mkfs -a -s /root /tmp/proto | disk/mkext -u -T -d /n/newfs",
                "echo fsys main sync >>/srv/newcons; sleep 5; echo fsys main halt >>/srv/newcons; sleep 5",
            ]
            .map(str::to_owned),
        );
        for step in steps {
            good(sh.run(&step, LONG));
        }
    }
    let image = Medium::open("installed", &installed, lab.epoch, None).unwrap();
    let folder = Medium::open("9legacy", &media, lab.epoch, None).unwrap();
    assert_eq!(image.metadata_source, "the disk image itself");
    let facts = Facts::of(&image, &[]);
    assert!(["386/9load", "386/9pccpuf", "386/mbr"].iter().all(|p| facts.has(p)), "{facts:?}");

    // Files that the running node's roles rendered, and the file that fossil made.
    let rendered = |name: &str| {
        name == "adm/users" || node.files.iter().any(|f| f["path"].as_str().unwrap().trim_matches('/') == name)
    };
    let (mut same, mut wrong, mut stamped) = (0, Vec::new(), 0);
    image.tree.walk(|path, _, entry| {
        let name = String::from_utf8_lossy(path).into_owned();
        let Some(known) = folder.tree.find(path).map(|id| folder.tree.entry(id)) else {
            wrong.push(format!("{name} is on the installed disk only"));
            return;
        };
        if rendered(&name) {
            return;
        }
        let all = |m: &Meta| -> Attributes { (m.uid.to_string(), m.gid.to_string(), m.mode.0, m.mtime) };
        let (mut a, b) = (all(&entry.meta), all(&known.meta));
        if entry.is_dir() {
            // mkext fills a directory after it has made it: its time is that of
            // the installation. Nothing else of it is different.
            stamped += u32::from(a.3 != b.3);
            a.3 = b.3;
        }
        if name.is_empty() {
            // flfmt makes the root, no tool changes it, and p9img does as it does.
            assert_eq!((&a.0, &a.1, a.2), (&b.0, &b.1, b.2));
            assert_eq!((a.0.as_str(), a.1.as_str(), a.2 & 0o777), ("adm", "adm", 0o555));
            return;
        }
        if a != b {
            wrong.push(format!("{name}: installed {a:?}, on the medium {b:?}"));
        }
        if let (Some(x), Some(y)) = (entry.content(), known.content()) {
            if x.read_all().unwrap() == y.read_all().unwrap() {
                same += 1;
            } else {
                wrong.push(format!("{name}: other bytes"));
            }
        }
    });
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(same > 400 && stamped > 20, "{same} files are the same, {stamped} directories have another time");

    // A lab comes of it: loader, kernel and boot code are the installed ones. The
    // copied part has no programs, so a node comes as far as its file system.
    let again = Lab::build(Some(&installed), &[], "qcow2");
    let mut guest = plain(again.disk("plan9n2", Artifact::Qcow2), again.node("plan9n2")).start().unwrap();
    let text = guest.console.wait_for("fossil(#S/sdC0/fossil)", SHORT).unwrap_or_else(|e| panic!("{e}"));
    assert!(text.contains("found 9pccpuf"), "{text}");
}
