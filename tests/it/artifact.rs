//! Artifacts against `qemu-img`, `tar`, `sha256sum` and `xmllint`, and their
//! readers against damage.

use p9img::artifact::{
    self, ArtifactReport, CLUSTER, Error, Folder, Job, Layer, Monitor, Over, Quiet, Settings, Shared, Wait, build,
};
use p9img::lab::{Controller, Format, PcFirmware};
use p9img::read_at::Origin;
use p9img::{Extent, ReadAt};
use p9img_test::disks::{Scattered, bytes, identity, noise};
use p9img_test::skip::skipped;
use p9img_test::tools::{have, run, tool};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ALL: [(Format, &str); 4] =
    [(Format::Raw, "img"), (Format::Qcow2, "qcow2"), (Format::Qcow2Zlib, "zlib.qcow2"), (Format::Ova, "ova")];

fn job(name: &str, disk: Arc<dyn ReadAt>, formats: &[(Format, &str)]) -> Job<'static> {
    let outputs = formats.iter().map(|(f, ext)| (*f, format!("{name}.{ext}"))).collect();
    Job { node: identity(name), disk, outputs, key: None, layer: Layer::Whole }
}

fn settings(jobs: usize) -> Settings {
    Settings { jobs: NonZeroUsize::new(jobs).unwrap(), epoch: 1_767_225_600, ..Settings::default() }
}

fn build_in(dir: &Path, jobs: &[Job], threads: usize) -> Vec<ArtifactReport> {
    let folder = Folder::lock(dir, Wait::No).unwrap();
    build(&folder, jobs, &settings(threads), &Quiet).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// The OVA's VMDK as a file of its own.
fn unpack(dir: &Path, ova: &Path) -> Option<PathBuf> {
    let name = ova.file_stem().unwrap().to_str().unwrap().to_owned();
    tool("tar", &["-xf", ova.to_str().unwrap(), "-C", dir.to_str().unwrap()])?;
    Some(dir.join(format!("{name}-disk1.vmdk")))
}

#[test]
fn every_format_holds_the_disk() {
    let c = CLUSTER as u64;
    let sizes = [512, 1024, c - 512, c, c + 512, 3 * c + 1536, 40 << 20, (64 << 20) + 512, 513 << 20];
    for (i, size) in sizes.into_iter().enumerate() {
        let disk: Arc<dyn ReadAt> = Arc::new(Scattered::new(i as u64, size, 60));
        let dir = tempfile::tempdir().unwrap();
        let reports = build_in(dir.path(), &[job("n", disk.clone(), &ALL)], 2);
        assert_eq!(reports.len(), 4);
        let raw = dir.path().join("n.img");
        assert_eq!(std::fs::metadata(&raw).unwrap().len(), size);
        for report in &reports {
            assert_eq!(std::fs::metadata(&report.path).unwrap().len(), report.len);
            let opened = artifact::open(&report.path).unwrap();
            assert_eq!(opened.len(), size, "{:?}", report.format);
            p9img_test::disks::same(&*opened, &*disk);
        }
        let raw = raw.to_str().unwrap();
        for name in ["n.qcow2", "n.zlib.qcow2"] {
            let image = dir.path().join(name);
            let image = image.to_str().unwrap();
            let Some(check) = tool("qemu-img", &["check", image]) else { return };
            assert!(check.contains("No errors were found"), "{check}");
            tool("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", raw, image]);
        }
        let Some(vmdk) = unpack(dir.path(), &dir.path().join("n.ova")) else { return };
        let vmdk = vmdk.to_str().unwrap();
        tool("qemu-img", &["compare", "-f", "raw", "-F", "vmdk", raw, vmdk]);
        let info = tool("qemu-img", &["info", vmdk]).unwrap();
        assert!(info.contains("create type: streamOptimized"), "{info}");
    }
}

#[test]
fn huge_disks_cost_nothing() {
    let size = 9 << 40;
    let data = vec![(0, noise(1, 5000)), (size / 2 - 100, noise(2, 70_000)), (size - 512, noise(3, 512))];
    let disk: Arc<dyn ReadAt> = Arc::new(Scattered::of(size, data));
    let dir = tempfile::tempdir().unwrap();
    let reports = build_in(dir.path(), &[job("n", disk.clone(), &ALL[1..])], 2);
    for report in reports {
        assert!(report.len < 4 << 20, "{report:?}");
        let opened = artifact::open(&report.path).unwrap();
        assert_eq!(opened.len(), size);
        for Extent { offset, len } in disk.extents() {
            let (mut a, mut b) = (vec![0; len as usize], vec![1; len as usize]);
            disk.read_at(offset, &mut a).unwrap();
            opened.read_at(offset, &mut b).unwrap();
            assert!(a == b);
        }
        if report.format == Format::Ova {
            let Some(vmdk) = unpack(dir.path(), &report.path) else { return };
            tool("qemu-img", &["info", vmdk.to_str().unwrap()]);
        } else {
            tool("qemu-img", &["check", report.path.to_str().unwrap()]);
        }
    }
}

#[test]
fn a_build_past_a_limit_is_refused_before_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::lock(dir.path(), Wait::No).unwrap();
    let huge: Arc<dyn ReadAt> = Arc::new(Scattered::of(1 << 52, vec![]));
    let err = build(&folder, &[job("n", huge, &ALL[1..2])], &settings(1), &Quiet).unwrap_err();
    assert!(matches!(err, Error::TooLarge { format: "qcow2", .. }), "{err}");
    let odd: Arc<dyn ReadAt> = Arc::new(vec![1u8; 513]);
    let err = build(&folder, &[job("n", odd, &ALL)], &settings(1), &Quiet).unwrap_err();
    assert_eq!(err.to_string(), "The disk of n has 513 bytes, which is not a whole number of 512-byte sectors");
    let twice: Arc<dyn ReadAt> = Arc::new(vec![1u8; 512]);
    let both = [job("n", twice.clone(), &ALL[..1]), job("n", twice.clone(), &ALL[..1])];
    assert!(matches!(build(&folder, &both, &settings(1), &Quiet).unwrap_err(), Error::Twice { .. }));
    for name in ["", "a/b", ".hidden", "a\nb", "SHA256SUMS"] {
        let mut bad = job("n", twice.clone(), &ALL[..1]);
        bad.outputs[0].1 = name.into();
        assert!(matches!(build(&folder, &[bad], &settings(1), &Quiet).unwrap_err(), Error::Name { .. }), "{name}");
    }
    assert_eq!(files(dir.path()).len(), 1, "the lock only");
}

/// A lab's nodes: the same data at offsets that differ by whole clusters.
fn lab() -> Vec<Job<'static>> {
    let c = CLUSTER as u64;
    let common: Vec<(u64, Vec<u8>)> =
        (0..60).map(|i| (i * c + i % 7 * 512, p9img_test::disks::text(i, CLUSTER / 2))).collect();
    (0..3u64)
        .map(|n| {
            let mut data: Vec<_> = common.iter().map(|(at, b)| (at + (3 + n * 17) * c, b.clone())).collect();
            data.insert(0, (512 * n, p9img_test::disks::text(100 + n, 900)));
            job(&format!("node{n}"), Arc::new(Scattered::of(100 << 20, data)), &ALL)
        })
        .collect()
}

#[test]
fn threads_do_not_change_a_byte() {
    let (one, eight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = build_in(one.path(), &lab(), 1);
    let b = build_in(eight.path(), &lab(), 8);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!((&a.sha256, a.clusters, a.shared_clusters), (&b.sha256, b.clusters, b.shared_clusters));
    }
    for (a, b) in files(one.path()).iter().zip(files(eight.path())) {
        assert_eq!(std::fs::read(a).unwrap(), std::fs::read(&b).unwrap(), "{}", b.display());
    }
    // Level by level the digests of what was written are those of the files.
    run("sha256sum", &["--check", "--strict", "SHA256SUMS"], Some(eight.path()));
}

#[test]
fn nodes_share_clusters() {
    let dir = tempfile::tempdir().unwrap();
    let reports = build_in(dir.path(), &lab(), 2);
    for report in reports.iter().filter(|r| r.format != Format::Raw) {
        let expected = if report.node == "node0" { 0 } else { report.clusters - 1 };
        assert_eq!(report.shared_clusters, expected, "{report:?}");
    }
}

/// A disk whose clusters of the medium, as far as `own` has no bytes there, say so.
struct OfMedium {
    disk: Scattered,
    medium: std::ops::Range<u64>,
    own: Vec<u64>,
}
impl ReadAt for OfMedium {
    fn len(&self) -> u64 {
        self.disk.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.disk.read_at(offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        self.disk.extents()
    }
    fn origin(&self, offset: u64, len: u64) -> Option<Origin> {
        let (first, last) = (offset / CLUSTER as u64, (offset + len - 1) / CLUSTER as u64);
        let whole = first == last && self.medium.contains(&first) && !self.own.contains(&first);
        whole.then_some(Origin { base: 77, offset })
    }
}

#[test]
fn a_base_and_the_image_over_it_are_the_disk() {
    let c = CLUSTER as u64;
    // The second L2 table, which covers 512 MiB, begins in the medium's part.
    let medium = 8190..8196;
    let noise: Vec<_> = medium.clone().map(|n| (n, noise(n, CLUSTER))).collect();
    let disk = |own: &[(u64, Option<u8>)]| {
        let mut pieces: Vec<_> = noise.iter().map(|(n, bytes)| (n * c, bytes.clone())).collect();
        for (n, byte) in own {
            pieces.retain(|(at, _)| *at != n * c);
            pieces.extend(byte.map(|byte| (n * c, vec![byte; 5000])));
        }
        pieces.sort();
        let own = own.iter().map(|(n, _)| *n).collect();
        Arc::new(OfMedium { disk: Scattered::of(600 << 20, pieces), medium: medium.clone(), own })
    };
    let common = disk(&[]);
    let shared = Shared::of(&*common);
    // Nothing of its own; changed, emptied and new clusters; all of the medium emptied.
    let all: Vec<_> = medium.clone().map(|n| (n, None)).collect();
    let nodes = [vec![], vec![(1, Some(1)), (8191, Some(2)), (8192, None), (9000, Some(3))], all];
    for (format, end) in [(Format::Qcow2, "qcow2"), (Format::Qcow2Zlib, "zlib.qcow2")] {
        let dir = tempfile::tempdir().unwrap();
        let base = format!("base-test.{end}");
        let mut jobs = vec![Job { layer: shared.layer(), ..job("base-test", common.clone(), &[(format, end)]) }];
        for (n, own) in nodes.iter().enumerate() {
            let disk = disk(own);
            let layer = Layer::Over(Over { base: base.clone(), ..shared.over(&*disk) });
            jobs.push(Job { layer, ..job(&format!("n{n}"), disk, &[(format, end)]) });
        }
        let reports = build_in(dir.path(), &jobs, 2);
        assert_eq!(reports.iter().map(|r| r.is_base).collect::<Vec<_>>(), [true, false, false, false]);
        for (report, job) in reports.iter().zip(&jobs) {
            assert_eq!(report.base.as_deref(), (!report.is_base).then_some(&*base));
            p9img_test::disks::same(&*artifact::open(&report.path).unwrap(), &*job.disk);
        }
        assert_eq!(reports.iter().map(|r| r.clusters).collect::<Vec<_>>(), [6, 0, 3, 0]);
        assert!(reports[1..].iter().all(|r| r.len < 8 * c), "{reports:?}");
        for (n, job) in jobs.iter().enumerate().skip(1) {
            let image = &reports[n].path;
            let Some(check) = tool("qemu-img", &["check", image.to_str().unwrap()]) else { return };
            assert!(check.contains("No errors were found"), "{check}");
            let raw = dir.path().join("whole.img");
            p9img_test::sparse::write(&*job.disk, &raw);
            tool("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", raw.to_str().unwrap(), image.to_str().unwrap()]);
        }
    }
}

#[test]
fn a_rebuild_keeps_the_sums_of_the_other_nodes() {
    let dir = tempfile::tempdir().unwrap();
    build_in(dir.path(), &lab(), 2);
    let before = std::fs::read_to_string(dir.path().join("SHA256SUMS")).unwrap();
    assert_eq!(before.lines().count(), 12);
    std::fs::remove_file(dir.path().join("node2.img")).unwrap();
    build_in(dir.path(), &lab()[1..2], 2);
    let after = std::fs::read_to_string(dir.path().join("SHA256SUMS")).unwrap();
    let expected: String = before.lines().filter(|l| !l.ends_with("node2.img")).map(|l| format!("{l}\n")).collect();
    assert_eq!(after, expected);
}

#[test]
fn nothing_is_kept_of_a_comparison() {
    let dir = tempfile::tempdir().unwrap();
    let kept = build_in(dir.path(), &lab(), 2);
    let before = files(dir.path());
    let folder = Folder::lock(dir.path(), Wait::No).unwrap();
    let again = build(&folder, &lab(), &Settings { commit: false, ..settings(3) }, &Quiet).unwrap();
    assert_eq!(kept, again);
    assert_eq!(before, files(dir.path()));
}

/// A disk that cannot be read at one place.
struct Broken(Scattered, u64);
impl ReadAt for Broken {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        if offset + buf.len() as u64 > self.1 {
            return Err(std::io::Error::other("Medium is gone"));
        }
        self.0.read_at(offset, buf)
    }
    fn extents(&self) -> Vec<Extent> {
        self.0.extents()
    }
}

struct StopAfter(std::sync::atomic::AtomicU64);
impl Monitor for StopAfter {
    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 0
    }
}

#[test]
fn a_failed_or_stopped_build_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    build_in(dir.path(), &lab(), 2);
    let snapshot = || files(dir.path()).into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect::<Vec<_>>();
    let before = snapshot();
    let folder = Folder::lock(dir.path(), Wait::No).unwrap();
    let mut jobs = lab();
    jobs[1].disk = Arc::new(Broken(Scattered::new(5, 100 << 20, 60), 50 << 20));
    let err = build(&folder, &jobs, &settings(2), &Quiet).unwrap_err();
    assert!(err.to_string().starts_with("Cannot compute the disk of node1 at byte "), "{err}");
    assert!(before == snapshot());
    for after in [0, 1, 40, 100] {
        let err = build(&folder, &lab(), &settings(2), &StopAfter(after.into())).unwrap_err();
        assert!(matches!(err, Error::Interrupted));
        assert!(before == snapshot());
    }
}

#[test]
fn a_worker_that_panics_does_not_hang_the_build() {
    struct Panics;
    impl ReadAt for Panics {
        fn len(&self) -> u64 {
            1 << 20
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            panic!("in a test")
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let result = std::thread::spawn(move || build_in(&path, &[job("n", Arc::new(Panics), &ALL)], 2)).join();
    assert!(result.is_err());
    assert_eq!(files(dir.path()).len(), 1, "the lock only");
}

#[test]
fn ova_is_what_importers_want() {
    let dir = tempfile::tempdir().unwrap();
    let (bios, uefi) = (PcFirmware::Bios, PcFirmware::Uefi);
    let machines = [
        (Controller::Ide, bios),
        (Controller::Sata, uefi),
        (Controller::Virtio, PcFirmware::Both),
        (Controller::Sata, bios),
    ];
    for (controller, firmware) in machines {
        let mut job = job("plan9n1", Arc::new(Scattered::new(1, 10 << 20, 30)), &ALL[3..]);
        (job.node.controller, job.node.firmware) = (controller, firmware);
        job.node.annotation = "cpu & <auth> \"server\"".into();
        let reports = build_in(dir.path(), &[job], 2);
        assert_eq!(reports[0].note.is_some(), controller == Controller::Virtio);
        let ova = &reports[0].path;

        let Some(listing) = tool("tar", &["--utc", "--numeric-owner", "-tvf", ova.to_str().unwrap()]) else { return };
        let names: Vec<&str> = listing.lines().filter_map(|l| l.split_whitespace().last()).collect();
        assert_eq!(names, ["plan9n1.ovf", "plan9n1.mf", "plan9n1-disk1.vmdk"]);
        for line in listing.lines() {
            assert!(line.starts_with("-rw-r--r-- 0/0 ") && line.contains("2026-01-01 00:00"), "{line}");
        }
        let vmdk = unpack(dir.path(), ova).unwrap();
        let ovf = std::fs::read_to_string(dir.path().join("plan9n1.ovf")).unwrap();
        assert!(ovf.contains(&format!("ovf:size=\"{}\"", std::fs::metadata(&vmdk).unwrap().len())), "{ovf}");
        assert!(ovf.contains("MACAddress=\"525400090001\""));
        assert!(ovf.contains("cpu &amp; &lt;auth&gt; &quot;server&quot;"));
        assert_eq!(ovf.contains("AHCI"), controller == Controller::Sata);
        // In VirtualBox's words, and in VMware's.
        assert_eq!(ovf.contains("<Firmware type=\"EFI\"/>"), firmware == uefi);
        assert_eq!(ovf.contains("vmw:key=\"firmware\" vmw:value=\"efi\""), firmware == uefi);

        let manifest = std::fs::read_to_string(dir.path().join("plan9n1.mf")).unwrap();
        for line in manifest.lines() {
            let (name, digest) = line.strip_prefix("SHA256(").unwrap().split_once(")= ").unwrap();
            let sum = run("sha256sum", &[name], Some(dir.path())).unwrap();
            assert!(sum.starts_with(digest), "{line}");
        }
        validate(&ovf, dir.path());
    }
}

/// The DMTF schema, without what VirtualBox added to the descriptor. The schema
/// is not ours to keep here, so that it is missing is never a failure.
fn validate(ovf: &str, dir: &Path) {
    tool("xmllint", &["--noout", "--nonet", dir.join("plan9n1.ovf").to_str().unwrap()]);
    let Some(schema) = std::env::var_os("P9IMG_OVF_SCHEMA") else {
        skipped("P9IMG_OVF_SCHEMA does not name the folder of DMTF's OVF 1.0 schemas");
        return;
    };
    let mut text = ovf.to_owned();
    for element in ["vbox:Machine", "vbox:OSType"] {
        let (start, end) = (text.find(&format!("<{element}")).unwrap(), format!("</{element}>"));
        let stop = text.find(&end).unwrap() + end.len();
        text.replace_range(start..stop, "");
    }
    let file = dir.join("bare.ovf");
    std::fs::write(&file, text).unwrap();
    let schema = Path::new(&schema).join("ovf-envelope.xsd");
    tool("xmllint", &["--noout", "--nonet", "--schema", schema.to_str().unwrap(), file.to_str().unwrap()]);
}

#[test]
fn reads_what_qemu_img_writes() {
    let disk: Arc<dyn ReadAt> = Arc::new(Scattered::new(9, 30 << 20, 50));
    let dir = tempfile::tempdir().unwrap();
    build_in(dir.path(), &[job("n", disk.clone(), &ALL[..1])], 2);
    let raw = dir.path().join("n.img");
    let target = dir.path().join("other");
    for args in [
        &["-O", "qcow2"][..],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-o", "compat=0.10"],
        &["-O", "qcow2", "-c", "-o", "compat=0.10,cluster_size=4k"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M"],
        &["-O", "qcow2", "-o", "preallocation=metadata,cluster_size=512"],
        &["-O", "vmdk", "-o", "subformat=streamOptimized"],
        &["-O", "vmdk", "-o", "subformat=monolithicSparse"],
    ] {
        let command =
            [&["convert", "-t", "unsafe", "-f", "raw"], args, &[raw.to_str().unwrap(), target.to_str().unwrap()]]
                .concat();
        if tool("qemu-img", &command).is_none() {
            return;
        }
        let opened = artifact::open(&target).unwrap();
        assert_eq!(opened.len(), disk.len(), "{args:?}");
        p9img_test::disks::same(&*opened, &*disk);
        std::fs::remove_file(&target).unwrap();
    }
    // Over the disk beside it, and over that one again; the second has a cluster of its own.
    let dir_of = Some(dir.path());
    run("qemu-img", &["create", "-f", "qcow2", "-b", "n.img", "-F", "raw", "first"], dir_of);
    run("qemu-img", &["create", "-f", "qcow2", "-b", "first", "-F", "qcow2", "other"], dir_of);
    p9img_test::disks::same(&*artifact::open(&target).unwrap(), &*disk);
    if have("reads_what_qemu_img_writes", &["qemu-io"]) {
        run("qemu-io", &["-c", "write -P 7 70000 1000", "other"], dir_of);
        let opened = artifact::open(&target).unwrap();
        let (mut found, mut expected) = (vec![0; 100_000], vec![0; 100_000]);
        opened.read_at(0, &mut found).unwrap();
        disk.read_at(0, &mut expected).unwrap();
        expected[70_000..71_000].fill(7);
        assert!(found == expected);
    }
    for (args, expect) in [
        (&["-b", "../n.img", "-F", "raw", "-u"][..], "not beside it"),
        (&["-b", "json:{}", "-F", "raw", "-u"][..], "not beside it"),
        (&["-o", "extended_l2=on"][..], "extended L2"),
        (&["-o", "data_file=data.raw"], "external data file"),
    ] {
        let command = [&["create", "-f", "qcow2"], args, &["other", "1M"]].concat();
        run("qemu-img", &command, Some(dir.path()));
        let err = artifact::open(&target).err().unwrap();
        let cause = std::error::Error::source(&err).unwrap().to_string();
        assert!(cause.contains(expect), "{cause}");
    }
}

/// Reads all that an image says it holds, in moderation.
fn exercise(image: Arc<dyn ReadAt>) {
    if let Ok(disk) = artifact::from(image) {
        let mut buf = vec![0; 100_000];
        for e in disk.extents().iter().take(50) {
            let n = e.len.min(buf.len() as u64) as usize;
            let _ = disk.read_at(e.offset, &mut buf[..n]);
        }
        let n = disk.len().min(4096) as usize;
        let _ = disk.read_at(disk.len() - n as u64, &mut buf[..n]);
        assert!(disk.read_at(disk.len(), &mut [0]).is_err());
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn ReadAt> = Arc::new(Scattered::new(3, 2 << 20, 12));
    let reports = build_in(dir.path(), &[job("n", disk, &ALL[1..])], 2);
    for report in reports {
        let good = bytes(&artifact_file(&report.path));
        let mut seed = 1u64;
        let mut random = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % n
        };
        for round in 0..1500 {
            let mut bad = good.clone();
            if round % 5 == 0 {
                bad.truncate(random(good.len()));
            } else {
                for _ in 0..=round % 3 {
                    // Mostly in the first or last sectors: there are the tables.
                    let at = match round % 4 {
                        0 => random(good.len()),
                        1 => random(1024.min(good.len())),
                        2 => good.len() - 1 - random(70_000.min(good.len())),
                        _ => random(120.min(good.len())),
                    };
                    bad[at] = if round % 2 == 0 { bad[at] ^ 1 << random(8) } else { random(256) as u8 };
                }
            }
            exercise(Arc::new(bad));
        }
    }
}

fn artifact_file(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// The error of opening an image, or of reading its first bytes.
fn complaint(image: Vec<u8>) -> String {
    match artifact::from(Arc::new(image)) {
        Err(e) => e.to_string(),
        Ok(disk) => disk.read_at(0, &mut [0; 512]).unwrap_err().to_string(),
    }
}

fn patched(good: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut bad = good.to_vec();
    bad[at..at + bytes.len()].copy_from_slice(bytes);
    bad
}

#[test]
fn one_damaged_field_has_one_error() {
    let dir = tempfile::tempdir().unwrap();
    // Data in two L2 ranges and two grain tables.
    let disk = Scattered::of(
        1 << 30,
        vec![(0, p9img_test::disks::text(1, 70_000)), (600 << 20, p9img_test::disks::text(2, 70_000))],
    );
    let reports = build_in(dir.path(), &[job("n", Arc::new(disk), &ALL[1..])], 1);

    let good = artifact_file(&reports[0].path);
    let u64_at = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let l1 = u64_at(40) as usize;
    let l2 = (u64_at(l1) & !(1 << 63)) as usize;
    let end = (good.len() as u64).to_be_bytes();
    for (at, value, expect) in [
        (40, &end[..], "qcow2 L1 table: read of 16 bytes at offset"),
        (36, &1u32.to_be_bytes(), "qcow2 L1 table has 1 entry, but a disk of 1073741824 bytes needs 2"),
        (l1 + 8, &good[l1..l1 + 8], "qcow2 L1 table points twice to the L2 table at 0x"),
        (l1, &(l2 as u64 + 512).to_be_bytes(), "qcow2 L1 entry 0 points to 0x"),
        (l1, &(1u64 << 40).to_be_bytes(), "qcow2 L2 table: read of 65536 bytes at offset 1099511627776"),
        (l2, &(1u64 << 40).to_be_bytes(), "qcow2 cluster 0 is at 0x10000000000, which is not a cluster of a file"),
        (l2, &(1u64 << 62 | 1 << 40).to_be_bytes(), "qcow2 cluster 0 is at 0x10000000000, after the end"),
        (1 << 16, &[0xff; 4], "qcow2 cluster 0 does not inflate"),
    ] {
        let message = complaint(patched(&good, at, value));
        assert!(message.starts_with(expect), "{at}: {message}");
    }
    let zstd = artifact_file(&reports[1].path);
    assert!(complaint(patched(&zstd, 1 << 16, &[0xff; 4])).starts_with("qcow2 cluster 0 does not inflate"));

    let ova = artifact_file(&reports[2].path);
    let find = |what: &[u8]| ova.windows(what.len()).position(|w| w == what).unwrap();
    let vmdk = find(b"KDMV");
    assert!(complaint(patched(&ova, 0, b"x")).starts_with("OVA member at byte 0 has a wrong checksum"));
    assert!(complaint(ova[..vmdk + 100_000].to_vec()).starts_with("OVA is cut off"));
    assert!(complaint(ova[..vmdk - 512].to_vec()).starts_with("OVA has no VMDK before byte"));
    let good = ova[vmdk..ova.len() - 1024].to_vec();
    let footer = good.len() - 1024;
    let sector = u64::from_le_bytes(good[footer + 56..footer + 64].try_into().unwrap());
    let gd = sector as usize * 512;
    let first = good[gd..gd + 4].to_vec();
    for (at, value, expect) in [
        (footer + 56, &u64::MAX.to_le_bytes()[..], "VMDK footer does not say where the grain directory is"),
        (footer + 56, &(1u64 << 40).to_le_bytes(), "VMDK grain directory: read of 128 bytes at offset"),
        (footer - 500, &[9], "VMDK has no footer"),
        (gd + 4, &first, "VMDK grain directory points twice to the table at sector"),
        (gd, &(1u32 << 30).to_le_bytes(), "VMDK grain table: read of 2048 bytes at offset 549755813888"),
        (128 * 512, &[1], "VMDK grain 0 at sector 128 says it belongs to sector 1 of the disk"),
        (128 * 512 + 10, &[2], "VMDK grain 0 at sector 128 has"),
        (128 * 512 + 14, &[0xff; 4], "VMDK grain 0 at sector 128 does not inflate"),
    ] {
        let message = complaint(patched(&good, at, value));
        assert!(message.starts_with(expect), "{at}: {message}");
    }
    assert!(complaint(good[..good.len() - 1024].to_vec()).starts_with("VMDK has no footer"));
}
