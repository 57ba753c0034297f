//! Deciding where everything in a FAT volume goes, as `disk/format` decides it.
//!
//! Clusters are handed out in the order of the files; a subdirectory (which
//! `disk/format` does not make) gets its clusters when the first file in it
//! comes up. So the volume depends on the list and the options alone, and what
//! comes early in the list keeps its place when later files change.

use super::format::{
    ATTR_DIR, ATTR_SYSTEM, BadName, BootSector, CODE_START, DIRENT, DirEntry, FatType, Geometry, SECTOR, dos_time,
    short_name,
};
use crate::pieces::{Pieces, Source};
use crate::read_at::{Extent, ReadAt};
use crate::tree::Content;
use std::collections::BTreeMap;
use std::io;
use thiserror::Error;

/// Boot code of a volume that is given none: hands the start back to the BIOS
/// (interrupt 18h), then stays where it is.
const NO_BOOT: [u8; 4] = [0xCD, 0x18, 0xEB, 0xFE];

/// The label that says there is none. What `disk/format` writes unless told
/// otherwise, `CYLINDRICAL`, `fsck.fat` takes for damage: a true label also
/// has an entry in the root directory.
pub const NO_LABEL: &[u8; 11] = b"NO NAME    ";

/// What a volume is like, beside its files.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the volume in sectors of 512 bytes.
    pub sectors: u32,
    pub sectors_per_cluster: u8,
    /// Sectors before the first table. Two where the second is to hold the
    /// Plan 9 partition table.
    pub reserved: u16,
    /// Absolute address of the volume's first sector on the disk.
    pub hidden_lba: u32,
    pub heads: u16,
    pub sectors_per_track: u16,
    /// Media descriptor: 0xF8 for a hard disk.
    pub media: u8,
    /// BIOS drive number: 0x80 for the first hard disk, 0 for a floppy disk.
    pub drive: u8,
    pub label: [u8; 11],
    /// `None`: the absolute address of the root directory, where 9legacy's
    /// boot sectors look for it.
    pub volume_id: Option<u32>,
    /// A boot sector such as `/386/pbslba`: its jump, and its bytes from where
    /// that leads. `None`: a few instructions that let the BIOS go on.
    pub boot_code: Option<Vec<u8>>,
    /// Time of subdirectories, seconds since 1970-01-01 UTC.
    pub epoch: u32,
}

impl Options {
    /// A 9fat as `disk/format -r 2 -l 'NO NAME'` makes it on a hard disk.
    pub fn hard_disk(sectors: u32, hidden_lba: u32, epoch: u32) -> Self {
        Self {
            sectors,
            sectors_per_cluster: 4,
            reserved: 2,
            hidden_lba,
            heads: 255,
            sectors_per_track: 63,
            media: 0xF8,
            drive: 0x80,
            label: *NO_LABEL,
            volume_id: None,
            boot_code: None,
            epoch,
        }
    }
}

/// A file of a volume.
#[derive(Clone, Debug)]
pub struct FatFile {
    /// Path from the root: 8.3 names separated by `/`, in any case.
    pub name: String,
    pub content: Content,
    /// Attribute bits, `ATTR_…` of [`super::format`].
    pub attr: u8,
    /// Last change, seconds since 1970-01-01 UTC; kept to two seconds, from 1980 on.
    pub mtime: u32,
}

impl FatFile {
    /// A file with the attributes that `disk/format` gives it: system for
    /// `9load`, else none.
    pub fn new(name: &str, content: Content, mtime: u32) -> Self {
        let attr = if name == "9load" { ATTR_SYSTEM } else { 0 };
        Self { name: name.to_owned(), content, attr, mtime }
    }
}

/// Why there is no volume with these files and options.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    #[error("{path} is no name for FAT: {why}; it takes 8 letters, a dot and 3 letters")]
    Name { path: String, why: BadName },
    #[error("{path} is there twice: FAT does not tell upper from lower case")]
    Twice { path: String },
    #[error("{path} has {len} bytes, but a file on FAT has at most 4294967295")]
    FileTooLong { path: String, len: u64 },
    #[error(
        "The files need {need} bytes, rounded up to clusters, but a volume of {sectors} sectors has room for {have}"
    )]
    NoRoom { need: u64, have: u64, sectors: u32 },
    #[error("{files} files and folders do not fit into the {entries} entries of the root directory")]
    RootFull { files: usize, entries: u32 },
    #[error("A volume of {sectors} sectors is too small for FAT: tables and root directory take {need}")]
    TooSmall { sectors: u32, need: u64 },
    #[error(
        "A volume of {sectors} sectors has {clusters} clusters of {per} sectors, FAT16 at most 65524; take larger clusters"
    )]
    TooLarge { sectors: u32, clusters: u64, per: u8 },
    #[error(
        "A volume of {sectors} sectors has too many clusters for FAT12 and too few for FAT16: {clusters}; make it a little smaller or larger"
    )]
    Between { sectors: u32, clusters: u64 },
    #[error("A cluster of {0} sectors is not a power of two up to 128")]
    ClusterSize(u8),
    #[error("There is no reserved sector, but the boot sector needs one")]
    NoReserved,
    #[error("The boot code has {0} bytes, expected 64 to 510")]
    BootCodeLength(usize),
    #[error("The boot code jumps to byte {0}, which lies in the parameter block (up to byte 61) or outside the code")]
    BootCodeJump(usize),
    #[error("The volume ends at sector {0} of the disk, but FAT counts to 4294967295")]
    Address(u64),
}

/// A FAT12 or FAT16 volume: a function of the offset.
pub struct Fat {
    pieces: Pieces,
    geometry: Geometry,
    used: u32,
}

impl Fat {
    /// Lays out a volume with `files`.
    ///
    /// # Errors
    /// When the files do not fit, have names that FAT cannot hold, or the
    /// options contradict each other.
    pub fn layout(files: &[FatFile], options: &Options) -> Result<Self, LayoutError> {
        let boot = boot_sector(options)?;
        let geometry = Geometry::new(&boot.0, u64::from(options.sectors) * SECTOR as u64)
            .map_err(|_| LayoutError::TooSmall { sectors: options.sectors, need: u64::from(options.sectors) + 1 })?;
        let mut dirs = Directories::plan(files, options)?;
        if dirs.dirs[0].entries.len() > geometry.root_entries as usize {
            return Err(LayoutError::RootFull { files: dirs.dirs[0].entries.len(), entries: geometry.root_entries });
        }
        let cluster = u64::from(geometry.cluster_size);
        let need = dirs.clusters(files, cluster);
        if need > u64::from(geometry.clusters) {
            return Err(LayoutError::NoRoom {
                need: need * cluster,
                have: u64::from(geometry.clusters) * cluster,
                sectors: options.sectors,
            });
        }
        let mut pieces = Pieces::new(u64::from(options.sectors) * SECTOR as u64);
        pieces.put_bytes(0, boot.1.to_vec());
        let mut table = Table::new(&geometry, options.media);
        dirs.place(files, &geometry, &mut table, &mut pieces);
        let used = table.next - 2;
        let bytes: std::sync::Arc<[u8]> = table.into_bytes().into();
        for which in 0..geometry.fats {
            pieces.put_bytes(geometry.fat_offset(which), bytes.clone());
        }
        Ok(Self { pieces, geometry, used })
    }

    /// Where the parts of the volume are.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Clusters that files and subdirectories take.
    pub fn used_clusters(&self) -> u32 {
        self.used
    }
}

impl ReadAt for Fat {
    fn len(&self) -> u64 {
        self.pieces.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.pieces.read_at(offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        self.pieces.extents()
    }
}

/// Type, sectors of a table and entries of the root directory.
fn settle(o: &Options) -> Result<(FatType, u16, u16), LayoutError> {
    let (sectors, per) = (u64::from(o.sectors), u64::from(o.sectors_per_cluster));
    let root_sectors = (sectors / 200).min(512 * DIRENT as u64 / SECTOR as u64);
    let root_entries = (root_sectors * (SECTOR / DIRENT) as u64) as u16;
    let mut clusters = 0;
    for fat_type in [FatType::Fat12, FatType::Fat16] {
        // Table and clusters depend on each other. disk/format starts without
        // clusters and repeats until nothing changes; where that would swing
        // for ever and it gives up, the larger of two tables is right too.
        let mut entries = 0;
        let mut fat_sectors = 0;
        for round in 0.. {
            let settled = fat_type.table_bytes(entries).div_ceil(SECTOR as u64);
            fat_sectors = if round < 10 { settled } else { settled.max(fat_sectors) };
            let data = u64::from(o.reserved) + 2 * fat_sectors + root_sectors;
            if data >= sectors {
                return Err(LayoutError::TooSmall { sectors: o.sectors, need: data });
            }
            let new = 2 + (sectors - data) / per;
            if new == entries || round > 12 {
                break;
            }
            entries = new;
        }
        clusters = entries - 2;
        if clusters < u64::from(fat_type.cluster_limit()) {
            // Readers tell the type by the number of clusters alone, so a FAT16
            // whose larger tables left too few would be read as FAT12.
            if fat_type == FatType::Fat16 && clusters < u64::from(FatType::Fat12.cluster_limit()) {
                return Err(LayoutError::Between { sectors: o.sectors, clusters });
            }
            let fat_sectors = u16::try_from(fat_sectors).expect("65525 entries fill 256 sectors");
            return Ok((fat_type, fat_sectors, root_entries));
        }
    }
    Err(LayoutError::TooLarge { sectors: o.sectors, clusters, per: o.sectors_per_cluster })
}

fn boot_sector(o: &Options) -> Result<(BootSector, [u8; SECTOR]), LayoutError> {
    if !o.sectors_per_cluster.is_power_of_two() {
        return Err(LayoutError::ClusterSize(o.sectors_per_cluster));
    }
    if o.reserved == 0 {
        return Err(LayoutError::NoReserved);
    }
    let end = u64::from(o.hidden_lba) + u64::from(o.sectors);
    if end > u64::from(u32::MAX) {
        return Err(LayoutError::Address(end));
    }
    let (fat_type, fatsize, rootsize) = settle(o)?;
    let mut raw = [0; SECTOR];
    let mut magic = [0xEB, (CODE_START - 2) as u8, 0x90];
    match &o.boot_code {
        None => raw[CODE_START..CODE_START + NO_BOOT.len()].copy_from_slice(&NO_BOOT),
        Some(code) => {
            if !(64..=SECTOR - 2).contains(&code.len()) {
                return Err(LayoutError::BootCodeLength(code.len()));
            }
            // 9legacy's format writes its own jump, 9front's takes the file's;
            // for the boot sectors of 9legacy that is the same.
            if code[0] == 0xEB {
                magic.copy_from_slice(&code[..3]);
            }
            let from = usize::from(magic[1]) + 2;
            if !(CODE_START..code.len()).contains(&from) {
                return Err(LayoutError::BootCodeJump(from));
            }
            raw[from..code.len()].copy_from_slice(&code[from..]);
        }
    }
    let root_lba = o.hidden_lba + u32::from(o.reserved) + 2 * u32::from(fatsize);
    let boot = BootSector {
        magic,
        version: *b"Plan9.00",
        sectsize: SECTOR as u16,
        clustsize: o.sectors_per_cluster,
        nresrv: o.reserved,
        nfats: 2,
        rootsize,
        volsize: u16::try_from(o.sectors).unwrap_or(0),
        mediadesc: o.media,
        fatsize,
        trksize: o.sectors_per_track,
        nheads: o.heads,
        nhidden: o.hidden_lba,
        bigvolsize: o.sectors,
        bigfatsize: 0,
        rootclust: 0,
        driveno: o.drive,
        bootsig: 0x29,
        volid: o.volume_id.unwrap_or(root_lba),
        label: o.label,
        fstype: *fat_type.name(),
        signed: true,
    };
    boot.encode(&mut raw);
    Ok((boot, raw))
}

/// The file allocation table while it is filled.
struct Table {
    bytes: Vec<u8>,
    fat_type: FatType,
    next: u32,
}

impl Table {
    fn new(g: &Geometry, media: u8) -> Self {
        let mut bytes = vec![0; g.fat_sectors as usize * SECTOR];
        g.fat_type.set(&mut bytes, 0, g.fat_type.end_of_chain() & !0xFF | u32::from(media));
        g.fat_type.set(&mut bytes, 1, g.fat_type.end_of_chain() | 7);
        Self { bytes, fat_type: g.fat_type, next: 2 }
    }

    /// Chains the next `count` clusters; returns the first, or 0 for none.
    fn take(&mut self, count: u32) -> u32 {
        let first = self.next;
        for n in first..first + count {
            let last = n + 1 == first + count;
            self.fat_type.set(&mut self.bytes, n, if last { self.fat_type.end_of_chain() | 7 } else { n + 1 });
        }
        self.next += count;
        if count == 0 { 0 } else { first }
    }

    /// The part of the table that is not zeros.
    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.fat_type.table_bytes(self.next.into()) as usize);
        self.bytes
    }
}

/// What an entry of a directory being planned leads to.
#[derive(Clone, Copy)]
enum Child {
    File,
    /// Index of the directory in [`Directories::dirs`].
    Dir(usize),
}

#[derive(Default)]
struct Directory {
    /// In the order of first mention.
    entries: Vec<(DirEntry, Child)>,
    parent: usize,
    start: u32,
}

/// The root directory (index 0) and the subdirectories in the order of first
/// mention.
struct Directories {
    dirs: Vec<Directory>,
    /// For each file: its directory and its place in it.
    places: Vec<(usize, usize)>,
}

impl Directories {
    fn plan(files: &[FatFile], o: &Options) -> Result<Self, LayoutError> {
        let mut this = Self { dirs: vec![Directory::default()], places: Vec::with_capacity(files.len()) };
        let mut known: BTreeMap<(usize, [u8; 11]), Child> = BTreeMap::new();
        for file in files {
            let len = u32::try_from(file.content.len())
                .map_err(|_| LayoutError::FileTooLong { path: file.name.clone(), len: file.content.len() })?;
            let mut at = 0;
            let mut elements = file.name.split('/').peekable();
            while let Some(element) = elements.next() {
                let name =
                    short_name(element.as_bytes()).map_err(|why| LayoutError::Name { path: file.name.clone(), why })?;
                let leaf = elements.peek().is_none();
                match known.get(&(at, name)) {
                    Some(Child::Dir(dir)) if !leaf => at = *dir,
                    Some(_) => return Err(LayoutError::Twice { path: file.name.clone() }),
                    None if leaf => {
                        known.insert((at, name), Child::File);
                        this.places.push((at, this.dirs[at].entries.len()));
                        this.dirs[at].entries.push((entry(name, file.attr, file.mtime, len), Child::File));
                    }
                    None => {
                        let dir = this.dirs.len();
                        known.insert((at, name), Child::Dir(dir));
                        this.dirs[at].entries.push((entry(name, ATTR_DIR, o.epoch, 0), Child::Dir(dir)));
                        this.dirs.push(Directory { parent: at, ..Directory::default() });
                        at = dir;
                    }
                }
            }
        }
        Ok(this)
    }

    /// Clusters that all of it takes.
    fn clusters(&self, files: &[FatFile], cluster: u64) -> u64 {
        let in_files: u64 = files.iter().map(|f| f.content.len().div_ceil(cluster)).sum();
        let in_dirs: u64 = self.dirs[1..].iter().map(|d| d.bytes().div_ceil(cluster)).sum();
        in_files + in_dirs
    }

    /// Hands out the clusters and puts directories and files where they go.
    fn place(&mut self, files: &[FatFile], g: &Geometry, table: &mut Table, pieces: &mut Pieces) {
        let cluster = u64::from(g.cluster_size);
        let offset = |start| g.cluster_offset(start).expect("the clusters were counted before");
        let mut next_dir = 1;
        for (file, (dir, slot)) in files.iter().zip(self.places.clone()) {
            // Directories are numbered in the order of first mention, and a
            // file's own is never mentioned after it.
            while next_dir <= dir {
                self.dirs[next_dir].start = table.take(self.dirs[next_dir].bytes().div_ceil(cluster) as u32);
                next_dir += 1;
            }
            let start = table.take(file.content.len().div_ceil(cluster) as u32);
            self.dirs[dir].entries[slot].0.start = start;
            if start != 0 {
                pieces.put(offset(start), Source::Content(file.content.clone()));
            }
        }
        for index in 0..self.dirs.len() {
            let bytes = self.encode(index);
            pieces.put_bytes(if index == 0 { g.root_offset() } else { offset(self.dirs[index].start) }, bytes);
        }
    }

    fn encode(&self, index: usize) -> Vec<u8> {
        let dir = &self.dirs[index];
        let mut out = Vec::new();
        if index > 0 {
            // The entry that leads here has the time that the two get.
            let own = self.dirs[dir.parent].entries.iter().find(|e| matches!(e.1, Child::Dir(d) if d == index));
            let own = own.expect("a directory has an entry in its parent").0;
            let up = self.dirs[dir.parent].start;
            out.extend(DirEntry { name: *b".          ", start: dir.start, ..own }.encode());
            out.extend(DirEntry { name: *b"..         ", start: up, ..own }.encode());
        }
        for (entry, child) in &dir.entries {
            let start = match child {
                Child::File => entry.start,
                Child::Dir(d) => self.dirs[*d].start,
            };
            out.extend(DirEntry { start, ..*entry }.encode());
        }
        out
    }
}

impl Directory {
    /// Bytes of a subdirectory with its entries for itself and its parent.
    fn bytes(&self) -> u64 {
        ((self.entries.len() + 2) * DIRENT) as u64
    }
}

fn entry(name: [u8; 11], attr: u8, mtime: u32, len: u32) -> DirEntry {
    let (date, time) = dos_time(mtime);
    DirEntry { name, attr, case: 0, time, date, start: 0, len }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, len: usize) -> FatFile {
        FatFile::new(name, Content::bytes(vec![0x5A; len]), 1_000_000_000)
    }
    fn refused(files: &[FatFile], change: impl FnOnce(&mut Options)) -> LayoutError {
        let mut options = Options::hard_disk(20_000, 2048, 0);
        change(&mut options);
        Fat::layout(files, &options).err().expect("refused")
    }

    #[test]
    fn a_9fat_has_the_figures_that_the_loader_needs() {
        let code = [&[0xEB, 0x3C, 0x90][..], &[0; 59], &[0xAB; 445]].concat();
        let options = Options { boot_code: Some(code.clone()), ..Options::hard_disk(81_920, 2048, 0) };
        let fat = Fat::layout(&[file("9load", 377_964), file("plan9.ini", 5)], &options).unwrap();
        let mut sector = [0; SECTOR];
        fat.read_at(0, &mut sector).unwrap();
        let boot = BootSector::decode(&sector);
        assert_eq!((boot.nresrv, boot.rootsize, boot.volsize, boot.bigvolsize), (2, 512, 0, 81_920));
        assert_eq!((boot.fatsize, boot.nhidden, boot.volid), (80, 2048, 2048 + 2 + 160));
        assert_eq!((&boot.fstype, boot.driveno, boot.mediadesc), (b"FAT16   ", 0x80, 0xF8));
        assert_eq!(sector[0x3E..507], code[0x3E..]);
        assert_eq!(sector[507..], [0, 0, 0, 0x55, 0xAA]);
        assert_eq!(fat.used_clusters(), 185 + 1);
        // Only the boot sector, the used parts of the tables and directory, and the files.
        let used: u64 = fat.extents().iter().map(|e| e.len).sum();
        assert_eq!(used, 512 + 2 * 2 * (186 + 2) + 2 * 32 + 377_964 + 5);
    }

    #[test]
    fn a_boot_sector_of_9front_keeps_its_jump() {
        let mut code = vec![0xEB, 0x58, 0x90];
        code.extend([0xAB; 400]);
        let options = Options { boot_code: Some(code), volume_id: Some(0), ..Options::hard_disk(20_000, 63, 0) };
        let mut sector = [0; SECTOR];
        Fat::layout(&[], &options).unwrap().read_at(0, &mut sector).unwrap();
        assert_eq!(sector[..3], [0xEB, 0x58, 0x90]);
        assert_eq!((&sector[0x3E..0x5A], &sector[0x5A..0x5D]), (&[0; 28][..], &[0xAB; 3][..]));
        assert_eq!(BootSector::decode(&sector).volid, 0);
    }

    #[test]
    fn each_fault_has_its_error() {
        let name = |path: &str, why| LayoutError::Name { path: path.into(), why };
        assert_eq!(refused(&[file("9pccpuf.gzip", 1)], |_| ()), name("9pccpuf.gzip", BadName::LongExtension(4)));
        assert_eq!(refused(&[file("a//b", 1)], |_| ()), name("a//b", BadName::Empty));
        for second in ["A", "a/b"] {
            assert_eq!(refused(&[file("a", 1), file(second, 1)], |_| ()), LayoutError::Twice { path: second.into() });
        }
        assert_eq!(refused(&[file("a/b", 1), file("a", 1)], |_| ()), LayoutError::Twice { path: "a".into() });
        let full = refused(&[file("a", 20_000 * 512)], |_| ());
        assert_eq!(full, LayoutError::NoRoom { need: 10_240_000, have: 10_201_088, sectors: 20_000 });
        let many: Vec<_> = (0..513).map(|i| file(&i.to_string(), 0)).collect();
        assert_eq!(refused(&many, |_| ()), LayoutError::RootFull { files: 513, entries: 512 });
        assert_eq!(refused(&[], |o| o.sectors = 2), LayoutError::TooSmall { sectors: 2, need: 2 });
        let large = refused(&[], |o| o.sectors = 300_000);
        assert!(matches!(large, LayoutError::TooLarge { sectors: 300_000, per: 4, .. }), "{large}");
        assert_eq!(refused(&[], |o| o.sectors_per_cluster = 3), LayoutError::ClusterSize(3));
        assert_eq!(refused(&[], |o| o.reserved = 0), LayoutError::NoReserved);
        assert_eq!(refused(&[], |o| o.boot_code = Some(vec![0; 511])), LayoutError::BootCodeLength(511));
        let short_jump = refused(&[], |o| o.boot_code = Some(vec![0xEB; 3].into_iter().chain([0; 100]).collect()));
        assert_eq!(short_jump, LayoutError::BootCodeJump(0xED));
        assert_eq!(refused(&[], |o| o.hidden_lba = u32::MAX), LayoutError::Address(4_294_987_295));
    }

    /// Every length is either refused in words or settles on a table that
    /// holds its clusters.
    #[test]
    fn every_length_settles() {
        for sectors in (0..150_000).step_by(7).chain(16_000..18_000).chain(261_000..262_800) {
            for per in [1, 2, 4, 8] {
                let options = Options { sectors_per_cluster: per, ..Options::hard_disk(sectors, 0, 0) };
                match boot_sector(&options) {
                    Ok((boot, _)) => {
                        let g = Geometry::new(&boot, u64::from(sectors) * 512).unwrap();
                        assert_eq!(g.fat_type.name(), &boot.fstype, "{sectors} {per}");
                    }
                    Err(LayoutError::Between { clusters, .. }) => assert!((4070..4085).contains(&clusters)),
                    Err(LayoutError::TooSmall { .. }) => assert!(sectors < 10, "{sectors} {per}"),
                    Err(LayoutError::TooLarge { .. }) => assert!(sectors / u32::from(per) > 65_500, "{sectors} {per}"),
                    Err(e) => panic!("{sectors} {per}: {e}"),
                }
            }
        }
    }
}
