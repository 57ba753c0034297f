//! 9front on gefs: a node comes up unattended and writes, and neither gefs's
//! own checker nor p9img's finds anything wrong, before and after; and a gefs
//! that 9front made itself is read.
//!
//! The medium is that of `front`.

use crate::built::{Artifact, Lab};
use crate::front::{WORK, equal_to_the_medium, findings, is_the_node, lab, partition, raw, read, ready, work, worked};
use crate::front_own;
use crate::legacy::{SHORT, plain, shell};
use crate::plan9::good;
use p9img::fs::{self, FileSystem};
use p9img::guest::{Disk, Shell};
use p9img::read_at::{HostFile, ReadAt};
use std::sync::Arc;

/// Ends the root's server in order.
fn halt(sh: &mut Shell) {
    sh.console().send_line("fshalt").unwrap();
    sh.console().wait_for("done halting", SHORT).unwrap_or_else(|e| panic!("{e}"));
}

/// Output of gefs's own checker on the partition `fs` of a disk, without the
/// lines that name what it looks at.
fn checked(lab: &Lab, disk: &Disk) -> String {
    let node = lab.node("plan9n2");
    let mut machine = plain(lab.disk("plan9n2", Artifact::Qcow2), node);
    machine.disks.push(disk.clone());
    let mut guest = machine.start().unwrap();
    let said = {
        let mut sh = shell(&mut guest, "plan9n2");
        // Its cache is a quarter of the memory, of which the node's root has one.
        good(sh.run("gefs -m 64 -c -f /dev/sdC1/fs >[2=1]", WORK))
    };
    guest.quit(SHORT).unwrap();
    assert!(said.contains("checking snap main"), "{said}");
    let usual = |l: &&str| !l.starts_with("checking ") && !l.starts_with("load ") && !l.starts_with('\t');
    said.lines().filter(usual).filter(|l| !l.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_node_comes_up_on_gefs_and_leaves_it_sound() {
    let Some(media) = ready("a_node_comes_up_on_gefs_and_leaves_it_sound") else { return };
    let lab = lab(&media, "gefs");
    let node = lab.node("plan9n1");
    let disk = raw(&lab, "plan9n1");
    assert_eq!(findings(&*partition(&disk.path, "fs")), []);
    assert_eq!(checked(&lab, &disk), "");
    let mut guest = plain(disk.clone(), node).start().unwrap();
    {
        let mut sh = shell(&mut guest, "plan9n1");
        let mut run = |command: &str| good(sh.run(command, WORK));
        is_the_node(&mut run, &lab, node, "fs");
        // Temporary files are in the snapshot that no snapshots are made of.
        run("ns | grep -s '/n/other/usr/bootes/tmp'");
        // The medium's files read back as they are on it.
        equal_to_the_medium(&mut run, node, &media);
        work(&mut run);
        run("mount -c /srv/boot /n/adm adm; echo 99:moe:moe: >>/n/adm/users; echo users >>/srv/gefs.cmd; sleep 2");
        run("echo snap main kept >>/srv/gefs.cmd; sleep 2");
        halt(&mut sh);
    }
    guest.quit(SHORT).unwrap();
    let fs = partition(&disk.path, "fs");
    assert_eq!(findings(&*fs), []);
    worked(&*fs);
    assert_eq!(checked(&lab, &disk), "");
    // Whatever looked at it wrote nothing.
    assert_eq!(findings(&*partition(&disk.path, "fs")), []);
}

#[test]
fn a_gefs_that_9front_made_is_read() {
    let Some(media) = ready("a_gefs_that_9front_made_is_read") else { return };
    let lab = lab(&media, "gefs");
    let node = lab.node("plan9n2");
    let (own, machine) = front_own::machine(&lab, node, 400);
    let mut guest = machine.start().unwrap();
    {
        let mut sh = shell(&mut guest, "plan9n2");
        let mut run = |command: &str| good(sh.run(command, WORK));
        // As rc/bin/inst/mountgefs does it.
        run("gefs -m 64 -n own -r bootes -SAf /dev/sdC1/data");
        run("gefs -m 64 -n own -SAf /dev/sdC1/data; sleep 2");
        run("echo snap -m empty other >>/srv/own.cmd; sleep 2; echo set other retain '''''' >>/srv/own.cmd; sleep 2");
        run("mount -c /srv/own /n/own %main; mount -c /srv/own /n/adm %adm");
        run("{echo -1:adm:adm:bootes; echo 0:none::; echo 1:bootes:bootes:; echo 2:bob:bob:; \
             echo 10000:sys::bootes,bob} >/n/adm/users; echo users >>/srv/own.cmd; sleep 2");
        front_own::fill(&mut run);
        front_own::system(&mut run);
        // A snapshot, and changes after it.
        run("echo snap main kept >>/srv/own.cmd; sleep 5; echo is >/n/own/changed; rm /n/own/many/9");
        run("mv /n/own/many/10 /n/own/many/ten && rm -r /n/own/lib/font");
        run("echo sync >>/srv/own.cmd; sleep 5");
        run("echo halt >>/srv/own.cmd; while(test -e /srv/own.cmd) sleep 1; status=''");
    }
    guest.quit(SHORT).unwrap();
    let file: Arc<dyn ReadAt> = Arc::new(HostFile::new(std::fs::File::open(&own).unwrap()).unwrap());
    let fs = fs::gefs::open(file).unwrap();
    assert_eq!(findings(&fs), []);
    let kept = fs.snapshot("kept").unwrap();
    let copied = |fs: &fs::gefs::GefsReader| front_own::copied(fs, node, &media);
    let (now, then) = (copied(&fs), copied(&kept));
    assert!(now > 300 && then > now, "{now} files, {then} before");
    assert_eq!(read(&kept, "changed"), b"was\n");
    front_own::filled(&fs);
    front_own::is_a_medium(&own, &media, lab.epoch);
    assert_eq!(read(&fs, "many/ten"), b"10\n");
    assert!(fs.find(b"many/9").is_err() && fs.find(b"many/10").is_err() && fs.find(b"lib/font").is_err());
    assert_eq!(read(&kept, "many/9"), b"9\n");
    assert!(fs.labels().unwrap().contains(&"other".to_owned()));
}
