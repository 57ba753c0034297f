//! Builds of which something is there already, each against the cold one of
//! the same run; and the cold one against its floor: reading the medium once,
//! compressing each different cluster once, copying the artifacts' bytes.

use super::{Bench, FOLDERS, Sample, Table, measure, mib, ratio};
use p9img::artifact::{Method, Packer};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice::Chunks;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CLUSTER: usize = 65_536;
/// Nodes of the large lab.
const MANY: usize = 32;
/// Most memory that any build may take, bytes.
const MEMORY: u64 = 256 << 20;

/// Adds the rows.
pub fn rows(bench: &Bench, medium: &Path, table: &mut Table) -> io::Result<()> {
    let text = medium.to_str().ok_or_else(|| io::Error::other("the medium's path is not UTF-8"))?;
    let all = ["build", "--all", "--media", text];
    bench.lab("again", "2 GiB")?;
    let note = role_with_a_note(&bench.path("again"))?;

    let cold = bench.repeat(|| bench.cold("again", &all))?;
    eprintln!("p9img, cold: {cold}");
    let nothing = bench.repeat(|| measure(&mut bench.p9img("again", &all)))?;
    eprintln!("p9img, nothing changed: {nothing}");
    let mut round = 0;
    let role = bench.repeat(|| {
        round += 1;
        fs::write(&note, format!("round {round}\n"))?;
        measure(&mut bench.p9img("again", &all))
    })?;
    eprintln!("p9img, a file of one node's role changed: {role}");
    let ms = nothing.time.as_secs_f64() * 1000.0;
    table.row("nothing changed", format!("{ms:.0} ms"), "< 200 ms", ms < 200.0);
    let r = ratio(role.time, cold.time);
    table.row("one role file changed against cold, time", format!("{r:.3}"), "≤ 0.10", r <= 0.1);

    let floor = floor(bench, medium, &bench.path("again").join("output"))?;
    eprintln!("the floor: {:.2} s", floor.as_secs_f64());
    let r = ratio(cold.time, floor);
    table.row("cold against the floor, time", format!("{r:.2}"), "≤ 2.00", r <= 2.0);

    bench.lab("formats", "2 GiB")?;
    let ova = ["build", "plan9n1", "--format", "ova", "--media", text];
    let qcow2 = ["build", "plan9n1", "--format", "qcow2", "--media", text];
    let one = bench.repeat(|| bench.cold("formats", &ova))?;
    let second = bench.repeat(|| {
        bench.cold("formats", &qcow2)?;
        measure(&mut bench.p9img("formats", &ova))
    })?;
    eprintln!("p9img, one node's OVA: {one}; with its qcow2 there: {second}");
    let r = ratio(second.time, one.time);
    table.row("a second format against cold, time", format!("{r:.3}"), "≤ 0.25", r <= 0.25);

    many_lab(bench)?;
    let many = bench.repeat(|| bench.cold("many", &all))?;
    fs::remove_dir_all(bench.path("many"))?;
    eprintln!("p9img, {MANY} nodes: {many}");
    let r = ratio(many.cpu, cold.cpu);
    table.row("32 nodes against 4, processor time", format!("{r:.2}"), "≤ 4.00", r <= 4.0);
    let most = [cold, nothing, role, one, second, many].iter().map(|s: &Sample| s.memory).max().unwrap_or(0);
    table.row("peak memory in all of these", mib(most), "≤ 256 MiB", most <= MEMORY);
    Ok(())
}

/// Gives the lab a role `venti` of its own with one more file, which only the
/// last node has; returns the file's source.
fn role_with_a_note(lab: &Path) -> io::Result<PathBuf> {
    fs::create_dir(lab.join("roles"))?;
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("roles/venti");
    measure(Command::new("cp").arg("-r").arg(role).arg(lab.join("roles")))?;
    let toml = lab.join("roles/venti/role.toml");
    let entry = "\n[[file]]\npath = \"lib/note\"\nsource = \"note\"\n";
    fs::write(&toml, fs::read_to_string(&toml)? + entry)?;
    fs::write(lab.join("roles/venti/note"), "round 0\n")?;
    Ok(lab.join("roles/venti/note"))
}

/// A lab of many nodes: the four of the default lab, then cpu servers.
fn many_lab(bench: &Bench) -> io::Result<()> {
    bench.lab("many", "2 GiB")?;
    let path = bench.path("many").join("lab.toml");
    let mut lab = fs::read_to_string(&path)?;
    for n in 5..=MANY {
        lab += &format!("\n[[node]]\nname  = \"plan9n{n}\"\nroles = [\"cpu\"]\nip    = \"10.9.0.{}\"\n", 10 + n);
    }
    fs::write(path, lab)
}

/// The work that no build can avoid, done in the plainest way on all cores.
fn floor(bench: &Bench, medium: &Path, artifacts: &Path) -> io::Result<Duration> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let walk = walkdir::WalkDir::new(medium.join(folder)).into_iter().filter_map(Result::ok);
        files.extend(walk.filter(|e| e.file_type().is_file()).map(walkdir::DirEntry::into_path));
    }
    let threads = std::thread::available_parallelism()?.get();
    let mut times = Vec::new();
    for round in 0..=bench.rounds {
        let begin = Instant::now();
        let seen: Mutex<HashSet<[u8; 32]>> = Mutex::default();
        let parts = Mutex::new(files.chunks(64));
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| compress(&parts, &seen))).collect();
            all.into_iter().try_for_each(|t| t.join().expect("no thread panics"))
        })?;
        let copy = bench.path("copy");
        measure(Command::new("cp").arg("-r").arg(artifacts).arg(&copy))?;
        // Not the unmeasured round.
        times.extend((round > 0).then(|| begin.elapsed()));
        fs::remove_dir_all(copy)?;
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// Reads files one after another as one run of clusters, and compresses those
/// that nobody compressed yet as p9img does.
fn compress(parts: &Mutex<Chunks<'_, PathBuf>>, seen: &Mutex<HashSet<[u8; 32]>>) -> io::Result<()> {
    let mut packer = Packer::default();
    let mut rest = Vec::new();
    let next = || parts.lock().expect("no thread panics").next();
    while let Some(files) = next() {
        for file in files {
            rest.extend(fs::read(file)?);
            let whole = rest.len() / CLUSTER * CLUSTER;
            for cluster in rest[..whole].chunks(CLUSTER) {
                if seen.lock().expect("no thread panics").insert(Sha256::digest(cluster).into()) {
                    // As qcow2 and OVA have it.
                    for method in [Method::Zstd, Method::Deflate] {
                        packer.pack(method, cluster);
                    }
                }
            }
            rest.drain(..whole);
        }
    }
    Ok(())
}
