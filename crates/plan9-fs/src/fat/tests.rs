//! Reader and checker against the writer: what was written is read back, one
//! damaged field is one finding, and no damage makes them panic or run away.

use super::format::*;
use super::*;
use crate::read_at::ReadAt;
use crate::testing::wounds::{self, Sound};
use crate::tree::Content;
use crate::{FileSystem, Finding, Node};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn body(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 7) as u8 ^ i as u8 ^ seed).collect()
}

fn file(name: &str, len: usize) -> FatFile {
    FatFile::new(name, Content::bytes(body(len, name.len() as u8)), 1_767_225_600)
}

fn image(files: &[FatFile], options: &Options) -> Vec<u8> {
    let fat = Fat::layout(files, options).unwrap();
    let mut out = vec![0; fat.len() as usize];
    fat.read_at(0, &mut out).unwrap();
    out
}

/// A small FAT16: clusters of 512 bytes; 9load in 2-11, the folder in 12,
/// its file in 13-14, plan9.ini in 15.
pub(super) fn sample() -> Vec<u8> {
    let files = [file("9load", 5000), file("sub/a.txt", 700), file("empty", 0), file("plan9.ini", 300)];
    let boot_code = Some([&[0; 460][..], b"9LOAD      "].concat());
    image(&files, &Options { sectors_per_cluster: 1, boot_code, ..Options::hard_disk(8000, 63, 1_700_000_000) })
}

pub(super) fn open(image: Vec<u8>) -> FatFs {
    FatFs::open(Arc::new(image), Some(63)).unwrap()
}

pub(super) fn findings(fs: &FatFs) -> Vec<Finding> {
    let mut out = Vec::new();
    fs.check(&mut |f| out.push(f)).unwrap();
    out
}

/// Every file with its bytes, by its path.
fn listing(fs: &FatFs) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(fs.root().unwrap(), String::new())];
    while let Some((dir, path)) = todo.pop() {
        for node in fs.children(&dir).unwrap() {
            let name = format!("{path}{}", String::from_utf8_lossy(&node.name));
            if node.meta.mode.is_dir() {
                todo.push((node, format!("{name}/")));
            } else {
                out.insert(name, (read_all(fs, &node, 1000), node.meta.mtime));
            }
        }
    }
    out
}

fn read_all(fs: &FatFs, node: &Node, step: usize) -> Vec<u8> {
    let (mut out, mut buf) = (Vec::new(), vec![0; step]);
    loop {
        match fs.read(node, out.len() as u64, &mut buf).unwrap() {
            0 => return out,
            n => out.extend_from_slice(&buf[..n]),
        }
    }
}

#[test]
fn a_volume_is_read_back() {
    let fs = open(sample());
    assert_eq!(findings(&fs), []);
    let paths = listing(&fs);
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["9load", "empty", "plan9.ini", "sub/a.txt"]);
    assert_eq!(paths["9load"], (body(5000, 5), 1_767_225_600));
    assert!(paths["empty"].0.is_empty());
    let node = fs.find(b"/SUB/A.TXT").unwrap();
    assert_eq!((node.len, node.meta.mode.to_string()), (700, "--rw-rw-rw-".into()));
    assert_eq!(fs.find(b"sub").unwrap().meta.mtime, 1_700_000_000);
    let mut part = [0; 10];
    assert_eq!(fs.read(&node, 695, &mut part).unwrap(), 5);
    assert_eq!(part[..5], body(700, 9)[695..]);
    assert_eq!(fs.read(&node, 700, &mut part).unwrap(), 0);
    assert_eq!(fs.read(&node, u64::MAX, &mut part).unwrap(), 0);
    assert_eq!(fs.find(b"sub/none").unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let dir = fs.root().unwrap();
    assert_eq!(fs.read(&dir, 0, &mut part).unwrap_err().kind(), std::io::ErrorKind::IsADirectory);
    assert_eq!(fs.children(&node).unwrap_err().kind(), std::io::ErrorKind::NotADirectory);
    let mut text = Vec::new();
    fs.dump(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("nhidden 63 (0x3f)")
            && text.contains("9load attr 0x04 time 1767225600 length 5000 clusters 2-11")
    );
    assert!(
        text.contains("directory /sub/\n")
            && text.contains("a.txt attr 0x00 time 1767225600 length 700 clusters 13-14")
    );
}

/// Offsets in [`sample`].
pub(super) struct At;
impl At {
    const TABLE: usize = 2 * SECTOR;
    const SECOND: usize = (2 + 31) * SECTOR;
    pub(super) const ROOT: usize = (2 + 62) * SECTOR;
    const SUB: usize = (2 + 62 + 32 + 10) * SECTOR;
    /// The two bytes of a cluster in the first table; also set in the second.
    fn link(image: &mut [u8], cluster: usize, value: u16) {
        for table in [Self::TABLE, Self::SECOND] {
            image[table + 2 * cluster..][..2].copy_from_slice(&value.to_le_bytes());
        }
    }
    /// The entry number `i` of the root directory.
    const fn root(i: usize) -> usize {
        Self::ROOT + i * DIRENT
    }
    /// The entry number `i` of the folder.
    const fn sub(i: usize) -> usize {
        Self::SUB + i * DIRENT
    }
    /// The first cluster of the entry at an offset.
    fn start(image: &mut [u8], entry: usize, value: u16) {
        image[entry + DirEntry::START_AT..][..2].copy_from_slice(&value.to_le_bytes());
    }
}

#[test]
fn each_damage_is_one_finding() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(Damage, &str, &str); 22] = [
        (|i| i[BootSector::SIGNED_AT + 1] = 0, "boot-signature", "The boot sector does not end with 55 aa"),
        (
            |i| i[BootSector::BIGVOLSIZE_AT] ^= 1,
            "volume-size",
            "The volume has 8000 sectors by one field and 8001 by the other",
        ),
        (
            |i| i[BootSector::FSTYPE_AT + 4] = b'2',
            "type",
            "The boot sector says FAT12, but 7904 clusters make it FAT16",
        ),
        (
            |i| i[BootSector::VOLID_AT] ^= 1,
            "volume-id",
            "The volume id is 126, but the root directory is at sector 127 of the disk",
        ),
        (|i| i[At::SECOND + 2 * 2000] = 1, "table-copies", "Table 2 differs from table 1 from cluster 2000 on"),
        (
            |i| i[BootSector::MEDIADESC_AT] = 0xF9,
            "media",
            "The table begins with media descriptor 0xf8, the boot sector has 0xf9",
        ),
        (
            |i| At::link(i, 2000, 0xFFFF),
            "lost-clusters",
            "1 cluster is marked as used, but no file has them; the first is 2000",
        ),
        (
            |i| At::link(i, 14, 0xFFFF - 8),
            "chain-broken",
            "Cluster 14 of /sub/a.txt leads to 0xfff7, which is not a cluster in use",
        ),
        (
            |i| At::link(i, 13, 13),
            "cross-link",
            "Cluster 13 of /sub/a.txt belongs to another chain or to an earlier part of this one",
        ),
        (
            |i| i[At::root(3) + DirEntry::LEN_AT + 1] = 2,
            "chain-short",
            "/plan9.ini needs 2 clusters, but its chain has 1",
        ),
        (|i| i[At::sub(2) + DirEntry::LEN_AT + 1] = 1, "chain-long", "/sub/a.txt needs 1 cluster, but its chain has 2"),
        (
            |i| i[At::root(2) + DirEntry::LEN_AT] = 1,
            "chain-start",
            "/empty begins with cluster 0, but clusters go from 2 to 7905",
        ),
        (
            |i| i[At::root(1) + DirEntry::LEN_AT] = 7,
            "directory-length",
            "Directory /sub has a length of 7 bytes, expected 0",
        ),
        (|i| At::start(i, At::sub(0), 3), "dots", ". in /sub leads to cluster 3, expected 12"),
        (|i| At::start(i, At::sub(1), 3), "dots", ".. in /sub leads to cluster 3, expected 0"),
        (|i| i[At::sub(1)] = REMOVED, "dots", "/sub has no entry .. in slot 1"),
        (|i| i[At::root(2) + 1] = b'/', "name", "/e/pty is not a name for a file"),
        (
            |i| i.copy_within(At::root(0)..At::root(0) + DirEntry::ATTR_AT, At::root(2)),
            "name-twice",
            "/9load appears twice",
        ),
        (
            |i| {
                i.copy_within(At::root(0)..At::root(1), At::root(16));
                for slot in [0].into_iter().chain(4..16) {
                    i[At::root(slot)] = REMOVED;
                }
            },
            "loader-place",
            "9load is entry 16 of the root directory; the boot sector searches the first 16",
        ),
        (
            |i| {
                At::link(i, 10, 100);
                At::link(i, 11, 0);
                At::link(i, 100, 0xFFFF);
            },
            "loader-pieces",
            "9load is in 2 pieces; the boot sector reads only one",
        ),
        (
            |i| {
                let clusters = 0x9_0001usize.div_ceil(512);
                for c in 0..clusters {
                    At::link(i, 1000 + c, if c + 1 == clusters { 0xFFFF } else { (1001 + c) as u16 });
                }
                (2..12).for_each(|c| At::link(i, c, 0));
                At::start(i, At::root(0), 1000);
                i[At::root(0) + DirEntry::LEN_AT..][..4].copy_from_slice(&0x9_0001u32.to_le_bytes());
            },
            "loader-length",
            "9load has 589825 bytes; the boot sector has memory for 589824",
        ),
        (
            |i| {
                (15..24).for_each(|c| At::link(i, c, if c == 23 { 0xFFFF } else { c as u16 + 1 }));
                i[At::root(3) + DirEntry::LEN_AT..][..2].copy_from_slice(&4097u16.to_le_bytes());
            },
            "plan9-ini",
            "plan9.ini has 4097 bytes; the loader reads 4096",
        ),
    ];
    for (damage, kind, message) in cases {
        let mut image = sample();
        damage(&mut image);
        let mut found = findings(&open(image));
        // The clusters after a broken chain are lost, too.
        if ["chain-broken", "cross-link"].contains(&kind) {
            found.retain(|f| f.kind != "lost-clusters");
        }
        assert_eq!(found, [Finding { kind, message: message.into() }]);
    }
    let hidden = findings(&FatFs::open(Arc::new(sample()), Some(64)).unwrap());
    assert_eq!(
        hidden[0].to_string(),
        "The boot sector counts 63 hidden sectors, but the partition starts at 64 [hidden]"
    );
}

#[test]
fn plan9_ini_names_files_that_are_there() {
    let found = |ini: &str| {
        let files = [file("9pccpuf", 10), FatFile::new("plan9.ini", Content::bytes(ini.as_bytes()), 0)];
        findings(&open(image(&files, &Options::hard_disk(8000, 63, 0))))
            .into_iter()
            .map(|f| f.to_string())
            .collect::<Vec<_>>()
    };
    assert!(found("bootfile=sdC0!9fat!9pccpuf\r\nbootfile=9PCCPUF\n#bootfile=9pc\nbootfile=manual\n").is_empty());
    assert!(found("bootfile=ether0!/386/9pc\nbootfile=/amd64/9pc64\n").is_empty());
    assert_eq!(
        found("bootfile=sdC0!9fat!9pcf\n"),
        ["plan9.ini starts sdC0!9fat!9pcf, but there is no 9pcf in this volume [bootfile]"]
    );
    let many = "a=b\n".repeat(61);
    assert_eq!(found(&many), ["plan9.ini has 61 variables; kernels take 60 [plan9-ini]"]);
    assert!(found(&format!("[menu]\n{many}")).is_empty());
}

#[test]
fn a_boot_sector_out_of_order_is_refused() {
    let refused = |damage: fn(&mut Vec<u8>)| {
        let mut image = sample();
        damage(&mut image);
        match FatFs::open(Arc::new(image), None) {
            Err(OpenError::BootSector(e)) => e,
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("opened"),
        }
    };
    assert_eq!(refused(|i| i[0] = 0), BadBootSector::Jump([0, 0x3C, 0x90]));
    assert_eq!(refused(|i| i[BootSector::SECTSIZE_AT + 1] = 3), BadBootSector::SectorSize(0x300));
    assert_eq!(refused(|i| i[BootSector::CLUSTSIZE_AT] = 3), BadBootSector::ClusterSize(3));
    assert_eq!(refused(|i| i[BootSector::NRESRV_AT] = 0), BadBootSector::Zero { what: "reserved sectors" });
    assert_eq!(refused(|i| i[BootSector::NFATS_AT] = 0), BadBootSector::Zero { what: "tables" });
    assert_eq!(
        refused(|i| i[BootSector::NRESRV_AT + 1] = 32),
        BadBootSector::TooSmall { need: 8192 + 2 + 62 + 32, sectors: 8000 }
    );
    let (size, have) = (512, 8000 * 512);
    assert_eq!(
        refused(|i| i[BootSector::VOLSIZE_AT + 1] = 0x20),
        BadBootSector::PastEnd { sectors: 0x2040, size, have }
    );
    assert_eq!(
        refused(|i| i[BootSector::FATSIZE_AT] = 30),
        BadBootSector::TableTooSmall { clusters: 7906, have: 15_360, need: 15_816 }
    );
    assert!(matches!(FatFs::open(Arc::new(vec![0; 511]), None), Err(OpenError::TooShort(511))));
}

#[test]
fn a_folder_in_itself_is_an_error_not_a_loop() {
    let mut image = sample();
    // a.txt becomes a folder at its own parent's cluster.
    image[At::sub(2) + DirEntry::ATTR_AT] = ATTR_DIR;
    At::start(&mut image, At::sub(2), 12);
    let fs = open(image);
    let sub = fs.find(b"sub").unwrap();
    assert_eq!(fs.children(&sub).unwrap_err().to_string(), "The directory at cluster 12 is entered from two places");
    assert!(findings(&fs).iter().any(|f| f.kind == "cross-link"));
}

#[test]
fn chains_that_loop_are_errors() {
    let mut image = sample();
    At::link(&mut image, 5, 3);
    let fs = open(image);
    let node = fs.find(b"9load").unwrap();
    let error = fs.read(&node, 0, &mut [0; 10]).unwrap_err().to_string();
    assert!(error.starts_with("The chain that begins with cluster 2 comes back to cluster"), "{error}");
}

/// Paths of at most two elements from a small alphabet, so that folders get
/// several files; none of them a file and a folder at once.
fn some_files() -> impl Strategy<Value = Vec<FatFile>> {
    let name = "(f[0-9]{0,7}(\\.[a-z]{1,3})?|d[0-3]/[a-z0-9_$]{1,8}(\\.[a-z]{1,3})?)";
    let one = (name, 0usize..5000, any::<u8>(), 315_532_800u32..).prop_map(|(name, len, seed, mtime)| FatFile {
        name,
        content: Content::bytes(body(len, seed)),
        attr: ATTR_ARCHIVE,
        mtime,
    });
    proptest::collection::vec(one, 0..30).prop_map(|mut files| {
        let mut seen = std::collections::BTreeSet::new();
        files.retain(|f| seen.insert(f.name.clone()));
        files
    })
}

/// A volume whose files hold zeros.
fn zeros() -> Sound {
    let file = |name: &str, len| FatFile::new(name, Content::bytes(vec![0; len]), 1_767_225_600);
    let files = [file("9load", 5000), file("sub/a.txt", 700), file("empty", 0), file("sub/deep/b.txt", 9)];
    Sound::new(image(&files, &Options { sectors_per_cluster: 1, ..Options::hard_disk(8000, 63, 1_700_000_000) }))
}

#[test]
fn no_bit_hides_what_cannot_be_read() {
    wounds::no_bit_hides_what_cannot_be_read(zeros().each_bit(11), |image| FatFs::open(image, Some(63)));
}

#[test]
fn what_cannot_be_read_is_found() {
    let sound = zeros();
    wounds::what_cannot_be_read_is_found(file!(), &wounds::some(), |wounds| {
        FatFs::open(sound.wounded(&wounds), Some(63))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read_back(
        files in some_files(), per in prop_oneof![Just(1u8), Just(2), Just(8)],
        sectors in 1500u32..12_000, reserved in 1u16..4, lba in 0u32..1 << 31,
    ) {
        let options = Options { sectors_per_cluster: per, reserved, ..Options::hard_disk(sectors, lba, 1_000_000_000) };
        let laid_out = Fat::layout(&files, &options);
        prop_assume!(!matches!(laid_out, Err(LayoutError::Between { .. } | LayoutError::NoRoom { .. })));
        let fat = Arc::new(laid_out.unwrap());
        let fs = FatFs::open(fat.clone(), Some(lba.into())).unwrap();
        prop_assert_eq!(findings(&fs), []);
        let want: BTreeMap<String, (Vec<u8>, u32)> =
            files.iter().map(|f| (f.name.clone(), (f.content.read_all().unwrap(), f.mtime & !1))).collect();
        prop_assert_eq!(listing(&fs), want);
        // Extents tell the truth: all else reads as zeros.
        let mut whole = vec![0; fat.len() as usize];
        fat.read_at(0, &mut whole).unwrap();
        for e in fat.extents() {
            whole[e.offset as usize..e.end() as usize].fill(0);
        }
        prop_assert!(whole.iter().all(|b| *b == 0));
    }

    #[test]
    fn no_damage_makes_it_panic_or_run_away(
        wounds in proptest::collection::vec((0usize..120 * SECTOR, any::<u8>()), 1..40),
        fat32 in any::<bool>(),
    ) {
        let mut image = sample();
        if fat32 {
            // The fields of FAT32 are read when the table's length is 0.
            image[BootSector::FATSIZE_AT] = 0;
            image[BootSector::BIGFATSIZE_AT] = 31;
            image[BootSector::ROOTCLUST_AT] = 12;
        }
        for (at, value) in wounds {
            // Most wounds in what is structure.
            let at = match at % 4 {
                0 => at % 64,
                1 => At::TABLE + at % 128,
                2 => At::ROOT + at % 256,
                _ => at,
            };
            image[at] = value;
        }
        if let Ok(fs) = FatFs::open(Arc::new(image), Some(63)) {
            crate::testing::use_everything(&fs);
        }
    }
}
