//! `p9img media show`: what a medium is, what it has, and what can be built.

use crate::cli::printer::Printer;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{Outcome, say};
use crate::count;
use crate::lab::words::Word as _;
use crate::lab::{Arch, Board, Fs, Origin, SAMPLE};
use crate::media::store::Store;
use crate::media::{Facts, Medium};
use crate::ops;
use crate::ops::media::Record;
use crate::render::{Catalog, Kernel, Role};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Shown {
    name: String,
    distribution: &'static str,
    #[serde(flatten)]
    facts: Facts,
    /// Files and folders.
    entries: usize,
    metadata: String,
    notes: Vec<String>,
    left_out: Vec<String>,
    builds: Vec<Build>,
}

/// Whether nodes of an architecture, or a board, can be built.
#[derive(Serialize)]
struct Build {
    architecture: &'static str,
    /// PCs have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    board: Option<&'static str>,
    root: &'static str,
    /// Roles that nodes of it can have.
    roles: Vec<String>,
    /// Why some or all cannot, each a sentence.
    missing: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The medium
    #[arg(value_name = "NAME|PATH")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let (medium, called) = open(cli, &args.name)?;
    let facts = Facts::of(&medium, &called);
    let catalog =
        if cli.lab.exists() { ops::lab::catalog(&cli.lab, &Printer::new(cli))? } else { Catalog::embedded()? };
    let pcs = Arch::WORDS.iter().map(|(_, arch)| build(&catalog, &medium, &facts, Machine::Pc(*arch)));
    let virt = known(&catalog, &medium, Arch::Arm64.name()).then(|| build(&catalog, &medium, &facts, Machine::Virt));
    let builds = pcs.chain(virt).chain(boards(&catalog, &medium, &facts)).collect();
    let shown = Shown {
        name: medium.name.clone(),
        distribution: medium.distribution.name(),
        facts,
        entries: medium.tree.len(),
        metadata: medium.metadata_source.clone(),
        notes: medium.notes.clone(),
        left_out: medium.left_out.clone(),
        builds,
    };
    if args.json {
        say::json(&shown)?;
    } else {
        show(&shown)?;
    }
    Ok(Outcome::Good)
}

/// A medium of the lab, if there is one of that name, or what is at a path;
/// with all that it is called.
fn open(cli: &GlobalArgs, name: &str) -> anyhow::Result<(Medium, Vec<String>)> {
    let mut called = vec![name.to_owned()];
    if name == SAMPLE && !Path::new(name).exists() {
        return Ok((Medium::sample(), called));
    }
    if cli.lab.exists() && !Path::new(name).exists() {
        let lab = ops::lab::read(&cli.lab, &Printer::new(cli))?.1;
        let lab = lab.with_medium(name).map_err(|p| crate::cli::Usage(p.to_string()))?;
        match lab.media.get(&lab.medium).map(|medium| &medium.origin) {
            Some(Origin::Path(path)) => called.push(path.display().to_string()),
            Some(Origin::Urls(urls)) => called.extend(urls.iter().cloned()),
            None => {}
        }
        return Ok((ops::media::one(&lab, &lab.medium, Record::No, &Printer::new(cli))?, called));
    }
    let medium = Medium::open(name, Path::new(name), 0, Store::platform().ok().as_ref())?;
    if !cli.quiet {
        medium.notes.iter().for_each(|note| say::note(note));
    }
    Ok((medium, called))
}

/// What a node can be.
#[derive(Clone, Copy)]
enum Machine {
    Pc(Arch),
    /// QEMU's for 64-bit ARM.
    Virt,
    Pi(Board),
}

/// Why nodes with `roles` cannot be PCs of an architecture, each a sentence; none
/// when they can.
pub fn missing(catalog: &Catalog, medium: &Medium, arch: Arch, roles: &[String]) -> Vec<String> {
    let build = build(catalog, medium, &Facts::of(medium, &[]), Machine::Pc(arch));
    if roles.iter().all(|role| build.roles.contains(role)) { Vec::new() } else { build.missing }
}

/// Whether the distribution has kernels for a board or an architecture.
fn known(catalog: &Catalog, medium: &Medium, machine: &str) -> bool {
    let kernel = |kind| catalog.kernel_file(medium.distribution.name(), kind, machine);
    [Kernel::Cpu, Kernel::Terminal].into_iter().any(|kind| matches!(kernel(kind), Ok(Some(_))))
}

/// The boards that the distribution has kernels for.
fn boards(catalog: &Catalog, medium: &Medium, facts: &Facts) -> Vec<Build> {
    let pis = Board::WORDS.iter().map(|(_, board)| *board).filter(|board| board.is_pi());
    let known = |board: &Board| known(catalog, medium, board.name());
    pis.filter(known).map(|board| build(catalog, medium, facts, Machine::Pi(board))).collect()
}

/// What stands in the way of each role is looked up where a build looks it up.
fn build(catalog: &Catalog, medium: &Medium, facts: &Facts, machine: Machine) -> Build {
    let distribution = medium.distribution.name();
    let has = |path: &str| facts.has(path) || medium.tree.find(path.as_bytes()).is_some();
    let root = catalog.default_fs(distribution).map_or("", |fs| fs.word());
    let (architecture, board, name, root, boot) = match machine {
        Machine::Pc(arch) => (arch.name(), None, arch.name(), root, catalog.boot_files(distribution)),
        Machine::Virt => (Arch::Arm64.name(), Some(Board::Virt.name()), Arch::Arm64.name(), root, Ok(Vec::new())),
        // The board's own firmware starts its kernels, which have fossil alone.
        Machine::Pi(board) => ("arm", Some(board.name()), board.name(), Fs::DEFAULT.word(), Ok(Vec::new())),
    };
    let mut out = Build { architecture, board, root, roles: Vec::new(), missing: Vec::new() };
    let boot = match boot {
        Ok(boot) => boot,
        Err(e) => {
            out.missing.push(e.to_string());
            return out;
        }
    };
    for path in boot.iter().filter(|p| !has(p)) {
        out.missing.push(format!("It has no {path}, which every node needs to start"));
    }
    let starts = out.missing.is_empty();
    let mut said = Vec::new();
    let is_for = |r: &&Role| r.boards.is_empty() || r.boards.iter().any(|b| b.get_ref() == board.unwrap_or("pc"));
    for role in catalog.roles().filter(is_for) {
        let kernel = role.kernel.map(|kind| catalog.kernel_file(distribution, kind, name));
        let why = match kernel {
            None | Some(Ok(None)) => None,
            Some(Ok(Some(path))) if has(path) => None,
            Some(Ok(Some(path))) => Some(format!("It has no {path}, the kernel of {}", role.name)),
            Some(Err(e)) => Some(e.to_string()),
        };
        match why {
            None if starts => out.roles.push(role.name.clone()),
            None => {}
            Some(why) => said.push(why),
        }
    }
    said.sort_unstable();
    said.dedup();
    out.missing.append(&mut said);
    // A role without a kernel of its own needs one that has it.
    if !catalog.roles().any(|r| r.kernel.is_some() && out.roles.contains(&r.name)) {
        out.roles.clear();
    }
    out
}

fn show(s: &Shown) -> anyhow::Result<()> {
    let release = s.facts.release.as_ref().map(|n| format!(" release {n}")).unwrap_or_default();
    let commit = s.facts.commit.as_ref().map(|hex| format!(", commit {hex}")).unwrap_or_default();
    say::line(format_args!("{}: {}{release}{commit}, {} files and folders", s.name, s.facts.system, s.entries))?;
    s.facts.unsure.iter().try_for_each(|why| say::line(format_args!("  {why}")))?;
    say::line(format_args!("metadata  {}", s.metadata))?;
    for a in &s.facts.architectures {
        let kernels = if a.kernels.is_empty() { "no kernel".into() } else { a.kernels.join(" ") };
        say::line(format_args!("{:<9} {}; {kernels}", a.name, count::of(a.programs, "program")))?;
    }
    say::line(format_args!("boot      {}", s.facts.boot_files.join(" ")))?;
    // Boards of which the same is to be said have one line.
    for alike in s.builds.chunk_by(|a, b| a.board.is_some() && a.roles == b.roles && a.missing == b.missing) {
        let b = &alike[0];
        let names: Vec<&str> = alike.iter().map(|b| b.board.unwrap_or(b.architecture)).collect();
        let names = names.join(", ");
        match &b.roles[..] {
            [] => say::line(format_args!("builds    nothing for {names}"))?,
            roles => say::line(format_args!("builds    {names} with {} and the roles {}", b.root, roles.join(", ")))?,
        }
        b.missing.iter().try_for_each(|why| say::line(format_args!("          {why}")))?;
    }
    Ok(())
}
