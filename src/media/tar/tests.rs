use super::super::{Distribution, Medium, Source};
use super::*;
use p9img_test::skip::skipped;
use std::fs;
use tar::{Builder, EntryType, Header as Made};

/// A member of an archive that a test makes.
fn made(name: &str, kind: EntryType, len: u64) -> Made {
    let mut h = Made::new_gnu();
    h.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    h.set_entry_type(kind);
    h.set_size(len);
    h.set_mode(0o640);
    h.set_mtime(1_000_000_000);
    h.set_username("glenda").unwrap();
    h.set_groupname("1000").unwrap();
    h.set_cksum();
    h
}

type Archive = Builder<Vec<u8>>;

fn file(a: &mut Archive, name: &str, bytes: &str) {
    a.append(&made(name, EntryType::Regular, bytes.len() as u64), bytes.as_bytes()).unwrap();
}

fn link(a: &mut Archive, name: &str, kind: EntryType, target: &str) {
    let mut h = made(name, kind, 0);
    h.set_link_name_literal(target).unwrap();
    h.set_cksum();
    a.append(&h, &[][..]).unwrap();
}

/// The files that mark 9legacy, below `top`.
fn plan9(a: &mut Archive, top: &str) {
    for path in ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc"] {
        file(a, &format!("{top}{path}"), path);
    }
}

fn archive(fill: impl FnOnce(&mut Archive)) -> Vec<u8> {
    let mut a = Builder::new(Vec::new());
    fill(&mut a);
    a.into_inner().unwrap()
}

fn opened(bytes: &[u8]) -> Result<Medium, MediumError> {
    let t = tempfile::tempdir().unwrap();
    let path = t.path().join("m.tar");
    fs::write(&path, bytes).unwrap();
    Medium::open("test", &path, 99, None)
}

fn error(bytes: &[u8]) -> String {
    let e = opened(bytes).unwrap_err();
    std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string)
}

fn text(m: &Medium, path: &str) -> String {
    let entry = m.tree.entry(m.tree.find(path.as_bytes()).unwrap_or_else(|| panic!("{path} is there")));
    String::from_utf8(entry.content().unwrap().read_all().unwrap()).unwrap()
}

#[test]
fn modes_times_and_owners_are_the_archives_where_the_release_has_no_records() {
    let m = opened(&archive(|a| {
        a.append(&made("./", EntryType::Directory, 0), &[][..]).unwrap();
        plan9(a, "./");
    }));
    let m = m.unwrap();
    assert_eq!(m.distribution, Distribution::Legacy);
    let meta = |path: &str| m.tree.entry(m.tree.find(path.as_bytes()).unwrap()).meta.clone();
    assert_eq!(meta("386/9load"), Meta::new(Mode::file(0o640), "glenda", "sys", 1_000_000_000));
    assert_eq!(meta(""), Meta::new(Mode::dir(0o640), "glenda", "sys", 1_000_000_000));
    assert_eq!(meta("386"), Meta::new(Mode::dir(0o775), "sys", "sys", 99), "only named by its files");
    assert!(m.metadata_source.contains("archive"), "{}", m.metadata_source);

    let m = opened(&archive(|a| {
        plan9(a, "");
        file(a, "dist/replica/plan9.db", "386/9load - 444 upas sys 5 1\n");
    }));
    let m = m.unwrap();
    let meta = |path: &str| m.tree.entry(m.tree.find(path.as_bytes()).unwrap()).meta.clone();
    assert_eq!(meta("386/9load"), Meta::new(Mode::file(0o444), "upas", "sys", 5));
    assert_eq!(meta("386/mbr"), Meta::new(Mode::file(0o664), "sys", "sys", 99), "as in a folder");
    assert!(m.metadata_source.contains("plan9.db"), "{}", m.metadata_source);
}

#[test]
fn a_common_top_folder_goes_if_and_only_if_the_system_lies_in_it() {
    let m = opened(&archive(|a| {
        file(a, "plan9-1.0/dist/replica/plan9.db", "386/9load - 444 upas sys 5 1\n");
        plan9(a, "plan9-1.0/");
    }));
    let m = m.unwrap();
    assert_eq!(text(&m, "386/9load"), "386/9load");
    assert!(m.metadata_source.contains("plan9.db"));
    for (top, beside) in [("one/", "other"), ("one/two/", "one/x")] {
        let e = opened(&archive(|a| {
            plan9(a, top);
            file(a, beside, "x");
        }));
        assert!(matches!(e, Err(MediumError::NotPlan9 { .. })), "{top}");
    }
}

#[test]
fn links_duplicates_and_long_names() {
    let long = format!("sys/{}/{}", "d".repeat(200), "f".repeat(200));
    let m = opened(&archive(|a| {
        plan9(a, "");
        file(a, "lib/a", "old");
        link(a, "lib/hard", EntryType::Link, "./lib/a");
        link(a, "lib/soft", EntryType::Symlink, "../rc/bin/cpurc");
        link(a, "bin", EntryType::Symlink, "rc/bin");
        file(a, "lib/a", "new");
        let mut h = made("", EntryType::Regular, 4);
        a.append_data(&mut h, &long, &b"long"[..]).unwrap();
    }));
    let m = m.unwrap();
    let files = [("lib/a", "new"), ("lib/hard", "old"), ("lib/soft", "rc/bin/cpurc"), ("bin/cpurc", "rc/bin/cpurc")];
    for (path, is) in files {
        assert_eq!(text(&m, path), is, "{path}");
    }
    assert_eq!(text(&m, &long), "long");
}

#[test]
fn what_cannot_be_in_a_plan9_tree_is_refused() {
    type Fill = fn(&mut Archive);
    let wrong: [(Fill, &str); 14] = [
        (|a| file(a, "../up", "x"), "leads out of the tree"),
        (|a| file(a, "/etc/passwd", "x"), "leads out of the tree"),
        (|a| file(a, "a/../../b", "x"), "leads out of the tree"),
        (|a| file(a, "rc", "x"), "appears twice"),
        (|a| file(a, "386/9load/x", "x"), "a folder in it is a file"),
        (|a| file(a, "a\nb", "x"), "control character"),
        (|a| link(a, "l", EntryType::Symlink, "/etc/passwd"), "outside of it"),
        (|a| link(a, "386/l", EntryType::Symlink, "../../x"), "outside of it"),
        (|a| link(a, "386/l", EntryType::Symlink, ".."), "leads back"),
        (|a| link(a, "l", EntryType::Link, "later"), "not an earlier file of the archive"),
        (|a| link(a, "l", EntryType::Link, "../x"), "leads out of the tree"),
        (|a| a.append(&made("p", EntryType::Fifo, 0), &[][..]).unwrap(), "named pipe"),
        (|a| a.append(&made("c", EntryType::Char, 0), &[][..]).unwrap(), "device"),
        (|a| a.append(&made("s", EntryType::GNUSparse, 0), &[][..]).unwrap(), "sparse"),
    ];
    for (fill, words) in wrong {
        let bytes = archive(|a| {
            plan9(a, "");
            fill(a);
        });
        let e = error(&bytes);
        assert!(e.contains(words), "{words}: {e}");
    }
    // A name of a mebibyte, by GNU's way and POSIX's.
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let bytes = archive(|a| {
            plan9(a, "");
            let name = vec![b'n'; 1 << 20];
            let record = [b"1048592 path=".as_slice(), &name, b"\n"].concat();
            let data = if kind == EntryType::XHeader { record } else { name };
            a.append(&made("long", kind, data.len() as u64), &data[..]).unwrap();
            file(a, "x", "x");
        });
        let e = error(&bytes);
        assert!(e.contains("bytes of its own") || e.contains("longer than"), "{e}");
    }
}

/// Makes a file `at` with `bytes` in the way of the seventh edition.
fn old(name: &str, mode: u32, bytes: &[u8]) -> Vec<u8> {
    let mut b = vec![0; BLOCK];
    b[..name.len()].copy_from_slice(name.as_bytes());
    // Plan 9 ends numbers with a blank.
    b[100..107].copy_from_slice(format!("{mode:6o} ").as_bytes());
    b[124..136].copy_from_slice(format!("{:11o} ", bytes.len()).as_bytes());
    b[136..148].copy_from_slice(format!("{:11o} ", 5).as_bytes());
    b[148..156].fill(b' ');
    let sum: u32 = b.iter().map(|b| u32::from(*b)).sum();
    b[148..155].copy_from_slice(format!("{sum:6o}\0").as_bytes());
    b.extend_from_slice(bytes);
    b.resize(b.len().next_multiple_of(BLOCK), 0);
    b
}

#[test]
fn archives_of_the_old_kind_are_known_by_their_sums() {
    let mut bytes = Vec::new();
    bytes.extend(old("386/", 0o775, b""));
    for path in ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc"] {
        bytes.extend(old(path, 0o555, path.as_bytes()));
    }
    bytes.extend(old("tmp", 0o040_777, b""));
    bytes.extend([0; 2 * BLOCK]);
    let m = opened(&bytes).unwrap();
    assert_eq!(text(&m, "386/mbr"), "386/mbr");
    let meta = |path: &str| m.tree.entry(m.tree.find(path.as_bytes()).unwrap()).meta.clone();
    assert_eq!(meta("386/mbr"), Meta::new(Mode::file(0o555), "sys", "sys", 5));
    assert_eq!(meta("tmp"), Meta::new(Mode::dir(0o777), "sys", "sys", 5));
}

#[test]
fn an_archive_cut_anywhere_or_damaged_in_a_header_is_refused() {
    let good = archive(|a| {
        plan9(a, "");
        file(a, "lib/ndb/local", &"x".repeat(1000));
    });
    opened(&good).unwrap();
    // The writer ends with two blocks of zeros; one is enough.
    for cut in 1..good.len() - BLOCK {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("m.tar");
        if cut % 101 != 0 && cut % BLOCK != 0 {
            continue;
        }
        fs::write(&path, &good[..cut]).unwrap();
        let e = Source::open(&path, None).and_then(|s| s.list(&path)).unwrap_err();
        let unknown = cut < BLOCK && matches!(e, MediumError::Unknown { .. });
        assert!(unknown || matches!(e, MediumError::Tar { .. }), "{cut}: {e}");
    }
    let e = error(&good[..3 * BLOCK]);
    assert!(e.contains("cut off"), "{e}");
    for (at, to, words) in [(0, b'x', "checksum is wrong"), (2 * BLOCK + 130, b'7', "checksum is wrong")] {
        let mut bad = good.clone();
        bad[at] = to;
        let e = error(&bad);
        assert!(e.contains(words), "{at}: {e}");
    }
    // A header gone to zeros must not look like the end.
    let mut bad = good.clone();
    bad[2 * BLOCK..3 * BLOCK].fill(0);
    assert!(error(&bad).contains("does not end an archive"), "{}", error(&bad));
}

#[test]
fn gnu_tar_is_read_in_all_its_formats() {
    let t = tempfile::tempdir().unwrap();
    let tree = t.path().join("tree");
    for (path, bytes) in [("386/9load", "l"), ("386/pbslba", "p"), ("386/mbr", "m"), ("rc/bin/cpurc", "c")] {
        fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
        fs::write(tree.join(path), bytes).unwrap();
    }
    let long = format!("sys/{}/{}", "d".repeat(80), "f".repeat(90));
    fs::create_dir_all(tree.join(&long).parent().unwrap()).unwrap();
    fs::write(tree.join(&long), "long").unwrap();
    fs::hard_link(tree.join("386/mbr"), tree.join("386/zz")).unwrap();
    std::os::unix::fs::symlink("mbr", tree.join("386/soft")).unwrap();
    let mut tried = 0;
    for format in ["gnu", "oldgnu", "pax", "ustar"] {
        let path = t.path().join("a.tar");
        let tar = std::process::Command::new("tar")
            .args(["--format", format, "-cf"])
            .arg(&path)
            .arg("-C")
            .arg(&tree)
            .arg(".")
            .output();
        let Some(out) = tar.ok().filter(|out| out.status.success()) else {
            let required = p9img_test::tools::required();
            assert!(!required, "GNU tar is required but not installed");
            skipped("gnu_tar_is_read_in_all_its_formats: no GNU tar");
            return;
        };
        assert!(out.stderr.is_empty());
        let m = Medium::open("test", &path, 9, None).unwrap();
        for (path, is) in [("386/zz", "m"), ("386/soft", "m"), (long.as_str(), "long")] {
            assert_eq!(text(&m, path), is, "{format} {path}");
        }
        tried += 1;
    }
    assert_eq!(tried, 4);
}

/// A short run of the fuzz target, on every test run.
#[test]
fn wounds_anywhere_give_an_error_or_a_tree() {
    let good = archive(|a| {
        plan9(a, "");
        link(a, "386/hard", EntryType::Link, "386/mbr");
        link(a, "bin", EntryType::Symlink, "386");
        let mut h = made("", EntryType::Regular, 4);
        a.append_data(&mut h, "l/".repeat(100) + "x", &b"long"[..]).unwrap();
    });
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut trees, mut errors) = (0, 0);
    for round in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len() / BLOCK) * BLOCK + random(300);
            bytes[at] = [0, b'/', b'.', b'1', b'2', b'5', b'7', 0x80, 0xff][random(9)];
        }
        // Most wounds would end at the sum.
        for block in bytes.chunks_exact_mut(BLOCK).filter(|b| round % 4 > 0 && b[257..262] == *b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        let len = bytes.len() as u64;
        let source: Arc<dyn ReadAt> = Arc::new(bytes);
        match list(&source, Path::new("m.tar")) {
            Ok(found) => {
                for content in found.listing.tree(None, 1).entries().iter().filter_map(|e| e.content()) {
                    assert!(content.len() <= len);
                    content.read_all().unwrap();
                }
                trees += 1;
            }
            Err(e) => errors += usize::from(!e.to_string().is_empty()),
        }
    }
    assert!(trees > 200 && errors > 1000, "{trees} trees, {errors} errors");
}
