//! Verifying what a disk is wrapped in: containers and archives.

use crate::artifact::cluster::CLUSTER;
use crate::artifact::container::open::Layers;
use crate::artifact::container::zip;
use crate::count;
use crate::fs::Finding;
use crate::read_at::{Extent, ReadAt};
use std::io;

/// Findings about pieces of a disk that cannot be read, one by one.
const SHOWN: u64 = 20;
impl Layers {
    /// Verifies the structures of the container, and with `data` the sums that
    /// the archive around it has. Kinds of findings are listed in
    /// `doc/qcow2.md`, `doc/vmdk.md` and `doc/ova.md`.
    ///
    /// # Errors
    /// Only when the image itself cannot be read.
    pub fn check(&self, data: bool, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        let mut say = |kind, message| report(Finding { kind, message });
        if let Some(check) = &self.check {
            check(data, &mut say)?;
        }
        match &self.zip {
            Some(file) if data => zip::check(file, &mut say),
            _ => Ok(()),
        }
    }
}

/// Reads every byte of a range of a disk that `extents` do not give as zeros:
/// every cluster or grain is inflated. Returns how many bytes that were.
///
/// # Errors
/// Error of the operating system on reading the image.
pub fn read_disk(disk: &dyn ReadAt, range: Extent, report: &mut dyn FnMut(Finding)) -> io::Result<u64> {
    let size = CLUSTER as u64;
    let (mut read, mut wrong) = (0, 0);
    let mut buf = vec![0; CLUSTER];
    for extent in disk.extents() {
        let mut at = extent.offset.max(range.offset);
        let end = extent.end().min(range.end()).min(disk.len());
        while at < end {
            let n = (size - at % size).min(end - at);
            match disk.read_at(at, &mut buf[..n as usize]) {
                Ok(()) => read += n,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    wrong += 1;
                    if wrong <= SHOWN {
                        let message = format!("Bytes {at} to {} of the disk: {e}", at + n - 1);
                        report(Finding { kind: "container-data", message });
                    }
                }
                Err(e) => return Err(e),
            }
            at += n;
        }
    }
    if wrong > SHOWN {
        let message = format!("{} of the disk cannot be read", count::of(wrong - SHOWN, "more piece"));
        report(Finding { kind: "container-data", message });
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::build::build;
    use crate::artifact::container::ova;
    use crate::artifact::job::{Job, Quiet, Settings};
    use crate::artifact::layer::Layer;
    use crate::artifact::machine::Machine;
    use crate::artifact::output::folder::{Folder, Wait};
    use crate::artifact::qcow2::format::compressed_place;
    use crate::lab::Format;
    use std::sync::{Arc, LazyLock};

    /// A disk of sixteen clusters, of which three compress and one does not.
    static IMAGES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = vec![0u8; 16 << 16];
        for at in [0, 5 << 16, 15 << 16] {
            disk[at..at + 3000].iter_mut().zip(0u32..).for_each(|(b, i)| *b = (i * i / 7) as u8);
        }
        let mut noise = 1u32;
        disk[9 << 16..10 << 16].fill_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        let names = [(Format::Qcow2, "n.qcow2"), (Format::Ova, "n.ova")];
        let outputs = names.map(|(format, name)| (format, name.to_owned())).to_vec();
        let job = Job { node: Machine::sample("n"), disk: Arc::new(disk), outputs, key: None, layer: Layer::Whole };
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        build(&folder, &[job], &Settings::default(), &Quiet).unwrap();
        names.map(|(_, name)| std::fs::read(dir.path().join(name)).unwrap())
    });

    fn be(b: &[u8], at: usize) -> u64 {
        u64::from_be_bytes(b[at..at + 8].try_into().unwrap())
    }

    /// Findings of a check of an image after damage.
    fn said(which: usize, data: bool, damage: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
        let mut bytes = IMAGES[which].clone();
        damage(&mut bytes);
        let layers = crate::artifact::container::open::layers(Arc::new(bytes)).unwrap();
        let mut out = Vec::new();
        layers.check(data, &mut |f| out.push(f.to_string())).unwrap();
        if data {
            let all = Extent { offset: 0, len: layers.disk.len() };
            read_disk(&*layers.disk, all, &mut |f| out.push(f.to_string())).unwrap();
        }
        out
    }

    #[test]
    fn every_damage_of_a_qcow2_has_its_word() {
        let none: [&str; 0] = [];
        assert_eq!(said(0, true, |_| {}), none);
        let image = &IMAGES[0];
        let l2 = (be(image, be(image, 40) as usize) & 0x00ff_ffff_ffff_fe00) as usize;
        let counts = be(image, be(image, 48) as usize) as usize;
        let put = |b: &mut Vec<u8>, at: usize, v: u64| b[at..at + 8].copy_from_slice(&v.to_be_bytes());
        // The cluster that does not compress is in the file as it is.
        let (plain, stream) = (be(image, l2 + 8 * 9), be(image, l2));
        let place = (plain & 0x00ff_ffff_ffff_fe00) as usize;
        let twice = said(0, false, |b| put(b, l2 + 8 * 3, plain));
        let at = format!("The cluster at {place:#x} of the file");
        assert_eq!(
            twice,
            [
                format!("{at} is data, but data, too [qcow2-overlap]"),
                format!("{at}, data, is counted 1, but 2 pointers lead there [qcow2-refcount]")
            ]
        );
        let beyond = said(0, false, |b| put(b, l2 + 8 * 9, plain + (1 << 40)));
        assert_eq!(
            beyond[0],
            format!("Cluster 9 is at {:#x}, which is not a cluster of the file [qcow2-cluster]", place + (1 << 40))
        );
        assert_eq!(beyond[1], "1 cluster of the file is counted as used, but no pointer leads there [qcow2-lost]");
        let header = said(0, false, |b| put(b, l2 + 8 * 9, 1 << 63 | be(image, 40)));
        assert!(header[0].ends_with("is the L1 table, but data, too [qcow2-overlap]"), "{header:?}");
        let free = said(0, false, |b| b[counts + 2 * (place >> 16) + 1] = 0);
        assert_eq!(free, [format!("{at}, data, is counted 0, but 1 pointer leads there [qcow2-refcount]")]);
        let high = said(0, false, |b| b[counts + 2 * (place >> 16) + 1] = 2);
        assert_eq!(high, [format!("{at} should be counted 1, but is 2 [qcow2-refcount]")]);
        // What does not inflate is not looked at without being asked.
        let (at, _) = compressed_place(16, stream);
        let wound = |b: &mut Vec<u8>| b[at as usize..at as usize + 8].fill(0xff);
        assert_eq!(said(0, false, wound), none);
        let data = said(0, true, wound);
        assert_eq!(data.len(), 1);
        assert!(data[0].starts_with("Bytes 0 to 65535 of the disk: qcow2 cluster 0 does not inflate: "), "{data:?}");
    }

    #[test]
    fn what_a_header_claims_takes_no_memory() {
        let image = &IMAGES[0];
        // An L1 table of 2^32 entries, of which the file has the first few.
        let long = said(0, false, |b| b[36..40].fill(0xff));
        assert!(long.iter().all(|f| f.contains("[qcow2-overlap]") || f.contains("[qcow2-refcount]")), "{long:?}");
        // Every block of counts is the same one.
        let table = be(image, 48) as usize;
        let same = said(0, false, |b| {
            let first = b[table..table + 8].to_vec();
            b[table..table + 4096].chunks_mut(8).for_each(|entry| entry.copy_from_slice(&first));
        });
        assert_eq!(same, [""; 0], "blocks of clusters behind the end of the file are nobody's");
    }

    #[test]
    fn every_damage_of_an_ova_has_its_word() {
        let none: [&str; 0] = [];
        assert_eq!(said(1, true, |_| {}), none);
        let image = &IMAGES[1];
        let members = ova::members(image).unwrap();
        let vmdk = members.iter().find(|m| m.name.ends_with(".vmdk")).unwrap();
        let (start, len) = (vmdk.offset as usize, vmdk.len as usize);
        // A grain's stream, after its marker; the first grain is at sector 128.
        let stream = start + 128 * 512 + 12 + 2;
        let data = said(1, true, |b| b[stream..stream + 8].fill(0xff));
        assert!(data[0].starts_with("n-disk1.vmdk has the SHA-256 ") && data[0].ends_with(" [ova-digest]"), "{data:?}");
        assert!(data[1].starts_with("Bytes 0 to 65535 of the disk: VMDK grain 0 at sector 128 does not inflate"));
        assert_eq!(said(1, false, |b| b[stream..stream + 8].fill(0xff)), none);
        // The table: 512 entries of which the first is 128.
        let tables = start..start + len;
        let table = tables.step_by(512).find(|at| image[*at..at + 4] == 128u32.to_le_bytes()).unwrap();
        let entry = |i: usize, sector: u32| {
            said(1, false, move |b| b[table + 4 * i..table + 4 * i + 4].copy_from_slice(&sector.to_le_bytes()))
        };
        assert_eq!(entry(3, 128), ["Sector 128 of the file is in grain 0, but in grain 3, too [vmdk-overlap]"]);
        let far = entry(3, 1 << 20);
        assert_eq!(far, ["Grain 3 is at sector 1048576, after the end of the file [vmdk-grain]"]);
        assert_eq!(entry(3, 2)[0], "Sector 2 of the file is in the descriptor, but in grain 3, too [vmdk-overlap]");
        let manifest = members.iter().find(|m| m.name.ends_with(".mf")).unwrap().offset as usize;
        let other = said(1, true, |b| b[manifest + 7] = b'x');
        assert_eq!(other, ["n.mf has a digest of x.ovf, which is not in the OVA [ova-manifest]"]);
    }

    #[test]
    fn a_stored_member_of_a_zip_has_a_sum() {
        let disk = vec![7u8; 4096];
        let mut crc = flate2::Crc::new();
        crc.update(&disk);
        let zip = |crc: u32| {
            let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
            for n in [crc, disk.len() as u32, disk.len() as u32] {
                fields.extend(n.to_le_bytes());
            }
            fields.extend([5, 0, 0, 0]);
            let local = [&b"PK\x03\x04"[..], &fields, b"a.img", &disk].concat();
            let central = [&b"PK\x01\x02\x14\0"[..], &fields, &[0; 14], b"a.img"].concat();
            let lens = [central.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
            [&local[..], &central, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &lens, &[0, 0]].concat()
        };
        let said = |crc: u32, data: bool| {
            let mut out = Vec::new();
            crate::artifact::container::open::layers(Arc::new(zip(crc)))
                .unwrap()
                .check(data, &mut |f| out.push(f.to_string()))
                .unwrap();
            out
        };
        let right = crc.sum();
        assert_eq!((said(right, true), said(1, false)), (vec![], vec![]));
        let wrong =
            format!("a.img in the zip archive has the CRC-32 {right:08x}, but the directory says 00000001 [zip]");
        assert_eq!(said(1, true), [wrong]);
    }
}
