//! The archive that `disk/mkfs -a` makes of a tree, compared with the medium
//! and with the files that the plan adds.
//!
//! A header line for each file: path, mode in octal (`DMDIR` and all), owner,
//! group, time, length; then the file's bytes. Paths are quoted as rc does.

use crate::built::{Artifact, Lab, Node};
use crate::legacy::{LONG, plain, shell};
use crate::plan9::good;
use p9img::guest::{Disk, DiskFormat, Shell};
use p9img::lab::Arch;
use p9img::media::{Medium, Selection};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// Has a node archive the tree of a second copy of its disk, which nothing
/// writes to, and compares as [`compare`] does. `serve` is to put that tree, on
/// `sdC1`, on `/n/idle`.
pub fn reads_back(lab: &Lab, media: &Path, arch: Arch, serve: impl FnOnce(&mut Shell)) {
    let node = lab.node("plan9n1");
    let out = lab.path("listing.img");
    File::create(&out).unwrap().set_len(1 << 30).unwrap();
    let mut machine = plain(lab.disk("plan9n1", Artifact::Qcow2), node);
    machine.disks.push(lab.disk("plan9n1", Artifact::Qcow2));
    machine.disks.push(Disk { keep_writes: true, ..Disk::new(&out, DiskFormat::Raw) });
    {
        let mut guest = machine.start().unwrap();
        let mut sh = shell(&mut guest, "plan9n1");
        serve(&mut sh);
        // mkfs archives the whole tree: names, modes, owners, times, bytes.
        good(sh.run("echo + >/env/all; disk/mkfs -a -s /n/idle /env/all >/dev/sdD0/data", LONG));
    }
    compare(&out, media, arch, lab.epoch, node);
    std::fs::remove_file(out).unwrap();
}

/// Metadata of a file as the guest prints it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// As stat(5) has it.
    mode: u32,
    uid: String,
    gid: String,
    mtime: u32,
    len: u64,
    sha256: String,
}

/// Compares every entry of the node's tree: what the medium has with the
/// medium's files, what the plan adds with the plan. Panics with a list of
/// differences.
fn compare(archive: &Path, media: &Path, arch: Arch, epoch: u32, node: &Node) {
    let mut seen = read(archive);
    let changes: BTreeMap<&str, &Value> =
        node.files.iter().map(|f| (f["path"].as_str().unwrap().trim_matches('/'), f)).collect();
    let medium = Medium::open("medium", media, epoch, None).unwrap();
    let include = medium.distribution.default_include(arch);
    let tree = Selection::new(&include, &[]).unwrap().apply(&medium.tree);

    let (mut same, mut wrong) = (0, String::new());
    let mut removed = BTreeSet::new();
    tree.walk(|path, _, entry| {
        let path = String::from_utf8_lossy(path).into_owned();
        let change = changes.get(&*path);
        if change.is_some_and(|c| c["what"] == "removed")
            || path.rsplit_once('/').is_some_and(|(up, _)| removed.contains(up))
        {
            removed.insert(path);
            return;
        }
        if path.is_empty() || change.is_some() {
            return;
        }
        let expected = Seen {
            mode: entry.meta.mode.0,
            uid: entry.meta.uid.to_string(),
            gid: entry.meta.gid.to_string(),
            mtime: entry.meta.mtime,
            len: entry.len(),
            sha256: entry.content().map_or_else(String::new, |c| hex(&Sha256::digest(c.read_all().unwrap()))),
        };
        match seen.remove(&path) {
            Some(found) if found == expected => same += 1,
            found => writeln!(wrong, "/{path}\n  expected {expected:?}\n  found    {found:?}").unwrap(),
        }
    });
    for (path, change) in &changes {
        let found = seen.remove(*path);
        let what = change["what"].as_str().unwrap();
        let right = match &found {
            None => what == "removed",
            Some(f) => {
                let text = |key: &str| change[key].as_str();
                what != "removed"
                    && (f.mode & 0x8000_0000 != 0) == (what == "folder")
                    && text("mode").is_none_or(|m| u32::from_str_radix(m, 8) == Ok(f.mode & 0x7FFF_FFFF))
                    && text("uid") == Some(&f.uid)
                    && text("gid") == Some(&f.gid)
                    && change["len"].as_u64().is_none_or(|len| len == f.len)
                    && text("sha256").is_none_or(|sum| sum == f.sha256)
            }
        };
        if !right {
            writeln!(wrong, "/{path}\n  expected {change}\n  found    {found:?}").unwrap();
        }
    }
    for removed in removed.iter().filter(|r| !changes.contains_key(&***r) && seen.contains_key(&**r)) {
        writeln!(wrong, "/{removed} is there although the plan removes it").unwrap();
    }
    // Folders that only lead to something the plan adds.
    seen.retain(|path, _| !changes.keys().any(|c| c.starts_with(&format!("{path}/"))));
    for path in seen.keys() {
        writeln!(wrong, "/{path} is neither the medium's nor the plan's").unwrap();
    }
    eprintln!("{same} files and folders of the medium read back the same in the guest, {} of the plan", changes.len());
    assert!(wrong.is_empty(), "{wrong}");
    assert!(same > 10_000, "only {same} entries were compared");
}

fn read(archive: &Path) -> BTreeMap<String, Seen> {
    let mut from = BufReader::with_capacity(1 << 20, File::open(archive).unwrap());
    let mut seen = BTreeMap::new();
    loop {
        let mut header = Vec::new();
        from.read_until(b'\n', &mut header).unwrap();
        let header = String::from_utf8(header).expect("a header of the archive is text");
        if header == "end of archive\n" {
            return seen;
        }
        let (path, rest) = path(&header);
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [mode, uid, gid, mtime, len] = fields[..] else { panic!("not a header of mkfs: {header:?}") };
        let len: u64 = len.parse().unwrap();
        let mut sum = Sha256::new();
        let mut left = len;
        while left > 0 {
            let part = from.fill_buf().unwrap();
            let n = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            assert!(n > 0, "the archive ends within {path}");
            sum.update(&part[..n]);
            from.consume(n);
            left -= n as u64;
        }
        let mode = u32::from_str_radix(mode, 8).unwrap();
        let is_dir = mode & 0x8000_0000 != 0;
        let entry = Seen {
            mode,
            uid: uid.to_owned(),
            gid: gid.to_owned(),
            mtime: mtime.parse().unwrap(),
            len,
            sha256: if is_dir { String::new() } else { hex(&sum.finalize()) },
        };
        assert!(seen.insert(path.clone(), entry).is_none(), "{path} is twice in the archive");
    }
}

/// Takes the first, perhaps quoted, word; without its leading slash.
fn path(header: &str) -> (String, &str) {
    let Some(quoted) = header.strip_prefix('\'') else {
        let (path, rest) = header.split_once(' ').unwrap_or_else(|| panic!("not a header of mkfs: {header:?}"));
        return (path.trim_start_matches('/').to_owned(), rest);
    };
    let (mut path, mut rest) = (String::new(), quoted);
    loop {
        let (part, behind) = rest.split_once('\'').unwrap_or_else(|| panic!("not a header of mkfs: {header:?}"));
        path.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                path.push('\'');
                rest = more;
            }
            None => return (path.trim_start_matches('/').to_owned(), behind),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[test]
fn headers_of_the_archive_are_understood() {
    assert_eq!(path("/386/9load 664 sys sys 1 2\n"), ("386/9load".to_owned(), "664 sys sys 1 2\n"));
    assert_eq!(path("'/a b''c' 664 x\n"), ("a b'c".to_owned(), " 664 x\n"));
}
