//! Putting disks together.

use super::*;

fn part(name: &str, start_lba: u64, sectors: u64, fill: Option<u8>) -> Partition {
    let volume = fill.map(|fill| {
        let mut bytes = vec![fill; (sectors * SECTOR) as usize];
        if name == "9fat" {
            bytes[512..1024].fill(0);
        }
        Arc::new(bytes) as Arc<dyn ReadAt>
    });
    Partition { name: name.into(), start_lba, sectors, volume }
}

fn disk(sectors: u64, mbr: &Mbr, parts: Vec<Partition>) -> Result<Disk, DiskError> {
    Disk::new(sectors * SECTOR, mbr, parts)
}

#[test]
fn everything_is_where_the_tables_say() {
    let mbr = Mbr::plan9(vec![0xFA; 407], 63, 937);
    let parts = vec![part("nvram", 163, 1, Some(7)), part("9fat", 63, 100, Some(9)), part("swap", 164, 836, None)];
    let d = disk(1000, &mbr, parts).unwrap();
    let sector = |n: u64| {
        let mut b = [0; 512];
        d.read_at(n * SECTOR, &mut b).unwrap();
        b
    };
    assert_eq!(Mbr::decode(&sector(0)).unwrap().entries, mbr.entries);
    assert_eq!(
        prep::decode(&sector(64)).0,
        [
            PrepEntry { name: "9fat".into(), start: 0, end: 100 },
            PrepEntry { name: "nvram".into(), start: 100, end: 101 },
            PrepEntry { name: "swap".into(), start: 101, end: 937 },
        ]
    );
    for (n, fill) in [(1, 0), (62, 0), (63, 9), (65, 9), (162, 9), (163, 7), (164, 0), (999, 0)] {
        assert_eq!(sector(n), [fill; 512], "sector {n}");
    }
    let used = |o: u64, l: u64| Extent { offset: o * SECTOR, len: l * SECTOR };
    assert_eq!(d.extents(), [used(0, 1), used(63, 101)]);
}

#[test]
fn a_partition_of_the_mbr_is_not_in_the_table() {
    let mut mbr = Mbr::plan9(Vec::new(), 100, 100);
    mbr.entries[1] = Some(MbrEntry { active: false, kind: 0x0C, start: 10, sectors: 50 });
    let d = disk(200, &mbr, vec![part("dos", 10, 50, Some(1)), part("fs", 102, 98, Some(2))]).unwrap();
    let mut b = [0; 512];
    d.read_at(101 * SECTOR, &mut b).unwrap();
    assert_eq!(prep::decode(&b).0, [PrepEntry { name: "fs".into(), start: 2, end: 100 }]);
}

#[test]
fn each_fault_has_its_error() {
    let mbr = Mbr::plan9(Vec::new(), 63, 937);
    let say = |sectors, mbr: &Mbr, parts| disk(sectors, mbr, parts).err().unwrap().to_string();
    assert_eq!(say(999, &mbr, vec![]), "Partition 0 of the MBR ends at sector 1000, but the disk has 999");
    assert_eq!(
        say(1000, &mbr, vec![part("9fat", 63, 938, None)]),
        "Partition 9fat ends at sector 1001, but the disk has 1000"
    );
    assert_eq!(
        say(2000, &mbr, vec![part("9fat", 63, 938, None)]),
        "Partition 9fat ends at sector 938, but the Plan 9 partition has 937"
    );
    assert_eq!(
        say(1000, &mbr, vec![part("9fat", 62, 10, None)]),
        "Partition 9fat starts at sector 62, before the Plan 9 partition, which starts at 63"
    );
    let overlap = vec![part("9fat", 63, 10, None), part("fs", 72, 10, None)];
    assert!(say(1000, &mbr, overlap).starts_with("Partition fs starts at sector 9, inside partition 9fat"));
    let mut in_use = part("9fat", 63, 10, Some(1));
    in_use.volume = Some(Arc::new(vec![1u8; 5120]));
    assert!(matches!(disk(1000, &mbr, vec![in_use.clone()]), Err(DiskError::TableInUse { .. })));
    in_use.sectors = 9;
    assert!(matches!(disk(1000, &mbr, vec![in_use]), Err(DiskError::VolumeTooLong { len: 5120, room: 4608, .. })));
    assert!(matches!(Disk::new(1000, &mbr, vec![]), Err(DiskError::Length(1000))));
    let mut twice = mbr.clone();
    twice.entries[1] = twice.entries[0];
    assert!(matches!(disk(1000, &twice, vec![]), Err(DiskError::EntriesOverlap { first: 0, second: 1 })));
    let mut idle = mbr.clone();
    idle.entries[0].as_mut().unwrap().active = false;
    assert!(matches!(disk(1000, &idle, vec![]), Err(DiskError::Active(0))));
    let mut none = mbr.clone();
    none.entries[0].as_mut().unwrap().kind = 0x0C;
    assert!(matches!(disk(1000, &none, vec![]), Err(DiskError::Plan9(0))));
    assert!(matches!(disk(1000, &Mbr::plan9(Vec::new(), 0, 9), vec![]), Err(DiskError::EntryAtZero { index: 0 })));
}
