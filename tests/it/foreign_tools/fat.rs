//! FAT against Plan 9's own formatter, `fsck.fat`, `mkfs.fat` and `mtools`.

use crate::foreign_tools::{bytes, medium_file, tool};
use p9img::ReadAt;
use p9img::fs::FileSystem as _;
use p9img::fs::fat::format::{BootSector, DIRENT, DirEntry, Geometry, SECTOR, shown_name, unix_time};
use p9img::fs::fat::{Fat, FatFile, FatFs, Options};
use p9img::tree::Content;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `bootdisk.img` was made by `disk/format -t 3½QD -b /386/pbs` with four
/// files (`/sys/src/lib/dist/pc/mkfile`): the same list gives the same bytes,
/// with the times taken from it.
#[test]
fn reproduces_the_medium_s_own_boot_disk() {
    let (Some(image), Some(pbs)) = (medium_file("9legacy", "bootdisk.img"), medium_file("9legacy", "386/pbs")) else {
        return;
    };
    let golden = std::fs::read(image).unwrap();
    let boot = BootSector::decode(golden[..SECTOR].try_into().unwrap());
    let geometry = Geometry::new(&boot, golden.len() as u64).unwrap();
    let source: Arc<dyn ReadAt> = Arc::new(golden.clone());
    let files: Vec<FatFile> = (golden[geometry.root_offset() as usize..].chunks_exact(DIRENT))
        .map(|raw| DirEntry::decode(raw.try_into().unwrap()))
        .take_while(|e| e.name[0] != 0)
        .map(|e| {
            let offset = geometry.cluster_offset(e.start).unwrap();
            let content = Content::Part { source: source.clone(), offset, len: e.len.into() };
            let name = String::from_utf8(shown_name(&e.name)).unwrap();
            FatFile::new(&name, content, unix_time(e.date, e.time))
        })
        .collect();
    let names: Vec<_> = files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["9pcflop.gz", "9pccd.gz", "plan9.ini", "vgadb"]);
    let options = Options {
        sectors_per_cluster: 2,
        reserved: 1,
        heads: 2,
        sectors_per_track: 36,
        media: 0xF9,
        drive: 0,
        label: *b"CYLINDRICAL",
        boot_code: Some(std::fs::read(pbs).unwrap()),
        ..Options::hard_disk(5760, 0, 0)
    };
    let made = bytes(&Fat::layout(&files, &options).unwrap());
    assert_eq!(made.len(), golden.len());
    let differ = made.iter().zip(&golden).position(|(a, b)| a != b);
    assert_eq!(differ, None, "first difference at this byte");
}

fn sample_files() -> Vec<FatFile> {
    let body = |len: usize, seed: usize| Content::bytes((0..len).map(|i| (i * 7 + seed) as u8).collect::<Vec<_>>());
    let at = 1_767_225_600;
    vec![
        FatFile::new("9load", body(377_964, 1), at),
        FatFile::new("9pccpuf", body(3_000_001, 2), at + 2),
        FatFile::new("empty", body(0, 0), at),
        FatFile::new("overlays/disable.dtb", body(5000, 3), at),
        FatFile::new("overlays/deep/a.b", body(2048, 4), at),
        FatFile::new("plan9.ini", body(700, 5), at + 60),
    ]
}

#[test]
fn fsck_and_mtools_agree() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("9fat.img");
    // FAT12 and FAT16, small and 40 MiB, at the start of a disk and inside one.
    for (sectors, per, lba) in [(8000, 1, 0), (81920, 4, 2048), (20480, 4, 63), (70000, 2, 1)] {
        let options = Options { sectors_per_cluster: per, ..Options::hard_disk(sectors, lba, 1_767_225_600) };
        let files = sample_files();
        std::fs::write(&image, bytes(&Fat::layout(&files, &options).unwrap())).unwrap();
        let Some(report) = tool("fsck.fat", &["-n", "-v", "IMAGE"], &image) else { return };
        assert!(report.contains(" 9 files") || report.contains(": 8 files"), "{report}");
        assert!(!report.contains("differ") && !report.contains("Free"), "{report}");
        let Some(listing) = tool("mdir", &["-/", "-a", "-b", "-i", "IMAGE", "::"], &image) else { return };
        for file in &files {
            assert!(listing.to_lowercase().contains(&format!("::/{}", file.name)), "{} in {listing}", file.name);
            let out = dir.path().join("out");
            tool("mcopy", &["-n", "-o", "-i", "IMAGE", &format!("::/{}", file.name), out.to_str().unwrap()], &image);
            assert_eq!(std::fs::read(out).unwrap(), file.content.read_all().unwrap(), "{}", file.name);
        }
        let times = tool("mdir", &["-i", "IMAGE", "::"], &image).unwrap();
        assert!(times.contains("2026-01-01   0:01"), "{times}");
    }
}

/// Every file with its bytes, by its path.
fn listing(fs: &FatFs) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(fs.root().unwrap(), String::new())];
    while let Some((dir, path)) = todo.pop() {
        for node in fs.children(&dir).unwrap() {
            let name = format!("{path}{}", String::from_utf8_lossy(&node.name));
            if node.meta.mode.is_dir() {
                todo.push((node, format!("{name}/")));
            } else {
                let mut body = vec![0; node.len as usize];
                assert_eq!(fs.read(&node, 0, &mut body).unwrap(), body.len());
                out.insert(name, body);
            }
        }
    }
    out
}

/// Volumes of other makers, with long names, folders, and files in pieces.
#[test]
fn volumes_of_mkfs_and_mtools_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("other.img");
    let size = dir.path().join("body");
    for (bits, kib) in [("12", "2000"), ("16", "20000"), ("32", "70000")] {
        let _ = std::fs::remove_file(&image);
        if tool("mkfs.fat", &["-F", bits, "-n", "LABEL", "-C", "IMAGE", kib], &image).is_none() {
            return;
        }
        let mut want = BTreeMap::new();
        let mut put = |name: &str, len: usize| {
            let body: Vec<u8> = (0..len).map(|i| (i / 3) as u8 ^ name.len() as u8).collect();
            std::fs::write(&size, &body).unwrap();
            want.insert(name.to_owned(), body);
            tool("mcopy", &["-i", "IMAGE", size.to_str().unwrap(), &format!("::/{name}")], &image)
        };
        let mut steps = vec![put("gap", 30_000), put("CMDLINE.TXT", 20)];
        steps.push(put("gap2", 30_000));
        steps.push(tool("mmd", &["-i", "IMAGE", "::/overlays", "::/overlays/x"], &image));
        steps.push(put("overlays/a quite long name, not 8.3 — ünïcödé.dtbo", 3000));
        (0..40).for_each(|i| steps.push(put(&format!("overlays/x/number {i}.overlay"), i * 100)));
        want.remove("gap");
        steps.push(tool("mdel", &["-i", "IMAGE", "::/gap"], &image));
        let body: Vec<u8> = (0..100_000).map(|i| (i / 5) as u8).collect();
        std::fs::write(&size, &body).unwrap();
        want.insert("in pieces".into(), body);
        steps.push(tool("mcopy", &["-i", "IMAGE", size.to_str().unwrap(), "::/in pieces"], &image));
        if steps.iter().any(Option::is_none) {
            return;
        }
        let fs = FatFs::open(Arc::new(std::fs::read(&image).unwrap()), None).unwrap();
        assert_eq!(fs.geometry().fat_type.bits().to_string(), bits);
        fs.check(&mut |finding| panic!("{bits}: {finding}")).unwrap();
        // A name that fits 8.3 in one case is stored without its case.
        let (mut found, lower) = (listing(&fs), |n: &String| n.to_lowercase());
        for map in [&mut found, &mut want] {
            *map = map.iter().map(|(name, body)| (lower(name), body.clone())).collect();
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        assert!(found == want, "{bits}: some file has other bytes");
        let mut text = Vec::new();
        fs.dump(&mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("in pieces (inpiec~1)"));
    }
}

/// 9front's own boot volume has long names and no volume id.
#[test]
fn a_volume_of_9front_is_read() {
    let Some(path) = medium_file("9front", "386/efiboot.fat") else { return };
    let fs = FatFs::open(Arc::new(std::fs::read(path).unwrap()), None).unwrap();
    fs.check(&mut |finding| panic!("{finding}")).unwrap();
    let files = listing(&fs);
    let names: Vec<_> = files.keys().map(|n| n.to_lowercase()).collect();
    assert_eq!(names, ["efi/boot/bootaa64.efi", "efi/boot/bootia32.efi", "efi/boot/bootx64.efi"]);
}
