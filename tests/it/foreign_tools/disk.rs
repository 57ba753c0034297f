//! Disks against the partition tools of Linux.

use crate::foreign_tools::{bytes, tool};
use p9img::ReadAt;
use p9img::disk::{Disk, Mbr, Partition, open_disk};
use p9img::fs::fat::{Fat, FatFile, Options};
use p9img::tree::Content;
use std::sync::Arc;

const START: u32 = 2048;
const SECTORS: u64 = 200_000;
const FAT_SECTORS: u32 = 81_920;

fn disk() -> Disk {
    let files = [
        FatFile::new("9load", Content::bytes(vec![0x90; 377_964]), 1_767_225_600),
        FatFile::new("9pccpuf", Content::bytes(vec![0xEB; 5000]), 1_767_225_600),
        FatFile::new("plan9.ini", Content::bytes(*b"bootfile=sdC0!9fat!9pccpuf\n"), 1_767_225_600),
    ];
    let fat = Fat::layout(&files, &Options::hard_disk(FAT_SECTORS, START, 0)).unwrap();
    let at = |name: &str, start: u64, sectors, volume: Option<Arc<dyn ReadAt>>| Partition {
        name: name.into(),
        start_lba: u64::from(START) + start,
        sectors,
        volume,
    };
    let fat_end = u64::from(FAT_SECTORS);
    let parts = vec![
        at("9fat", 0, fat_end, Some(Arc::new(fat))),
        at("nvram", fat_end, 1, Some(Arc::new(vec![1u8; 512]))),
        at("swap", fat_end + 1, SECTORS - u64::from(START) - fat_end - 1, None),
    ];
    Disk::new(SECTORS * 512, &Mbr::plan9(vec![0xFA], START, SECTORS as u32 - START), parts).unwrap()
}

#[test]
fn tools_for_partitions_agree() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    std::fs::write(&image, bytes(&disk())).unwrap();
    if let Some(table) = tool("partx", &["-r", "-g", "-o", "START,SECTORS,TYPE", "IMAGE"], &image) {
        assert_eq!(table, format!("{START} {} 0x39\n", SECTORS - u64::from(START)));
    }
    if let Some(table) = tool("sfdisk", &["-d", "IMAGE"], &image) {
        let size = SECTORS - u64::from(START);
        let entry = table.lines().find(|l| l.contains("start=")).unwrap_or_default().replace(' ', "");
        assert!(entry.ends_with(&format!("start={START},size={size},type=39,bootable")), "{table}");
        tool("sfdisk", &["-V", "IMAGE"], &image);
    }
    let offset = (u64::from(START) * 512).to_string();
    if let Some(found) = tool("blkid", &["-p", "-o", "export", "-O", &offset, "IMAGE"], &image) {
        assert!(found.contains("TYPE=vfat"), "{found}");
    }
}

#[test]
fn mtools_and_fsck_find_9fat_under_the_partition_table() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    let disk = Arc::new(disk());
    std::fs::write(&image, bytes(&*disk)).unwrap();
    let at = format!("IMAGE@@{}", START * 512);
    let Some(ini) = tool("mtype", &["-i", &at, "::/plan9.ini"], &image) else { return };
    assert_eq!(ini, "bootfile=sdC0!9fat!9pccpuf\n");
    let volume = dir.path().join("9fat.img");
    let opened = open_disk(disk).unwrap();
    std::fs::write(&volume, bytes(&opened.partition("9fat").unwrap())).unwrap();
    tool("fsck.fat", &["-n", "IMAGE"], &volume);
    // A tool that writes to 9fat leaves the partition table alone.
    let added = dir.path().join("added");
    std::fs::write(&added, vec![7u8; 100_000]).unwrap();
    tool("mcopy", &["-i", &at, added.to_str().unwrap(), "::/added"], &image);
    let again = open_disk(Arc::new(std::fs::read(&image).unwrap())).unwrap();
    assert_eq!(again.partitions(), opened.partitions());
    let part = again.find("9fat").unwrap();
    let fs = p9img::fs::open(Arc::new(again.partition("9fat").unwrap()), Some(part.lba()), &p9img::fs::alone).unwrap();
    fs.check(&mut |finding| panic!("{finding}")).unwrap();
    again.check(&mut |finding| panic!("{finding}")).unwrap();
    assert_eq!(fs.find(b"added").unwrap().len, 100_000);
}
