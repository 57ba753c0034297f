//! Deciding where everything in a FAT volume goes, as `disk/format` decides it.
//!
//! Clusters are handed out in the order of the files; a subdirectory (which
//! `disk/format` does not make) gets its clusters when the first file in it
//! comes up. So the volume depends on the list and the options alone, and what
//! comes early in the list keeps its place when later files change.

use super::format::{ATTR_SYSTEM, BadBootSector, BadName, Geometry, SECTOR};
use super::place::{Directories, Table};
use super::sizes::boot_sector;
use crate::ErrorKind;
use crate::count;
use crate::pieces::Pieces;
use crate::read_at::{Extent, Origin, ReadAt};
use crate::tree::Content;
use std::io;
use thiserror::Error;

/// The label that says there is none. What `disk/format` writes unless told
/// otherwise, `CYLINDRICAL`, `fsck.fat` takes for damage: a true label also
/// has an entry in the root directory.
pub const NO_LABEL: &[u8; 11] = b"NO NAME    ";

/// Options of a volume.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the volume in sectors of 512 bytes.
    pub sectors: u32,
    /// Sectors of 512 bytes in a cluster: a power of two up to 128.
    pub sectors_per_cluster: u8,
    /// Sectors before the first table. Two where the second is to hold the
    /// Plan 9 partition table.
    pub reserved: u16,
    /// Absolute address of the volume's first sector on the disk.
    pub hidden_lba: u32,
    /// Heads of the drive, as the boot sector tells a BIOS.
    pub heads: u16,
    /// Sectors in a track of the drive.
    pub sectors_per_track: u16,
    /// Media descriptor: 0xF8 for a hard disk.
    pub media: u8,
    /// BIOS drive number: 0x80 for the first hard disk, 0 for a floppy disk.
    pub drive: u8,
    /// Label of the volume, padded with blanks; or [`NO_LABEL`].
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
    /// Bytes of the file.
    pub content: Content,
    /// Attribute bits, `ATTR_…` of [`super::format`].
    pub attr: u8,
    /// Last change, seconds since 1970-01-01 UTC; stored in steps of two
    /// seconds, from 1980 on.
    pub mtime: u32,
}

impl FatFile {
    /// A file with the attributes that `disk/format` gives it: system for
    /// the loader, else none.
    pub fn new(name: &str, content: Content, mtime: u32) -> Self {
        let attr = if matches!(name, "9load" | "9bootfat") { ATTR_SYSTEM } else { 0 };
        Self { name: name.to_owned(), content, attr, mtime }
    }
}

/// Reason why there is no volume with these files and options.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum LayoutError {
    /// Name that is not 8.3.
    #[error("{path} is not a name for FAT: {why}; a name has 8 letters, a dot and 3 letters")]
    Name { path: String, why: BadName },
    /// Two names that differ only in case.
    #[error("{path} appears twice: FAT does not distinguish upper and lower case")]
    Twice { path: String },
    /// File of 4 GiB or more.
    #[error("{path} has {len}, but a file on FAT has at most 4294967295", len = count::of(len, "byte"))]
    FileTooLong { path: String, len: u64 },
    /// Volume that is too small for the files.
    #[error(
        "The files need {need}, rounded up to clusters, but a volume of {sectors} has room for {have}", need = count::of(need, "byte"), sectors = count::of(sectors, "sector")
    )]
    NoRoom { need: u64, have: u64, sectors: u32 },
    /// More entries than the root directory has.
    #[error("{files} files and folders do not fit into the {entries} of the root directory", entries = count::of(entries, "entry"))]
    RootFull { files: usize, entries: u32 },
    /// Volume that is too small for tables and root directory.
    #[error("A volume of {sectors} is too small for FAT: tables and root directory take {need}", sectors = count::of(sectors, "sector"))]
    TooSmall { sectors: u32, need: u64 },
    /// More clusters than FAT16 counts.
    #[error(
        "A volume of {sectors} has {clusters} of {per}, FAT16 at most 65524; take larger clusters", sectors = count::of(sectors, "sector"), clusters = count::of(clusters, "cluster"), per = count::of(per, "sector")
    )]
    TooLarge { sectors: u32, clusters: u64, per: u8 },
    /// Number of clusters that other systems take for FAT12 or for FAT16.
    #[error(
        "A volume of {sectors} has too many clusters for FAT12 and too few for FAT16: {clusters}; make it a little smaller or larger", sectors = count::of(sectors, "sector")
    )]
    Between { sectors: u32, clusters: u64 },
    /// Length of a cluster that cannot be.
    #[error("A cluster of {n} is not a power of two up to 128", n = count::of(.0, "sector"))]
    ClusterSize(u8),
    /// Options without a sector for the boot sector.
    #[error("There is no reserved sector, but the boot sector needs one")]
    NoReserved,
    /// Boot code that does not fit.
    #[error("The boot code has {n}, expected 64 to 510", n = count::of(.0, "byte"))]
    BootCodeLength(usize),
    /// Boot code that jumps to its own parameters, or out of itself.
    #[error("The boot code jumps to byte {0}, which is in the parameter block (up to byte 61) or outside the code")]
    BootCodeJump(usize),
    /// A jump that readers of FAT do not know.
    /// Boot code whose parameters would describe no FAT volume.
    #[error(transparent)]
    BootSector(#[from] BadBootSector),
    /// Place on the disk that FAT has no number for.
    #[error("The volume ends at sector {0} of the disk, but FAT counts to 4294967295")]
    Address(u64),
}

impl LayoutError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRoom { .. } | Self::RootFull { .. } | Self::TooSmall { .. } => ErrorKind::TooSmall,
            _ => ErrorKind::Unsupported,
        }
    }
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
    /// Fails when the files do not fit, have names that FAT cannot hold, or the
    /// options contradict each other.
    pub fn layout(files: &[FatFile], options: &Options) -> Result<Self, LayoutError> {
        let boot = boot_sector(options)?;
        let geometry = Geometry::new(&boot.0, u64::from(options.sectors) * SECTOR as u64)?;
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

    /// Positions of the parts of the volume.
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
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        self.pieces.origin(offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::BootSector;
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
        let jump = BadBootSector::Jump([0xEB, 0x3C, 0]);
        let no_nop = refused(&[], |o| o.boot_code = Some([&[0xEB, 0x3C][..], &[0; 100]].concat()));
        assert_eq!(no_nop, LayoutError::BootSector(jump));
        assert_eq!(refused(&[], |o| o.hidden_lba = u32::MAX), LayoutError::Address(4_294_987_295));
    }
}
