//! 9front: a node on hjfs comes up unattended, writes, and p9img's checker
//! finds nothing wrong with what it wrote; and an hjfs that 9front made itself
//! is read.
//!
//! The medium is the folder `9front`; a kernel, `amd64/9pc64`, must be in it.

use crate::built::{Artifact, Lab, Node};
use crate::front_own;
use crate::legacy::{SHORT, plain, shell};
use crate::plan9::good;
use p9img::fs::{self, FileSystem, Finding};
use p9img::guest::{Disk, DiskFormat, Firmware, Shell};
use p9img::read_at::{HostFile, ReadAt};
use p9img_test::media::medium;
use p9img_test::skip::skipped;
use p9img_test::tools::have;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Removing and writing thousands of files, on a busy machine.
pub const WORK: Duration = Duration::from_secs(20 * 60);
pub const KERNEL: &str = "amd64/9pc64";

/// The medium, if it, its kernel and what runs it are there.
pub fn ready(test: &str) -> Option<PathBuf> {
    ready_with(test, &["qemu-system-x86_64", "qemu-img"], &[KERNEL])
}

/// The medium, if it and these files in it are there, and these tools.
pub fn ready_with(test: &str, tools: &[&str], files: &[&str]) -> Option<PathBuf> {
    let media = have(test, tools).then(|| medium(test, "9front"))??;
    let Some(missing) = files.iter().find(|f| !media.join(f).is_file()) else { return Some(media) };
    skipped(format_args!("{test}: {} has no {missing}", media.display()));
    None
}

/// The default lab, each node with its root on `fs`.
pub fn lab(media: &Path, fs: &str) -> Lab {
    Lab::build(Some(media), &[("defaults.arch", "amd64"), ("defaults.fs", fs)], "qcow2")
}

/// A raw copy that keeps what the guest writes.
pub fn raw(lab: &Lab, node: &str) -> Disk {
    let Disk { path, .. } = lab.disk(node, Artifact::Qcow2);
    let out = lab.path("disk.img");
    let done = Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(path).arg(&out).status().unwrap();
    assert!(done.success());
    Disk { keep_writes: true, ..Disk::new(out, DiskFormat::Raw) }
}

/// The file system of a partition of a disk.
pub fn partition(disk: &Path, name: &str) -> Box<dyn FileSystem> {
    let disk = p9img::disk::open_disk(p9img::artifact::open(disk).unwrap()).unwrap();
    fs::open(Arc::new(disk.partition(name).unwrap()), None, &|name| disk.beside(name)).unwrap()
}

pub fn findings(fs: &dyn FileSystem) -> Vec<Finding> {
    let mut all = Vec::new();
    fs.check(&mut |f| all.push(f)).unwrap();
    all
}

/// All of a file.
pub fn read(fs: &dyn FileSystem, path: &str) -> Vec<u8> {
    let node = fs.find(path.as_bytes()).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut out = vec![0; node.len as usize];
    let mut at = 0;
    while at < out.len() {
        let n = fs.read(&node, at as u64, &mut out[at..]).unwrap();
        assert!(n > 0, "{path} ends early");
        at += n;
    }
    out
}

/// Runs a command in a guest, which must succeed.
pub type Run<'a> = dyn FnMut(&str) -> String + 'a;

/// The guest is the node of the plan, by its names and its network; `volume`
/// holds its root.
pub fn is_the_node(run: &mut Run<'_>, lab: &Lab, node: &Node, volume: &str) {
    assert_eq!(run("cat /dev/sysname; echo").trim_end(), node.name);
    assert_eq!(run("cat /dev/hostowner; echo").trim_end(), "bootes");
    assert_eq!(run("cat /lib/ndb/local"), lab.cat(&node.name, &format!("{volume}:/lib/ndb/local")));
}

/// Checks that the guest reads three folders as the medium has them, but for
/// what roles replaced.
pub fn equal_to_the_medium(run: &mut Run<'_>, node: &Node, media: &Path) {
    for tree in ["rc", "lib", "sys/include"] {
        let sums =
            run(&format!("cd /; for(f in `{{du -a {tree} | awk '{{print $2}}'}}) test -f $f && sha1sum $f; status=''"));
        let mut count = 0;
        for line in sums.lines() {
            let Some((sum, path)) = line.split_once("\t") else { continue };
            if let Ok(bytes) = std::fs::read(media.join(path)) {
                let digest = sha1(&bytes);
                let own = node.files.iter().any(|f| f["path"] == path);
                assert!(own || digest == sum, "{path}: {sum}, but the medium's is {digest}");
                count += 1;
            }
        }
        assert!(count > 20, "{tree}: {sums}");
    }
}

/// Writes 5,000 files, removes half of them, and writes a large one.
pub fn work(run: &mut Run<'_>) {
    run("mkdir /usr/bootes/files; for(i in `{seq 50}) mkdir /usr/bootes/files/$i");
    run("for(i in `{seq 50}) for(j in `{seq 100}) echo $i $j >/usr/bootes/files/$i/$j");
    run("for(i in `{seq 1 2 50}) rm -r /usr/bootes/files/$i");
    run("dd -if /dev/zero -of /usr/bootes/files/large -bs 65536 -count 200 >[2]/dev/null");
}

/// Checks that the files of [`work`] are there.
pub fn worked(fs: &dyn FileSystem) {
    assert_eq!(read(fs, "usr/bootes/files/2/77"), b"2 77\n");
    assert_eq!(read(fs, "usr/bootes/files/large"), vec![0; 65_536 * 200]);
    assert!(fs.find(b"usr/bootes/files/1").is_err());
}

/// Stops the root's server when all is written.
fn halt(sh: &mut Shell) {
    good(sh.run("{echo sync; sleep 15; echo sync; sleep 5} >>/srv/hjfs.cmd", SHORT));
    sh.console().send_line("echo halt >>/srv/hjfs.cmd").unwrap();
    sh.console().wait_for("hjfs: ending", SHORT).unwrap_or_else(|e| panic!("{e}"));
    std::thread::sleep(Duration::from_secs(3));
}

#[test]
fn a_node_comes_up_on_hjfs_and_leaves_it_sound() {
    let Some(media) = ready("a_node_comes_up_on_hjfs_and_leaves_it_sound") else { return };
    let lab = lab(&media, "hjfs");
    let node = lab.node("plan9n1");
    let disk = raw(&lab, "plan9n1");
    assert_eq!(findings(&*partition(&disk.path, "fs")), []);
    let mut guest = plain(disk.clone(), node).start().unwrap();
    {
        let mut sh = shell(&mut guest, "plan9n1");
        let mut run = |command: &str| good(sh.run(command, WORK));
        is_the_node(&mut run, &lab, node, "fs");
        // The medium's files read back as they are on it.
        equal_to_the_medium(&mut run, node, &media);
        work(&mut run);
        run("echo newuser moe >>/srv/hjfs.cmd; sleep 2");
        halt(&mut sh);
    }
    guest.quit(SHORT).unwrap();
    let fs = partition(&disk.path, "fs");
    assert_eq!(findings(&*fs), []);
    worked(&*fs);
    assert!(String::from_utf8(read(&*fs, "adm/users")).unwrap().contains(":moe:moe:"));
}

/// One image for both, and for UEFI alone one on each of the other file systems.
#[test]
fn a_node_starts_from_bios_and_from_uefi() {
    let test = "a_node_starts_from_bios_and_from_uefi";
    let Some(media) = ready(test) else { return };
    if p9img::guest::runner::qemu::uefi::find().is_none() {
        let required = p9img_test::tools::required();
        assert!(!required, "no UEFI firmware for QEMU (Debian: ovmf)");
        return skipped(format_args!("{test}: no UEFI firmware for QEMU (Debian: ovmf)"));
    }
    let edits = [
        ("defaults.arch", "amd64"),
        ("defaults.firmware", "both"),
        ("plan9n2.firmware", "uefi"),
        ("plan9n2.fs", "gefs"),
        ("plan9n3.firmware", "uefi"),
        ("plan9n3.fs", "hjfs"),
    ];
    let lab = Lab::build(Some(&media), &edits, "qcow2");
    // The root's server, and what it is called.
    for (name, firmware, server) in [
        ("plan9n1", Firmware::Bios, "cwfs"),
        ("plan9n1", Firmware::Uefi, "cwfs"),
        ("plan9n2", Firmware::Uefi, "gefs"),
        ("plan9n3", Firmware::Uefi, "hjfs"),
    ] {
        let node = lab.node(name);
        let mut machine = plain(lab.disk(name, Artifact::Qcow2), node);
        machine.firmware = firmware;
        let mut guest = machine.start().unwrap();
        let mut sh = shell(&mut guest, name);
        assert_eq!(good(sh.run("cat /dev/sysname; echo", SHORT)).trim_end(), name);
        good(sh.run(&format!("test -e /srv/{server}.cmd"), SHORT));
        let partitions = good(sh.run("ls -p /dev/sdC0", SHORT));
        assert!(partitions.lines().any(|l| l == "esp"), "{partitions}");
        assert_eq!(partitions.lines().any(|l| l == "9fat"), name == "plan9n1", "{partitions}");
        // Only the loader for UEFI passes these tables on.
        let variables = good(sh.run("ls -p '#ec'", SHORT));
        assert_eq!(
            variables.lines().any(|l| l.trim_matches('\'') == "*acpi"),
            firmware == Firmware::Uefi,
            "{variables}"
        );
    }
}

#[test]
fn an_hjfs_that_9front_made_is_read() {
    let Some(media) = ready("an_hjfs_that_9front_made_is_read") else { return };
    let lab = lab(&media, "hjfs");
    let node = lab.node("plan9n2");
    let (own, machine) = front_own::machine(&lab, node, 400);
    let mut guest = machine.start().unwrap();
    {
        let mut sh = shell(&mut guest, "plan9n2");
        let mut run = |command: &str| good(sh.run(command, WORK));
        run("hjfs -n own -Srf /dev/sdC1/data; sleep 2");
        run("for(c in bootes bob 'sys +bootes +bob') {echo newuser $c >>/srv/own.cmd; sleep 1}");
        run("mount -c /srv/own /n/own");
        front_own::fill(&mut run);
        front_own::system(&mut run);
        // A dump, and changes after it.
        run("echo dump >>/srv/own.cmd; sleep 5; echo is >/n/own/changed; rm /n/own/many/9");
        run("{echo sync; sleep 15; echo sync; sleep 5; echo halt; sleep 3} >>/srv/own.cmd");
    }
    guest.quit(SHORT).unwrap();
    let file: Arc<dyn ReadAt> = Arc::new(HostFile::new(std::fs::File::open(&own).unwrap()).unwrap());
    let fs = fs::hjfs::open(file).unwrap();
    assert_eq!(findings(&fs), []);
    let count = front_own::copied(&fs, node, &media);
    assert!(count > 500, "{count} files");
    front_own::filled(&fs);
    front_own::is_a_medium(&own, &media, lab.epoch);
    // The dump has what was, but no temporary file.
    let dumps = fs.dumps();
    let step = |dir: &p9img::fs::Node| dumps.children(dir).unwrap().pop().expect("a dump");
    let dump = step(&step(&dumps.root().unwrap()));
    let names =
        |dir: &p9img::fs::Node| -> Vec<_> { dumps.children(dir).unwrap().into_iter().map(|n| n.name).collect() };
    let many = dumps.children(&dump).unwrap().into_iter().find(|n| n.name == b"many").unwrap();
    assert!(names(&many).contains(&b"9".to_vec()) && !names(&many).contains(&b"7".to_vec()));
    let was = dumps.children(&dump).unwrap().into_iter().find(|n| n.name == b"changed").unwrap();
    let mut text = [0; 9];
    assert_eq!(dumps.read(&was, 0, &mut text).unwrap(), 4);
    assert_eq!(&text[..4], b"was\n");
}

/// SHA-1 in hexadecimal, as sha1sum prints it.
fn sha1(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new("sha1sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let out = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&out.stdout).split_whitespace().next().unwrap().to_owned()
}
