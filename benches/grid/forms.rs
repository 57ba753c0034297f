//! The same medium in other forms: an ISO image against the folder, and what
//! must be decompressed first against the plainest decompression.

use super::{Bench, Sample, Table, median, mib, ratio};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Adds the rows. `iso` is an image of the medium; without one xorriso makes it.
pub fn rows(bench: &Bench, medium: &Path, iso: Option<&Path>, table: &mut Table) -> io::Result<()> {
    let Some(image) = image(bench, medium, iso)? else { return Ok(()) };
    let packed = pack(bench, &image)?;
    bench.lab("forms", "2 GiB")?;
    let cold = |from: &Path| cold(bench, from);
    let (folder, from_iso) = against_folder(bench, medium, &image)?;
    let r = ratio(from_iso.time, folder.time);
    table.row("an ISO image against the folder, time", format!("{r:.2}"), "≤ 1.10", r <= 1.1);

    // Seldom, as each takes as long as all of the others together.
    let rounds = bench.rounds.min(3);
    let (mut plain, mut first) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        plain.push(decompress(&packed)?);
        let _ = fs::remove_dir_all(bench.path("cache"));
        first.push(cold(&packed)?);
    }
    plain.sort();
    first.sort_by_key(|s| s.time);
    let (plain, first) = (plain[rounds / 2], first[rounds / 2]);
    eprintln!("bzip2 -dc: {:.2} s; p9img, from the .iso.bz2, first: {first}", plain.as_secs_f64());
    let again = bench.repeat(|| cold(&packed))?;
    eprintln!("p9img, from the .iso.bz2 when it is cached: {again}");
    let rest = first.time.saturating_sub(plain);
    let r = ratio(rest, folder.time);
    table.row(".iso.bz2, what is over decompression, against the folder", format!("{r:.2}"), "≤ 1.10", r <= 1.1);
    let r = ratio(again.time, folder.time);
    table.row(".iso.bz2 when cached against the folder, time", format!("{r:.2}"), "≤ 1.10", r <= 1.1);
    let most = [folder, from_iso, first, again].iter().map(|s: &Sample| s.memory).max().unwrap_or(0);
    table.row("peak memory from ISO images", mib(most), "≤ 256 MiB", most <= 256 << 20);
    for file in [bench.path("medium.iso"), packed] {
        let _ = fs::remove_file(file);
    }
    fs::remove_dir_all(bench.path("forms"))
}

/// Adds 9front's row. `medium` is a tree of it with a kernel for amd64; `iso` as
/// for [`rows`].
pub fn front(bench: &Bench, medium: &Path, iso: Option<&Path>, table: &mut Table) -> io::Result<()> {
    if !medium.join("amd64/9pc64").is_file() {
        eprintln!("SKIPPED 9front: {} has no amd64/9pc64", medium.display());
        return Ok(());
    }
    let Some(image) = image(bench, medium, iso)? else { return Ok(()) };
    bench.lab("forms", "2 GiB")?;
    let lab = bench.path("forms").join("lab.toml");
    fs::write(&lab, fs::read_to_string(&lab)?.replace("arch       = \"386\"", "arch       = \"amd64\""))?;
    let (folder, from_iso) = against_folder(bench, medium, &image)?;
    let r = ratio(from_iso.time, folder.time);
    table.row("9front: an ISO image against the folder, time", format!("{r:.2}"), "≤ 1.10", r <= 1.1);
    let r = ratio(from_iso.cpu, folder.cpu);
    table.row("    the same in processor time", format!("{r:.2}"), "", true);
    let _ = fs::remove_file(bench.path("medium.iso"));
    fs::remove_dir_all(bench.path("forms"))
}

/// The image of a medium: the one that is given, or what xorriso makes.
fn image(bench: &Bench, medium: &Path, iso: Option<&Path>) -> io::Result<Option<PathBuf>> {
    if let Some(image) = iso {
        return image.canonicalize().map(Some);
    }
    let image = bench.path("medium.iso");
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-o"]).arg(&image).arg(medium);
    match super::measure(&mut xorriso) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            eprintln!("SKIPPED the ISO image: no xorriso (Debian: xorriso), and no --iso");
            Ok(None)
        }
        made => made.map(|_| Some(image)),
    }
}

fn cold(bench: &Bench, from: &Path) -> io::Result<Sample> {
    let from = from.to_str().ok_or_else(|| io::Error::other("the medium's path is not UTF-8"))?;
    bench.cold("forms", &["build", "--all", "--media", from])
}

/// Builds from the folder and from the image, in turns, so that what else the
/// machine does slows both.
fn against_folder(bench: &Bench, medium: &Path, image: &Path) -> io::Result<(Sample, Sample)> {
    let (mut folder, mut from_iso) = (Vec::new(), Vec::new());
    for _ in 0..=bench.rounds {
        folder.push(cold(bench, medium)?);
        from_iso.push(cold(bench, image)?);
    }
    // The first of each warms the page cache.
    let (folder, from_iso) = (median(&folder[1..]), median(&from_iso[1..]));
    eprintln!("p9img, from the folder: {folder}");
    eprintln!("p9img, from the ISO image: {from_iso}");
    Ok((folder, from_iso))
}

fn pack(bench: &Bench, image: &Path) -> io::Result<PathBuf> {
    let packed = bench.path("medium.iso.bz2");
    let mut bzip2 = Command::new("bzip2");
    bzip2.args(["-9", "-c"]).stdin(File::open(image)?).stdout(File::create(&packed)?);
    let status = bzip2.status()?;
    if status.success() { Ok(packed) } else { Err(io::Error::other(format!("bzip2 ended with {status}"))) }
}

fn decompress(packed: &Path) -> io::Result<Duration> {
    let begin = Instant::now();
    let status = Command::new("bzip2").arg("-dc").arg(packed).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("bzip2 ended with {status}")));
    }
    Ok(begin.elapsed())
}
