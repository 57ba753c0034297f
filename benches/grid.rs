//! Time and memory of builds, compared with the tools that people would use
//! otherwise.
//!
//! `just bench` builds the four nodes of the default lab from a 9legacy tree
//! to qcow2 and OVA, and next to it runs, four times on the same files, the
//! usual tools: `mke2fs -d`, `qemu-img convert -c` and `qemu-img convert` to a
//! streamOptimized VMDK. Everything is measured in one run on one machine and
//! printed as ratios, which travel better than seconds. Medians of `--rounds`
//! rounds (5), after an unmeasured one that warms the page cache. `--quick`
//! takes one round and counts the usual tools' one node four times. A build is
//! *cold* when its output folder is empty.
//!
//! `incremental` measures what need not be done again, and the cold build
//! against what it cannot avoid; `forms` other forms of the medium; `volumes` one
//! tree on each file system. `--only` takes one of the words `grid`,
//! `incremental`, `forms` and `volumes`; `--iso` an image of the medium that
//! Plan 9 made, `--front-iso` one of 9front.

#[path = "grid/forms.rs"]
mod forms;
#[path = "grid/incremental.rs"]
mod incremental;
#[path = "grid/volumes.rs"]
mod volumes;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio, exit};
use std::time::{Duration, Instant};

/// Top folders of a 9legacy tree that go into a 386 node by default.
const FOLDERS: [&str; 10] = ["386", "sys", "lib", "rc", "acme", "adm", "cfg", "cron", "mail", "usr"];
const NODES: usize = 4;

#[derive(Clone, Copy)]
struct Sample {
    time: Duration,
    /// Processor time, all threads: says more than `time` where others work, too.
    cpu: Duration,
    /// Largest resident set, bytes.
    memory: u64,
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (time, cpu) = (self.time.as_secs_f64(), self.cpu.as_secs_f64());
        write!(f, "{time:.2} s, {cpu:.2} s of processor, {}", mib(self.memory))
    }
}

/// Runs a command to its end and takes its time and memory.
fn measure(command: &mut Command) -> io::Result<Sample> {
    let begin = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let (status, cpu, memory) = wait(child.id())?;
    let time = begin.elapsed();
    if !status.success() {
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr {
            io::Read::read_to_string(&mut stderr, &mut said)?;
        }
        return Err(io::Error::other(format!("{command:?} ended with {status}: {said}")));
    }
    Ok(Sample { time, cpu, memory })
}

/// Waits for a child as `Child::wait` does, and returns its processor time and
/// peak memory, too.
fn wait(id: u32) -> io::Result<(ExitStatus, Duration, u64)> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, valid when zero.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals of the right types.
    match unsafe { libc::wait4(id as libc::pid_t, &raw mut status, 0, &raw mut usage) } {
        // Linux counts in units of 1024 bytes.
        pid if pid > 0 => {
            let cpu = [usage.ru_utime, usage.ru_stime]
                .map(|t| Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64));
            Ok((ExitStatus::from_raw(status), cpu[0] + cpu[1], usage.ru_maxrss as u64 * 1024))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn median(samples: &[Sample]) -> Sample {
    let mut times: Vec<_> = samples.iter().map(|s| s.time).collect();
    let mut cpu: Vec<_> = samples.iter().map(|s| s.cpu).collect();
    let mut memory: Vec<_> = samples.iter().map(|s| s.memory).collect();
    times.sort();
    cpu.sort();
    memory.sort_unstable();
    let middle = samples.len() / 2;
    Sample { time: times[middle], cpu: cpu[middle], memory: memory[middle] }
}

/// The folder with everything that is measured.
struct Bench {
    scratch: tempfile::TempDir,
    rounds: usize,
    quick: bool,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A lab in a folder of its own, as the repository's but with `disk`.
    fn lab(&self, name: &str, disk: &str) -> io::Result<()> {
        let lab = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab.toml"))?;
        let old = "disk       = \"2 GiB\"";
        assert!(lab.contains(old), "lab.toml has no line {old}");
        fs::create_dir(self.path(name))?;
        fs::write(self.path(name).join("lab.toml"), lab.replace(old, &format!("disk = \"{disk}\"")))
    }

    /// A build into an empty folder.
    fn cold(&self, lab: &str, arguments: &[&str]) -> io::Result<Sample> {
        match fs::remove_dir_all(self.path(lab).join("output")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => measure(&mut self.p9img(lab, arguments)),
        }
    }

    fn p9img(&self, lab: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
        command.current_dir(self.path(lab)).arg("--quiet").args(arguments).env("P9IMG_CACHE", self.path("cache"));
        command
    }

    /// One node's disk with the usual tools.
    fn usual(&self) -> io::Result<Sample> {
        let begin = Instant::now();
        let [disk, qcow2, vmdk] = ["usual.img", "usual.qcow2", "usual.vmdk"].map(|n| self.path(n));
        let steps = [
            measure(Command::new("mke2fs").args(["-q", "-F", "-d"]).arg(self.path("tree")).arg(&disk).arg("2G"))?,
            measure(
                Command::new("qemu-img").args(["convert", "-c", "-f", "raw", "-O", "qcow2"]).arg(&disk).arg(&qcow2),
            )?,
            measure(
                Command::new("qemu-img")
                    .args(["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"])
                    .arg(&disk)
                    .arg(&vmdk),
            )?,
        ];
        let time = begin.elapsed();
        for file in [disk, qcow2, vmdk] {
            fs::remove_file(file)?;
        }
        let cpu = steps.iter().map(|s| s.cpu).sum();
        Ok(Sample { time, cpu, memory: steps.iter().map(|s| s.memory).max().unwrap_or(0) })
    }

    fn repeat(&self, mut once: impl FnMut() -> io::Result<Sample>) -> io::Result<Sample> {
        once()?;
        (0..self.rounds).map(|_| once()).collect::<io::Result<Vec<_>>>().map(|s| median(&s))
    }
}

struct Table(String, bool);

impl Table {
    fn row(&mut self, what: &str, value: String, target: &str, good: bool) {
        self.1 &= good;
        writeln!(self.0, "{what:<56} {value:>12}  {target:<12} {}", if good { "good" } else { "OVER" }).unwrap();
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1048576.0)
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn grid(bench: &Bench, medium: &Path, table: &mut Table) -> io::Result<()> {
    fs::create_dir(bench.path("tree"))?;
    for folder in FOLDERS.iter().filter(|f| medium.join(f).exists()) {
        measure(Command::new("cp").arg("-a").arg(medium.join(folder)).arg(bench.path("tree")))?;
    }
    bench.lab("small", "2 GiB")?;
    bench.lab("large", "64 GiB")?;
    let medium = medium.to_str().ok_or_else(|| io::Error::other("the medium's path is not UTF-8"))?;
    let build = ["build", "--all", "--media", medium];

    let small = bench.repeat(|| bench.cold("small", &build))?;
    eprintln!("p9img, four nodes of 2 GiB: {small}");
    let large = bench.repeat(|| bench.cold("large", &build))?;
    eprintln!("p9img, four nodes of 64 GiB: {large}");
    let usual = if bench.quick {
        let one = bench.usual()?;
        Sample { time: one.time * NODES as u32, cpu: one.cpu * NODES as u32, memory: one.memory }
    } else {
        bench.repeat(|| {
            let mut sum = Sample { time: Duration::ZERO, cpu: Duration::ZERO, memory: 0 };
            for _ in 0..NODES {
                let one = bench.usual()?;
                sum = Sample { time: sum.time + one.time, cpu: sum.cpu + one.cpu, memory: sum.memory.max(one.memory) };
            }
            Ok(sum)
        })?
    };
    eprintln!("mke2fs and qemu-img, four times: {usual}");

    let r = ratio(small.time, usual.time);
    table.row("four nodes, time against mke2fs + qemu-img", format!("{r:.3}"), "≤ 0.10", r <= 0.10);
    table.row("four nodes, peak memory", mib(small.memory), "≤ 256 MiB", small.memory <= 256 << 20);
    let r = ratio(large.time, small.time);
    table.row("64 GiB disks against 2 GiB, time", format!("{r:.2}"), "≤ 1.20", r <= 1.2);
    // No targets of their own, but steady on a busy machine.
    let four = ratio(small.cpu, usual.cpu);
    table.row("    the same in processor time: four nodes", format!("{four:.3}"), "", true);
    let large_cpu = ratio(large.cpu, small.cpu);
    table.row("    the same in processor time: 64 GiB disks", format!("{large_cpu:.2}"), "", true);
    let r = large.memory as f64 / small.memory as f64;
    table.row("64 GiB disks against 2 GiB, peak memory", format!("{r:.2}"), "≤ 1.10", r <= 1.1);
    Ok(())
}

fn sample(bench: &Bench, table: &mut Table) -> io::Result<()> {
    bench.lab("sample", "2 GiB")?;
    for command in ["plan", "check"] {
        let s = bench.repeat(|| measure(&mut bench.p9img("sample", &[command])))?;
        let ms = s.time.as_secs_f64() * 1000.0;
        table.row(&format!("p9img {command}, sample medium"), format!("{ms:.1} ms"), "< 100 ms", ms < 100.0);
    }
    Ok(())
}

const PARTS: [&str; 4] = ["grid", "incremental", "forms", "volumes"];

fn usage() -> ! {
    eprintln!(
        "usage: just bench [--rounds N] [--quick] [--only PART] [--media 9LEGACY-TREE] [--iso IMAGE] [--front-iso IMAGE]"
    );
    exit(2);
}

fn main() {
    let (mut rounds, mut quick, mut only, mut iso, mut front_iso) = (5, false, None, None, None);
    let mut medium = std::env::var_os("P9IMG_TEST_MEDIA")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache/p9img-test-media")))
        .map(|m| m.join("9legacy"));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            "--media" => medium = arguments.next().map(PathBuf::from),
            "--quick" => quick = true,
            "--only" => only = arguments.next().filter(|part| PARTS.contains(&part.as_str())).or_else(|| usage()),
            "--iso" => iso = arguments.next().map(PathBuf::from),
            "--front-iso" => front_iso = arguments.next().map(PathBuf::from),
            "--bench" => {} // cargo says so
            _ => usage(),
        }
    }
    let scratch = tempfile::Builder::new().prefix("p9img-bench").tempdir().expect("a folder for scratch files");
    let bench = Bench { scratch, rounds: if quick { 1 } else { rounds.max(1) }, quick };
    let mut table = Table(String::new(), true);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let parts = |medium: &Path, table: &mut Table| {
        if wanted("incremental") {
            incremental::rows(&bench, medium, table)?;
        }
        if wanted("forms") {
            forms::rows(&bench, medium, iso.as_deref(), table)?;
            forms::front(&bench, &medium.with_file_name("9front"), front_iso.as_deref(), table)?;
        }
        if wanted("volumes") {
            volumes::rows(&bench, medium, table)?;
        }
        if wanted("grid") { grid(&bench, medium, table) } else { Ok(()) }
    };
    let done = sample(&bench, &mut table).and_then(|()| match medium.filter(|m| m.is_dir()) {
        Some(medium) => parts(&medium, &mut table),
        None => {
            eprintln!("SKIPPED the grid: no 9legacy tree (--media, or P9IMG_TEST_MEDIA)");
            Ok(())
        }
    });
    print!("{}", table.0);
    if let Err(error) = done {
        eprintln!("{error}");
        drop(bench);
        exit(1);
    }
    if !table.1 {
        drop(bench);
        exit(3);
    }
}
