//! Names of what p9img does not read: containers of disks, archives, file
//! systems and other files, each with the way to something that it does read.
//!
//! One table says how each is recognized. A container of a disk is refused by
//! [`refuse`] before its bytes could be taken for the disk's own; everything
//! else is named by [`name`] when nothing was found that can be read.

use crate::read_at::ReadAt;
use crate::web_page;
use std::io;

/// Advice for the image of a virtual machine.
const QEMU_IMG: &str = "make a qcow2 of it with `qemu-img convert -O qcow2 IN OUT.qcow2`, and give that";
const UNPACK: &str = "unpack it, and give the folder";
const UNPACK_FILE: &str = "unpack it, and give the file that was in it";
const NOT_PLAN9: &str = "Plan 9 has its root on another file system, so this is not a disk of Plan 9";

/// Position of a magic number.
#[derive(Clone, Copy)]
enum At {
    Start(u64),
    /// Bytes from the end.
    End(u64),
}

use At::{End, Start};

/// Class of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A disk in a container: its bytes are not the disk's.
    Container,
    Other,
}

use Class::{Container, Other};

/// One kind of file: its magic number, its name with an article, and advice.
struct Kind {
    class: Class,
    at: At,
    magic: &'static [u8],
    name: &'static str,
    advice: &'static str,
}

const fn kind(class: Class, at: At, magic: &'static [u8], name: &'static str, advice: &'static str) -> Kind {
    Kind { class, at, magic, name, advice }
}

const PLAN9_PROGRAM: &str = "give the folder, archive or disc with the whole system";

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    // Disks of virtual machines. A fixed VHD is the disk itself with 512 bytes after it, and is read.
    kind(Container, Start(64), b"\x7f\x10\xda\xbe", "a disk image of VirtualBox (VDI)", QEMU_IMG),
    kind(Container, Start(0), b"conectix", "a dynamic disk image of Virtual PC (VHD)", QEMU_IMG),
    kind(Container, Start(0), b"vhdxfile", "a disk image of Hyper-V (VHDX)", QEMU_IMG),
    kind(Container, Start(0), b"WithoutFreeSpace", "a disk image of Parallels", QEMU_IMG),
    kind(Container, Start(0), b"WithouFreSpacExt", "a disk image of Parallels", QEMU_IMG),
    kind(Container, Start(0), b"QED\0", "a disk image of QEMU (QED)", QEMU_IMG),
    kind(Container, Start(0), b"QFI\xfb\0\0\0\x01", "a disk image of QEMU (qcow, version 1)", QEMU_IMG),
    kind(Container, Start(0), b"COWD", "a sparse disk image of VMware ESX", QEMU_IMG),
    kind(Container, Start(0), b"\xbe\xba\xfe\xca\0\0\0\0", "a sparse disk image of VMware ESX (SEsparse)", QEMU_IMG),
    kind(Container, Start(0), b"# Disk DescriptorFile", "the descriptor of a VMDK", QEMU_IMG),
    kind(Container, Start(0), b"Bochs Virtual HD Image", "a disk image of Bochs", QEMU_IMG),
    kind(Container, Start(0), b"#!/bin/sh\n#V2.0 Format\n", "a disk image of Linux's cloop", QEMU_IMG),
    kind(Container, End(512), b"koly", "a disk image of macOS (DMG)", "make a raw image of it with `qemu-img convert -O raw IN OUT.img`, and give that"),
    kind(Container, Start(0), b"LUKS\xba\xbe", "an encrypted disk (LUKS)", "open it with cryptsetup, and give the device"),
    kind(Container, Start(0), b"MSWIM\0\0\0", "an image of Windows (WIM)", "unpack it with `7z x` or wimlib, and give the folder"),
    // Archives.
    kind(Other, Start(0), b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    kind(Other, Start(0), b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    kind(Other, Start(0), b"\xed\xab\xee\xdb", "an rpm package", "unpack it with `rpm2cpio IN | cpio -id`, and give the folder"),
    kind(Other, Start(0), b"070701", "a cpio archive", UNPACK),
    kind(Other, Start(0), b"070702", "a cpio archive", UNPACK),
    kind(Other, Start(0), b"070707", "a cpio archive", UNPACK),
    kind(Other, Start(0), b"\xc7\x71", "a cpio archive", UNPACK),
    kind(Other, Start(0), b"xar!", "a xar archive", UNPACK),
    kind(Other, Start(0), b"MSCF\0\0\0\0", "a cabinet of Windows", UNPACK),
    kind(Other, Start(0), b"-rom1fs-", "an image of Linux's romfs", "mount it, and give the folder"),
    kind(Other, Start(0), b"hsqs", "a squashfs", "unpack it with unsquashfs, and give the folder"),
    kind(Other, Start(0), b"sqsh", "a squashfs", "unpack it with unsquashfs, and give the folder"),
    kind(Other, Start(0), b"PK\x05\x06", "a zip archive with nothing in it", "get the file again"),
    kind(Other, Start(0), b"PK\x07\x08", "one part of a zip archive of several", "join the parts with `zip -s 0 IN --out OUT.zip`, and give that"),
    kind(Other, Start(0), b"!<arch>\n", "an ar archive", UNPACK),
    // Compressions.
    kind(Other, Start(0), b"LZIP", "compressed by lzip", UNPACK_FILE),
    kind(Other, Start(0), b"\x04\x22\x4d\x18", "compressed by lz4", UNPACK_FILE),
    kind(Other, Start(0), b"\x89LZO\0\r\n\x1a\n", "compressed by lzop", UNPACK_FILE),
    kind(Other, Start(0), b"LRZI", "compressed by lrzip", UNPACK_FILE),
    kind(Other, Start(0), b"\x1f\x9d", "compressed by compress (.Z)", UNPACK_FILE),
    kind(Other, Start(0), b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff", "compressed by lzma", UNPACK_FILE),
    // File systems and discs.
    kind(Other, Start(32769), b"BEA01", "a disc with UDF alone", "p9img reads ISO 9660: mount it, and give the folder"),
    kind(Other, Start(512), b"EFI PART", "a disk with a GUID partition table (GPT)", "p9img reads master boot records: give the Plan 9 partition alone, copied with dd"),
    kind(Other, Start(4096), b"EFI PART", "a disk with a GUID partition table (GPT) and sectors of 4,096 bytes", "p9img reads master boot records: give the Plan 9 partition alone, copied with dd"),
    kind(Other, Start(3), b"NTFS    ", "an NTFS of Windows", NOT_PLAN9),
    kind(Other, Start(3), b"EXFAT   ", "an exFAT", NOT_PLAN9),
    kind(Other, Start(1080), b"\x53\xef", "an ext2, ext3 or ext4 of Linux", NOT_PLAN9),
    kind(Other, Start(0), b"XFSB", "an XFS of Linux", NOT_PLAN9),
    kind(Other, Start(65600), b"_BHRfS_M", "a Btrfs of Linux", NOT_PLAN9),
    kind(Other, Start(1024), b"\x10\x20\xf5\xf2", "an F2FS of Linux", NOT_PLAN9),
    kind(Other, Start(1024), b"\xe2\xe1\xf5\xe0", "an EROFS of Linux", NOT_PLAN9),
    kind(Other, Start(65600), b"ReIsEr", "a ReiserFS of Linux", NOT_PLAN9),
    kind(Other, Start(4086), b"SWAPSPACE2", "swap space of Linux", NOT_PLAN9),
    kind(Other, Start(536), b"LVM2 001", "a physical volume of Linux' LVM", NOT_PLAN9),
    kind(Other, Start(0), b"ER\x02\0", "a disk with an Apple partition map", NOT_PLAN9),
    kind(Other, Start(32), b"NXSB", "an APFS of macOS", NOT_PLAN9),
    kind(Other, Start(1024), b"H+\0\x04", "an HFS+ of macOS", NOT_PLAN9),
    kind(Other, Start(1024), b"HX\0\x05", "an HFS+ of macOS", NOT_PLAN9),
    // Files of other kinds.
    kind(Other, Start(0), b"%PDF-", "a PDF document", "give the medium itself"),
    kind(Other, Start(0), b"\x7fELF", "a program (ELF)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"MZ", "a program of Windows or UEFI", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\xcf\xfa\xed\xfe", "a program of macOS", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\0\0\x01\xeb", "a program or kernel of Plan 9 (386)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\0\0\x8a\x97", "a program or kernel of Plan 9 (amd64)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\0\0\x06\x47", "a program or kernel of Plan 9 (arm)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\0\0\x8c\x47", "a program or kernel of Plan 9 (arm64)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\0\0\x04\x07", "a program or kernel of Plan 9 (mips)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\0\0\x06\xeb", "a program or kernel of Plan 9 (power)", PLAN9_PROGRAM),
    kind(Other, Start(0), b"\xd0\x0d\xfe\xed", "a device tree", "give the medium itself"),
    kind(Other, Start(0), b"# v2 git bundle\n", "a git bundle", "run `git clone --bare IN DIR.git`, and give DIR.git"),
    kind(Other, Start(0), b"# v3 git bundle\n", "a git bundle", "run `git clone --bare IN DIR.git`, and give DIR.git"),
    kind(Other, Start(0), b"PACK\0\0\0", "a pack of git's objects", "give the git directory that it belongs to"),
    kind(Other, Start(0), b"version https://git-lfs", "a pointer of git LFS to a file that is elsewhere", "run `git lfs pull` where it comes from"),
    kind(Other, Start(0), b"d8:announce", "a torrent", "give the file that it fetches"),
    kind(Other, Start(0), b"d4:info", "a torrent", "give the file that it fetches"),
];

/// Text of a `.git` file before the path of the repository.
const GITDIR: &str = "gitdir:";

/// A file that p9img does not read: the name of its format with an article, and
/// advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("It is {name}, which p9img does not read: {advice}")]
pub struct Foreign {
    pub name: String,
    pub advice: String,
}

impl Foreign {
    /// The one that an error holds.
    pub fn of(e: &io::Error) -> Option<&Self> {
        e.get_ref()?.downcast_ref()
    }
}

/// Refuses a container of a disk, whose bytes are not the disk's own.
///
/// # Errors
/// `Unsupported` with a [`Foreign`]; else those of reading.
pub fn refuse(file: &dyn ReadAt) -> io::Result<()> {
    match find(file, |k| k.class == Container)? {
        Some(kind) => Err(io::Error::new(io::ErrorKind::Unsupported, named(kind, file)?)),
        None => Ok(()),
    }
}

/// The name of a file that holds nothing that p9img reads, if it has one.
///
/// # Errors
/// Error of reading.
pub fn name(file: &dyn ReadAt) -> io::Result<Option<Foreign>> {
    if let Some(kind) = find(file, |_| true)? {
        return named(kind, file).map(Some);
    }
    let text = text(file)?;
    if web_page::matches(text.as_bytes()) {
        let advice = "something between here and the server answered in its place: fetch it again, or with a browser";
        return Ok(Some(Foreign { name: "a web page (HTML)".into(), advice: advice.into() }));
    }
    Ok(text.strip_prefix(GITDIR).map(|place| {
        let place = printable(place.lines().next().unwrap_or_default().trim());
        let advice = format!("give the folder that this file is in, or {place}");
        Foreign { name: format!("a file of git that says where a repository is ({place})"), advice }
    }))
}

fn find(file: &dyn ReadAt, asked: impl Fn(&Kind) -> bool) -> io::Result<Option<&'static Kind>> {
    let len = file.len();
    let mut bytes = [0; 32];
    for kind in KINDS.iter().filter(|k| asked(k)) {
        let at = match kind.at {
            Start(at) => at,
            End(back) if back <= len => len - back,
            End(_) => continue,
        };
        let bytes = &mut bytes[..kind.magic.len()];
        if at.saturating_add(bytes.len() as u64) > len {
            continue;
        }
        file.read_at(at, bytes)?;
        if bytes == kind.magic {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

fn named(kind: &Kind, file: &dyn ReadAt) -> io::Result<Foreign> {
    let mut foreign = Foreign { name: kind.name.into(), advice: kind.advice.into() };
    if kind.magic.starts_with(b"# Disk") {
        let parts = extents(&text(file)?);
        if let Some(first) = parts.first() {
            let more = if parts.len() > 1 { format!(" and {} more", parts.len() - 1) } else { String::new() };
            foreign.name = format!("the descriptor of a VMDK whose data lie in another file, {first}{more}");
            foreign.advice =
                "put both into one file with `qemu-img convert -O qcow2 IN OUT.qcow2`, and give that".into();
        }
    }
    Ok(foreign)
}

/// The files that the descriptor of a VMDK names: `RW 4192256 FLAT "disk-flat.vmdk" 0`.
fn extents(text: &str) -> Vec<String> {
    let access = |line: &&str| ["RW ", "RDONLY ", "NOACCESS "].iter().any(|a| line.starts_with(a));
    let name = |line: &str| Some(printable(line.split('"').nth(1)?));
    text.lines().filter(access).filter_map(name).collect()
}

/// The first bytes as text.
fn text(file: &dyn ReadAt) -> io::Result<String> {
    let mut start = vec![0; file.len().min(8192) as usize];
    file.read_at(0, &mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

/// At most 200 characters, none of which disturbs a terminal.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these bytes at this place, and zeros around them.
    fn with(at: At, magic: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 128 << 10];
        let at = match at {
            Start(at) => at as usize,
            End(back) => file.len() - back as usize,
        };
        file[at..at + magic.len()].copy_from_slice(magic);
        file
    }

    #[test]
    fn every_kind_is_known_by_its_own_mark_and_says_what_to_do() {
        for kind in KINDS {
            let file = with(kind.at, kind.magic);
            let found = name(&file).unwrap().unwrap_or_else(|| panic!("{}", kind.name));
            assert_eq!(found.name, kind.name);
            assert!(!found.advice.is_empty() && !found.advice.ends_with('.'), "{found}");
            assert_eq!(refuse(&file).is_err(), kind.class == Container, "{}", kind.name);
            // A file that ends in the middle of the mark is none, and no error.
            if let Start(at) = kind.at {
                let cut = file[..at as usize + kind.magic.len() - 1].to_vec();
                assert_eq!(find(&cut, |k| k.name == kind.name).unwrap().map(|k| k.name), None);
            }
        }
        for nothing in [&b""[..], b"x", &[0; 100_000], b"gitdi"] {
            assert_eq!(name(&nothing.to_vec()).unwrap(), None);
        }
    }

    #[test]
    fn texts_are_named_with_what_they_say() {
        for page in ["<!DOCTYPE html><html>", "\u{feff}\r\n <HTML lang=en>"] {
            assert_eq!(name(&page.as_bytes().to_vec()).unwrap().unwrap().name, "a web page (HTML)");
        }
        let text = "# Disk DescriptorFile\nversion=1\nRW 4192256 FLAT \"d-flat.vmdk\" 0\nRW 1 FLAT \"e\x1b[31m\" 0\n";
        let e = refuse(&text.as_bytes().to_vec()).unwrap_err();
        let want = "It is the descriptor of a VMDK whose data lie in another file, d-flat.vmdk and 1 more, \
                    which p9img does not read: put both";
        assert!(e.to_string().starts_with(want), "{e}");
        let git = name(&b"gitdir: ../x/.git/worktrees/y\n".to_vec()).unwrap().unwrap();
        assert!(git.advice.ends_with("or ../x/.git/worktrees/y"), "{git}");
    }
}
