//! The FAT writer against Plan 9's own formatter and against other people's tools.

use p9img::ReadAt;
use p9img::fs::fat::format::{BootSector, DIRENT, DirEntry, Geometry, SECTOR, shown_name, unix_time};
use p9img::fs::fat::{Fat, FatFile, Options};
use p9img::tree::Content;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn required() -> bool {
    std::env::var_os("P9IMG_REQUIRE_TOOLS").is_some_and(|v| v == "1")
}

/// A file of a real medium, or `None` with a loud word.
fn medium_file(medium: &str, path: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let media =
        std::env::var_os("P9IMG_TEST_MEDIA").map_or_else(|| home.join(".cache/p9img-test-media"), PathBuf::from);
    let file = media.join(medium).join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(!required(), "{} is missing", file.display());
    eprintln!("SKIPPED: {} is missing", file.display());
    None
}

/// Runs a tool; `None` with a loud word when it is not installed.
fn tool(name: &str, args: &[&str], image: &Path) -> Option<String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let args = args.iter().map(|a| if *a == "IMAGE" { image.as_os_str() } else { a.as_ref() });
    match Command::new(name).args(args).env("PATH", path).env("LC_ALL", "C").env("TZ", "UTC").output() {
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let errors = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{name}: {}\n{text}{errors}", out.status);
            Some(text)
        }
        Err(e) => {
            assert!(!required(), "{name}: {e}");
            eprintln!("SKIPPED: {name}: {e}");
            None
        }
    }
}

fn bytes(source: &dyn ReadAt) -> Vec<u8> {
    let mut out = vec![0; source.len() as usize];
    source.read_at(0, &mut out).unwrap();
    out
}

/// `bootdisk.img` was made by `disk/format -t 3½QD -b /386/pbs` with four
/// files (`/sys/src/lib/dist/pc/mkfile`): the same list gives the same bytes,
/// the times included once they are known.
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
