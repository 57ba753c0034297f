//! One tree on each file system, from the laying out to a compressed image.

use super::{Bench, Table, ratio};
use p9img::artifact::{Folder, Job, Layer, Machine, Quiet, Settings, Wait, build};
use p9img::fs::{cwfs, fossil, gefs, hjfs};
use p9img::lab::{Arch, Controller, Format, Mac, Nic, PcFirmware};
use p9img::media::{Medium, Selection};
use p9img::read_at::ReadAt;
use p9img::tree::{Addition, Content, Meta, Mode, Tree, What};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LEN: u64 = 2 << 30;
const EPOCH: u32 = 1_767_225_600;

/// Configuration of a cwfs64x.
const CWFS: &str = "service cwfs\nfilsys main c(/dev/sdC0/fscache)(/dev/sdC0/fsworm)\nfilsys dump o\n\
    filsys other (/dev/sdC0/other)\nnewcache\nblocksize 16384\ndaddrbits 64\nindirblks 4\ndirblks 6\nnamelen 144\n";

type Volumes = io::Result<Vec<Arc<dyn ReadAt>>>;
type Make = fn(&Arc<Tree>) -> Volumes;

/// Adds the rows: each file system against fossil.
pub fn rows(bench: &Bench, medium: &Path, table: &mut Table) -> io::Result<()> {
    let tree = tree(medium)?;
    let time = |make: Make| -> io::Result<Duration> {
        let mut all = (0..=bench.rounds).map(|_| once(bench, &tree, make)).collect::<io::Result<Vec<_>>>()?;
        // The first warms the page cache.
        let measured = &mut all[1..];
        measured.sort();
        Ok(measured[measured.len() / 2])
    };
    let first = time(fossil)?;
    eprintln!("fossil: {:.2} s", first.as_secs_f64());
    let others: [(_, Make); 3] = [("hjfs", hjfs), ("gefs", gefs), ("cwfs64x", cwfs)];
    for (name, make) in others {
        let other = time(make)?;
        eprintln!("{name}: {:.2} s", other.as_secs_f64());
        let r = ratio(other, first);
        table.row(&format!("the same tree on {name} against fossil, time"), format!("{r:.2}"), "≤ 1.20", r <= 1.2);
    }
    Ok(())
}

/// Files of a node by default, and a file of users who own them.
fn tree(medium: &Path) -> io::Result<Arc<Tree>> {
    let medium = Medium::open("9legacy", medium, EPOCH, None).map_err(io::Error::other)?;
    let include = medium.distribution.default_include(Arch::I386);
    let base = Arc::new(Selection::new(&include, &[]).map_err(io::Error::other)?.apply(&medium.tree));
    let mut names = BTreeSet::from(["adm".to_owned(), "sys".to_owned()]);
    base.walk(|_, _, e| names.extend([e.meta.uid.to_string(), e.meta.gid.to_string()]));
    let text: String = names.iter().zip(1..).map(|(name, id)| format!("{id}:{name}:{name}:\n")).collect();
    let parent = Meta::new(Mode::dir(0o775), "sys", "sys", EPOCH);
    let users = Addition {
        path: b"adm/users".to_vec(),
        what: What::File(Meta::new(Mode::file(0o664), "adm", "adm", EPOCH), Content::bytes(text.into_bytes())),
    };
    Ok(Arc::new(Tree::overlay(&base, &[users], &parent)))
}

/// Lays out and writes one qcow2 for each volume.
fn once(bench: &Bench, tree: &Arc<Tree>, make: Make) -> io::Result<Duration> {
    let out = bench.path("volumes");
    let _ = fs::remove_dir_all(&out);
    let begin = Instant::now();
    let volumes = make(tree)?;
    let jobs: Vec<Job> = volumes.into_iter().enumerate().map(|(n, volume)| job(n, volume)).collect();
    let folder = Folder::lock(&out, Wait::No).map_err(io::Error::other)?;
    build(&folder, &jobs, &Settings::default(), &Quiet).map_err(io::Error::other)?;
    Ok(begin.elapsed())
}

fn job(n: usize, disk: Arc<dyn ReadAt>) -> Job<'static> {
    let node = Machine {
        lab: "bench".into(),
        name: format!("volume{n}"),
        annotation: String::new(),
        arch: Arch::I386,
        cpus: 1,
        memory: 512 << 20,
        mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
        nic: Nic::E1000,
        controller: Controller::Ide,
        firmware: PcFirmware::Bios,
        network: "bench".into(),
    };
    Job { node, disk, outputs: vec![(Format::Qcow2, format!("volume{n}.qcow2"))], key: None, layer: Layer::Whole }
}

fn fossil(tree: &Arc<Tree>) -> Volumes {
    let base = Arc::new(fossil::Base::layout(tree).map_err(io::Error::other)?);
    let options = fossil::Options {
        len: LEN,
        config: "fossil config\nfsys main config\n".into(),
        name: "main".into(),
        epoch: EPOCH,
    };
    Ok(vec![Arc::new(fossil::Fossil::layout(&base, tree, &options).map_err(io::Error::other)?)])
}

fn hjfs(tree: &Arc<Tree>) -> Volumes {
    let users = hjfs::users(tree).map_err(io::Error::other)?;
    let base = hjfs::Base::layout(tree, &users, hjfs::base_start(LEN)).map_err(io::Error::other)?;
    let options = hjfs::Options { len: LEN, epoch: EPOCH };
    Ok(vec![Arc::new(hjfs::Hjfs::layout(&Arc::new(base), tree, &options).map_err(io::Error::other)?)])
}

fn gefs(tree: &Arc<Tree>) -> Volumes {
    let data = Arc::new(gefs::Data::new(tree));
    let users = gefs::users(tree).map_err(io::Error::other)?;
    let arenas = gefs::arenas(LEN).map_err(io::Error::other)?;
    let base = gefs::Base::layout(&data, &users, arenas).map_err(io::Error::other)?;
    Ok(vec![Arc::new(
        gefs::Gefs::layout(&Arc::new(base), tree, &gefs::Options { len: LEN }).map_err(io::Error::other)?,
    )])
}

fn cwfs(tree: &Arc<Tree>) -> Volumes {
    let users = cwfs::users(tree).map_err(io::Error::other)?;
    let base = cwfs::Base::layout(tree, &users).map_err(io::Error::other)?;
    let options = cwfs::Options { cache: LEN / 4, worm: LEN, other: LEN / 4, config: CWFS.into(), epoch: EPOCH };
    let made = cwfs::Cwfs::layout(&Arc::new(base), tree, &options).map_err(io::Error::other)?;
    Ok(vec![Arc::new(made.cache), Arc::new(made.worm), Arc::new(made.other)])
}
