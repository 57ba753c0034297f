//! Owners, modes and times of everything that goes into nodes, against what
//! Plan 9 makes of the same files: its installer's replica/applylog gets them
//! without any, and has only the release's own log. And a lab of that disk.

use super::{LONG, SHORT, selected, serve, shell, start, with};
use crate::built::Lab;
use crate::plan9::{good, prepare, write_fossil};
use crate::running::only_thorough;
use p9img::artifact;
use p9img::digest::Digest;
use p9img::disk::open_disk;
use p9img::fs::{self, FileSystem};
use p9img::guest::{Disk, DiskFormat};
use p9img::media::Database;
use p9img::tree::{EntryId, Meta, Mode, Tree};
use p9img_test::media::medium;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The installer's `copydist`.
const COPY: [&str; 3] = [
    ">/tmp/client.db",
    // Files that nodes lack cannot be copied; applylog names each at the end.
    "replica/applylog -t -u -c / /tmp/client.db /n/newfs /n/idle \
     </n/idle/dist/replica/plan9.log >[2]/tmp/errors; wc -l /tmp/errors",
    "mkdir /n/newfs/dist/replica/client && cp /tmp/client.db /n/newfs/dist/replica/client/plan9.db",
];

/// A file or folder: attributes, and the digest of a file's bytes.
type All = BTreeMap<String, (Meta, Option<Digest>)>;

/// Everything in the fossil of an image.
fn read(image: &Path) -> All {
    let disk = artifact::open(image).unwrap_or_else(|e| panic!("{}: {e}", image.display()));
    let opened = open_disk(disk).unwrap();
    let lba = opened.partitions().iter().find(|p| p.name == "fossil").unwrap().lba();
    let part = opened.partition("fossil").unwrap();
    let fs = fs::open(Arc::new(part), Some(lba), &fs::alone).unwrap_or_else(|e| panic!("{e}"));
    let mut all = All::new();
    let root = fs.root().unwrap();
    all.insert(String::new(), (root.meta.clone(), None));
    fs::walk::<std::io::Error>(&*fs, &root, &mut |name, node| {
        let sum = (!node.meta.mode.is_dir()).then(|| digest(&*fs, node));
        all.insert(String::from_utf8_lossy(name).into_owned(), (node.meta.clone(), sum));
        Ok(())
    })
    .unwrap();
    all
}

fn digest(fs: &dyn FileSystem, node: &fs::Node) -> Digest {
    let (mut hash, mut at, mut buf) = (Sha256::new(), 0, vec![0; 1 << 20]);
    while at < node.len {
        let n = (node.len - at).min(1 << 20) as usize;
        let n = fs.read(node, at, &mut buf[..n]).unwrap();
        hash.update(&buf[..n]);
        at += n as u64;
    }
    Digest(hash.finalize().into())
}

/// Reason why a difference has to be; `None` for one that must not be.
fn reason(path: &str, field: &str, known: bool) -> Option<&'static str> {
    match field {
        "missing" if !known => Some("not in the release's log, so Plan 9 does not install it"),
        "more" if path == "dist/replica/client" || path == "dist/replica/client/plan9.db" => {
            Some("the client's own record of what it has")
        }
        "mtime of a directory" => Some("the time at which the last file was made in it"),
        // `inst/mountfossil` has fossil make /adm before anything is copied, and
        // applylog leaves folders that are there as they are.
        "gid" if path == "adm" => Some("made by the installer before it copies"),
        // The installer tells fossil to make it, and fossil writes its users.
        "mode" | "bytes" | "mtime" | "uid" | "gid" if path == "adm/users" => Some("fossil's own list of users"),
        _ => None,
    }
}

#[test]
#[ignore = "half an hour: cargo test --test boot -- --ignored"]
fn owners_modes_and_times_are_those_that_applylog_gives() {
    if only_thorough("owners_modes_and_times_are_those_that_applylog_gives") {
        return;
    }
    let Some(media) = medium("owners_modes_and_times_are_those_that_applylog_gives", "9legacy") else { return };
    let lab = Lab::build(Some(&media), &[], "qcow2");
    let tree = selected(&media, lab.epoch);
    let installed = match std::env::var_os("P9IMG_WHOLE_INSTALLED") {
        Some(made) => PathBuf::from(made),
        None => install(&lab, &tree),
    };
    let records = Database::parse(&std::fs::read(media.join("dist/replica/plan9.db")).unwrap()).unwrap();
    let wrong = [differences(&tree, &installed, &records), of_a_lab(&lab, &installed, &records)].concat();
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Has Plan 9 install `tree` in a guest.
fn install(lab: &Lab, tree: &Tree) -> PathBuf {
    // Nothing of owners and modes is in the files that the guest gets, they are
    // in the log alone. Times of files must be: applylog keeps those that it is
    // served, as from a release's disc.
    let flat = |m: &Meta| match m.mode.is_dir() {
        true => Meta::new(Mode::dir(0o700), "none", "none", 1),
        false => Meta::new(Mode::file(0o600), "none", "none", m.mtime),
    };
    let (source, installed) = (lab.path("flat.img"), lab.path("installed.img"));
    write_fossil(&Arc::new(with(tree, flat)), lab.epoch, &source);
    File::create(&installed).unwrap().set_len(2 << 30).unwrap();
    {
        let target = Disk { keep_writes: true, ..Disk::new(&installed, DiskFormat::Raw) };
        let mut guest = start(lab, vec![Disk::new(&source, DiskFormat::Raw), target]);
        let mut sh = shell(&mut guest);
        serve(&mut sh, "/dev/sdC1/data");
        for step in prepare("sdD0").into_iter().chain(COPY.map(str::to_owned)) {
            let begin = std::time::Instant::now();
            let said = match sh.run(&step, LONG) {
                // It ends so when something of the log is not there.
                Ok(out) if step.starts_with("replica") => out.text,
                result => good(result),
            };
            eprintln!("{:6.0} s  {step}\n{said}", begin.elapsed().as_secs_f64());
        }
        good(
            sh.run("grep -v 'copying .* (not exist|does not exist|not found)' /tmp/errors | sed 20q; status=''", SHORT),
        );
        good(
            sh.run("echo fsys main sync >>/srv/newcons; sleep 20; echo fsys main halt >>/srv/newcons; sleep 20", LONG),
        );
    }
    std::fs::remove_file(source).unwrap();
    installed
}

/// Differences that have no reason; prints those that have one, and why.
fn differences(tree: &Tree, installed: &Path, records: &Database) -> Vec<String> {
    let theirs = read(installed);
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut note =
        |path: &str, field: &str, what: String| match reason(path, field, records.get(path.as_bytes()).is_some()) {
            Some(reason) => reasons.entry(reason).or_default().push(format!("/{path}: {field} {what}")),
            None => wrong.push(format!("/{path}: {field} {what}")),
        };
    let mut files = 0;
    let mut ours = BTreeSet::new();
    tree.walk(|path, id, entry| {
        let name = String::from_utf8_lossy(path).into_owned();
        ours.insert(name.clone());
        let Some((meta, sum)) = theirs.get(&name) else {
            // A folder that only the records name is there for them alone.
            return note(&name, "missing", String::new());
        };
        let mut field = |field: &str, a: String, b: String| {
            if a != b {
                note(&name, field, format!("p9img {a}, Plan 9 {b}"));
            }
        };
        let dir = entry.is_dir();
        field("uid", entry.meta.uid.to_string(), meta.uid.to_string());
        field("gid", entry.meta.gid.to_string(), meta.gid.to_string());
        field("mode", entry.meta.mode.to_string(), meta.mode.to_string());
        let time = if dir || id == EntryId::ROOT { "mtime of a directory" } else { "mtime" };
        field(time, entry.meta.mtime.to_string(), meta.mtime.to_string());
        if let (Some(content), Some(sum)) = (entry.content(), sum) {
            files += 1;
            let bytes = Digest::of(&content.read_all().unwrap());
            field("bytes", bytes.to_string(), sum.to_string());
        }
    });
    for path in theirs.keys().filter(|p| !ours.contains(*p)) {
        note(path, "more", String::new());
    }
    println!("{files} files and {} folders on both", theirs.len() - files);
    for (reason, all) in &reasons {
        println!("{} × {reason}", all.len());
        all.iter().take(if all.len() > 60 { 5 } else { 60 }).for_each(|line| println!("    {line}"));
    }
    assert!(files > 15_000, "only {files} files were compared");
    wrong
}

const NEVER_OF_A_DISK: [&str; 5] = ["adm/keys", "adm/keys.who", "adm/netkeys", "adm/secstore", "adm/whitelist"];

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The four nodes from the installed disk, each file against the nodes from the folder.
fn of_a_lab(folder: &Lab, installed: &Path, records: &Database) -> Vec<String> {
    let secrets = std::fs::read(folder.path("secrets.toml")).unwrap();
    let again = Lab::build_with(Some(installed), &[], "qcow2", Some(&secrets));
    let mut wrong = Vec::new();
    for node in &folder.nodes {
        let image = |lab: &Lab| read(&lab.disk(&node.name, crate::built::Artifact::Qcow2).path);
        let (ours, mut theirs) = (image(folder), image(&again));
        let mut same = 0;
        for (path, (_, sum)) in &ours {
            match theirs.remove(path) {
                Some((_, other)) if other == *sum => same += 1,
                Some(_) => wrong.push(format!("{}: /{path}: other bytes", node.name)),
                None if records.get(path.as_bytes()).is_none() => {}
                // Never taken from a disk, though recorded: doc/media.md.
                None if NEVER_OF_A_DISK.iter().any(|own| below(path, own)) => {}
                None => wrong.push(format!("{}: /{path} is missing", node.name)),
            }
        }
        wrong.extend(theirs.keys().map(|path| format!("{}: /{path} is too many", node.name)));
        println!("{}: {same} of {} files and folders are the same", node.name, ours.len());
    }
    wrong
}
