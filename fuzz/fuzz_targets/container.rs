//! qcow2 (zlib and zstd), and VMDK in an OVA: opening, checking and reading.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::artifact::qcow2::Qcow2;
use p9img::artifact::vmdk::Vmdk;
use p9img::artifact::{Folder, Job, Layer, Machine, Quiet, Settings, Wait, build, layers, ova};
use p9img::lab::{Arch, Controller, Format, Mac, Nic, PcFirmware};
use p9img::read_at::{HostFile, ReadAt};
use p9img_fuzz::{EPOCH, Image, Scratch, Wounded};
use std::fs::File;
use std::io;
use std::sync::{Arc, LazyLock};

const FORMATS: [(Format, &str); 3] =
    [(Format::Qcow2, "a.qcow2"), (Format::Qcow2Zlib, "b.qcow2"), (Format::Ova, "c.ova")];

/// One of each, of a disk of sixteen clusters of which three hold data.
static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    let scratch = Scratch::new("container");
    let folder = Folder::lock(scratch.path(), Wait::No).expect("a folder of our own");
    let mut disk = vec![0u8; 16 << 16];
    for at in [0, 5 << 16, 15 << 16] {
        disk[at..at + 3000].iter_mut().zip(0u32..).for_each(|(b, i)| *b = (i * i / 7) as u8);
    }
    let node = Machine {
        lab: "fuzz".into(),
        name: "node".into(),
        annotation: "cpu".into(),
        arch: Arch::I386,
        cpus: 1,
        memory: 512 << 20,
        mac: Mac([0x52, 0x54, 0, 9, 0, 1]),
        nic: Nic::E1000,
        controller: Controller::Ide,
        firmware: PcFirmware::Bios,
        network: "lab".into(),
    };
    let outputs = FORMATS.map(|(format, name)| (format, name.to_owned())).to_vec();
    let settings = Settings { epoch: EPOCH, ..Settings::default() };
    build(&folder, &[Job { node, disk: Arc::new(disk), outputs, key: None, layer: Layer::Whole }], &settings, &Quiet)
        .expect("room for small images");
    let open = |name| File::open(scratch.path().join(name)).and_then(HostFile::new).expect("a file just made");
    FORMATS.iter().map(|(_, name)| Image::new(&open(name))).collect()
});

fn read(disk: io::Result<impl ReadAt>) {
    let Ok(disk) = disk else { return };
    let mut buf = vec![0; 1 << 16];
    // Far less than a hostile header may claim.
    for at in (0..disk.len().min(2 << 20)).step_by(buf.len()) {
        let want = buf.len().min((disk.len() - at) as usize);
        let _ = disk.read_at(at, &mut buf[..want]);
    }
    if disk.len() > 0 {
        let _ = disk.read_at(disk.len() - 1, &mut buf[..1]);
    }
    let mut end = 0;
    for extent in disk.extents() {
        assert!(extent.offset >= end && extent.len > 0 && extent.end() <= disk.len(), "{extent:?} in {}", disk.len());
        end = extent.end();
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((which, rest)) = data.split_first() else { return };
    let file = || -> Arc<dyn ReadAt> { Arc::new(Wounded::new(&IMAGES[usize::from(which % 3)], rest)) };
    if let Ok(layers) = layers(file()) {
        layers.check(false, &mut |finding| drop(finding.to_string())).expect("an image that can be read");
    }
    if *which % 3 == 2 {
        if let Ok(window) = ova::vmdk(file()) {
            let disk = Vmdk::open(Arc::new(window));
            let _ = disk.as_ref().map(|d| d.descriptor());
            read(disk);
        }
        // A file that is a VMDK without an OVA around it.
        read(Vmdk::open(file()));
    } else {
        read(Qcow2::open(file()));
    }
});
