//! 9front on cwfs64x: a node comes up unattended and writes, and cwfs's own
//! checker finds nothing before and after, nor does p9img's; and a cwfs64x that
//! 9front made itself is read.
//!
//! The medium is that of `front`.

use crate::built::Lab;
use crate::front::{WORK, equal_to_the_medium, findings, is_the_node, lab, partition, raw, read, ready, work, worked};
use crate::front_own;
use crate::legacy::{SHORT, plain, shell};
use crate::plan9::good;
use crate::running::{NODES, Running, only_thorough};
use p9img::fs::{FileSystem, cwfs};
use p9img::guest::Shell;
use p9img::read_at::{HostFile, ReadAt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const PARTS: [&str; 3] = ["fscache", "fsworm", "other"];

/// cwfs's own `check` of each of `filsys` has nothing to say; its console is in
/// `/srv/SERVICE.cmd`. All files are read. Of the dumps it looks at the wrong
/// blocks (doc/cwfs.md).
fn check(sh: &mut Shell, service: &str, filsys: &[&str]) {
    let mut run = |command: &str| good(sh.run(command, WORK));
    run("ramfs -m /n/check");
    for fs in filsys {
        // Lines are short: a busy guest loses some of long ones.
        run(&format!(
            "cat /srv/{service}.cmd >/n/check/out & pid=$apid\n\
             {{echo cfs {fs}; echo check rdall}} >>/srv/{service}.cmd\n\
             while(! grep -s 'deepest recursion' /n/check/out) sleep 1\n\
             sleep 1; echo kill >/proc/$pid/note; echo cfs main >>/srv/{service}.cmd"
        ));
        sound(&run("cat /n/check/out"));
    }
    run("unmount /n/check");
}

/// Checks that the checker, which printed `text`, found nothing.
fn sound(text: &str) {
    let lines: Vec<_> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for zero in ["ndup = 0", "nfdup = 0", "nbad = 0", "nqbad = 0"] {
        assert!(lines.iter().any(|l| l == zero), "no {zero:?}:\n{text}");
    }
    for bad in ["check: ", "missing: ", "qid generator low", "not zero", "modified", "too large"] {
        assert!(!text.contains(bad), "{bad:?}:\n{text}");
    }
    assert!(lines.iter().any(|l| l.starts_with("nfiles = ")), "{text}");
}

/// Stops a server when all is written.
fn halt(sh: &mut Shell, service: &str) {
    good(sh.run(&format!("{{echo sync; sleep 5}} >>/srv/{service}.cmd"), SHORT));
    sh.console().send_line(&format!("echo halt >>/srv/{service}.cmd")).unwrap();
    sh.console().wait_for("halted at", SHORT).unwrap_or_else(|e| panic!("{e}"));
    std::thread::sleep(Duration::from_secs(3));
}

fn assert_all_sound(disk: &Path) {
    for name in PARTS {
        assert_eq!(findings(&*partition(disk, name)), [], "{name}");
    }
}

#[test]
fn a_node_comes_up_on_cwfs64x_and_leaves_it_sound() {
    let Some(media) = ready("a_node_comes_up_on_cwfs64x_and_leaves_it_sound") else { return };
    let lab = lab(&media, "cwfs64x");
    let node = lab.node("plan9n1");
    let disk = raw(&lab, "plan9n1");
    assert_all_sound(&disk.path);
    let mut guest = plain(disk.clone(), node).start().unwrap();
    {
        let mut sh = shell(&mut guest, "plan9n1");
        check(&mut sh, "cwfs", &["main", "other"]);
        let mut run = |command: &str| good(sh.run(command, WORK));
        is_the_node(&mut run, &lab, node, "fscache");
        equal_to_the_medium(&mut run, node, &media);
        work(&mut run);
        run("9fs other; echo here >/n/other/usr/bootes/tmp/x; 9fs dump; ls /n/dump");
        run("{echo newuser moe; sleep 2} >>/srv/cwfs.cmd");
        check(&mut sh, "cwfs", &["main", "other"]);
        // A dump goes to the worm, and changes after it to the cache.
        let mut run = |command: &str| good(sh.run(command, WORK));
        run("{echo dump; sleep 20} >>/srv/cwfs.cmd");
        run("rm /usr/bootes/files/4/4; echo new >/usr/bootes/files/6/6");
        check(&mut sh, "cwfs", &["main"]);
        halt(&mut sh, "cwfs");
    }
    guest.quit(SHORT).unwrap();
    assert_all_sound(&disk.path);
    let fs = partition(&disk.path, "fscache");
    worked(&*fs);
    assert_eq!(read(&*fs, "usr/bootes/files/6/6"), b"new\n");
    assert!(fs.find(b"usr/bootes/files/4/4").is_err());
    assert!(String::from_utf8(read(&*fs, "adm/users")).unwrap().contains(":moe:moe:"));
    assert_eq!(read(&*partition(&disk.path, "other"), "usr/bootes/tmp/x"), b"here\n");
    let dumped = newest(&open_cwfs(&disk.path, "fscache"), "usr/bootes/files/4/4");
    assert_eq!(dumped, b"4 4\n");
}

#[test]
fn the_grid_does_its_work_on_cwfs64x() {
    let test = "the_grid_does_its_work_on_cwfs64x";
    let Some(media) = ready(test).filter(|_| !only_thorough(test)) else { return };
    let running = Running::of(|| lab(&media, "cwfs64x"));
    running.up(&[]);
    running.test();
    running.must(&["down"]);
    for node in NODES {
        assert_all_sound(&running.lab.path(&format!("output/run/{node}/disk.qcow2")));
    }
}

/// A partition of a raw disk, as cwfs64x.
fn open_cwfs(disk: &Path, name: &str) -> cwfs::CwfsReader {
    let file: Arc<dyn ReadAt> = Arc::new(HostFile::new(std::fs::File::open(disk).unwrap()).unwrap());
    let disk = p9img::disk::open_disk(file).unwrap();
    cwfs::open(disk.beside(name).unwrap(), &|name| disk.beside(name)).unwrap()
}

/// A file of the newest dump.
fn newest(fs: &cwfs::CwfsReader, path: &str) -> Vec<u8> {
    let dumps = fs.dumps().expect("a cached worm");
    let step = |dir: &p9img::fs::Node| dumps.children(dir).unwrap().pop().expect("a dump");
    let (year, day) = {
        let year = step(&dumps.root().unwrap());
        let day = step(&year);
        (String::from_utf8(year.name).unwrap(), String::from_utf8(day.name).unwrap())
    };
    read(&dumps, &format!("{year}/{day}/{path}"))
}

#[test]
fn a_cwfs64x_that_9front_made_is_read() {
    let Some(media) = ready("a_cwfs64x_that_9front_made_is_read") else { return };
    let lab = lab(&media, "cwfs64x");
    let node = lab.node("plan9n2");
    let (own, machine) = front_own::machine(&lab, node, 1000);
    let mut guest = machine.start().unwrap();
    {
        let mut sh = shell(&mut guest, "plan9n2");
        let mut run = |command: &str| good(sh.run(command, WORK));
        // As /rc/bin/inst does it, but for the name and who asks.
        run("disk/prep -bw -a^(nvram fscache fsworm other) /dev/sdC1/data >/dev/null");
        run("disk/prep -p /dev/sdC1/data >/dev/sdC1/ctl");
        run("{echo service own; echo config /dev/sdC1/fscache; echo noauth\n\
             echo filsys main c'(/dev/sdC1/fscache)(/dev/sdC1/fsworm)'; echo filsys dump o\n\
             echo filsys other '(/dev/sdC1/other)'\n\
             echo ream other; echo ream main; echo end} >/tmp/fsconfig");
        run("cwfs64x -n own -f /dev/sdC1/fscache -C -c </tmp/fsconfig; sleep 3");
        run("fn say {for(c) {echo $c >>/srv/own.cmd; sleep 1}}");
        run("say allow 'users default' 'cfs main' 'create /adm adm adm 775 d'");
        run("say 'create /adm/users adm adm 664' 'newuser bob' 'newuser sys +bob' 'cfs other'");
        run("say 'create /usr sys sys 775 d' 'create /usr/bob bob bob 750 d' 'cfs main'");
        run("mount -c /srv/own /n/own; mount -c /srv/own /n/oo other");
        front_own::fill(&mut run);
        front_own::system(&mut run);
        run("dd -if /rc/bin/cpurc -of /n/own/holes -bs 512 -count 1 -oseek 1000 >[2]/dev/null");
        run("dd -if /dev/zero -of /n/own/large -bs 65536 -count 800 >[2]/dev/null");
        run("cd /n/oo/usr/bob; mkdir d; for(i in `{seq 200}) echo $i >d/$i; rm d/1?; cd /");
        // A dump, and changes after it.
        run("{echo dump; sleep 20} >>/srv/own.cmd");
        run("echo is >/n/own/changed; rm /n/own/many/9 /n/own/large");
        check(&mut sh, "own", &["main", "other"]);
        halt(&mut sh, "own");
    }
    guest.quit(SHORT).unwrap();
    assert_all_sound(&own);
    let (main, worm, other) = (open_cwfs(&own, "fscache"), open_cwfs(&own, "fsworm"), open_cwfs(&own, "other"));
    assert_eq!([main.kind(), worm.kind(), other.kind()], ["cwfs64x", "cwfs64x-worm", "cwfs64x-other"]);
    extracted(&lab, node, &media);
    front_own::filled(&main);
    front_own::is_a_medium(&own, &media, lab.epoch);
    assert_eq!(&*main.find(b"adm").unwrap().meta.uid, "adm");
    assert!(main.find(b"large").is_err());
    let holes = read(&main, "holes");
    assert!(
        holes.len() == 1001 * 512 && holes[..512_000].iter().all(|b| *b == 0) && holes.ends_with(&holes[512_000..])
    );
    assert_eq!(holes[512_000..], std::fs::read(media.join("rc/bin/cpurc")).unwrap()[..512]);
    // The dump has what was, in the cache and on the worm alone, but no
    // temporary file.
    assert_eq!(newest(&main, "changed"), b"was\n");
    assert_eq!(newest(&main, "many/9"), b"9\n");
    assert_eq!(newest(&main, "large"), vec![0; 65_536 * 800]);
    assert_eq!(read(&worm, "changed"), b"was\n");
    assert_eq!(newest(&worm, "many/9"), b"9\n");
    let (node, many) = (other.find(b"usr/bob/d").unwrap(), other.find(b"usr/bob").unwrap());
    assert_eq!((&*many.meta.uid, many.meta.mode.perm()), ("bob", 0o750));
    assert_eq!(other.children(&node).unwrap().len(), 190);
    assert_eq!(read(&other, "usr/bob/d/200"), b"200\n");
}

/// `p9img ls`, `extract` and `fsck` read what the guest wrote: every file of
/// the medium that was copied.
fn extracted(lab: &Lab, node: &crate::built::Node, media: &Path) {
    let p9img = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_p9img")).args(args).current_dir(lab.path("")).output().unwrap();
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "p9img {}: {}\n{errors}", args.join(" "), out.status);
        String::from_utf8(out.stdout).unwrap()
    };
    let partitions = p9img(&["ls", "own.img"]);
    for (name, kind) in PARTS.iter().zip(["cwfs64x", "cwfs64x-worm", "cwfs64x-other"]) {
        let line = partitions.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{partitions}"));
        assert!(line.ends_with(&format!(" {kind}")), "{partitions}");
    }
    assert!(p9img(&["ls", "own.img:fscache:/adm"]).contains("users\n"));
    p9img(&["fsck", "own.img"]);
    for top in ["rc", "lib"] {
        p9img(&["extract", &format!("own.img:fscache:/{top}"), top]);
        let mut count = 0;
        for entry in walkdir::WalkDir::new(lab.path(top)).into_iter().map(Result::unwrap) {
            let path = entry.path().strip_prefix(lab.path("")).unwrap();
            let rendered = node.files.iter().any(|f| f["path"] == path.to_str().unwrap_or_default());
            if entry.file_type().is_file() && !rendered {
                let there = std::fs::read(media.join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                assert!(std::fs::read(entry.path()).unwrap() == there, "{} differs from the medium's", path.display());
                count += 1;
            }
        }
        assert!(count > 50, "{top}: {count} files");
    }
}
