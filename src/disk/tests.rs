//! Opening and checking disks against the writer.

use super::*;
use crate::fs::Finding;
use crate::fs::fat::{Fat, FatFile, FatFs, Options};
use crate::tree::Content;
use proptest::prelude::*;

const PLAN9: u64 = 63;

/// A disk of 4000 sectors: 9fat of 3000 at 63, nvram, and swap to the end.
fn sample() -> Vec<u8> {
    let options = Options::hard_disk(3000, PLAN9 as u32, 0);
    let fat = Fat::layout(&[FatFile::new("plan9.ini", Content::bytes(*b"x=1\n"), 0)], &options).unwrap();
    let part = |name: &str, start_lba, sectors, volume| Partition { name: name.into(), start_lba, sectors, volume };
    let parts = vec![
        part("9fat", PLAN9, 3000, Some(Arc::new(fat) as _)),
        part("nvram", PLAN9 + 3000, 1, Some(Arc::new(vec![7u8; 512]) as _)),
        part("swap", PLAN9 + 3001, 4000 - PLAN9 - 3001, None),
    ];
    let disk =
        Disk::new(4000 * SECTOR, &Mbr::plan9(vec![0xFA; 407], PLAN9 as u32, 4000 - PLAN9 as u32), parts).unwrap();
    let mut out = vec![0; disk.len() as usize];
    disk.read_at(0, &mut out).unwrap();
    out
}

fn open(image: Vec<u8>) -> Result<DiskImage, OpenDiskError> {
    open_disk(Arc::new(image))
}

fn names(disk: &DiskImage) -> Vec<(&str, u64, u64)> {
    disk.partitions().iter().map(|p| (p.name.as_str(), p.start / SECTOR, p.len / SECTOR)).collect()
}

fn findings(image: Vec<u8>) -> Vec<Finding> {
    let mut out = Vec::new();
    open(image).unwrap().check(&mut |f| out.push(f)).unwrap();
    out
}

#[test]
fn a_disk_is_taken_apart_again() {
    let disk = open(sample()).unwrap();
    assert_eq!(names(&disk), [("plan9", 63, 3937), ("9fat", 63, 3000), ("nvram", 3063, 1), ("swap", 3064, 936)]);
    let nvram = disk.partition("nvram").unwrap();
    let mut b = [0; 512];
    nvram.read_at(0, &mut b).unwrap();
    assert_eq!((nvram.len(), b), (512, [7; 512]));
    let fat = disk.find("9fat").unwrap();
    let fs = crate::fs::open(Arc::new(disk.partition("9fat").unwrap()), Some(fat.lba()), &crate::fs::alone).unwrap();
    assert_eq!((fs.kind(), fs.find(b"plan9.ini").unwrap().len), ("fat", 4));
    fs.check(&mut |f| panic!("{f}")).unwrap();
    assert_eq!(findings(sample()), []);
    let missing = disk.partition("fossil").err().unwrap().to_string();
    assert_eq!(missing, "There is no partition fossil; there are plan9, 9fat, nvram, swap");
}

#[test]
fn a_disk_cut_short_still_lists_its_partitions() {
    let mut image = sample();
    image.truncate(3063 * 512);
    let disk = open(image).unwrap();
    assert_eq!(disk.partitions().len(), 4);
    assert!(disk.partition("9fat").is_ok());
    let cut = disk.partition("nvram").err().unwrap().to_string();
    assert_eq!(cut, "Partition nvram ends at byte 1568768, but the image has only 1568256");
    // Not even the table.
    let mut image = sample();
    image.truncate(600);
    assert_eq!(names(&open(image).unwrap()), [("plan9", 63, 3937)]);
}

#[test]
fn a_file_system_without_partitions_is_no_disk() {
    let options = Options::hard_disk(3000, 0, 0);
    let fat = Arc::new(Fat::layout(&[], &options).unwrap());
    assert!(matches!(open_disk(fat.clone()), Err(OpenDiskError::NoPartitions)));
    assert_eq!(crate::fs::open(fat, None, &crate::fs::alone).unwrap().kind(), "fat");
    // 9fat taken out of a disk carries the partition table of that disk.
    let whole = sample();
    let taken = whole[63 * 512..3063 * 512].to_vec();
    assert!(matches!(open(taken.clone()), Err(OpenDiskError::NoPartitions)));
    assert!(FatFs::open(Arc::new(taken), None).is_ok());
    for empty in [vec![], vec![0; 511], vec![0; 5000]] {
        assert!(matches!(open(empty), Err(OpenDiskError::NoPartitions)));
    }
    let unknown = crate::fs::open(Arc::new(vec![0u8; 300 << 10]), None, &crate::fs::alone).err().unwrap();
    assert!(matches!(unknown, crate::fs::OpenError::Unknown { .. }), "{unknown}");
}

#[test]
fn a_table_without_an_mbr_is_found() {
    let mut image = vec![0; 100 * 512];
    let table = [PrepEntry { name: "fossil".into(), start: 2, end: 100 }];
    image[512..1024].copy_from_slice(&prep::encode(&table, 100).unwrap());
    assert_eq!(names(&open(image.clone()).unwrap()), [("fossil", 2, 98)]);
    assert_eq!(findings(image), []);
}

#[test]
fn other_partitions_get_plan_9_s_names() {
    let entry = |kind, start, sectors| Some(MbrEntry { active: false, kind, start, sectors });
    let put = |image: &mut Vec<u8>, lba: usize, entries| {
        let sector = Mbr { code: Vec::new(), entries }.encode(Chs::guess(1000)).unwrap();
        image[lba * 512..][..512].copy_from_slice(&sector);
    };
    let mut image = vec![0; 1000 * 512];
    put(&mut image, 0, [entry(0x0C, 10, 50), entry(0x83, 60, 40), entry(0x05, 100, 500), entry(0x39, 700, 100)]);
    // Logical partitions count from their own table, links from the first.
    put(&mut image, 100, [entry(0x06, 1, 9), entry(0x05, 50, 50), None, None]);
    put(&mut image, 150, [entry(0x39, 1, 9), entry(0x05, 0, 50), None, None]);
    let found = open(image).unwrap();
    let want = [("dos", 10, 50), ("type83", 60, 40), ("plan9", 700, 100), ("dos.1", 101, 9), ("plan9.1", 151, 9)];
    assert_eq!(names(&found), want);
}

#[test]
fn each_damage_is_one_finding() {
    type Damage = fn(&mut Vec<u8>);
    fn table(image: &mut [u8], text: &str) {
        image[64 * 512..65 * 512].fill(0);
        image[64 * 512..][..text.len()].copy_from_slice(text.as_bytes());
    }
    let cases: [(Damage, &str, &str); 19] = [
        (|i| i[446] = 0, "mbr-active", "The MBR has 0 active partitions, expected one"),
        (|i| i[450] = 0x83, "mbr-plan9", "The MBR has no partition of type 0x39, which is Plan 9's"),
        (|i| i[458] += 1, "mbr-range", "Partition 0 of the MBR ends at sector 4001, but the disk has 4000"),
        (
            |i| {
                i.copy_within(446..462, 462);
                i[462] = 0;
                i[466] = 1;
            },
            "mbr-overlap",
            "Partitions 0 and 1 of the MBR overlap",
        ),
        (|i| i[466] = 1, "mbr-place", "Partition 1 of the MBR has 0 sectors from sector 0"),
        (
            |i| i[64 * 512] = b'P',
            "prep-none",
            "There is no Plan 9 partition table: sector 1 begins with \"Part \", expected `part `",
        ),
        (
            |i| table(i, "part 9fat 0 3000\npart x\n"),
            "prep-line",
            "Line 2 of the partition table is \"part x\", expected `part NAME START END` with single blanks",
        ),
        (
            |i| table(i, "part 9fat 0 3000\npart x 3000 3000\n"),
            "prep-empty",
            "Partition x starts at sector 3000 and ends at 3000: it has no sectors",
        ),
        (
            |i| table(i, "part 9fat 0 3000\npart x 3000 3938\n"),
            "prep-range",
            "Partition x ends at sector 3938, but the Plan 9 partition has 3937",
        ),
        (
            |i| table(i, "part 9fat 0 3000\npart x 2999 3001\n"),
            "prep-overlap",
            "Partition x starts at sector 2999, inside partition 9fat, which ends at 3000",
        ),
        (
            |i| table(i, "part x 3000 3001\npart 9fat 0 3000\n"),
            "prep-order",
            "Partition 9fat starts at sector 0, before partition x of the line above",
        ),
        (|i| table(i, "part 9fat 0 3000\npart 9fat 3000 3001\n"), "prep-twice", "There are two partitions called 9fat"),
        (
            |i| table(i, "part 9fat 0 3000\npart a/b 3000 3001\n"),
            "prep-name",
            "\"a/b\" is not a name for a partition: it must have letters, and no blank, slash or control character",
        ),
        (
            |i| table(i, "part x 1 3000\n"),
            "prep-over-table",
            "Partition x starts at sector 1: only 9fat may contain sectors 0 and 1, which have boot code and table",
        ),
        (
            |i| i[65 * 512 - 1] = 1,
            "prep-behind",
            "Byte 511 of the partition table's sector, after its text, is not zero",
        ),
        (
            |i| table(i, "part 9fat 2 3000\n"),
            "9fat-start",
            "9fat starts at sector 2 of the Plan 9 partition, expected 0, where the MBR's code looks for its boot sector",
        ),
        (|i| i[63 * 512 + 511] = 0, "9fat-signature", "The boot sector of 9fat does not end with 55 aa"),
        (|i| i[63 * 512 + 14] = 1, "9fat-reserved", "9fat reserves 1 sector, but the partition table is in its second"),
        (
            |i| table(i, "part 9fat 0 2999\n"),
            "9fat-length",
            "9fat has 3000 sectors by its boot sector, but 2999 in the table",
        ),
    ];
    for (damage, kind, message) in cases {
        let mut image = sample();
        damage(&mut image);
        assert_eq!(findings(image), [Finding { kind, message: message.into() }]);
    }
}

#[test]
fn partitions_in_extended_ones_are_looked_at() {
    // An extended partition from sector 100 on, with one of 50 sectors in it.
    let entry = |kind: u8, start: u32, sectors: u32| {
        [&[0, 0, 0, 0, kind, 0, 0, 0][..], &start.to_le_bytes(), &sectors.to_le_bytes()].concat()
    };
    let said = |start: u32, sectors: u32| {
        let mut image = vec![0; 4000 * 512];
        for (sector, at, bytes) in
            [(0, 0, entry(0x83, 10, 80)), (0, 1, entry(0x05, 100, 1000)), (100, 0, entry(0x83, start, sectors))]
        {
            let at = sector * 512 + 446 + 16 * at;
            image[at..at + 16].copy_from_slice(&bytes);
            image[sector * 512 + 510..sector * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
        }
        let found = findings(image).into_iter().filter(|f| !matches!(f.kind, "mbr-active" | "mbr-plan9"));
        found.map(|f| f.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(said(10, 50), [""; 0]);
    let far = "Partition type83.1 ends at sector 5010, but the disk has 4000 [mbr-range]";
    assert_eq!(said(10, 4900), [far]);
    assert_eq!(
        said(0xffff_ffce, 50)[0],
        "Partition type83.1 ends at sector 4294967396, but the disk has 4000 [mbr-range]"
    );
    assert_eq!(said(10, 0), ["Partition type83.1 has no sectors [mbr-place]"]);
}

proptest! {
    #[test]
    fn no_disk_makes_it_panic_or_run_away(
        wounds in proptest::collection::vec((0usize..3 * 512, any::<u8>()), 1..60), cut in 0usize..70,
    ) {
        let mut image = sample();
        for (at, value) in wounds {
            image[match at / 512 { 0 => 446 + at % 64, 1 => 63 * 512 + at % 512, _ => 64 * 512 + at % 64 }] = value;
        }
        if cut > 0 {
            image.truncate(cut * 512);
        }
        if let Ok(disk) = open(image) {
            disk.check(&mut |f| drop(f.to_string())).unwrap();
            for p in disk.partitions() {
                if let Ok(part) = disk.partition(&p.name) {
                    let _ = crate::fs::open(Arc::new(part), Some(p.lba()), &|name| disk.beside(name));
                }
            }
        }
    }
}

#[test]
fn a_table_of_another_kind_is_called_by_its_name() {
    let mut image = sample();
    let whole = MbrEntry { active: false, kind: mbr::TYPE_GPT, start: 1, sectors: 3999 };
    let protective = Mbr { code: Vec::new(), entries: [Some(whole), None, None, None] };
    let keep = image.clone();
    image[..512].copy_from_slice(&protective.encode(Chs::guess(4000)).unwrap());
    // What only stands in for a table that is not there is all there is.
    assert_eq!(names(&open(image.clone()).unwrap()), [("typeee", 1, 3999)]);
    image[512..520].copy_from_slice(b"EFI PART");
    let said = open(image.clone()).err().unwrap().to_string();
    assert!(said.starts_with("It is a disk with a GUID partition table (GPT), which p9img does not read"), "{said}");
    // Next to partitions of the MBR's own, these are read.
    image[446 + 16..446 + 32].copy_from_slice(&keep[446..462]);
    assert!(open(image).unwrap().find("9fat").is_ok());
}
