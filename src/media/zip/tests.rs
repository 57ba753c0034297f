use super::super::Medium;
use super::super::Source;
use super::*;
use crate::stop;
use ::zip::write::{SimpleFileOptions, ZipWriter};
use ::zip::{CompressionMethod, DateTime};
use std::fs;

const SYSTEM: [&str; 4] = ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc"];

fn options(method: CompressionMethod) -> SimpleFileOptions {
    let time = DateTime::from_date_and_time(2001, 2, 3, 4, 5, 6).unwrap();
    SimpleFileOptions::default().compression_method(method).last_modified_time(time)
}

/// An archive as a forge gives it out: all in one folder, some files stored.
fn archive(fill: impl FnOnce(&mut ZipWriter<io::Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut out = ZipWriter::new(io::Cursor::new(Vec::new()));
    out.add_directory("plan9-main/", options(CompressionMethod::Stored)).unwrap();
    for (i, path) in SYSTEM.iter().enumerate() {
        let how = if i == 0 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let mode = if path.contains("bin") { 0o755 } else { 0o644 };
        out.start_file(format!("plan9-main/{path}"), options(how).unix_permissions(mode)).unwrap();
        out.write_all(path.repeat(1000).as_bytes()).unwrap();
    }
    fill(&mut out);
    out.finish().unwrap().into_inner()
}

fn read(bytes: &[u8], store: bool) -> Result<Medium, MediumError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan9.zip");
    fs::write(&path, bytes).unwrap();
    let store = store.then(|| Store::at(dir.path().join("store")));
    let first = Medium::open("zip", &path, 9, store.as_ref())?;
    let again = Medium::open("zip", &path, 9, store.as_ref())?;
    let threads = std::num::NonZeroUsize::MIN;
    assert_eq!(first.tree.digest(threads, &stop::go_on).unwrap(), again.tree.digest(threads, &stop::go_on).unwrap());
    Ok(first)
}

fn text(medium: &Medium, path: &str) -> String {
    let id = medium.tree.find(path.as_bytes()).unwrap_or_else(|| panic!("no {path} in {:?}", medium.tree.paths()));
    String::from_utf8(medium.tree.entry(id).content().unwrap().read_all().unwrap()).unwrap()
}

#[test]
fn an_archive_of_a_tree_is_a_medium() {
    let bytes = archive(|out| {
        out.add_symlink("plan9-main/rc/bin/link", "cpurc", options(CompressionMethod::Stored)).unwrap();
        out.start_file("plan9-main/lib/ü", options(CompressionMethod::Deflated)).unwrap();
        out.write_all(b"umlaut").unwrap();
        out.start_file("__MACOSX/plan9-main/._lib", options(CompressionMethod::Deflated)).unwrap();
        out.write_all(b"\x00\x05\x16\x07").unwrap();
        // An image in it does not make it the archive of an image.
        out.start_file("plan9-main/sys/lib/x.img", options(CompressionMethod::Deflated)).unwrap();
    });
    let padded = [&bytes[..], &[0; 100_000]].concat();
    for (bytes, store) in [(&bytes, true), (&bytes, false), (&padded, true)] {
        let medium = read(bytes, store).unwrap();
        for path in SYSTEM {
            assert_eq!(text(&medium, path), path.repeat(1000));
        }
        assert_eq!((&*text(&medium, "lib/ü"), &*text(&medium, "rc/bin/link")), ("umlaut", &*SYSTEM[3].repeat(1000)));
        let meta = |path: &str| medium.tree.entry(medium.tree.find(path.as_bytes()).unwrap()).meta.clone();
        assert_eq!(meta("rc/bin/cpurc"), Meta::new(Mode::file(0o755), "sys", "sys", 981_173_106));
        assert_eq!(meta("386/mbr").mode, Mode::file(0o644));
        assert!(medium.notes.iter().any(|n| n.contains("left out __MACOSX")), "{:?}", medium.notes);
    }
    // Under another compression, too.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, zstd::bulk::compress(&bytes, 1).unwrap()).unwrap();
    let medium = Medium::open("zip", &path, 9, Some(&Store::at(dir.path().join("store")))).unwrap();
    assert_eq!(text(&medium, "386/mbr"), "386/mbr".repeat(1000));
}

#[test]
fn hostile_archives_are_refused_with_the_reason() {
    let says = |bytes: &[u8], words: &str| {
        for store in [true, false] {
            let e = read(bytes, store).unwrap_err();
            let chain = format!("{e}: {}", std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default());
            assert!(chain.contains(words), "{words}: {chain}");
        }
    };
    let with = |name: &str| {
        archive(|out| {
            out.start_file(name, options(CompressionMethod::Deflated)).unwrap();
            out.write_all(b"x").unwrap();
        })
    };
    says(&with("plan9-main/../../x"), "leads out of the tree");
    says(&with("/etc/passwd"), "leads out of the tree");
    says(&with("plan9-main/386/mbr/x"), "a folder in it is a file");
    let good = archive(|_| {});
    let central = |nth: usize| good.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").nth(nth).unwrap().0;
    let changed = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    // The third file is deflated. Its entry: method, sum, lengths, place.
    let entry = central(2);
    says(&changed(entry + 8, &[1, 0]), "is encrypted");
    for (method, name) in
        [(9, "Deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (98, "PPMd"), (6, "Implode")]
    {
        says(&changed(entry + 10, &[method, 0]), &format!("is packed by {name}, which p9img does not read"));
    }
    says(&changed(entry + 16, &[0; 4]), "has the CRC-32");
    says(&changed(entry + 24, &[1, 0, 0, 0]), "says 1 byte");
    says(&changed(entry + 24, &[0xff, 0xff, 0xff, 0x7f]), "becomes longer than");
    says(&changed(entry + 42, &good[central(3) + 42..][..4]), "overlap in the archive");
    says(&changed(entry + 42, &[0xf0, 0xff, 0xff, 0x0f]), "zip archive");
    let mut twice = with("plan9-main/386/mbx");
    let last = twice.windows(18).rposition(|w| w == b"plan9-main/386/mbx").unwrap();
    twice[last + 17] = b'r';
    says(&twice, "plan9-main/386/mbr appears twice");
    for (at, byte) in good.iter().enumerate().filter(|(at, _)| *at < 200 || *at >= central(0)) {
        let _ = read(&changed(at, &[byte ^ 0x80]), false);
    }
}

#[test]
fn an_archive_of_an_image_is_left_to_the_reader_of_images() {
    let mut out = ZipWriter::new(io::Cursor::new(Vec::new()));
    for name in ["__MACOSX/._card.img", "card.img"] {
        out.start_file(name, options(CompressionMethod::Deflated)).unwrap();
        out.write_all(&[7; 1000]).unwrap();
    }
    let bytes: Arc<dyn ReadAt> = Arc::new(out.finish().unwrap().into_inner());
    assert!(!holds_tree(&*bytes));
    let image = crate::artifact::from(bytes).unwrap();
    assert_eq!(image.len(), 1000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.zip");
    fs::write(&path, archive(|_| {})).unwrap();
    assert!(matches!(Source::open(&path, None).unwrap(), Source::Zip(_)));
}
